"""Where time and fresh ids come from. Injected, so that a test run is the same bytes every time."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall-clock stamps, and a monotonic clock for durations."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class TickingClock:
    """A clock that moves by one millisecond each time it is read: deterministic, and no two readings are equal."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._ticks = 0

    def now(self) -> datetime:
        self._ticks += 1
        return self._start + timedelta(milliseconds=self._ticks)

    def monotonic(self) -> float:
        self._ticks += 1
        return self._ticks / 1000

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self._ticks += round(seconds * 1000)


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
