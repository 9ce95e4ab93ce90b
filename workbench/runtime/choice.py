"""What a Plan's return value means in its graph: which edge led to it, and which Tasks it chose. Pure, so replay can ask again."""

from __future__ import annotations

from typing import Any

from workbench.errors import NoEdge, ToolOutputInvalid
from workbench.graph.edges import Edge
from workbench.graph.graph import AgentGraph
from workbench.record.envelope import NextTask, PlanResult
from workbench.record.refs import TaskRef
from workbench.runtime.decide import RunPlan


def known_to_edges(command: RunPlan, values: list[Any]) -> dict[str, Any]:
    """What the conditions of edges may read; behind a JOIN the result is the list of the branches' results."""
    last = command.tasks[-1]
    return {
        "result": values if command.joins is not None else values[0],
        "error": last.error.code if last.error else None,
        "attempt": last.attempt,
        "iteration_idx": last.iteration_idx,
    }


def edge_that_holds(graph: AgentGraph, task: TaskRef, known: dict[str, Any]) -> Edge:
    """The edge a finished Task takes: the first whose condition holds."""
    edges = graph.followers_after(task.name, task.status)
    edge = next((edge for edge in edges if edge.holds(known)), None)
    if edge is None:
        raise NoEdge(f"no edge out of task {task.name!r} may be taken: none of {[edge.condition for edge in edges]} holds")
    return edge


def plan_result(graph: AgentGraph, plan: str, choice: Any, known: dict[str, Any]) -> PlanResult:
    """A Plan's return value as the record has it."""
    if choice is None:
        result = _by_conditions(graph, plan, known)
    elif isinstance(choice, PlanResult):
        result = choice
    elif isinstance(choice, str):
        result = PlanResult.to(choice)
    elif isinstance(choice, list | tuple) and all(isinstance(name, str) for name in choice):
        result = PlanResult(next_tasks=tuple(NextTask(name=name) for name in choice))
    else:
        raise ToolOutputInvalid(
            f"plan {plan!r} returned a {type(choice).__name__}; return a task's name, a list of names, a PlanResult, or None"
        )
    forks = {edge.target for edge in graph.choices(plan) if edge.type == "PARALLEL"}
    return result.model_copy(update={"fork": bool(forks.intersection(result.next_task_names))})


def _by_conditions(graph: AgentGraph, plan: str, known: dict[str, Any]) -> PlanResult:
    """The choice that the conditions of a Plan's edges make: every PARALLEL edge that holds, or else the first edge that does."""
    holding = [edge for edge in graph.choices(plan) if edge.holds(known)]
    parallel = [edge for edge in holding if edge.type == "PARALLEL"]
    if not holding:
        conditions = [edge.condition for edge in graph.choices(plan)]
        raise NoEdge(f"plan {plan!r} left the choice to its edges, and none of {conditions} holds")
    if holding[0] not in parallel:
        return PlanResult.to(holding[0].target)
    tasks: list[NextTask] = []
    for edge in parallel:
        if edge.branch is None:
            tasks.append(NextTask(name=edge.target))
        else:
            tasks.extend(PlanResult.each(edge.target, edge.items(known)).next_tasks)
    return PlanResult(next_tasks=tuple(tasks))
