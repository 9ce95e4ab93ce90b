"""The system prompt: sections joined in order, never a template, so no text of a person or tool can be mistaken for a placeholder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from workbench.sandbox.dialect import dialect
from workbench.tools.schema import stub
from workbench.tools.tool import Tool

_CALLABLE, _FINISHING, _DIALECT = (
    f"## {title}\n\n" for title in ("Functions you can call", "Finishing function", "The Python you can write")
)


@cache
def _section(name: str) -> str:
    return files("workbench.agents").joinpath("prompts", f"{name}.md").read_text(encoding="utf-8").strip()


def system_prompt(
    *,
    role: str | None,
    tools: Iterable[Tool],
    schema: dict[str, Any] | None,
    engine: Literal["auto", "littrs", "monty"] = "auto",
) -> str:
    """What the model is told before the task.

    `role` replaces the opening sentence. `tools` includes the finishing ones. `engine` decides what it is told of the Python that the
    sandbox runs. With a schema the shape of the answer is told last.
    """
    sections = [
        (role or _section("system")).strip(),
        _section("protocol"),
        _section("finish"),
        _tool_sections(tools),
        _DIALECT + dialect(engine),
    ]
    if schema is not None:
        sections.append(
            "## The shape of the answer\n\nThe answer must match this JSON Schema:\n\n"
            + _fenced(json.dumps(schema, indent=2, ensure_ascii=False), "json")
        )
    return "\n\n".join(sections)


def with_tools(prompt: str, tools: Iterable[Tool]) -> str:
    """A system prompt that tells of other tools; everything else of it stays."""
    before, _, rest = prompt.partition(_CALLABLE)
    _, _, after = rest.partition(_DIALECT)
    return f"{before}{_tool_sections(tools)}\n\n{_DIALECT}{after}" if after else prompt


def _tool_sections(tools: Iterable[Tool]) -> str:
    tools = list(tools)
    callable_tools = [tool for tool in tools if not tool.finish]
    told = _stubs(callable_tools) if callable_tools else "None besides the finishing one."
    return f"{_CALLABLE}{told}\n\n{_FINISHING}{_stubs([tool for tool in tools if tool.finish])}"


def _stubs(tools: Iterable[Tool]) -> str:
    return _fenced("\n\n".join(stub(tool) for tool in tools), "python")


def _fenced(text: str, language: str) -> str:
    """A fence longer than any run of backticks inside."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
