"""What a tool prints and displays, caught while it is called: it belongs to its call, not to whatever the process writes just then.

While calls are caught, `sys.stdout` and `sys.stderr` are streams that ask the context who is writing. What the tool writes, in whichever
thread or loop it was put with its context, is the call's; everything else passes through. Threads that a tool starts itself, child
processes, and logging handlers that hold the stream from before write where they always did; so does all code while somebody redirects
the streams, as `contextlib.redirect_stdout` does for the whole process.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

from workbench.raised import HIDDEN

MOST = 100_000
"""Characters that are kept of what one call prints."""

PICTURES = 10
"""How many pictures of one call are kept."""

_CALL: ContextVar[Printed | None] = ContextVar("workbench_printed", default=None)


class Picture(NamedTuple):
    """Something a tool displayed that a browser can draw."""

    type: str
    """Its media type."""
    data: bytes
    text: str
    """What stands for it where it cannot be drawn."""


class Printed:
    """What one call has printed and displayed so far.

    `alone` says that the call is shown to somebody: then what it prints is kept here and appears nowhere else. `tell` hears it as it comes,
    from the thread that prints. Without `errors`, standard error is not caught.
    """

    def __init__(self, *, alone: bool, tell: Callable[[str], None] | None = None, errors: bool = True) -> None:
        self.alone = alone
        self.errors = errors
        self.outer: Printed | None = None
        """The call within which this one is made, by a tool that runs an agent, say."""
        self._hidden: tuple[str, ...] = ()
        self._tell = tell
        self._untold = ""
        self._kept: list[str] = []
        self._size = 0
        self._room = MOST
        self._pictures: dict[object, Picture] = {}
        self._displayed = 0
        self._over = False
        self._process = _processes

    def hide(self, secrets: Iterable[str]) -> None:
        """Say which texts must not be told: the secrets that the call was given."""
        self._hidden = tuple(secrets)
        self._room = MOST + max((len(secret) for secret in self._hidden), default=0)

    def write(self, text: str) -> bool:
        """Keep a piece; whether it is to appear nowhere else. After its end a call takes nothing, nor in a forked process."""
        if self._over or self._process != _processes:
            return False
        if text and (room := self._room - self._size) > 0:
            self._kept.append(text[:room])
            if self._tell is not None:
                self._tell_of(text[:room])
        self._size += len(text)
        return self.alone or (self.outer is not None and self.outer.write(text))

    def show(self, text: str, picture: Picture | None = None, *, place: object = None) -> bool:
        """Keep what is displayed: a picture, or else its text. A picture with the `place` of an earlier one takes its place."""
        if picture is None:
            return self.write(text if text.endswith("\n") else f"{text}\n")
        if self._over or self._process != _processes:
            return False
        place = place if place is not None else object()
        self._displayed += place not in self._pictures
        if place in self._pictures or len(self._pictures) < PICTURES:
            self._pictures[place] = picture
        return self.alone or (self.outer is not None and self.outer.show(text, picture, place=place))

    def end(self) -> None:
        """The call is over: what its thread may still print is not its any more."""
        self._over = True

    @property
    def text(self) -> str:
        """What was printed, as it stood at the end: lines that a progress bar wrote over are not in it."""
        text = self._told(_as_it_stood("".join(self._kept)))[:MOST]
        if (more := self._size - MOST) > 0:
            text += f"\n… {more:,} more characters were printed"
        if (more := self._displayed - len(self._pictures)) > 0:
            text += f"\n… {more:,} more pictures were displayed"
        return text

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """What was displayed as pictures."""
        return tuple(picture._replace(text=self._told(picture.text)) for picture in self._pictures.values())

    def _tell_of(self, text: str) -> None:
        """Tell of a piece, but for an end of it that a secret may begin with."""
        assert self._tell is not None
        told = self._told(self._untold + text)
        held = max((length for secret in self._hidden for length in range(1, len(secret)) if told.endswith(secret[:length])), default=0)
        self._untold = told[len(told) - held :]
        if told := told[: len(told) - held]:
            self._tell(told)

    def _told(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, HIDDEN)
        # A file name that is no text, say: what the record cannot hold is written out.
        return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _as_it_stood(text: str) -> str:
    """Each line as a terminal shows it at last: what comes after a carriage return has taken the place of what was before it."""
    if "\r" not in text:
        return text
    lines = []
    for line in text.split("\n"):
        shown = line.rstrip("\r")
        lines.append(shown.rpartition("\r")[2] + line[len(shown) :])
    return "\n".join(lines)


def printing() -> Printed | None:
    """Whose prints the running code's are, if it runs for a tool call."""
    return _CALL.get()


