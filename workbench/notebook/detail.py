"""How much of a run a saved view can hold: levels of detail, and the first of them that fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from workbench.notebook.shown import FIELD, Text, last_lines
from workbench.notebook.wire import Step, View


class Detail(NamedTuple):
    """What is drawn at most."""

    text: int
    """Characters of a field."""
    steps: int
    calls: int
    """Of one step."""
    rows: int
    """Of the timeline's table."""
    pictures: bool = False
    """Whether pictures are drawn; else what stands for them."""

    def clip(self, text: Text) -> Text:
        """The field, at this level."""
        if len(text["text"]) <= self.text:
            return text
        return {"text": text["text"][: self.text], "length": text["length"], "cut": True}

    def innermost(self, trace: str) -> str:
        """The last lines of a traceback, at this level."""
        return last_lines(trace, self.text)


LEVELS = (
    Detail(FIELD, 200, 100, 60, pictures=True),
    Detail(1600, 200, 40, 60, pictures=True),
    Detail(FIELD, 200, 100, 60),
    Detail(1600, 200, 40, 60),
    Detail(600, 120, 20, 40),
    Detail(240, 100, 8, 20),
    Detail(160, 50, 4, 10),
    Detail(160, 36, 3, 6),
    Detail(120, 24, 2, 0),
    Detail(100, 12, 1, 0),
    Detail(80, 6, 1, 0),
)


def fit(view: View, draw: Callable[[View, Detail], str], limit: int) -> str:
    """What `draw` makes at the fullest level that takes at most `limit` bytes."""
    for detail in LEVELS:
        drawn = draw(view, detail)
        if len(drawn.encode()) <= limit:
            return drawn
    return draw(view, Detail(40, 0, 0, 0))


def kept(steps: Sequence[Step], count: int) -> list[Step]:
    """At most `count` steps: the first ones, those in which something went wrong, and the last ones."""
    if len(steps) <= count:
        return list(steps)
    third = count // 3
    held = [step["index"] for step in steps if step["hold"]][-third:] if third else []
    chosen = {*range(third), *held}
    for index in range(len(steps) - 1, -1, -1):
        if len(chosen) >= count:
            break
        chosen.add(index)
    return [steps[index] for index in sorted(chosen)]


def cut_note(text: Text) -> str:
    """What to say about a field that is only partly shown; empty when it is whole."""
    return f"the first {len(text['text']):,} of {text['length']:,} characters" if text["cut"] else ""


def left_out(view: View, drawn: Sequence[Step]) -> str:
    """What to say about steps that are not drawn; empty when all are."""
    missing = len(view["steps"]) - len(drawn)
    return (
        f"{missing} of {len(view['steps'])} steps are left out here; wb.open({view['run']!r}).show() draws all of them." if missing else ""
    )
