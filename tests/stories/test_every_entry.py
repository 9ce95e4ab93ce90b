"""A process that dies at any entry of its record, just before it is stored or just after, leaves a run that another process finishes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stories.crossed import EXPECTED

ROOT = Path(__file__).parents[2]
NEVER = 10**9


class Children:
    """A process that forks the children; one at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.stories.crossed"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def run(self, home: Path, at: int = NEVER, moment: str = "never") -> bool:
        """Run a child; whether it was killed."""
        print(home, at, moment, file=self.process.stdin, flush=True)
        status = int(self.process.stdout.readline())
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, (home / "error").read_text()
        return os.WIFSIGNALED(status)


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    made = Children()
    yield made
    made.process.stdin.close()
    made.process.wait(10)
    made.process.stdout.close()


def place(tmp_path: Path, name: str) -> Path:
    (home := tmp_path / name).mkdir()
    return home


def check(home: Path) -> dict[str, Any]:
    """The value and the effects are those of an undisturbed run; what the record says of itself."""
    end: dict[str, Any] = json.loads((home / "end.json").read_text())
    assert end["value"] == EXPECTED
    assert sorted((home / "log").read_text().splitlines()) == ["pay 30", "send 0", "send 1", "send 2"]
    return end


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_dies_at_an_entry_loses_nothing_and_repeats_nothing(children, tmp_path, moment):
    whole = place(tmp_path, "whole")
    assert not children.run(whole)
    undisturbed = check(whole)
    assert sorted(undisturbed["asked"]) == ["pause", "question"]
    deaths, asked = 0, []
    for at in range(1, undisturbed["entries"] + 1):
        home = place(tmp_path, f"{moment}-{at}")
        deaths += children.run(home, at, moment)
        deaths += children.run(home, at + 2, moment)  # and once more while it goes on
        assert not children.run(home)
        asked += check(home)["asked"]
    assert deaths >= undisturbed["entries"]
    assert "unknown_outcome" in asked
