"""The bars of a run's timeline: opened, closed, and paused while a person is asked."""

from __future__ import annotations

from typing import Any

from workbench.notebook.items import Item, StepItem
from workbench.notebook.wire import BADGES, Badge, Lane

ROWS = 8
"""A lane has at most so many rows; what would need more shares the last."""


class Timeline:
    """Bars in the order they were opened; an open one is known by the id of what it stands for."""

    def __init__(self) -> None:
        self._bars: list[Item] = []
        self._open: dict[str, Item] = {}

    def open(self, version: int, key: str, lane: Lane, step: StepItem, *, now: int, label: str) -> None:
        """Something has begun, `now` milliseconds into the run."""
        taken = {bar.data["row"] for bar in self._open.values() if bar.data["lane"] == lane}
        bar = Item(
            version,
            index=len(self._bars),
            lane=lane,
            row=next(row for row in range(ROWS) if row not in taken or row == ROWS - 1),
            step=step.data["index"],
            label=label,
            start_ms=now,
            end_ms=None,
            badge=BADGES["running"],
        )
        self._bars.append(bar)
        self._open[key] = bar

    def close(self, version: int, key: str, now: int, badge: Badge) -> None:
        """It has ended; no matter if it was not open."""
        bar = self._open.pop(key, None)
        if bar is not None:
            bar.set(version, end_ms=max(now, bar.data["start_ms"]), badge=badge)

    def close_all(self, version: int, now: int, badge: Badge) -> None:
        """The run has ended."""
        for key in list(self._open):
            self.close(version, key, now, badge)

    def mark(self, version: int, badge: Badge) -> None:
        """What has not ended stands so."""
        for bar in self._open.values():
            bar.set(version, badge=badge)

    def pause(self, version: int, step: StepItem, now: int) -> None:
        """A person is asked: until they answer, nothing of the step is drawn as working."""
        for key, bar in list(self._open.items()):
            if bar.data["step"] == step.data["index"] and bar.data["lane"] != "human":
                self.close(version, key, now, BADGES["waiting"])
                step.paused[key] = bar

    def go_on(self, version: int, step: StepItem, now: int) -> None:
        """The person has answered."""
        for key, bar in step.paused.items():
            self.open(version, key, bar.data["lane"], step, now=now, label=bar.data["label"])
        step.paused.clear()

    def full(self) -> list[dict[str, Any]]:
        """All bars."""
        return [dict(bar.data) for bar in self._bars]

    def since(self, version: int) -> list[dict[str, Any]]:
        """What has changed after `version`."""
        return [bar.since(version) for bar in self._bars if bar.version > version]
