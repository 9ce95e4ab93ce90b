"""What a tool prints and displays, caught while it is called: it belongs to its call, not to whatever the process writes just then.

While a call is caught, `sys.stdout` and `sys.stderr` are streams that ask the context who is writing. What the tool writes, in whichever
thread or loop it was put with its context, is the call's; everything else passes through. Threads that a tool starts itself, child
processes, and logging handlers that hold the stream from before write where they always did.
"""

from __future__ import annotations

import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

from workbench.raised import HIDDEN

MOST = 100_000
"""Characters that are kept of what one call prints."""

PICTURES = 10
"""How many pictures of one call are kept."""

_CALL: ContextVar[Printed | None] = ContextVar("workbench_printed", default=None)

_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\n])")
"""What a progress bar has written over since."""


class Picture(NamedTuple):
    """Something a tool displayed that a browser can draw."""

    type: str
    """Its media type."""
    data: bytes
    text: str
    """What stands for it where it cannot be drawn."""


class Printed:
    """What one call has printed and displayed so far.

    `alone` says that the call is shown to somebody: then what it prints is kept here and appears nowhere else. `tell` hears each piece as
    it comes, from the thread that printed it.
    """

    def __init__(self, *, alone: bool, tell: Callable[[str], None] | None = None) -> None:
        self.alone = alone
        self.hidden: tuple[str, ...] = ()
        """The secrets that the call was given."""
        self._tell = tell
        self._kept: list[str] = []
        self._size = 0
        self._pictures: dict[object, Picture] = {}
        self._over = False

    def write(self, text: str) -> bool:
        """Keep a piece; whether it is to appear nowhere else. After its end a call takes nothing any more."""
        if self._over:
            return False
        if (room := MOST - self._size) > 0:
            self._kept.append(text[:room])
            if self._tell is not None:
                self._tell(self._told(text[:room]))
        self._size += len(text)
        return self.alone

    def show(self, text: str, picture: Picture | None = None, *, place: object = None) -> bool:
        """Keep what is displayed: a picture, or else its text. A picture with the `place` of an earlier one takes its place."""
        if picture is None:
            return self.write(text if text.endswith("\n") else f"{text}\n")
        if self._over:
            return False
        place = place if place is not None else object()
        if place in self._pictures or len(self._pictures) < PICTURES:
            self._pictures[place] = picture
        return self.alone

    def end(self) -> None:
        """The call is over: what its thread may still print is not its any more."""
        self._over = True

    @property
    def text(self) -> str:
        """What was printed, as it stood at the end: lines that a progress bar wrote over are not in it."""
        kept = self._told(_OVERWRITTEN.sub("", "".join(self._kept)))
        return kept if self._size <= MOST else f"{kept}\n… {self._size - MOST:,} more characters were printed"

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """What was displayed as pictures."""
        return tuple(self._pictures.values())

    def _told(self, text: str) -> str:
        for secret in self.hidden:
            text = text.replace(secret, HIDDEN)
        return text


def printing() -> Printed | None:
    """Whose prints the running code's are, if it runs for a tool call."""
    return _CALL.get()


@contextmanager
def caught(printed: Printed) -> Iterator[None]:
    """What code prints in here, and in what it starts with its context, is `printed`."""
    mine = _CALL.set(printed)
    _route()
    try:
        yield
    finally:
        printed.end()
        _unroute()
        _CALL.reset(mine)


class _Routed:
    """A stream that gives what is written to it to the call that writes it, else to the stream below.

    Attributes can be set on it, as on any stream: IPython puts a `write` of its own on whatever stream is in place when a cell begins.
    """

    def __init__(self, below: Any) -> None:
        self.below = below

    def write(self, text: str) -> int:
        call = _CALL.get()
        if call is not None and isinstance(text, str) and call.write(text):
            return len(text)
        return int(self.below.write(text) or 0)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "below":  # a copy that has none yet
            raise AttributeError(name)
        return getattr(self.below, name)


_lock = threading.Lock()
_calls = 0

_made: deque[_Routed] = deque(maxlen=64)
"""Kept after they were in place: CPython's `print` holds no reference to the stream it writes to, so a thread that took the last one away
meanwhile would crash the interpreter."""


def _route() -> None:
    global _calls  # noqa: PLW0603 - the process has one standard output
    with _lock:
        _calls += 1
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and not isinstance(stream, _Routed):
                setattr(sys, name, _routed(stream))


def _routed(stream: Any) -> _Routed:
    for made in _made:
        if made.below is stream:
            return made
    _made.append(_Routed(stream))
    return _made[-1]


def _unroute() -> None:
    global _calls  # noqa: PLW0603 - see above
    with _lock:
        _calls -= 1
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            # Another's stream is in its place while that one redirects; ours then lets everything through.
            if _calls == 0 and isinstance(stream, _Routed):
                setattr(sys, name, stream.below)


_surroundings: Callable[[], AbstractContextManager[None]] = nullcontext


def set_surroundings(make: Callable[[], AbstractContextManager[None]] | None) -> None:
    """Let each synchronous tool run inside what `make` gives, in the tool's thread: a notebook hears there what is displayed."""
    global _surroundings  # noqa: PLW0603 - there is one notebook in a process
    _surroundings = make or nullcontext


def surroundings() -> AbstractContextManager[None]:
    """What a tool runs inside."""
    return _surroundings()
