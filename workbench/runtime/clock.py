"""Where time, fresh ids and randomness come from. Injected, so that a test run is the same bytes every time."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Protocol


class Clock(Protocol):
    """Wall-clock stamps, a monotonic clock for durations, and what else no program can compute: randomness."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """So many bytes that nobody could have guessed."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)


class TickingClock:
    """A clock that moves by one millisecond each time it is read: deterministic, and no two readings are equal."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), seed: int = 0) -> None:
        self._start = start
        self._ticks = 0
        self._random = Random(seed)  # noqa: S311 - the point is that it can be guessed

    def now(self) -> datetime:
        self._ticks += 1
        return self._start + timedelta(milliseconds=self._ticks)

    def monotonic(self) -> float:
        self._ticks += 1
        return self._ticks / 1000

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self._ticks += round(seconds * 1000)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


class ManualClock:
    """A clock that stands still until it is told to advance, from any thread. Who sleeps wakes when the clock has come to the moment."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._asleep: list[tuple[float, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    @property
    def asleep(self) -> list[float]:
        """How many seconds each sleeper has left, the shortest first."""
        return sorted(due - self._elapsed for due, _, done in self._asleep if not done.done())

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        loop = asyncio.get_running_loop()
        sleeper = (self._elapsed + seconds, loop, loop.create_future())
        self._asleep.append(sleeper)
        try:
            await sleeper[2]
        finally:
            self._asleep.remove(sleeper)

    def random_bytes(self, count: int) -> bytes:
        return bytes(count)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._elapsed += seconds
        for due, loop, done in list(self._asleep):
            if due <= self._elapsed:
                loop.call_soon_threadsafe(_wake, done)


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def random_id() -> str:
    """A fresh UUID."""
    return str(uuid.uuid4())


def seeded_ids(seed: int) -> Callable[[], str]:
    """A source of the same UUIDs for the same seed."""
    namespace = uuid.uuid5(uuid.NAMESPACE_OID, f"workbench test profile {seed}")
    count = 0

    def next_id() -> str:
        nonlocal count
        count += 1
        return str(uuid.uuid5(namespace, str(count)))

    return next_id
