"""The command line reads what other processes wrote, says what is wrong, and never goes on with a run."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

import workbench as wb
from workbench.adapters.memory import MemoryStateStore
from workbench.cli import main
from workbench.current import set_current
from workbench.loop import run_sync
from workbench.profiles import local


@wb.task
async def one(value):
    return value


@wb.tool
def add(a: int) -> int:
    return a + 1


GRAPH = wb.AgentGraph("steps", nodes=[one], edges=[("Start", "one"), ("one", "End")])


@pytest.fixture
def bench(tmp_path):
    made = local(home=tmp_path)
    set_current(made)
    yield made
    set_current(None)
    made.close()


@pytest.fixture
def run(bench):
    made = wb.start(GRAPH, 1)
    made.result(5)
    return made


def workbench(home, *words, **options):
    """The command in a process of its own."""
    environ = {**os.environ, "WORKBENCH_HOME": str(home)}
    command = [sys.executable, "-m", "workbench", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False, **options)


def test_runs_of_an_empty_store_says_so(bench, capsys):
    assert main(["runs"]) == 0
    assert "no runs" in capsys.readouterr().out


def test_runs_lists_the_newest_first_up_to_a_limit(bench, capsys):
    ids = [wb.start(GRAPH, n).id for n in range(3)]
    assert main(["runs", "--limit", "2"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ids[:0:-1]


def test_show_prints_an_agents_steps(bench, capsys):
    agent = wb.Agent(wb.models.Scripted(["```python\nprint(add(41))\n```", "It is 42."]), tools=[add], engine="monty")
    run = agent.start("Add one to 41.")
    run.result(20)
    agent.close()
    assert main(["show", run.id[:8]]) == 0
    out = capsys.readouterr().out
    for words in ("Add one to 41.", "completed", "1 tool calls", "turn 1 of 10", "→ add", "← add: 42", "print(add(41))", "It is 42."):
        assert words in out


def test_show_prints_what_a_plain_run_came_to(run, capsys):
    assert main(["show", run.id]) == 0
    assert "finished: 1" in capsys.readouterr().out


def test_verify_of_a_sound_record_names_its_last_hash(run, capsys):
    assert main(["verify", run.id[:8]]) == 0
    assert f"5 entries hold, last hash {run.verify().head}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        ("UPDATE entries SET data = CAST(replace(data, '\"RUNNING\"', '\"PENDING\"') AS BLOB) WHERE seq = 2", 2),
        ("UPDATE entries SET data = CAST(data AS TEXT) WHERE seq = 2", 2),
        ("UPDATE entries SET status = 'FAILED' WHERE seq = 3", 3),
        ("DELETE FROM entries WHERE seq = 3", 3),
        ("UPDATE entries SET prev_hash = hash WHERE seq = 4", 4),
    ],
)
def test_verify_of_a_tampered_record_names_the_first_entry_that_does_not_hold(tmp_path, run, capsys, change, seq):
    run.workbench.close()
    set_current(None)
    tamper(tmp_path / "records.db", change)
    set_current(bench := local(home=tmp_path))
    assert main(["verify", run.id]) == 1
    assert f"entry {seq} of" in capsys.readouterr().err
    bench.close()


def tamper(database, change):
    with sqlite3.connect(database) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        assert db.execute(change).rowcount == 1
    db.close()


def test_verify_finds_by_the_hash_that_something_was_cut_off(run, capsys):
    head = run.verify().head
    assert main(["verify", run.id, "--head", head]) == 0
    assert main(["verify", run.id, "--head", "f" * 64]) == 1
    assert "what followed is missing" in capsys.readouterr().err


def test_a_run_is_exported_to_a_file_and_imported_into_another_store(tmp_path, run, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["export", run.id[:8]]) == 0
    assert main(["export", run.id]) == 1
    assert "is there already" in capsys.readouterr().err
    set_current(other := local(home=tmp_path / "other"))
    assert main(["import", f"{run.id}.json"]) == 0
    assert "5 entries hold" in capsys.readouterr().out
    assert other.open(run.id).value == 1
    assert main(["import", "no.json"]) == 1
    other.close()


def test_pruned_runs_are_gone_and_say_so(run, capsys):
    assert main(["prune", run.id[:8]]) == 0
    assert "1 runs deleted: 5 entries" in capsys.readouterr().out
    assert main(["show", run.id]) == 1
    assert "was pruned" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["show", "verify"])
def test_an_unknown_run_is_an_error_in_a_sentence(bench, capsys, command):
    assert main([command, "feed"]) == 1
    assert "no run 'feed'" in capsys.readouterr().err


def test_an_ambiguous_beginning_names_the_runs_it_could_be(benches_with_ids, capsys):
    assert main(["show", "aaaa"]) == 1
    err = capsys.readouterr().err
    assert "several runs" in err
    assert "aaaaaaaa-0000-4000-8000-000000000001" in err
    assert main(["show", ""]) == 1


@pytest.fixture
def benches_with_ids():
    ids = iter(["5e551000-0000-4000-8000-000000000000", *(f"aaaaaaaa-0000-4000-8000-00000000000{n}" for n in (1, 2))])
    made = run_sync(with_ids(lambda: next(ids)))
    set_current(made)
    for _ in range(2):
        wb.start(GRAPH, 1).result(5)
    yield made
    set_current(None)
    made.close()


async def with_ids(new_id):
    from workbench.adapters.memory import MemoryBlobStore, MemoryEventBus, MemoryKVStore  # noqa: PLC0415

    return wb.Workbench(state=MemoryStateStore(), bus=MemoryEventBus(), blobs=MemoryBlobStore(), kv=MemoryKVStore(), new_id=new_id)


def test_help_and_wrong_usage(tmp_path):
    helped = workbench(tmp_path, "--help")
    assert helped.returncode == 0
    for command in ("demo", "runs", "show", "verify"):
        assert command in helped.stdout
    assert workbench(tmp_path, "dance").returncode == 2
    assert workbench(tmp_path).returncode == 2
    assert workbench(tmp_path, "show").returncode == 2


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path, run):
    reading, writing = os.pipe()
    os.close(reading)
    environ = {**os.environ, "WORKBENCH_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "workbench", "runs"]
    done = subprocess.run(command, env=environ, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_cannot_show_every_character_gets_what_it_can(tmp_path, bench):
    wb.start(wb.AgentGraph("größe ✓", nodes=[one], edges=[("Start", "one"), ("one", "End")])).result(5)
    environ = {**os.environ, "WORKBENCH_HOME": str(tmp_path), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "workbench", "runs"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "completed" in done.stdout


def test_a_store_that_cannot_be_opened_is_an_error_in_a_sentence(tmp_path):
    (tmp_path / "records.db").write_text("not a database, but long enough to be read as the header of one")
    done = workbench(tmp_path, "runs")
    assert done.returncode == 1
    assert done.stderr.startswith("workbench: ")
    assert "Traceback" not in done.stderr
