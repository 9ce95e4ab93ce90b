"""Where an exception was raised, in the code of whoever wrote it: for the person who has to mend it, never for a model."""

from __future__ import annotations

import os
import re
import traceback
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

HIDDEN = "**********"
"""What stands in the place of a secret."""

LONGEST = 12
"""So many frames are kept, the innermost ones."""

WIDEST = 200
"""So many characters of a line of code, and of a file's name."""

_OURS = str(Path(__file__).parent) + os.sep
_CELL = re.compile(r"ipykernel_\d+[\\/]\d+\.py$")
"""A notebook's cells are compiled under a file name of this form."""


def trace(error: BaseException, hidden: Iterable[str] = ()) -> tuple[str, ...]:
    """The frames that an exception passed through outside this package, the innermost last: `file:line in function: code`.

    No values are in it, and none of the texts in `hidden`; the home directory is written as `~`. Nothing is raised: whoever asks is about
    to record a failure, and frames whose source cannot be read must not make another of it.
    """
    try:
        walked = deque((place for place in traceback.walk_tb(error.__traceback__) if _is_a_persons(place[0])), maxlen=LONGEST)
        return tuple(_line(frame, tuple(hidden)) for frame in traceback.StackSummary.extract(walked))
    except Exception:  # noqa: BLE001 - linecache asks the loader of a module, which is code of anybody's
        return ()


def _is_a_persons(frame: FrameType) -> bool:
    return not frame.f_code.co_filename.startswith(_OURS)


def _line(frame: traceback.FrameSummary, hidden: tuple[str, ...]) -> str:
    code = (frame.line or "").strip()
    where, code = _file(frame.filename), f": {code}" if code else ""
    for text in hidden:
        where, code = where.replace(text, HIDDEN), code.replace(text, HIDDEN)
    return f"{_cut(where[::-1])[::-1]}:{frame.lineno} in {_cut(frame.name)}{_cut(code)}"


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}…"


def _file(name: str) -> str:
    if _CELL.search(name):
        return "cell"
    path = Path(name)
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return name
