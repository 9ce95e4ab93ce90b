"""`fold(entries) → RunState`: the only code that decides what a record means.

`apply` takes one entry and brings the state forward; `fold` is that, over all of them. A state holds references (ids, sequence numbers,
counts), never entries, so a record of any length folds in bounded memory. `decide`, guardrails, resume, live widgets and frames all ask
the state; none of them reads meaning into entries again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from workbench.errors import RecordCorrupt
from workbench.record.envelope import (
    DECISIONS,
    END,
    AnyEntry,
    GuardrailEvent,
    HitlEvent,
    HitlRequest,
    LifetimeEvent,
    Manifest,
    PlanExecution,
    SandboxEvent,
    TaskExecution,
    ToolCallEntry,
)
from workbench.record.refs import CallRef, ChoiceRef, EndRef, ForkRef, NextRef, Path, PauseRef, Place, TaskRef, fork_of, place_of
from workbench.record.statistics import Statistics
from workbench.record.values import TERMINAL, ErrorInfo, LifetimeStatus, Payload, nano_dollars
from workbench.record.verdicts import measure_use, take_verdict, unpause


@dataclass(slots=True)
class Totals:
    """Sums over the lifetime."""

    tokens_in: int = 0
    tokens_out: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano: int = 0
    """Integer nano-dollars of everything that has a price."""
    unpriced: int = 0
    """How many executions have no known price."""
    tasks: int = 0
    plans: int = 0
    tool_calls: int = 0
    tool_errors: int = 0


@dataclass(slots=True)
class RunState:
    """Where a lifetime stands. `apply` is the only writer."""

    lifetime_id: str = ""
    status: LifetimeStatus = "pending"
    seq: int = 0
    manifest: Manifest | None = None
    input: Payload | None = None
    session_id: str | None = None
    tenant_id: str = "default"
    created_at: datetime | None = None
    ended_at: datetime | None = None
    running: dict[str, TaskRef] = field(default_factory=dict)
    """Dispatched and not finished, by exec id."""
    unrouted: dict[str, TaskRef] = field(default_factory=dict)
    """Finished, and no Plan has looked at it, by exec id."""
    choices: dict[str, ChoiceRef] = field(default_factory=dict)
    """Chosen, and not yet dispatched, by the Plan's exec id."""
    dispatched: dict[str, int] = field(default_factory=dict)
    """How many times each node has been dispatched."""
    visits: dict[Place, int] = field(default_factory=dict)
    """The same, by node and the numbers of its branches, whichever fork made them: what `iteration_idx` counts, around forks too."""
    forks: dict[str, ForkRef] = field(default_factory=dict)
    """Open forks, by the exec id of the Plan that forked."""
    expired: set[str] = field(default_factory=set)
    """Open forks whose time is over before their branches have come together; "" is the lifetime."""
    at_work: dict[str, int] = field(default_factory=dict)
    """How many Tasks are chosen, running, or waiting for a Plan inside each open fork, nested forks included; "" counts all of them."""
    ends: list[EndRef] = field(default_factory=list)
    """Branches that have reached `End`."""
    open_calls: dict[str, CallRef] = field(default_factory=dict)
    requests: dict[str, HitlRequest] = field(default_factory=dict)
    """What a person has been asked and has not answered, by request id."""
    asked_by: dict[str, str] = field(default_factory=dict)
    """The running Task that asks, by request id; where it ends first, the question is withdrawn."""
    allowed: set[str] = field(default_factory=set)
    """The tools of which a person has said that no further call in this lifetime need be asked about."""
    pause: PauseRef | None = None
    """Why nothing is dispatched, while a guardrail's pause lasts."""
    condemned: str | None = None
    """Why a guardrail wants the lifetime aborted."""
    judged: dict[str, str] = field(default_factory=dict)
    """What a guardrail has done about executions, dispatches and calls, by exec id, until the record goes on with them."""
    warned: set[str] = field(default_factory=set)
    """The rules, wider than one execution, that have warned."""
    waived: set[str] = field(default_factory=set)
    """The rules that a person has set aside for this lifetime."""
    limits: dict[str, str] = field(default_factory=dict)
    """The limits that a person has given to rules, by rule id."""
    totals: Totals = field(default_factory=Totals)
    statistics: Statistics = field(default_factory=Statistics)
    peaks: dict[str, dict[str, int | float]] = field(default_factory=dict)
    """The most that one execution of a node has used of each thing that is spent, by node; a node that has finished is there."""
    output: Payload | None = None
    error: ErrorInfo | None = None
    end_reason: str | None = None

    @property
    def terminal(self) -> bool:
        """Whether nothing can follow."""
        return self.status in TERMINAL


