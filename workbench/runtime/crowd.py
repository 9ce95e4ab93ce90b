"""The garbage collector while very many lifetimes are alive.

A lifetime makes no cycles, so what the collector looks through is alive: with ten thousand of them half of a process's time went into
looking at the same objects again. While there are many it looks less often, and afterwards as often as before.
"""

from __future__ import annotations

import gc

MANY = 500
"""With so many lifetimes in memory."""

RARELY = (200_000, 100, 1_000)
"""Thresholds, as `gc.set_threshold` takes them."""


class Collector:
    """Makes the process's collector look rarely, and undoes it. What somebody else has set meanwhile is left alone."""

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None

    def crowded(self, lifetimes: int) -> None:
        """There are so many now."""
        if lifetimes >= MANY and self._before is None:
            self._before = gc.get_threshold()
            gc.set_threshold(*RARELY)
        elif lifetimes < MANY // 2 and self._before is not None:
            if gc.get_threshold() == RARELY:
                gc.set_threshold(*self._before)
            self._before = None
