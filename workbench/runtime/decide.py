"""`decide(graph, state)`: what has to happen next. Pure, so the same record always leads to the same choice.

Carrying a command out appends an entry that takes it out of the next decision, so deciding again after a crash repeats nothing. Work is
named by what caused it (the Plan's choice, the edge, the branch), never by a counter, so the order in which branches finish changes nothing
but the order of the entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from workbench.graph.edges import START, Edge, Join
from workbench.graph.graph import AgentGraph
from workbench.record.refs import ChoiceRef, EndRef, NextRef, Path, TaskRef, branch_number, place_of
from workbench.record.state import RunState
from workbench.record.values import ErrorInfo, make_id


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Let a Plan look at finished Tasks: at one, or behind a JOIN at the branches that have arrived, in the order of the branches.

    With `plan` None, the conditions of the Task's edges say which Plan it is.
    """

    plan: str | None
    tasks: tuple[TaskRef, ...]
    branch: Path
    exec_id: str
    joins: str | None = None


@dataclass(frozen=True, slots=True)
class StartTask:
    """Dispatch a Task; `choice` is the Plan's choice it comes from, None for the first one."""

    name: str
    choice: ChoiceRef | None
    branch: Path
    edge: str
    input_id: str
    exec_id: str
    iteration_idx: int


@dataclass(frozen=True, slots=True)
class Retry:
    """Dispatch a failed Task again, `wait` seconds after its failure."""

    task: TaskRef
    exec_id: str
    wait: float


@dataclass(frozen=True, slots=True)
class Complete:
    """End the lifetime: these branches have reached `End`, in the order of the branches."""

    ends: tuple[EndRef, ...]


@dataclass(frozen=True, slots=True)
class Fail:
    """End the lifetime in failure."""

    error: ErrorInfo


Command = RunPlan | StartTask | Retry | Complete | Fail


def decide(graph: AgentGraph, state: RunState) -> list[Command]:
    """The commands that a lifetime in this state calls for; none while all that is at work is running or a
    guardrail has called for a pause or the end, and none after the end."""
    if state.terminal or state.pause is not None or state.condemned is not None:
        return []
    if not state.dispatched:
        return [_start(state, Edge(START, graph.entry), None, NextRef(name=graph.entry, index=0, branch=()))]
    if "" in state.expired:
        return [Fail(ErrorInfo(code="deadline", message="the run did not end within its timeout"))]
    failed = next((choice.error for choice in state.choices.values() if choice.error is not None), None)
    if failed is not None:
        return [Fail(failed)]
    if state.ends and graph.final_policy == "first":
        return [Complete(_in_order(state.ends))]
    commands: list[Command] = [
        _start(state, Edge(choice.plan, item.name), choice, item) for choice in state.choices.values() for item in choice.next
    ]
    arrived: dict[tuple[str, str], list[TaskRef]] = {}
    closed: list[TaskRef] = []
    for task in state.unrouted.values():
        if task.status == "SUCCEEDED":
            join = graph.join_edge(task.name)
            if join is None or not task.branch:
                commands.append(_look(state, graph, task))
            else:
                arrived.setdefault((task.fork, join.target), []).append(task)
            continue
        match _after_failure(graph, state, task):
            case Fail() as failure:
                return [failure]
            case None:
                closed.append(task)
            case str() as plan:
                arrived.setdefault((task.fork, plan), []).append(task)
            case command:
                commands.append(command)
    for fork in state.expired - {fork for fork, _ in arrived}:
        return [_too_late(state, fork, 0)]
    for (fork, plan), tasks in arrived.items():
        lost = sum(1 for task in closed if task.fork == fork)
        commands.extend(_gather(state, graph.join(plan), RunPlan(plan, tuple(tasks), (), "", joins=fork), lost))
    if not commands and not state.running:
        commands.extend(_settle(state, closed))
    return commands


def _after_failure(graph: AgentGraph, state: RunState, task: TaskRef) -> Command | str | None:
    """What a failed Task leads to: another attempt, its error edge, the Plan where its branch is collected, the end of its branch (None),
    or the end of the lifetime."""
    error = task.error or ErrorInfo(code="failed", message=f"task {task.name!r} failed")
    policy = graph.task(task.name).retries
    if task.status != "REJECTED" and policy.retries(task.attempt, error.code, error.type):
        exec_id = make_id(state.lifetime_id, task.input_id, task.attempt + 1)
        return Retry(task, exec_id, policy.wait(task.attempt, task.exec_id))
    if graph.followers_after(task.name, task.status):
        return _look(state, graph, task)
    if not task.branch:
        return Fail(error)
    fork = state.forks[task.fork].plan
    match graph.on_branch_failure(fork):
        case "collect":
            return graph.join_after(fork)
        case "ignore":
            return None
        case "fail":
            return Fail(error)