def fold(entries: Iterable[AnyEntry]) -> RunState:
    """The state that a lifetime's entries, from the first, amount to.

    Raises:
        RecordCorrupt: if an entry cannot follow the ones before it.
    """
    state = RunState()
    for entry in entries:
        apply(state, entry)
    return state


def apply(state: RunState, entry: AnyEntry) -> RunState:
    """Bring `state` forward by one entry, and return it. The state is changed in place: whoever folds owns it.

    Raises:
        RecordCorrupt: if the entry cannot follow: a gap in the numbers, another lifetime, a second beginning or none, anything after the
            end, a finish without a start, an answer to another question.
    """
    header = entry.header
    if entry.seq != state.seq + 1:
        raise _corrupt(entry, f"entry {entry.seq} cannot follow entry {state.seq}")
    if state.seq and header.lifetime_id != state.lifetime_id:
        raise _corrupt(entry, f"the entry belongs to lifetime {header.lifetime_id}")
    if state.terminal:
        raise _corrupt(entry, f"the lifetime has ended ({state.status})")
    begins = entry.phase in ("created", "opened")
    if begins != (entry.seq == 1):
        raise _corrupt(entry, "a record begins once, with `created` or `opened`")
    state.seq = entry.seq
    state.lifetime_id = header.lifetime_id
    match entry:
        case LifetimeEvent():
            _lifetime(state, entry)
        case TaskExecution():
            _task(state, entry)
        case PlanExecution():
            _plan(state, entry)
        case ToolCallEntry():
            _tool_call(state, entry)
        case HitlEvent():
            _hitl(state, entry)
        case GuardrailEvent():
            take_verdict(state, entry)
            _settle(state)
        case SandboxEvent():
            pass
        case _:
            assert_never(entry)
    return state


_MAY_BECOME: dict[LifetimeStatus, tuple[LifetimeStatus, ...]] = {
    "pending": ("running",),
    "running": ("running", "completed", "failed", "aborted"),
    "waiting": ("running", "completed", "failed", "aborted"),
    "paused": ("running", "aborted"),
}
"""What an event may make of a lifetime, by what it is. It waits while something is asked, and is paused by a verdict, until an answer."""


def _lifetime(state: RunState, entry: LifetimeEvent) -> None:
    if entry.to_status not in _MAY_BECOME.get(state.status, ()):
        raise _corrupt(entry, f"a lifetime that is {state.status} cannot become {entry.to_status}")
    state.status = entry.to_status
    match entry.phase:
        case "created":
            state.manifest = entry.manifest
            state.input = entry.input
            state.session_id = entry.header.session_id
            state.tenant_id = entry.header.tenant_id
            state.created_at = entry.header.created_at
        case "resumed":
            _settle(state)
        case "expired":
            fork = entry.links.joins or ""
            if fork and fork not in state.forks:
                raise _corrupt(entry, f"there is no open fork {fork!r} whose time could be over")
            state.expired.add(fork)
            _settle(state)
        case "ended":
            if not state.terminal:
                raise _corrupt(entry, f"{entry.to_status!r} is not an end; ends are {', '.join(sorted(TERMINAL))}")
            state.output = entry.output
            state.error = entry.error
            state.end_reason = entry.reason
            state.ended_at = entry.header.created_at
            state.running.clear()
            state.choices.clear()
            state.unrouted.clear()
            state.requests.clear()
            state.asked_by.clear()
            state.pause = None
        case _:
            assert_never(entry.phase)


