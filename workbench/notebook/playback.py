"""A stored run shown as if it happened now, at any speed: nothing is run, called or asked again."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from workbench.errors import UserError
from workbench.notebook.live import LiveRun
from workbench.notebook.shown import Redact
from workbench.notebook.wire import Page
from workbench.record.envelope import AnyEntry

Turn = Callable[[str, int], Coroutine[Any, Any, Page]]

LONGEST = 3.0
"""Seconds of playback that two entries may lie apart; a person's three days are shortened to this."""


def played(
    entries: Sequence[AnyEntry], *, speed: float = 1.0, longest: float = LONGEST, redact: Redact = str, pages: Turn | None = None
) -> LiveRun:
    """A view that is given the entries of a record as time goes by. Display its `widget`, await `watch()`, then `close()` it.

    `speed` is how many seconds of the run pass in one; the record may come from a store, a file or a list. Stop ends the playback: the
    rest is shown at once. `pages` answers the tabs, as in any live view.

    Raises:
        UserError: the speed is no number above 0, or there is nothing to play.
    """
    if not speed > 0:
        raise UserError(f"a playback's speed is a number above 0, such as 2 for twice as fast; it was given {speed!r}")
    if not entries:
        raise UserError("there is nothing to play: the record has no entries")
    tape = _Tape(entries, speed, longest)
    live = LiveRun(
        read_entries=tape.read,
        subscribe=tape.subscribe,
        on_stop=tape.finish,
        on_decide=_refuse,
        clock=tape.now,
        redact=redact,
        pages=pages,
        instead=f"A playback of run {entries[0].header.lifetime_id} is drawn here while this page is open.",
    )
    live.say("This is a playback of what has happened: nothing is run, called or asked again. Stop shows the rest at once.")
    return live


def _refuse(_message: Mapping[str, Any]) -> None:
    raise UserError("this is a playback; what was asked has been decided, or waits in the run itself: wb.open(…).pending")


class _Tape:
    """Entries, and how far they have been played. Read on the runtime's loop; what a page asks for may come from another thread."""

    def __init__(self, entries: Sequence[AnyEntry], speed: float, longest: float) -> None:
        self._entries = list(entries)
        gaps = ((b.header.created_at - a.header.created_at).total_seconds() / speed for a, b in itertools.pairwise(self._entries))
        self._due = [0.0, *itertools.accumulate(min(max(gap, 0.0), longest) for gap in gaps)]
        self._speed = speed
        self._began = time.monotonic()
        self._finished = False

    async def read(self, after: int) -> list[AnyEntry]:
        """What is due and was not read yet."""
        return [entry for entry in self._entries[: self._place()] if entry.seq > after]

    def now(self) -> datetime:
        """The time of the run that is played: that of the latest entry, and a little more."""
        place = self._place()
        over = 0.0 if self._finished else time.monotonic() - self._began - self._due[place - 1]
        stamp = self._entries[place - 1].header.created_at + timedelta(seconds=over * self._speed)
        return min(stamp, self._entries[min(place, len(self._entries) - 1)].header.created_at)

    def finish(self) -> None:
        """Play the rest at once."""
        self._finished = True

    def subscribe(self) -> _Beat:
        """Something that says when there is more."""
        return _Beat(self)

    def wait(self) -> float | None:
        """Seconds until the next entry is due; None after the last."""
        place = self._place()
        return None if place == len(self._entries) else max(0.0, self._due[place] - (time.monotonic() - self._began))

    def _place(self) -> int:
        return len(self._entries) if self._finished else bisect.bisect_right(self._due, time.monotonic() - self._began)


class _Beat:
    """The subscription of a view that plays a tape."""

    dropped = 0

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape
        self._open = True

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self._beats()

    async def _beats(self) -> AsyncIterator[dict[str, Any]]:
        while self._open and (seconds := self._tape.wait()) is not None:
            await asyncio.sleep(min(seconds, 0.1) if seconds else 0.01)  # looks again soon: the rest may be wanted at once
            yield {"type": "entry"}
        yield {"type": "entry"}

    def close(self) -> None:
        """Hear no more."""
        self._open = False
