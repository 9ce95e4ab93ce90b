"""Graphs that the runtime's tests run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import workbench as wb


def line(*steps: Callable[..., Any] | wb.Task, name: str = "line") -> wb.AgentGraph:
    """Tasks one after the other, from Start to End."""
    tasks = [step if isinstance(step, wb.Task) else wb.task(step) for step in steps]
    names = ["Start", *(task.name for task in tasks), "End"]
    return wb.AgentGraph(name, nodes=tasks, edges=list(pairwise(names)))


def choosing(task: Callable[..., Any], plan: wb.Plan, *others: wb.Task, routes: Sequence[str] = ("End",)) -> wb.AgentGraph:
    """Start → task → plan → one of the routes; other tasks lead back to the plan."""
    first = wb.task(task)
    edges = [("Start", first.name), (first.name, plan.name), *((plan.name, route) for route in routes)]
    edges += [(other.name, plan.name) for other in others]
    return wb.AgentGraph("choosing", nodes=[first, plan, *others], edges=edges)


def kinds_of(run: wb.Run) -> list[str]:
    """`kind/phase/name` of each entry, in order."""
    return [f"{entry.kind}/{entry.phase}/{entry.header.name}" for entry in run.entries()]


def asking_beside(work: wb.Task, strategy: str = "all", **options: Any) -> wb.AgentGraph:
    """A fork into a question, `ask`, and this task; what has come together is the value."""

    @wb.task(idempotent=True)
    async def begin(value: Any) -> Any:
        return value

    @wb.plan
    async def split(given: Any) -> list[str]:
        return ["ask", work.name]

    @wb.plan
    async def gather(given: Any) -> Any:
        return wb.PlanResult.to("last", given.values)

    @wb.task(idempotent=True)
    async def last(value: Any) -> Any:
        return value

    edges = [("Start", "begin"), ("begin", "split"), ("gather", "last"), ("last", "End")]
    for branch in ("ask", work.name):
        edges += [("split", branch, "PARALLEL"), wb.Edge(branch, "gather", "JOIN", join=wb.Join(strategy=strategy))]
    nodes = [begin, split, wb.human("ask", "Well?"), work, gather, last]
    return wb.AgentGraph("beside", nodes=nodes, edges=edges, **options)