def _task(state: RunState, entry: TaskExecution) -> None:
    if entry.phase == "started":
        _started(state, entry)
        return
    header = entry.header
    started = state.running.pop(header.exec_id, None)
    if started is None:
        raise _corrupt(entry, f"task {header.name!r} finished without having started")
    for call_id in [call_id for call_id, call in state.open_calls.items() if call.exec_id == header.exec_id]:
        del state.open_calls[call_id]
    for request_id in [request_id for request_id, exec_id in state.asked_by.items() if exec_id == header.exec_id]:
        del state.requests[request_id], state.asked_by[request_id]
        _settle(state)
    state.totals.tasks += 1
    _count(state.totals, entry)
    measure_use(state, entry)
    if is_open(state, started.branch):
        error = entry.result.error if entry.result else None
        state.unrouted[header.exec_id] = replace(started, seq=entry.seq, status=header.status, error=error)


def _started(state: RunState, entry: TaskExecution) -> None:
    header = entry.header
    if header.exec_id in state.running:
        raise _corrupt(entry, f"task {header.name!r} started twice as {header.exec_id}")
    state.statistics.add(entry)
    state.judged.pop(header.exec_id, None)
    index = 0
    choice = state.choices.get(entry.links.parent_plan_exec_id or "")
    again = state.unrouted.pop(entry.links.supersedes or "", None)
    if again is not None:
        state.judged.pop(again.exec_id, None)
        choice, index = again.choice, again.index
    elif choice is not None:
        chosen = next((item for item in choice.next if item.name == header.name and item.branch == header.branch_path), None)
        if chosen is None:
            raise _corrupt(entry, f"plan {choice.plan!r} did not choose {header.name!r}")
        index = chosen.index
        _carry_out(state, choice, chosen)
    else:
        _enter(state, header.branch_path)
    state.running[header.exec_id] = TaskRef(
        exec_id=header.exec_id,
        name=header.name,
        seq=entry.seq,
        status=header.status,
        attempt=header.attempt,
        iteration_idx=header.iteration_idx,
        input_id=header.input_id,
        branch=header.branch_path,
        choice=choice,
        index=index,
    )
    if again is None:
        place = place_of(header.name, header.branch_path)
        state.dispatched[header.name] = state.dispatched.get(header.name, 0) + 1
        state.visits[place] = state.visits.get(place, 0) + 1


def _carry_out(state: RunState, choice: ChoiceRef, item: NextRef) -> None:
    """Strike the Task off the choice it was dispatched for."""
    left = tuple(other for other in choice.next if other is not item)
    if left:
        state.choices[choice.exec_id] = replace(choice, next=left)
    else:
        del state.choices[choice.exec_id]


def _plan(state: RunState, entry: PlanExecution) -> None:
    header, result = entry.header, entry.result
    looked_at: list[TaskRef] = []
    for exec_id in entry.links.parent_task_exec_ids:
        task = state.unrouted.pop(exec_id, None)
        if task is None:
            raise _corrupt(entry, f"plan {header.name!r} looked at a task that is not waiting for a plan")
        _leave(state, task.branch)
        state.judged.pop(exec_id, None)
        looked_at.append(task)
    if entry.links.joins is not None:
        _close(state, entry.links.joins)
    inner = [
        (*header.branch_path, f"{header.exec_id}/{index}") if result.fork else header.branch_path for index in range(len(result.next_tasks))
    ]
    if result.fork:
        state.forks[header.exec_id] = ForkRef(plan=header.name, size=len(inner), branch=header.branch_path, created_at=header.created_at)
    seqs = tuple(task.seq for task in looked_at)
    items = []
    for index, (chosen, branch) in enumerate(zip(result.next_tasks, inner, strict=True)):
        if chosen.name == END:
            state.ends.append(EndRef(exec_id=header.exec_id, seq=entry.seq, index=index, task_seqs=seqs, branch=branch))
        else:
            _enter(state, branch)
            items.append(NextRef(name=chosen.name, index=index, branch=branch))
    if items or result.error is not None:
        state.choices[header.exec_id] = ChoiceRef(
            exec_id=header.exec_id,
            plan=header.name,
            seq=entry.seq,
            next=tuple(items),
            task_seqs=seqs,
            branch=header.branch_path,
            error=result.error,
        )
    state.totals.plans += 1
    _count(state.totals, entry)


def _enter(state: RunState, path: Path) -> None:
    for fork in ("", *map(fork_of, path)):
        state.at_work[fork] = state.at_work.get(fork, 0) + 1


def _leave(state: RunState, path: Path) -> None:
    for fork in ("", *map(fork_of, path)):
        state.at_work[fork] -= 1


