"""The host's answers to what sandbox code asks of the system: time, sleep and randomness. They are recorded like tool calls."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, tzinfo
from typing import Any, Protocol

MAX_RANDOM = 2**20


class Clock(Protocol):
    """What the host knows and no program can compute."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """So many bytes that nobody could have guessed."""
        ...


class _Machine:
    """This machine's clock and randomness."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)


async def answer(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], clock: Clock = _Machine()) -> Any:  # noqa: B008 - it has no state
    """Answer a call whose name starts with `os.`. The sandbox lives in UTC.

    Raises:
        PermissionError: for anything but the clock, sleep and randomness.
    """
    match name:
        case "os.time.time":
            return clock.now().timestamp()
        case "os.datetime.now":
            zone = args[0] if args else kwargs.get("tz")
            return clock.now().astimezone(zone) if isinstance(zone, tzinfo) else clock.now().replace(tzinfo=None)
        case "os.date.today":
            return clock.now().date()
        case "os.urandom" if 0 <= args[0] <= MAX_RANDOM:
            return clock.random_bytes(args[0])
        case "os.time.sleep" | "os.asyncio.sleep":
            await clock.sleep(args[0])
            return None
    raise PermissionError(f"'{name.removeprefix('os.')}' is not available in the sandbox")
