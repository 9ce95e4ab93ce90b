"""The public names: one table, each loaded when it is first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import workbench

PUBLIC = workbench._PUBLIC


def test_the_table_is_sorted() -> None:
    assert list(PUBLIC) == sorted(PUBLIC)


@pytest.mark.parametrize("names", [list(PUBLIC), list(reversed(PUBLIC))], ids=["first to last", "last to first"])
def test_every_public_name_loads_whichever_comes_first(names: list[str]) -> None:
    program = f"""
import importlib, workbench
for name in {names}:
    module = workbench._PUBLIC[name]
    there = getattr(importlib.import_module(module), name) if module else importlib.import_module("workbench." + name)
    assert getattr(workbench, name) is there, name
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_type_checkers_know_every_public_name() -> None:
    imports = [node for node in ast.walk(ast.parse(Path(workbench.__file__).read_text())) if isinstance(node, ast.ImportFrom)]
    typed = {alias.name: node.module for node in imports for alias in node.names if alias.asname == alias.name}
    assert typed == {name: module or "workbench" for name, module in PUBLIC.items()}


def test_dir_shows_every_public_name() -> None:
    assert set(PUBLIC) <= set(dir(workbench))


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Agnet'; it has .*AgentGraph"):
        _ = workbench.Agnet


def test_the_version_is_the_distributions_own() -> None:
    assert workbench.__version__ == version("agent-workbench")
