"""Two processes on one store: each sees the other's runs, and touches none that is alive."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import workbench as wb
from tests.stories.other_process import GRAPH
from workbench.current import set_current
from workbench.errors import LeaseHeld, RunInterrupted, UserError
from workbench.profiles import local

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(tmp_path):
    made = local(home=tmp_path)
    set_current(made)
    yield made
    set_current(None)
    made.close()


def command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "tests.stories.other_process", str(home), *words]


def other(home: Path, *words: str) -> dict:
    """What another process says, once it has ended."""
    done = subprocess.run(command(home, *words), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Hanging:
    """Another process in the middle of a run."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(command(home, "hang"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.run_id = json.loads(self.process.stdout.readline())["run"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def hanging(tmp_path, bench):
    made = Hanging(tmp_path)
    yield made
    made.kill()


def test_a_live_run_of_another_process_is_seen_and_left_alone(bench, hanging):
    run = bench.open(hanging.run_id)
    before = len(run.entries())
    assert run.status == "running"
    with pytest.raises(LeaseHeld):
        run.resume(graph=GRAPH)
    with pytest.raises(UserError, match="not live"):
        run.stop()
    with pytest.raises(TimeoutError):
        run.result(0.3)
    assert len(run.entries()) == before


def test_each_process_sees_both_runs_and_resumes_neither(tmp_path, bench, hanging):
    mine = wb.start(GRAPH, 1, resources="hang", workbench=bench)
    looked = other(tmp_path, "look", mine.id)
    assert (looked["status"], looked["refused"]) == ("running", "lease_held")
    assert looked["frame"] == {mine.id: "running", hanging.run_id: "running"}
    assert set(wb.frames.runs().run_id) == {mine.id, hanging.run_id}
    mine.stop()


def test_the_run_of_a_dead_process_is_interrupted_at_once_and_looking_does_nothing(bench, hanging):
    hanging.kill()
    run = bench.open(hanging.run_id)
    before = len(run.entries())
    assert run.status == "interrupted"
    assert [found.status for found in bench.runs()] == ["interrupted"]
    assert list(wb.frames.runs().status) == ["interrupted"]
    with pytest.raises(RunInterrupted):
        run.result(5)
    assert len(run.entries()) == before


def test_one_process_resumes_the_others_dead_run(tmp_path, bench, hanging):
    hanging.kill()
    assert other(tmp_path, "resume", hanging.run_id[:8]) == {"value": 20}
    run = bench.open(hanging.run_id)
    assert (run.status, run.value) == ("completed", 20)
    assert [entry.header.name for entry in run.entries() if entry.phase == "started"] == ["quick", "long"]
    assert run.verify()


def test_a_process_that_waits_for_anothers_run_gets_its_value(tmp_path, bench, hanging):
    hanging.kill()
    values = []
    run = bench.open(hanging.run_id)
    resumed = run.resume(graph=GRAPH)
    other_view = local(home=tmp_path)
    waiter = threading.Thread(target=lambda: values.append(other_view.open(run.id).result(10)))
    waiter.start()
    assert resumed.result(10) == 20
    waiter.join(10)
    other_view.close()
    assert values == [20]
