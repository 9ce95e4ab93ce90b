"""The outputs that a Plan looks at. One that lies in a blob is loaded when it is looked at, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, overload

from workbench.graph.graph import AgentGraph
from workbench.graph.nodes import Plan
from workbench.record.envelope import TaskExecution
from workbench.runtime.data_plane import DataPlane
from workbench.runtime.decide import RunPlan


class Outputs(Sequence[Any]):
    """The outputs of some executions, in their order.

    Code in a thread may look at any of them. Code on the runtime's loop must not wait there for a blob: `load` comes first.
    """

    def __init__(self, plane: DataPlane, executions: Sequence[TaskExecution]) -> None:
        self._plane = plane
        self._loop = asyncio.get_running_loop()
        self._payloads = [entry.result.output if entry.result else None for entry in executions]
        self._loaded: dict[int, Any] = {}

    async def load(self) -> list[Any]:
        """All of them."""
        for place in range(len(self)):
            await self._load(place)
        return [self._loaded[place] for place in range(len(self))]

    def __len__(self) -> int:
        return len(self._payloads)

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...
    def __getitem__(self, at: int | slice) -> Any:
        places = range(len(self))[at]
        return self._look(places) if isinstance(places, int) else [self._look(place) for place in places]

    def _look(self, place: int) -> Any:
        if place not in self._loaded:
            asyncio.run_coroutine_threadsafe(self._load(place), self._loop).result()
        return self._loaded[place]

    async def _load(self, place: int) -> None:
        if place not in self._loaded:
            self._loaded[place] = await self._plane.value(self._payloads[place])


async def loaded_for_edges(graph: AgentGraph, command: RunPlan, outputs: Outputs) -> list[Any]:
    """What the conditions of the edges around a Plan read. Where none of them reads a result, nothing is loaded for them."""
    before = () if command.joins is not None else graph.followers_after(command.tasks[0].name, command.tasks[0].status)
    plans = [graph.plan_on(edge).name for edge in before] if command.plan is None else [command.plan]
    after = [edge for name in plans for edge in graph.choices(name)]
    if any("result" in edge.reads for edge in [*before, *after]):
        return await outputs.load()
    return [None] * len(outputs)


async def loaded_for_plan(graph: AgentGraph, plan: Plan, outputs: Outputs, *, inline: bool = False) -> Sequence[Any]:
    """What a Plan is given. All values, where they are checked against its annotation or its code runs on the loop (with `inline`, all code
    does); else the outputs, to look at when it likes. An implicit Plan hands on unseen what may be as large as it likes."""
    if plan.name not in graph.nodes:
        return [None] * len(outputs)
    return await outputs.load() if plan.is_async or plan.input is not None or inline else outputs
