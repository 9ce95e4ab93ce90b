"""The time limits of one execution: its timeout, and the heartbeat it has to give. None of them runs while a person decides."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Limits:
    """Limits that run, stand still while somebody is asked, and run on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._left: dict[asyncio.Timeout, float | None] = {}
        """The limits, and how many seconds of each are left while they stand still."""
        self._waits = 0
        """How many calls of the execution wait for a person at this moment."""
        self._heart: asyncio.Timeout | None = None
        self._beats_within = 0.0

    @contextmanager
    def timeout(self, seconds: float | None) -> Iterator[asyncio.Timeout]:
        """A limit on the whole execution."""
        limit = asyncio.timeout(seconds)
        self._left[limit] = None
        try:
            yield limit
        finally:
            del self._left[limit]

    @contextmanager
    def heart(self, seconds: float | None) -> Iterator[asyncio.Timeout]:
        """A limit that every heartbeat puts off."""
        with self.timeout(seconds) as limit:
            if seconds is not None:
                self._heart, self._beats_within = limit, seconds
            yield limit
            self._heart = None

    @contextmanager
    def off_the_clock(self) -> Iterator[None]:
        """While a person decides, no limit runs. Calls made side by side may wait at the same time."""
        if self._waits == 0:
            for limit in self._left:
                self._left[limit] = self._until(limit)
                limit.reschedule(None)
        self._waits += 1
        try:
            yield
        finally:
            self._waits -= 1
            for limit, left in self._left.items():
                if self._waits == 0 and left is not None:
                    limit.reschedule(self._loop.time() + left)

    def beat(self) -> None:
        """Put the heartbeat's limit off; from any thread."""
        self._loop.call_soon_threadsafe(self._put_off)

    def remaining(self) -> float | None:
        """How many seconds are left of the timeout; None where there is none."""
        left = [self._left[limit] if self._waits else self._until(limit) for limit in self._left if limit is not self._heart]
        return min((seconds for seconds in left if seconds is not None), default=None)

    def _put_off(self) -> None:
        heart = self._heart
        if heart is None or heart.expired():
            return
        if self._waits:
            self._left[heart] = self._beats_within
        else:
            heart.reschedule(self._loop.time() + self._beats_within)

    def _until(self, limit: asyncio.Timeout) -> float | None:
        due = limit.when()
        return None if due is None else due - self._loop.time()
