"""Tools described by hand."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.errors import UserError
from workbench.tools import ToolExecutor, ToolInfo

INFO = ToolInfo("search", "Search the web").arg("query", "str", "The query").arg_opt("limit", "int", "Max results").returns("list")


async def test_a_described_function_is_called_by_name() -> None:
    executor = ToolExecutor()
    executor.register(INFO, lambda limit, query: [query] * (limit or 1))
    assert await executor.call("search", {"limit": 2, "query": "x"}) == ["x", "x"]
    assert await executor.call("search", {"query": "x"}) == ["x"], "an optional argument without a default is None"


async def test_the_functions_own_default_holds() -> None:
    executor = ToolExecutor([INFO.tool(lambda query, limit=3: [query] * limit)])
    assert await executor.call("search", {"query": "x"}) == ["x", "x", "x"]


def test_every_step_leaves_the_one_before_unchanged() -> None:
    start = ToolInfo("f")
    start.arg("x", list[int])
    assert start.parameters == ()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ToolInfo("f").arg("x", "string"), "unknown type 'string'"),
        (lambda: ToolInfo("f").arg("x", "int").arg("x", "int"), "two arguments named x"),
        (lambda: ToolInfo("f").arg_opt("x", "int").arg("y", "int"), "after an optional one"),
        (lambda: ToolExecutor().register(ToolInfo("f")), "has no function"),
    ],
)
def test_mistakes_are_named(build: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        build()


def test_a_described_function_can_need_an_approval() -> None:
    assert INFO.tool(lambda query, limit: [], approval=True).asks({"query": "x"})
