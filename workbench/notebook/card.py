"""What a `%%tool` cell shows: each tool as the model will see it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from workbench.tools.schema import stub
from workbench.tools.tool import Tool


def tool_bundle(tool: Tool) -> dict[str, str]:
    """One tool."""
    return tools_bundle([tool])


def tools_bundle(tools: Sequence[Tool]) -> dict[str, str]:
    """The tools of a cell, as HTML, Markdown and text. Everything is escaped: docstrings are data."""
    return {
        "text/html": "".join(_html(tool) for tool in tools),
        "text/markdown": "\n\n".join(f"**Tool `{tool.name}`** {_facts(tool)}\n\n```python\n{stub(tool)}\n```" for tool in tools),
        "text/plain": "\n\n".join(f"Tool {tool.name} {_facts(tool)}\n{stub(tool)}" for tool in tools),
    }


def _facts(tool: Tool) -> str:
    facts = []
    if tool.finish:
        facts.append("ends the run")
    if tool.idempotent:
        facts.append("may be repeated")
    if tool.approval:
        facts.append("asks a person first")
    if tool.on == "main":
        facts.append("runs in the main thread")
    if tool.timeout is not None:
        facts.append(f"limit {tool.timeout:g} s")
    if tool.retries:
        facts.append(f"{tool.retries} retries")
    return f"({', '.join(facts)})" if facts else ""


def _html(tool: Tool) -> str:
    summary = tool.description.partition("\n")[0] or "No docstring: the model is told nothing but the signature."
    return (
        '<details style="margin:.25em 0"><summary style="cursor:pointer">'
        f"<strong>Tool</strong> <code>{escape(tool.signature)}</code> {escape(_facts(tool))}<br>"
        f'<span style="opacity:.75;margin-left:1.1em">{escape(summary)}</span></summary>'
        f'<pre style="margin:.5em 0 .5em 1.1em;white-space:pre-wrap">{escape(stub(tool))}</pre>'
        f'<p style="margin:0 0 .5em 1.1em;opacity:.75"><code>%try {escape(tool.name)}</code> opens a form to call it by hand.</p></details>'
    )
