"""The quickstart, executed as `make demo` and a reader do: without a key, beside its data, into a store of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.notebook.executed import NOTEBOOKS, execute, outputs
from workbench.profiles import local
from workbench.runtime.run import Run
from workbench.runtime.workbench import Workbench

MIMES = {"text/html", "text/markdown", "text/plain", "application/vnd.workbench.run+json"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart")


@pytest.fixture(scope="module")
def executed(place: Path) -> dict[str, Any]:
    """The executed notebook."""
    return execute(sys.executable, place)


@pytest.fixture
def store(executed: dict[str, Any], place: Path) -> Iterator[Workbench]:
    """What the notebook left behind, seen by another process: this one."""
    bench = local(home=place / "home" / "workbench")
    yield bench
    bench.close()


@pytest.fixture
def run(store: Workbench) -> Run:
    (run,) = store.runs()
    return run


def test_every_cell_has_run_and_none_has_an_error(executed: dict[str, Any]) -> None:
    code = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert [output for output in outputs(executed) if output["output_type"] == "error" or output.get("name") == "stderr"] == []


def test_it_says_that_a_script_answers(executed: dict[str, Any]) -> None:
    printed = "".join("".join(output["text"]) for output in outputs(executed) if output["output_type"] == "stream")
    assert "No model is configured: the replies below come from a script" in printed


def test_the_answer_is_what_pandas_computes(run: Run) -> None:
    weighed = pd.read_csv(NOTEBOOKS / "data" / "penguins.csv").dropna(subset="body_mass_g").groupby("species")["body_mass_g"]
    value = run.value
    assert value["heaviest"] == weighed.mean().idxmax()
    assert {row["species"]: row["weighed"] for row in value["species"]} == weighed.count().to_dict()
    means = {row["species"]: row["mean_mass_g"] for row in value["species"]}
    assert means == pytest.approx(weighed.mean().to_dict(), rel=1e-12)


def test_the_record_holds_and_the_run_is_done(run: Run) -> None:
    assert run.status == "completed"
    assert run.verify().entries > 10


def test_the_agents_cell_carries_a_view_that_needs_no_script(executed: dict[str, Any], run: Run) -> None:
    (shown,) = [output["data"] for output in outputs(executed) if "application/vnd.workbench.run+json" in output.get("data", {})]
    html = "".join(shown["text/html"])
    assert set(shown) == MIMES
    assert shown["application/vnd.workbench.run+json"]["run_id"] == run.id
    assert "<script" not in html
    assert "summarise" in html
    assert "Gentoo" in html
    assert len(html) < 100_000
    assert "widgets" not in executed["metadata"], "headless, no widget is made"


def test_the_frames_and_the_plot_are_there(executed: dict[str, Any]) -> None:
    kinds = [kind for output in outputs(executed) for kind in output.get("data", {})]
    assert kinds.count("text/html") >= 6
    assert kinds.count("image/png") == 1


def test_the_executed_notebook_is_small(executed: dict[str, Any]) -> None:
    assert len(json.dumps(executed)) < 300_000
