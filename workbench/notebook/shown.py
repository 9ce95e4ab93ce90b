"""How recorded texts, values, durations and money look to a person: one place, so that no two views disagree.

Everything here makes plain text, capped and visible; nothing makes markup.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from typing import Any, TypedDict

from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String

from workbench.errors import UnencodableValue
from workbench.record.codec import decode_value
from workbench.record.values import BlobRef, Payload
from workbench.visible import visible

FIELD = 4096
"""How many characters of one field are sent and drawn."""

COLUMNS = 12
"""A table has at most so many."""

Redact = Callable[[str], str]
"""Takes secrets out of a text."""


class Text(TypedDict):
    """A field's text, or its beginning."""

    text: str
    length: int
    """Of the whole text, in characters as they are shown."""
    cut: bool
    """Whether `text` is only its beginning (of a text still arriving: its end)."""


class Code(TypedDict):
    """Python code as runs of one colour; the texts joined are the code, or its beginning."""

    tokens: list[tuple[str, str]]
    """(class, text): k keyword, s string, c comment, n number, f function or builtin, or empty."""
    lines: int
    """Of the whole code, blank ones left out."""
    length: int
    cut: bool


class Problem(TypedDict):
    """Why something failed."""

    type: str
    message: Text
    line: int | None
    """The 1-based line of the step's code."""
    trace: str
    """Where a person's own code raised it, a frame a line; empty where it was nobody's."""


def clip(text: str, limit: int = FIELD) -> Text:
    """The beginning of a text."""
    text = visible(text)
    return {"text": text[:limit], "length": len(text), "cut": len(text) > limit}


def clip_end(text: str, length: int, limit: int = FIELD) -> Text:
    """The end of a text that is still arriving and of which `text` is kept."""
    return {"text": visible(text)[-limit:], "length": length, "cut": length > limit}


def last_lines(text: str, limit: int = FIELD) -> str:
    """The last lines of a text, in at most `limit` characters: of a traceback, what lies innermost."""
    if len(text) <= limit:
        return text
    last = text[-limit:]
    return last.partition("\n")[2] or last


def line_of(text: str, limit: int) -> str:
    """The text's first line, in at most `limit` characters."""
    first = visible(text[: 8 * limit].strip().split("\n", 1)[0])
    return first if len(first) <= limit else first[: limit - 1].rstrip() + "…"


def value_text(value: Any) -> str:
    """A decoded value as Python writes it, over several lines when it is long."""
    try:
        return _nested(value, "", len(repr(value)) <= 4 * FIELD)
    except ValueError:  # an int of more digits than the interpreter will print
        return "(a value with a number too long to print)"


def _nested(value: Any, indent: str, roomy: bool) -> str:
    flat = repr(value)
    if len(indent) + len(flat) <= 88 or not roomy or not value:
        return flat
    deeper = indent + "    "
    match value:
        case dict():
            items = [f"{key!r}: {_nested(item, deeper, roomy)}" for key, item in value.items()]
            left, right = "{", "}"
        case list() | tuple():
            items = [_nested(item, deeper, roomy) for item in value]
            left, right = ("[", "]") if isinstance(value, list) else ("(", ")")
        case set():
            items = sorted(_nested(item, deeper, roomy) for item in value)
            left, right = "{", "}"
        case _:
            return flat
    return f"{left}\n" + "".join(f"{deeper}{item},\n" for item in items) + f"{indent}{right}"


def payload_text(payload: Payload | None, *, plain: bool = False) -> str:
    """A recorded value in words; with `plain`, a string stands for itself, without quotes."""
    if payload is None:
        return "None"
    if payload.blob is not None:
        return blob_text(payload.blob)
    try:
        value = decode_value(payload.inline)
    except (UnencodableValue, ValueError, TypeError) as error:
        return f"(this value cannot be read: {error})"
    return value if plain and isinstance(value, str) else value_text(value)