def _look(state: RunState, graph: AgentGraph, task: TaskRef) -> RunPlan:
    edges = graph.followers_after(task.name, task.status)
    plan = graph.plan_on(edges[0]).name if len(edges) == 1 and edges[0].condition is None else None
    return RunPlan(plan, (task,), task.branch, make_id(state.lifetime_id, "plan", task.exec_id))


def _gather(state: RunState, join: Join, arrived: RunPlan, lost: int) -> Iterable[Command]:
    """The join's Plan, once enough branches have arrived; its failure, once no more can. `lost` branches failed and are ignored."""
    fork = arrived.joins or ""
    ref, count = state.forks[fork], len(arrived.tasks)
    still_coming = state.at_work[fork] - count - lost
    needed = join.needed(ref.size)
    late = fork in state.expired and still_coming and (join.strategy == "all" or count < needed)
    if late and join.on_branch_failure == "fail":
        yield _too_late(state, fork, count)
    elif join.strategy != "all" and count < needed and not late:
        if not still_coming:
            message = f"plan {arrived.plan!r} waits for {needed} of {ref.size} branches, and only {count} have arrived; no more will"
            yield Fail(ErrorInfo(code="join_starved", message=message))
    elif late or not still_coming or join.strategy != "all":
        in_order = tuple(sorted(arrived.tasks, key=lambda task: branch_number(task.branch[-1])))
        exec_id = make_id(state.lifetime_id, "join", arrived.plan, fork)
        yield replace(arrived, tasks=in_order, branch=ref.branch, exec_id=exec_id)


def _too_late(state: RunState, fork: str, count: int) -> Fail:
    ref = state.forks[fork]
    message = f"{count} of the {ref.size} branches of plan {ref.plan!r} have come together in time"
    return Fail(ErrorInfo(code="join_timeout", message=message))


def _settle(state: RunState, closed: list[TaskRef]) -> Iterable[Command]:
    """Nothing is at work any more: the branches that reached `End` are the result, and if none has, the run has run dry."""
    if state.at_work[""] > len(closed) or state.requests:
        return
    if state.ends:
        yield Complete(_in_order(state.ends))
    else:
        names = ", ".join(sorted({task.name for task in closed})) or "none"
        yield Fail(ErrorInfo(code="join_starved", message=f"every branch has ended without reaching End; failed and ignored: {names}"))


def _in_order(ends: list[EndRef]) -> tuple[EndRef, ...]:
    return tuple(sorted(ends, key=lambda end: [branch_number(branch) for branch in end.branch]))


def _start(state: RunState, edge: Edge, choice: ChoiceRef | None, item: NextRef) -> StartTask:
    input_id = make_id(state.lifetime_id, choice.exec_id if choice else START, edge.id, item.index)
    return StartTask(
        name=item.name,
        choice=choice,
        branch=item.branch,
        edge=edge.id,
        input_id=input_id,
        exec_id=make_id(state.lifetime_id, input_id, 1),
        iteration_idx=state.visits.get(place_of(item.name, item.branch), 0),
    )


def illegal_route(graph: AgentGraph, plan: str, names: tuple[str, ...]) -> ErrorInfo | None:
    """Why a Plan's choice is not allowed by the graph, or None if it is."""
    types = {edge.target: edge.type for edge in graph.choices(plan)}
    unknown = [name for name in names if name not in types]
    if unknown:
        return _illegal(f"plan {plan!r} chose {unknown[0]!r}, to which no edge leads; it may choose {list(types)}")
    if not names:
        return _illegal(f"plan {plan!r} chose nothing; it may choose {list(types)}")
    if len(names) > 1 and any(types[name] != "PARALLEL" for name in names):
        return _illegal(f"plan {plan!r} chose {list(names)}; only PARALLEL edges can be taken together")
    return None


def _illegal(message: str) -> ErrorInfo:
    return ErrorInfo(code="illegal_route", message=message)
