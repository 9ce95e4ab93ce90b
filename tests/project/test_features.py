"""docs/features.md: every row that has to be there is, and every test it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "features.md"
REQUIRED = {
    "A": {*range(1, 19), 20, *range(25, 33), 35, 37, 38, 39, 41, 42},
}
"""Section → the numbers of the rows it must have."""

ROW = re.compile(r"^\| ([A-Z])([0-9]+) \| ([^|]+) \| ([^|]+) \|([^|]*)\|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))


@cache
def functions_of(path: Path) -> set[str]:
    """The names of the test functions and methods of a file, which is not imported."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, functions)}


@pytest.mark.parametrize("section", REQUIRED)
def test_every_row_that_has_to_be_there_is(section: str) -> None:
    assert REQUIRED[section] <= {int(number) for letter, number, *_ in ROWS if letter == section}


def test_no_row_is_there_twice() -> None:
    rows = [f"{letter}{number}" for letter, number, *_ in ROWS]
    assert sorted(rows) == sorted(set(rows))


@pytest.mark.parametrize(("row", "cell"), [(f"{letter}{number}", cell) for letter, number, _, cell, _ in ROWS])
def test_a_row_names_tests_that_exist(row: str, cell: str) -> None:
    named = TEST.findall(cell)
    assert named, f"{row} names no test"
    assert TEST.sub("", cell).replace("<br>", "").strip() == "", f"{row} has something that is no test"
    assert [f"{path}::{name}" for path, name in named if name not in functions_of(ROOT / path) or not name.startswith("test_")] == []


def test_every_line_of_a_table_is_read() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| [A-Z][0-9]", line)]
    assert len(lines) == len(ROWS)
