"""The outputs that a Plan looks at. One that lies in a blob is loaded when it is looked at, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from workbench.errors import UserError
from workbench.graph.graph import AgentGraph
from workbench.graph.nodes import Plan
from workbench.graph.outputs import Outputs
from workbench.record.envelope import TaskExecution
from workbench.runtime.data_plane import DataPlane
from workbench.runtime.decide import RunPlan


class StoredOutputs(Outputs[Any]):
    """The outputs of some executions, as the store has them.

    Code in a thread may look at any of them. Code on the runtime's loop must not wait there for a blob: `load` comes first.
    """

    def __init__(self, plane: DataPlane, executions: Sequence[TaskExecution]) -> None:
        self._plane = plane
        self._loop = asyncio.get_running_loop()
        self._payloads = [entry.result.output if entry.result else None for entry in executions]
        self._loaded: dict[int, Any] = {}

    async def load(self) -> None:
        """Have all of them at hand."""
        for place in range(len(self)):
            await self._load(place)

    def __len__(self) -> int:
        return len(self._payloads)

    def _look(self, place: int) -> Any:
        if place not in self._loaded:
            if _runs_on(self._loop):
                raise UserError("an output that is not at hand is looked at in the code of its Plan, and not on the runtime's loop")
            asyncio.run_coroutine_threadsafe(self._load(place), self._loop).result()
        return self._loaded[place]

    async def _load(self, place: int) -> None:
        if place not in self._loaded:
            self._loaded[place] = await self._plane.value(self._payloads[place])


def _runs_on(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def loaded_for_edges(graph: AgentGraph, command: RunPlan, outputs: StoredOutputs) -> list[Any]:
    """What the conditions of the edges around a Plan read. Where none of them reads a result, nothing is loaded for them."""
    before = () if command.joins is not None else graph.followers_after(command.tasks[0].name, command.tasks[0].status)
    plans = [graph.plan_on(edge).name for edge in before] if command.plan is None else [command.plan]
    after = [edge for name in plans for edge in graph.choices(name)]
    if any("result" in edge.reads for edge in [*before, *after]):
        await outputs.load()
        return outputs[:]
    return [None] * len(outputs)


async def loaded_for_plan(graph: AgentGraph, plan: Plan, outputs: StoredOutputs, *, inline: bool = False) -> Sequence[Any]:
    """What a Plan is given. All are loaded where they are checked against its annotation or its code runs on the loop (with `inline`, all
    code does); else it looks at them when it likes. An implicit Plan hands on unseen what may be as large as it likes."""
    if plan.name not in graph.nodes:
        return [None] * len(outputs)
    if plan.is_async or plan.input is not None or inline:
        await outputs.load()
    return outputs
