"""Lengths of time as people write them: `90`, `"90 s"`, `"10m"`, `"1.5 h"`."""

from __future__ import annotations

import re

from workbench.errors import UserError

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: float | str) -> float:
    """The number of seconds.

    Raises:
        UserError: it is no length of time.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    parts = re.fullmatch(r"(\d{1,15}\.?\d{0,15}) ?(ms|s|m|h|d)", value, re.ASCII) if isinstance(value, str) else None
    if parts is None:
        raise UserError(f"{str(value)[:60]!r} is no length of time; give seconds, or a text such as '90 s' or '10m'")
    return float(parts[1]) * UNITS[parts[2]]
