"""The notebooks after the quickstart, executed without a key; what they show is compared with what is true."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.notebook.executed import NOTEBOOKS, execute, outputs

Executed = Callable[[str], dict[str, Any]]

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb") if path.stem != "01_quickstart")


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    """A notebook after its execution, by its name; each is executed once."""
    return cache(lambda name: execute(sys.executable, tmp_path_factory.mktemp(name), name=name))


def shown(notebook: dict[str, Any], beginning: str) -> list[str]:
    """What the cell that begins like this printed and gave back, as text."""
    (cell,) = [cell for cell in notebook["cells"] if "".join(cell["source"]).startswith(beginning)]
    return ["".join(output.get("text") or output["data"]["text/plain"]) for output in cell["outputs"]]


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_has_run_and_none_has_an_error(name: str, executed: Executed) -> None:
    code = [cell for cell in executed(name)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert [output for output in outputs(executed(name)) if output["output_type"] == "error" or output.get("name") == "stderr"] == []


def test_the_graph_finds_what_numpy_finds(executed: Executed) -> None:
    known = pd.read_csv(NOTEBOOKS / "data" / "penguins.csv").dropna(subset=["flipper_length_mm", "body_mass_g"])
    rest = 0.0
    for _, birds in known.groupby("species"):
        line = np.polynomial.Polynomial.fit(birds["flipper_length_mm"], birds["body_mass_g"], 1)
        share = ((birds["body_mass_g"] - line(birds["flipper_length_mm"])) ** 2).sum() / (
            (birds["body_mass_g"] - birds["body_mass_g"].mean()) ** 2
        ).sum()
        rest += len(birds) * share
    (answer,) = shown(executed("02_graphs"), "run = wb.start(graph")
    assert ast.literal_eval(answer) == {"degree": 1, "explained": round(1 - rest / len(known), 3)}


def test_the_graph_is_one_in_every_form(executed: Executed) -> None:
    assert shown(executed("02_graphs"), "nodes = [") == ["True"]


def test_only_what_a_person_let_through_is_published(executed: Executed) -> None:
    lines = ["Adelie: about 3.7 kg", "Chinstrap: 3733 g"]
    done = executed("03_guardrails_replay_fork")
    assert ast.literal_eval(shown(done, "run.status, board")[0]) == ("paused", lines)
    assert ast.literal_eval(shown(done, "board.read_text().splitlines()")[0]) == lines


def test_an_altered_export_is_named_and_the_true_one_taken_in(executed: Executed) -> None:
    refused, taken = shown(executed("03_guardrails_replay_fork"), "moved = ")
    assert "it has been altered; nothing was written" in refused
    assert taken == "True"


def test_a_replay_reads_nothing_again(executed: Executed) -> None:
    weighed = pd.read_csv(NOTEBOOKS / "data" / "penguins.csv").dropna(subset="body_mass_g").groupby("species").size()
    (answer,) = shown(executed("03_guardrails_replay_fork"), "made = len(read)")
    assert ast.literal_eval(answer) == ({name: int(weighed[name]) for name in ("Adelie", "Gentoo")}, True, 0)


def test_a_person_decides_in_code_on_the_command_line_and_after_a_kill(executed: Executed) -> None:
    done = executed("04_human_in_the_loop")
    letters = [("Ana", "The figures are ready."), ("Ben", "The figures are ready; page 3 is new.")]
    assert ast.literal_eval(shown(done, "sent")[0]) == letters
    assert "already decided by Dora" in shown(done, "try:\n    request.approve")[0]
    assert shown(done, "block.approve")[0] == "10"
    printed, answer = shown(done, "command = [sys.executable")
    assert "answer" in printed
    assert ast.literal_eval(answer) == {"accept": True}
    assert shown(done, "ask = wb.human")[0] == "'yes'"


def test_frames_agree_with_the_record_and_nothing_is_paid_for_twice(executed: Executed) -> None:
    done = executed("05_run_as_data")
    assert len(set(ast.literal_eval(shown(done, "by_node")[0]))) == 1
    assert ast.literal_eval(shown(done, "verified")[0]) == (True, True)
    rows, same = ast.literal_eval(shown(done, "from pathlib import Path")[0])
    assert rows > 20
    assert same is True
    assert "steps differ" in shown(done, "other = slip.fork")[0]