def is_open(state: RunState, path: Path) -> bool:
    """Whether a result in this branch still counts: no join has closed a fork around it."""
    return all(fork_of(branch) in state.forks for branch in path)


def _close(state: RunState, fork: str) -> None:
    """The branches of a fork have come together: what is still chosen, running or waiting in it no longer counts."""
    for exec_id, task in [*state.unrouted.items()]:
        if any(fork_of(branch) == fork for branch in task.branch):
            del state.unrouted[exec_id]
            _leave(state, task.branch)
    for task in state.running.values():
        if any(fork_of(branch) == fork for branch in task.branch) and is_open(state, task.branch):
            _leave(state, task.branch)
    for exec_id, choice in [*state.choices.items()]:
        left = tuple(item for item in choice.next if not any(fork_of(branch) == fork for branch in item.branch))
        for item in choice.next:
            if item not in left:
                _leave(state, item.branch)
        if left:
            state.choices[exec_id] = replace(choice, next=left)
        elif choice.next:
            del state.choices[exec_id]
    state.ends = [end for end in state.ends if not any(fork_of(branch) == fork for branch in end.branch)]
    inside = [name for name, ref in state.forks.items() if name == fork or any(fork_of(branch) == fork for branch in ref.branch)]
    for name in inside:
        del state.forks[name]
        state.expired.discard(name)
        state.at_work.pop(name, None)


def _tool_call(state: RunState, entry: ToolCallEntry) -> None:
    call_id = entry.header.exec_id
    state.statistics.add(entry)
    if entry.phase == "intent":
        state.judged.pop(call_id, None)
        state.open_calls[call_id] = CallRef(
            call_id=call_id,
            exec_id=entry.links.parent_exec_id or "",
            tool=entry.call.tool,
            ordinal=entry.call.ordinal,
            idempotent=entry.call.idempotent,
            seq=entry.seq,
        )
        return
    if state.open_calls.pop(call_id, None) is None:
        raise _corrupt(entry, f"a call of {entry.call.tool!r} has an outcome without an intent")
    state.totals.tool_calls += 1
    state.totals.tool_errors += entry.call.error is not None
    _count(state.totals, entry)


def _hitl(state: RunState, entry: HitlEvent) -> None:
    if entry.phase == "requested":
        if entry.request is None:
            raise _corrupt(entry, "a request without its question")
        state.requests[entry.request.request_id] = entry.request
        if entry.links.parent_exec_id in state.running:
            state.asked_by[entry.request.request_id] = entry.links.parent_exec_id
    else:
        if entry.response is None:
            raise _corrupt(entry, "an answer without its decision")
        asked = state.requests.pop(entry.response.request_id, None)
        state.asked_by.pop(entry.response.request_id, None)
        if asked is None:
            raise _corrupt(entry, f"request {entry.response.request_id} has no open question to answer")
        if entry.response.decision not in DECISIONS[asked.kind]:
            raise _corrupt(entry, f"{entry.response.decision!r} does not answer a request of kind {asked.kind!r}")
        if asked.subject_hash != entry.response.subject_hash:
            raise _corrupt(entry, f"the answer to request {asked.request_id} is to another text than the one shown")
        if entry.response.decision == "approved_always":
            state.allowed.add(asked.tool)
        if asked.kind == "pause":
            unpause(state, entry.response)
    _settle(state)


def _settle(state: RunState) -> None:
    state.status = "paused" if state.pause is not None else "waiting" if state.requests else "running"


def _count(totals: Totals, entry: AnyEntry) -> None:
    telemetry = entry.telemetry
    totals.tokens_in += telemetry.tokens_in
    totals.tokens_out += telemetry.tokens_out
    totals.cached_tokens += telemetry.cached_tokens
    totals.reasoning_tokens += telemetry.reasoning_tokens
    totals.cost_nano += nano_dollars(telemetry.cost_usd) if telemetry.cost_usd is not None else 0
    totals.unpriced += telemetry.unpriced


def _corrupt(entry: AnyEntry, why: str) -> RecordCorrupt:
    return RecordCorrupt(
        f"entry {entry.seq} of {entry.header.lifetime_id} ({entry.kind}) does not fit its record: {why}",
        lifetime_id=entry.header.lifetime_id,
        seq=entry.seq,
    )