@contextmanager
def caught(printed: Printed) -> Iterator[None]:
    """What code prints in here, and in what it starts with its context, is `printed`."""
    printed.outer = _CALL.get()
    mine = _CALL.set(printed)
    _route()
    try:
        yield
    finally:
        printed.end()
        _unroute()
        _CALL.reset(mine)


@contextmanager
def aside() -> Iterator[None]:
    """What is printed in here is no call's: the workbench speaks, and not the tool."""
    mine = _CALL.set(None)
    try:
        yield
    finally:
        _CALL.reset(mine)


class _Routed:
    """A stream that gives what is written to it to the call that writes it, else to the stream below.

    Attributes can be set on it, as on any stream: IPython puts a `write` of its own on whatever stream is in place when a cell begins.
    """

    def __init__(self, below: Any, *, errors: bool) -> None:
        self.below = below
        self.errors_too = errors

    def write(self, text: str) -> int:
        call = _CALL.get()
        # Where somebody has put a stream of theirs above this one, and one of ours above that, the text has been taken there.
        if call is None or not isinstance(text, str) or getattr(_passing, "on", False) or (self.errors_too and not call.errors):
            return int(self.below.write(text) or 0)
        if call.write(text):
            return len(text)
        _passing.on = True
        try:
            return int(self.below.write(text) or 0)
        finally:
            _passing.on = False

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __enter__(self) -> _Routed:
        return self

    def __exit__(self, *error: object) -> None:
        self.below.close()

    def __iter__(self) -> Any:
        return iter(self.below)

    def __getattr__(self, name: str) -> Any:
        if name == "below":  # a copy that has none yet
            raise AttributeError(name)
        return getattr(self.below, name)


io.TextIOBase.register(_Routed)

_passing = threading.local()
"""Whether this thread is writing what a call has taken to the stream below."""

_lock = threading.Lock()
_calls = 0
_processes = 0
"""How often this process and its parents have forked: a child has its parents' calls in its memory, and none of them is its own."""

_made: deque[_Routed] = deque(maxlen=64)
"""Kept after they were in place: CPython's `print` holds no reference to the stream it writes to, so a thread that took the last one away
meanwhile would crash the interpreter."""


def _route() -> None:
    global _calls  # noqa: PLW0603 - the process has one standard output
    with _lock:
        _calls += 1
        if _calls > 1:
            return  # what is not ours now has been put there since, by somebody who wants to read what is printed
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and not isinstance(stream, _Routed):
                setattr(sys, name, _routed(stream, errors=name == "stderr"))


def _routed(stream: Any, *, errors: bool) -> _Routed:
    for made in _made:
        if made.below is stream and made.errors_too == errors:
            return made
    _made.append(_Routed(stream, errors=errors))
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


def _forget_parent() -> None:
    """In a forked child: no call is its own, and the lock may have been held by a thread that is not there."""
    global _lock, _calls, _processes
    _lock, _calls, _processes = threading.Lock(), 0, _processes + 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)

_surroundings: Callable[[], AbstractContextManager[None]] = nullcontext


def set_surroundings(make: Callable[[], AbstractContextManager[None]] | None) -> None:
    """Let each synchronous tool run inside what `make` gives, in the tool's thread: a notebook hears there what is displayed."""
    global _surroundings  # noqa: PLW0603 - there is one notebook in a process
    _surroundings = make or nullcontext


def surroundings() -> AbstractContextManager[None]:
    """What a tool runs inside."""
    return _surroundings()
