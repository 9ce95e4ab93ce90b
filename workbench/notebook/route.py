"""Which way a run has taken through its graph: the nodes it has been at and is at, and the edges between them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from workbench.graph.edges import START
from workbench.notebook.items import Item
from workbench.record.envelope import END, AnyEntry, PlanExecution, TaskExecution
from workbench.record.state import RunState


class Route:
    """Counts visits and passages, by the names that the graph gives them."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()
        self.item = Item(0, now=[], times={}, taken={})

    def follow(self, version: int, entry: AnyEntry, state: RunState) -> None:
        """Go on by one entry."""
        name = entry.header.name
        match entry:
            case TaskExecution(phase="started") if entry.links.supersedes is None:
                self._go(entry.header.edge_taken or f"{entry.links.parent_plan_name or START}->{name}", name)
            case PlanExecution():
                for task in dict.fromkeys(entry.links.parent_task_names) or [""]:
                    self._taken[f"{task}->{name}" if task else entry.header.edge_taken or ""] += 1
                self._times[name] += 1
                if END in entry.result.next_task_names:
                    self._go(f"{name}->{END}", END)
        now = sorted({ref.name for ref in state.running.values()})
        self.item.set(version, now=now, times=dict(self._times), taken=dict(self._taken))

    def full(self) -> dict[str, Any]:
        """All of it."""
        return dict(self.item.data)

    def since(self, version: int) -> dict[str, Any]:
        """What has changed after `version`."""
        return self.item.since(version)

    def _go(self, edge: str, name: str) -> None:
        self._taken[edge] += 1
        self._times[name] += 1