def arguments_text(payload: Payload) -> str:
    """A call's arguments as they stand between the parentheses."""
    if payload.blob is not None:
        return blob_text(payload.blob)
    try:
        args = decode_value(payload.inline)
    except (UnencodableValue, ValueError, TypeError) as error:
        return f"(these arguments cannot be read: {error})"
    if not isinstance(args, dict):
        return value_text(args)
    parts = [f"{name}={value_text(value)}" for name, value in args.items()]
    flat = ", ".join(parts)
    if len(flat) <= 72 and "\n" not in flat:
        return flat
    return "\n" + "".join(f"    {part},\n".replace("\n", "\n    ").rstrip(" ") for part in parts)


def blob_text(blob: BlobRef) -> str:
    """Where a value too big for the record lies."""
    return f"({size_text(blob.size_bytes)}, stored in blob {blob.sha256[:12]})"


def code_tokens(text: str, limit: int = FIELD) -> Code:
    """Python code, coloured; blank lines at its end are left out."""
    text = visible(text).rstrip()
    tokens: list[tuple[str, str]] = []
    for colour, piece in _coloured(text[:limit]):
        if tokens and tokens[-1][0] == colour:
            tokens[-1] = (colour, tokens[-1][1] + piece)
        else:
            tokens.append((colour, piece))
    lines = sum(1 for line in text.split("\n") if line.strip())
    return {"tokens": tokens, "lines": lines, "length": len(text), "cut": len(text) > limit}


def _coloured(text: str) -> Iterator[tuple[str, str]]:
    for kind, piece in PythonLexer(stripnl=False, ensurenl=False).get_tokens(text):
        yield _colour(kind) if piece.strip() else "", piece


_COLOURS = (
    (Comment, "c"),
    (String, "s"),
    (Number, "n"),
    (Keyword, "k"),
    (Operator.Word, "k"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Decorator, "f"),
    (Name.Builtin, "f"),
)


def _colour(kind: Any) -> str:
    return next((colour for family, colour in _COLOURS if kind in family), "")


def lines_calling(code: str, name: str) -> list[int]:
    """The lines on which some code calls a function of this name; none where the code is no Python, or only its beginning."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return []
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name)
    return sorted({node.lineno for node in calls})


def rows_of(payload: Payload | None) -> list[dict[str, Any]] | None:
    """A recorded list of records, where its value is one: dicts of few names and plain values."""
    if payload is None or payload.blob is not None or not isinstance(payload.inline, list) or len(payload.inline) < 2:
        return None
    try:
        value = decode_value(payload.inline)
    except (UnencodableValue, ValueError, TypeError):
        return None
    if not isinstance(value, list) or not all(
        isinstance(row, dict) and row and all(isinstance(name, str) for name in row) for row in value
    ):
        return None
    names = dict.fromkeys(name for row in value for name in row)
    plain = all(isinstance(name, str) for name in names) and all(
        isinstance(cell, str | int | float | bool | None) for row in value for cell in row.values()
    )
    return value if plain and len(names) <= COLUMNS else None


def cell_text(value: Any) -> str:
    """A plain value in a table."""
    return "" if value is None else line_of(value if isinstance(value, str) else value_text(value), 80)


def plain_code(code: Code) -> str:
    """The text of coloured code."""
    return "".join(text for _, text in code["tokens"])


def duration_text(ms: float) -> str:
    """How long something took, to the precision a reader can use."""
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def tokens_text(tokens_in: int, cached: int, tokens_out: int) -> str:
    """Tokens by kind; empty when there are none."""
    if not tokens_in + tokens_out:
        return ""
    return f"{tokens_in:,} tokens in{f' ({cached:,} cached)' if cached else ''}, {tokens_out:,} out"


def money_text(nano: int, unpriced: int, tokens: int) -> str:
    """What something cost. What has no price is said to have none, never shown as free."""
    if not nano:
        return "unpriced" if unpriced else "$0" if tokens else ""
    dollars = nano / 1_000_000_000
    digits = 2 if dollars >= 1 else max(4, 1 - math.floor(math.log10(abs(dollars))))
    amount = f"${dollars:,.{min(digits, 9)}f}"
    return f"≥ {amount}, partly unpriced" if unpriced else amount


def size_text(size: int) -> str:
    """A number of bytes."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size} bytes"
