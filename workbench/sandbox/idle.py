"""Which sessions keep their engine while nothing runs in them: the ones used last, for a while. The others are rebuilt when used again."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable
from typing import Protocol

MAX_IDLE = max(8, 4 * (os.cpu_count() or 1))
"""Engines kept warm for each event loop, a spare one among them; an idle one costs about ten megabytes."""
MAX_REST = 300.0
"""Seconds that an engine is kept warm without being used."""


class Rests(Protocol):
    """A session, as far as this module is concerned."""

    async def release_if_idle(self) -> None: ...


class _Resting:
    """The idle sessions of one event loop, the longest idle one first, each with the time since when it is idle."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # this object is a value in a map that the loop is the weak key of
        self._sessions: dict[int, tuple[weakref.ref[Rests], float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._releases: set[asyncio.Task[None]] = set()
        """Kept so that a release under way is not collected."""

    def add(self, session: Rests) -> None:
        self._sessions.pop(id(session), None)
        self._sessions[id(session)] = (weakref.ref(session), self._now())
        while len(self._sessions) > max(MAX_IDLE - 1, 1):
            self._release(next(iter(self._sessions)))
        self._wind()

    def _now(self) -> float:
        loop = self._loop()
        assert loop is not None, "used on its own loop only"
        return loop.time()

    def _wind(self) -> None:
        loop = self._loop()
        if self._timer is None and self._sessions and loop is not None:
            _, since = next(iter(self._sessions.values()))
            self._timer = loop.call_at(since + MAX_REST, self._ring)

    def _ring(self) -> None:
        self._timer = None
        until = self._now() - MAX_REST
        for key in [key for key, (_, since) in self._sessions.items() if since <= until]:
            self._release(key)
        if not self._sessions:
            for quiet in on_quiet:
                quiet()
        self._wind()

    def _release(self, key: int) -> None:
        session = self._sessions.pop(key)[0]()
        if session is not None:
            task = asyncio.ensure_future(session.release_if_idle())
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)


_resting: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Resting] = weakref.WeakKeyDictionary()
on_quiet: list[Callable[[], None]] = []
"""Called when the last idle session of a loop has given up its engine."""


def rest(session: Rests) -> None:
    """`session` has just been used; the longest idle one beyond the limit gives up its engine."""
    loop = asyncio.get_running_loop()
    if loop not in _resting:
        _resting[loop] = _Resting(loop)
    _resting[loop].add(session)
