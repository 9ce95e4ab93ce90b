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
    AnyEntry,
    HitlEvent,
    HitlRequest,
    LifetimeEvent,
    Manifest,
    PlanExecution,
    SandboxEvent,
    TaskExecution,
    ToolCallEntry,
)
from workbench.record.values import TERMINAL, ErrorInfo, LifetimeStatus, Payload, Status, nano_dollars


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRef:
    """A Plan's choice."""

    exec_id: str
    plan: str
    seq: int
    next_names: tuple[str, ...]
    """What it chose and what has not been dispatched yet."""
    task_seqs: tuple[int, ...]
    """Where the results that the Plan looked at are stored."""
    error: ErrorInfo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRef:
    """A Task execution in the record: dispatched, or finished."""

    exec_id: str
    name: str
    seq: int
    """Of its latest entry."""
    status: Status
    attempt: int
    iteration_idx: int
    input_id: str | None
    choice: ChoiceRef | None
    """The Plan's choice it was dispatched for; None for the first Task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRef:
    """A tool call whose outcome is not recorded."""

    call_id: str
    exec_id: str
    tool: str
    ordinal: int
    idempotent: bool
    seq: int


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
    open_calls: dict[str, CallRef] = field(default_factory=dict)
    requests: dict[str, HitlRequest] = field(default_factory=dict)
    """What a person has been asked and has not answered, by request id."""
    totals: Totals = field(default_factory=Totals)
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
        case SandboxEvent():
            pass
        case _:
            assert_never(entry)
    return state


def _lifetime(state: RunState, entry: LifetimeEvent) -> None:
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
        case _:
            assert_never(entry.phase)


def _task(state: RunState, entry: TaskExecution) -> None:
    header = entry.header
    ref = TaskRef(
        exec_id=header.exec_id,
        name=header.name,
        seq=entry.seq,
        status=header.status,
        attempt=header.attempt,
        iteration_idx=header.iteration_idx,
        input_id=header.input_id,
        choice=state.choices.get(entry.links.parent_plan_exec_id or ""),
    )
    if entry.phase == "started":
        if ref.exec_id in state.running:
            raise _corrupt(entry, f"task {ref.name!r} started twice as {ref.exec_id}")
        if ref.choice is not None and ref.name not in ref.choice.next_names:
            raise _corrupt(entry, f"plan {ref.choice.plan!r} did not choose {ref.name!r}")
        state.running[ref.exec_id] = ref
        state.dispatched[ref.name] = state.dispatched.get(ref.name, 0) + 1
        _carry_out(state, ref)
        return
    if state.running.pop(ref.exec_id, None) is None:
        raise _corrupt(entry, f"task {ref.name!r} finished without having started")
    for call_id in [call_id for call_id, call in state.open_calls.items() if call.exec_id == ref.exec_id]:
        del state.open_calls[call_id]
    state.unrouted[ref.exec_id] = ref
    state.totals.tasks += 1
    _count(state.totals, entry)


def _carry_out(state: RunState, ref: TaskRef) -> None:
    """Strike the Task off the choice it was dispatched for."""
    choice = ref.choice
    if choice is None:
        return
    left = list(choice.next_names)
    left.remove(ref.name)
    if left:
        state.choices[choice.exec_id] = replace(choice, next_names=tuple(left))
    else:
        del state.choices[choice.exec_id]


def _plan(state: RunState, entry: PlanExecution) -> None:
    looked_at = [state.unrouted.pop(exec_id, None) for exec_id in entry.links.parent_task_exec_ids]
    if None in looked_at:
        raise _corrupt(entry, f"plan {entry.header.name!r} looked at a task that is not waiting for a plan")
    state.choices[entry.header.exec_id] = ChoiceRef(
        exec_id=entry.header.exec_id,
        plan=entry.header.name,
        seq=entry.seq,
        next_names=entry.result.next_task_names,
        task_seqs=tuple(task.seq for task in looked_at if task is not None),
        error=entry.result.error,
    )
    state.totals.plans += 1
    _count(state.totals, entry)


def _tool_call(state: RunState, entry: ToolCallEntry) -> None:
    call_id = entry.header.exec_id
    if entry.phase == "intent":
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
    else:
        if entry.response is None:
            raise _corrupt(entry, "an answer without its decision")
        asked = state.requests.pop(entry.response.request_id, None)
        if asked is None:
            raise _corrupt(entry, f"request {entry.response.request_id} has no open question to answer")
        if asked.subject_hash != entry.response.subject_hash:
            raise _corrupt(entry, f"the answer to request {asked.request_id} is to another text than the one shown")
    _settle(state)


def _settle(state: RunState) -> None:
    state.status = "waiting" if state.requests else "running"


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
