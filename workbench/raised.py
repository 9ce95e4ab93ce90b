"""Where an exception was raised, in the code of whoever wrote it: for the person who has to mend it, never for a model."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from pathlib import Path

LONGEST = 12
"""So many frames are kept, the innermost ones."""

WIDEST = 200
"""So many characters of a line of code."""

_OURS = str(Path(__file__).parent)
_CELL = re.compile(r"ipykernel_\d+[\\/]\d+\.py$")
"""A notebook's cells are compiled under a file name of this form."""


def trace(error: BaseException, hidden: Iterable[str] = ()) -> tuple[str, ...]:
    """The frames that an exception passed through outside this package, the innermost last: `file:line in function: code`.

    Neither values nor any of the texts in `hidden` are in it; the home directory is written as `~`.
    """
    frames = traceback.extract_tb(error.__traceback__, limit=-3 * LONGEST)
    lines = [_line(frame) for frame in frames if not frame.filename.startswith(_OURS)][-LONGEST:]
    for text in hidden:
        lines = [line.replace(text, "**********") for line in lines]
    return tuple(lines)


def _line(frame: traceback.FrameSummary) -> str:
    code = (frame.line or "").strip()
    code = code if len(code) <= WIDEST else f"{code[:WIDEST]}…"
    return f"{_file(frame.filename)}:{frame.lineno} in {frame.name}" + (f": {code}" if code else "")


def _file(name: str) -> str:
    if _CELL.search(name):
        return "cell"
    path = Path(name)
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return name
