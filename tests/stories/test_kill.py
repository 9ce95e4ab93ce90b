"""A process that dies at any moment loses nothing: the run goes on in another one, and what must not happen twice happens once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stories.killed import CALLS, EXPECTED

ROOT = Path(__file__).parents[2]
KILLS = 30
"""With each engine."""
RANDOM = random.Random(20260131)


class Zygote:
    """A process that forks the children; one at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.stories.killed"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def run(self, home: Path, what: str, kill_after: float = 60.0) -> bool:
        """Run a child, killed after so many seconds; whether it was killed."""
        print(home, what, kill_after, file=self.process.stdin, flush=True)
        status = int(self.process.stdout.readline())
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, (home / "error").read_text()
        return os.WIFSIGNALED(status)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    yield made
    made.close()


def answer_of(home: Path) -> object:
    return json.loads((home / "answer.json").read_text())


def check(home: Path) -> None:
    """The answer is the one of an undisturbed run, and each message was sent once."""
    assert answer_of(home) == EXPECTED
    lines = Counter((home / "log").read_text().splitlines())
    sent = {line: count for line, count in lines.items() if line.startswith("send")}
    assert sent == {f"send {n}": 1 for n in [*range(CALLS), 100, 101, 102]}
    assert all(f"look {n}" in lines for n in range(CALLS))


def seconds_of_an_undisturbed_run(zygote: Zygote, places: Path, engine: str) -> float:
    """What a run takes on this machine, so that kills are spread over all of it."""
    times = []
    for number in range(4):
        home = places / f"whole-{number}"
        home.mkdir()
        began = time.monotonic()
        assert not zygote.run(home, engine)
        times.append(time.monotonic() - began)
        check(home)
    return min(times)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["monty", "auto"])
def test_a_killed_run_goes_on_to_the_same_answer_and_sends_nothing_twice(zygote, tmp_path, engine):
    whole = seconds_of_an_undisturbed_run(zygote, tmp_path, engine)
    kills: list[int] = []
    # On a busy machine runs take longer than the undisturbed ones, so that more kills are needed, and later ones, to meet all of a run.
    while len(kills) < KILLS or (len(set(kills)) <= 5 and len(kills) < 6 * KILLS):
        latest = 1.1 + 0.3 * (len(kills) // KILLS)
        home = tmp_path / f"after-{len(kills)}-{RANDOM.random()}"
        home.mkdir()
        if not zygote.run(home, engine, kill_after=RANDOM.uniform(0.3, latest) * whole):
            continue
        kills_here = [effects_in(home)]
        while RANDOM.random() < 0.5 and zygote.run(home, "resume", kill_after=RANDOM.uniform(0.3, latest) * whole):
            kills_here.append(effects_in(home))
        zygote.run(home, "resume")
        if answer_of(home) is not None:  # else the first process died before there was a run
            check(home)
            kills += kills_here
    print(f"{engine}: {len(kills)} kills, after {sorted(kills)} effects; an undisturbed run takes {whole:.3f} s")
    assert len(set(kills)) > 5, "the kills were not spread over the run"


def effects_in(home: Path) -> int:
    """How far the run had come: the lines that its tools have written."""
    return len((home / "log").read_text().splitlines())
