"""A run as lines of text: what `verbose=True` prints on stderr, and `workbench show` on stdout."""

from __future__ import annotations

import sys
from typing import Any

from workbench.visible import visible


def print_event(event: dict[str, Any]) -> None:
    """Print one event in a line or a few."""
    print(describe(event), file=sys.stderr, flush=True)  # noqa: T201 - printing is what verbose asks for


def describe(event: dict[str, Any]) -> str:
    """One agent event in a line or a few. What models and tools have written cannot act on the terminal."""
    return visible(_described(event))


def _described(event: dict[str, Any]) -> str:
    match event["event"]:
        case "iteration_start":
            return f"── turn {event['iteration']} of {event['max_iterations']}"
        case "llm_request":
            return f"   asking the model, {event['message_count']} messages"
        case "llm_response":
            return "   model: " + _short(event["content"])
        case "thinking":
            return "   thought: " + _short(event["content"])
        case "code_generated":
            return "   code:\n" + _indented(event["code"])
        case "tool_call":
            return f"   → {event['name']}({_short(repr(event['args']))})"
        case "tool_result":
            outcome = event["error"]["message"] if "error" in event else repr(event["result"])
            return f"   ← {event['name']}: {_short(outcome)}"
        case "code_executed":
            status = {True: "ok", False: "failed", None: "ran"}[event["success"]]
            where = "" if event["engine"] is None else f" on {event['engine']}"
            took = "" if event["duration_ms"] is None else f", {event['duration_ms']:.0f} ms"
            return f"   {status}{where}{took}" + (f"\n{_indented(event['output'])}" if event["output"] else "")
        case "finish":
            return "   finished: " + _short(repr(event["value"]))
        case _:
            return f"   error: {event['message']}"


def _short(text: str, limit: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _indented(text: str) -> str:
    return "\n".join("     " + line for line in text.rstrip("\n").splitlines()[:20])
