"""What a block of code did → what is recorded of it, and what the model is told."""

from __future__ import annotations

from typing import Any

from workbench.sandbox.engine import BlockResult

MAX_SHOWN = 12_000
"""Characters of output that the model is shown; the person has all that was kept."""

NOTHING = "The code ran. It printed nothing and its last line has no value."


def recorded_output(result: BlockResult) -> dict[str, Any]:
    """The recorded form of a block's result. The value itself stays in the sandbox; its text is what anyone was shown."""
    return {
        "status": result.status,
        "value_text": None if result.value is None else _text_of(result.value),
        "prints": result.prints,
        "truncated": result.output_truncated,
        "error": None if result.error is None else {"type": result.error.type, "message": result.error.message, "line": result.error.line},
        "engine": result.engine,
        "reason": result.reason,
    }


def observation(output: dict[str, Any], notes: tuple[str, ...] = ()) -> str:
    """The message that follows a block: what it printed, then its value or its error, then what else the model should know."""
    parts = []
    if output["prints"]:
        parts.append("Output:\n" + shortened(output["prints"].rstrip("\n")))
    if output["truncated"]:
        parts.append("(The block printed more than is kept. Print less.)")
    if output["value_text"] is not None:
        parts.append("Value of the last line:\n" + shortened(output["value_text"]))
    error = output["error"]
    if error is not None:
        where = f" (line {error['line']})" if error["line"] is not None else ""
        parts.append(f"Error{where}: {error['type']}: {error['message']}")
    if output["status"] == "interrupted":
        parts.append("The block was ended before it was done. Its variables are as they were before it; calls it had made did happen.")
    return "\n\n".join([*(parts or [NOTHING]), *notes])


def shortened(text: str, limit: int = MAX_SHOWN) -> str:
    """The beginning and the end of a long text, with what is missing said between them."""
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]}\n… {len(text) - head - tail:,} characters left out …\n{text[-tail:]}"


def _text_of(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 4 * MAX_SHOWN else shortened(text, 4 * MAX_SHOWN)
