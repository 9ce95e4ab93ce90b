"""Which sessions keep their engine while nothing runs in them: the ones used last. The others are rebuilt when they are used again."""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import Protocol

MAX_IDLE = max(8, 4 * (os.cpu_count() or 1))
"""Engines kept warm for each event loop; an idle one costs about ten megabytes."""


class Rests(Protocol):
    """A session, as far as this module is concerned."""

    async def release_if_idle(self) -> None: ...


_resting: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, weakref.ref[Rests]]] = weakref.WeakKeyDictionary()
_releases: set[asyncio.Task[None]] = set()
"""Kept so that a release under way is not collected."""


def rest(session: Rests) -> None:
    """`session` has just been used; the longest idle one beyond the limit gives up its engine."""
    resting = _resting.setdefault(asyncio.get_running_loop(), {})
    resting.pop(id(session), None)
    resting[id(session)] = weakref.ref(session)
    while len(resting) > MAX_IDLE:
        longest = resting.pop(next(iter(resting)))()
        if longest is not None:
            task = asyncio.ensure_future(longest.release_if_idle())
            _releases.add(task)
            task.add_done_callback(_releases.discard)
