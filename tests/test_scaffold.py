"""`workbench new`: what it writes passes the same checks as our own code, and what is there stays there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import workbench as wb
from workbench.cli import main
from workbench.scaffold.write import KINDS

RULES = "E,F,W,I,N,UP,B,A,C4,SIM,RUF,PT,PL,TRY,BLE,ASYNC,T20"


def new(kind, name, directory, *options):
    return main(["new", kind, name, "--dir", str(directory), *options])


def check(directory, *command):
    done = subprocess.run([sys.executable, "-m", *command], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One of each kind that is Python, with the graph's project beside the others."""
    directory = tmp_path_factory.mktemp("made")
    for kind in ("graph", "task", "plan", "tool"):
        assert new(kind, f"my_{kind}", directory) == 0
    return directory


@pytest.mark.slow
def test_what_is_made_passes_lint(made):
    check(made, "ruff", "check", "--no-cache", "--select", RULES, ".")
    check(made, "ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_made_is_typed(made):
    sources = sorted(str(path.relative_to(made)) for path in made.rglob("*.py"))
    check(made, "mypy", "--strict", f"--cache-dir={made / 'cache'}", *sources)


@pytest.mark.slow
def test_what_is_made_passes_its_tests(made):
    for where, tests in ((made / "my_graph", ()), (made, [f"test_my_{kind}.py" for kind in ("task", "plan", "tool")])):
        check(where, "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio", *tests)


def test_a_new_graph_is_a_project_that_runs(tmp_path):
    new("graph", "review", tmp_path)
    done = subprocess.run(
        [sys.executable, "graph.py"],
        cwd=tmp_path / "review",
        capture_output=True,
        text=True,
        check=False,
        env={"WORKBENCH_HOME": str(tmp_path / "home")},
    )
    assert (done.stdout, done.returncode) == ("{'text': 'Hello!!!', 'rounds': 3}\n", 0), done.stderr


def test_a_new_policy_is_one_the_guardrails_read(tmp_path):
    new("policy", "spending", tmp_path)
    policy = wb.Policy.load(tmp_path / "spending.yaml")
    assert [rule.id for rule in policy.rules] == ["tokens", "loops", "step-cost", "day", "ask-first"]


def test_a_new_notebook_is_valid_and_stripped(tmp_path):
    new("notebook", "first_steps", tmp_path)
    notebook = nbformat.read(tmp_path / "first_steps.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# first_steps\n")
    assert not any(cell.get("outputs") for cell in notebook.cells)
    check(
        tmp_path,
        "ruff",
        "check",
        "--isolated",
        "--no-cache",
        "--select",
        "E,F,W,I,UP,B",
        "--ignore",
        "F821",
        "--line-length",
        "120",
        "first_steps.ipynb",
    )


@pytest.mark.slow
def test_a_new_notebook_runs_without_a_key(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    new("notebook", "first_steps", tmp_path)
    notebook = nbformat.read(tmp_path / "first_steps.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    values = [
        output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "execute_result"
    ]
    assert values[0] == "6"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_there_is_not_overwritten_unless_asked(kind, tmp_path, capsys):
    new(kind, "mine", tmp_path)
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    paths[-1].write_text("my own work")
    assert new(kind, "mine", tmp_path) == 1
    assert "are there already; choose another name, or use --force" in capsys.readouterr().err.replace("is there", "are there")
    assert paths[-1].read_text() == "my own work"
    assert new(kind, "mine", tmp_path, "--force") == 0
    assert paths[-1].read_text() != "my own work"


def test_nothing_is_written_when_one_of_the_files_is_there(tmp_path):
    (tmp_path / "test_mine.py").write_text("")
    assert new("task", "mine", tmp_path) == 1
    assert not (tmp_path / "mine.py").exists()


@pytest.mark.parametrize(
    "name", ["", "Mine", "two words", "../up", "a/b", "1st", "näme", "x" * 61, "$name", "class", "json", "workbench", "test_it"]
)
def test_a_name_that_is_no_modules_is_refused(name, tmp_path, capsys):
    assert new("task", name, tmp_path) == 1
    assert "such as" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_written_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert new("tool", "mine", tmp_path / "file") == 1
    assert "cannot be written" in capsys.readouterr().err
