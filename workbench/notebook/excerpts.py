"""What is taken out of a record to be drawn: redacted, then cut to what its step and the run have room for."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from workbench.errors import UnencodableValue
from workbench.notebook import shown
from workbench.notebook.items import StepItem
from workbench.notebook.shown import FIELD, Code, Problem, Redact, Text
from workbench.notebook.wire import Drawn, Table
from workbench.record.codec import decode_value
from workbench.record.values import BlobRef, ErrorInfo, Payload

PICTURE = 400_000
"""Characters of a picture's data URL; a bigger one is not sent."""
PICTURE_ROOM = 4_000_000
"""Characters of all pictures of one run."""
RUN_ROOM = 2_000_000
"""Characters of one run that are sent at `FIELD` a field; what comes after them is cut to `SHORT`."""
SHORT = 240
ROWS = 20
"""Of a table, at most so many are sent."""


_PICTURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
"""What files of these kinds begin with."""


class Excerpts:
    """Texts for the views of one run."""

    def __init__(self, redact: Redact) -> None:
        self.redact = redact
        self._room = RUN_ROOM
        self._picture_room = PICTURE_ROOM

    def line(self, text: str, limit: int) -> str:
        """The first line of a text."""
        return shown.line_of(self.redact(text), limit)

    def text(self, text: str, step: StepItem | None = None) -> Text:
        """A field's text."""
        roomy = self._room > 0 and (step is None or step.room > 0)
        clipped = shown.clip(self.redact(text), FIELD if roomy else SHORT)
        self._spend(len(clipped["text"]), step)
        return clipped

    def whole(self, text: str) -> Text:
        """A text that somebody will decide on: it is not shortened for want of room."""
        return shown.clip(self.redact(text))

    def arriving(self, text: str, length: int) -> Text:
        """The end of a text that is still arriving."""
        return shown.clip_end(self.redact(text), length)

    def optional(self, text: object, step: StepItem) -> Text | None:
        """A text, if it is one and says anything."""
        return self.text(text, step) if isinstance(text, str) and text.strip() else None

    def code(self, text: str, step: StepItem) -> Code:
        """Python code."""
        code = shown.code_tokens(self.redact(text), FIELD if self._room > 0 else SHORT)
        self._spend(min(FIELD, code["length"]), step)
        return code

    def payload(self, payload: Payload | None, step: StepItem | None = None, *, plain: bool = False) -> Text:
        """A recorded value."""
        return self.text(shown.payload_text(payload, plain=plain), step)

    def table(self, payload: Payload | None, step: StepItem) -> Table | None:
        """A recorded list of records, as rows."""
        rows = shown.rows_of(payload) if self._room > 0 and step.room > 0 else None
        if rows is None:
            return None
        head = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[self.redact(shown.cell_text(row.get(name))) for name in head] for row in rows[:ROWS]]
        self._spend(sum(len(cell) for row in cells for cell in row), step)
        return {"head": [self.line(name, 40) for name in head], "rows": cells, "total": len(rows)}

    def picture(self, payload: Payload) -> Drawn:
        """A recorded picture, as the page may draw it: nothing else passes for one, whatever a record calls it."""
        held = fields_of(payload)
        data, alt = held.get("data"), self.line(str(held.get("text") or "a picture"), 120)
        kind = next((kind for kind, start in _PICTURES.items() if isinstance(data, bytes) and data.startswith(start)), None)
        src = f"data:{kind};base64,{base64.b64encode(data).decode()}" if kind is not None and isinstance(data, bytes) else ""
        if not src or len(src) > min(PICTURE, self._picture_room):
            where = blob_or_size(payload, data)
            return {"src": "", "alt": f"{alt} ({where})"}
        self._picture_room -= len(src)
        return {"src": src, "alt": alt}

    def problem(self, error: ErrorInfo | None, step: StepItem | None = None) -> Problem | None:
        """A recorded error."""
        if error is None:
            return None
        kind, trace = self.line(error.type or error.code, 60), shown.last_lines("\n".join(error.trace))
        return {
            "type": kind,
            "message": self.text(error.message, step),
            "line": error.line,
            "trace": self.text(trace, step)["text"] if trace else "",
        }

    def block_problem(self, error: object, step: StepItem) -> Problem | None:
        """The error a block of code ended with, as its output holds it."""
        if not isinstance(error, dict):
            return None
        at, kind, message = error.get("line"), str(error.get("type", "")), str(error.get("message", ""))
        line = at if isinstance(at, int) else None
        return {"type": self.line(kind, 60), "message": self.text(message, step), "line": line, "trace": ""}

    def _spend(self, characters: int, step: StepItem | None) -> None:
        self._room -= characters
        if step is not None:
            step.room -= characters


def fields_of(payload: Payload | None) -> dict[str, Any]:
    """A recorded dict; empty when there is none, or it lies in a blob, or cannot be read."""
    if payload is None or payload.blob is not None:
        return {}
    try:
        value = decode_value(payload.inline)
    except (UnencodableValue, ValueError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}


def blob_or_size(payload: Payload, data: object) -> str:
    """What to say of a picture that is not drawn."""
    if payload.blob is not None:
        return shown.blob_text(payload.blob).strip("()")
    return f"{shown.size_text(len(data))}, not drawn here" if isinstance(data, bytes) else "cannot be drawn"


def beside_output(output: Mapping[str, Any]) -> str:
    """What to say about a block beyond its output: what of the reply was not run, and what of the output was cut."""
    notes = output.get("notes")
    said = [str(note) for note in notes] if isinstance(notes, list) else []
    if output.get("truncated"):
        where = output.get("full_output")
        try:
            kept = f"; all of it: {shown.blob_text(BlobRef.model_validate(where))}" if where else ""
        except ValueError:
            kept = ""
        said.append(f"The output was cut{kept}.")
    return "\n".join(said)
