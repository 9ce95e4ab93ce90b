"""`decide(graph, state)`: what has to happen next. Pure, so the same record always leads to the same choice."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.graph.graph import END, START, AgentGraph, Edge
from workbench.record.state import ChoiceRef, RunState, TaskRef
from workbench.record.values import ErrorInfo, make_id


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Let a Plan look at a finished Task."""

    plan: str
    task: TaskRef
    exec_id: str


@dataclass(frozen=True, slots=True)
class StartTask:
    """Dispatch a Task; `choice` is the Plan's choice it comes from, None for the first one."""

    name: str
    choice: ChoiceRef | None
    edge: str
    input_id: str
    exec_id: str
    iteration_idx: int


@dataclass(frozen=True, slots=True)
class Complete:
    """End the lifetime along a FINAL edge; the output is what the choice's Task produced, or the choice's own arguments."""

    choice: ChoiceRef


@dataclass(frozen=True, slots=True)
class Fail:
    """End the lifetime in failure. `task` is the failed one, whose stored error says why; else `error` does."""

    task: TaskRef | None
    error: ErrorInfo | None


Command = RunPlan | StartTask | Complete | Fail


def decide(graph: AgentGraph, state: RunState) -> list[Command]:
    """The commands that a lifetime in this state calls for; none while Tasks run, a person is asked, or the lifetime has ended.

    Carrying a command out appends an entry that takes it out of the next decision, so deciding again after a crash repeats nothing.
    """
    if state.terminal:
        return []
    commands: list[Command] = []
    for choice in state.choices.values():
        commands.append(_follow(state, choice))
    for task in state.unrouted.values():
        if task.status == "SUCCEEDED":
            plan = graph.plans[task.name].name
            commands.append(RunPlan(plan=plan, task=task, exec_id=make_id(state.lifetime_id, "plan", plan, task.exec_id)))
        else:
            commands.append(Fail(task=task, error=None))
    if not commands and not state.dispatched:
        commands.append(_start(state, graph.entry, None, Edge(START, graph.entry).id))
    return commands


def _follow(state: RunState, choice: ChoiceRef) -> Command:
    if choice.error is not None:
        return Fail(task=None, error=choice.error)
    (name,) = choice.next_names
    if name == END:
        return Complete(choice=choice)
    return _start(state, name, choice, Edge(choice.plan, name).id)


def _start(state: RunState, name: str, choice: ChoiceRef | None, edge: str) -> StartTask:
    input_id = make_id(state.lifetime_id, choice.exec_id if choice else START, edge)
    return StartTask(
        name=name,
        choice=choice,
        edge=edge,
        input_id=input_id,
        exec_id=make_id(state.lifetime_id, input_id, 1),
        iteration_idx=state.dispatched.get(name, 0),
    )


def illegal_route(graph: AgentGraph, plan: str, names: tuple[str, ...]) -> ErrorInfo | None:
    """Why a Plan's choice is not allowed by the graph, or None if it is."""
    routes = graph.routes[plan]
    if len(names) != 1:
        return ErrorInfo(
            code="illegal_route",
            message=f"plan {plan!r} chose {len(names)} tasks; without PARALLEL edges it must choose one of {list(routes)}",
        )
    if names[0] not in routes:
        return ErrorInfo(
            code="illegal_route", message=f"plan {plan!r} chose {names[0]!r}, to which no edge leads; it may choose {list(routes)}"
        )
    return None
