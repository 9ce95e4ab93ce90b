"""docs/graphs.md says what is so: its examples run, and its tables name every attribute."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import workbench as wb
from workbench.current import set_current
from workbench.graph import outline
from workbench.profiles import for_tests

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "graphs.md").read_text()


@pytest.fixture
def names():
    """What the page's Python defines, run from top to bottom."""
    bench = for_tests()
    set_current(bench)
    names: dict[str, object] = {}
    exec("".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)), names)
    yield names
    set_current(None)
    bench.close()


def test_its_examples_run_and_its_dot_is_the_same_graph(names, capsys):
    (text,) = re.findall(r"```dot\n(.*?)```", PAGE, re.DOTALL)
    nodes = [names[name] for name in ("fetch", "split", "read", "gather")]
    assert wb.AgentGraph.from_dot(text, nodes=nodes).hash == names["graph"].hash


def test_its_table_names_every_attribute():
    table = PAGE[PAGE.index("| of | attributes |") :]
    for attribute in {*outline._GRAPH, *outline._TASK, *outline._EDGE}:
        assert f"`{attribute}`" in table
