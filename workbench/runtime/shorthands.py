"""What `wb.start`, `wb.open`, `wb.resume`, `wb.runs` and their awaitable twins do: ask the current workbench, unless another is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from workbench.current import current
from workbench.errors import UserError
from workbench.graph.graph import AgentGraph
from workbench.guardrails.policy import Policy
from workbench.loop import run_async
from workbench.runtime.binding import Binding, graph_binding
from workbench.runtime.run import Run
from workbench.runtime.workbench import Workbench
from workbench.tools.tool import Tool


def start(
    graph: AgentGraph,
    input: Any = None,
    *,
    tools: Iterable[Tool | Callable[..., Any]] = (),
    resources: Any = None,
    policy: str | Path | Policy | None = None,
    timeout: float | None = None,
    workbench: Workbench | None = None,
) -> Run:
    """Start a run of `graph` with `input` as what its first Task receives.

    `tools` are what nodes may call by `ctx.call_tool`; `resources` is handed to them as `ctx.resources` and not recorded.
    `policy` is what the run is judged by: a path, a policy's text, or a `wb.Policy`. A run that has not ended `timeout` seconds after its
    start fails, also while it waits for a person; only a pause holds that up.
    """
    bench = workbench or current()
    return bench.start(_binding(graph, bench, tools=tools, resources=resources, policy=policy, timeout=timeout), input)


async def astart(
    graph: AgentGraph,
    input: Any = None,
    *,
    tools: Iterable[Tool | Callable[..., Any]] = (),
    resources: Any = None,
    policy: str | Path | Policy | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - of the run, not of this call
    workbench: Workbench | None = None,
) -> Run:
    """`start` for code on an event loop, which goes on with other things meanwhile. Runs that start together are stored together."""
    bench = workbench or current()
    return await run_async(bench.astart(_binding(graph, bench, tools=tools, resources=resources, policy=policy, timeout=timeout), input))


def _binding(graph: AgentGraph, bench: Workbench, **options: Any) -> Binding:
    if not isinstance(graph, AgentGraph):
        raise UserError(f"a run is of an AgentGraph; got {type(graph).__name__}. For a task in words make a wb.Agent and start that")
    return graph_binding(graph, title=graph.name, inline=bench.inline, **options)


def open(run_id: str, *, workbench: Workbench | None = None) -> Run:
    """A run by its id or an unambiguous beginning of it. Looking at a run never goes on with it."""
    return (workbench or current()).open(run_id)


def resume(run_id: str, *, workbench: Workbench | None = None, **objects: Any) -> Run:
    """Go on with an interrupted run; `objects` are what it needs: `tools=`, `model=`, `graph=`, `accept_changes=`."""
    bench = workbench or current()
    return bench.resume(bench.open(run_id).id, **objects)


async def aresume(run_id: str, *, workbench: Workbench | None = None, **objects: Any) -> Run:
    """`resume` for code on an event loop."""
    bench = workbench or current()
    run = await run_async(bench.aopen(run_id))
    return await run.aresume(**objects)


async def aopen(run_id: str, *, workbench: Workbench | None = None) -> Run:
    """`open` for code on an event loop."""
    return await run_async((workbench or current()).aopen(run_id))


async def aruns(limit: int = 20, *, workbench: Workbench | None = None) -> list[Run]:
    """`runs` for code on an event loop."""
    return await run_async((workbench or current()).aruns(limit))


def runs(limit: int = 20, *, workbench: Workbench | None = None) -> list[Run]:
    """The newest runs first."""
    return (workbench or current()).runs(limit)
