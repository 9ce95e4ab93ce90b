"""The host's answers to what sandbox code asks of the system: time, sleep and randomness. They are recorded like tool calls."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, date, datetime, tzinfo
from typing import Any

MAX_RANDOM = 2**20


async def answer(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Answer a call whose name starts with `os.`. The sandbox lives in UTC.

    Raises:
        PermissionError: for anything but the clock, sleep and randomness.
    """
    match name:
        case "os.time.time":
            return time.time()
        case "os.datetime.now":
            zone = args[0] if args else kwargs.get("tz")
            return datetime.now(zone) if isinstance(zone, tzinfo) else datetime.now(UTC).replace(tzinfo=None)
        case "os.date.today":
            return today()
        case "os.urandom" if 0 <= args[0] <= MAX_RANDOM:
            return os.urandom(args[0])
        case "os.time.sleep" | "os.asyncio.sleep":
            await asyncio.sleep(args[0])
            return None
    raise PermissionError(f"'{name.removeprefix('os.')}' is not available in the sandbox")


def today() -> date:
    """Today's date in UTC."""
    return datetime.now(UTC).date()
