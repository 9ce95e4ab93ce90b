"""The beginning of a record, written anew as the beginning of another: what a fork is made of. Pure: entries in, entries out.

A fork's record is complete by itself. The entries before its point are copied into it under ids of its own, each naming the entry that it
repeats (`links.copied_from`), so whoever reads a record (fold, frames, widgets, verify, export) reads a fork without knowing that it is
one, and the original may be pruned. Values that lie in blobs are shared, since a blob is named by its content. What the original has used
(tokens, cost) is not copied: it was spent once.

Not everything before the point is copied. What was in flight there is left out, so that the fork does it; of an execution in flight only
its finished calls and answered questions stay, so that its code finds them answered when it runs again. Pauses, and what a person has set
aside because of one, hold for the lifetime they were made in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.graph.edges import START
from workbench.graph.graph import AgentGraph
from workbench.graph.nodes import Task
from workbench.record.envelope import (
    AnyEntry,
    GuardrailEvent,
    Header,
    HitlEvent,
    LifetimeEvent,
    Links,
    PlanExecution,
    TaskExecution,
    Telemetry,
    ToolCallEntry,
)
from workbench.record.values import make_id

Edit = Callable[[Any], Any]
"""From an entry as it is recorded to the entry as the fork has it."""

_GUESSES = 16
"""So many times may the same thing have been asked about; ids say what made them only by being made again."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Up to where a record counts for a fork, and what is changed in it."""

    seq: int
    """The last entry that counts; what is in flight there does not."""
    edits: Mapping[int, Edit] = field(default_factory=dict)
    """By the number of the entry they change."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """JSON-ready, for the fork's manifest."""


def beginning(entries: Sequence[AnyEntry], cut: Cut) -> list[AnyEntry]:
    """The entries of the original that count, in order, without the first."""
    before = [entry for entry in entries[1:] if entry.seq <= cut.seq]
    begun = {entry.header.exec_id for entry in before if _is(entry, TaskExecution, "started")}
    open_ = begun - {entry.header.exec_id for entry in before if isinstance(entry, TaskExecution) and _is_result(entry)}
    calls = {entry.header.exec_id for entry in before if isinstance(entry, ToolCallEntry) and _is_outcome(entry, open_)}
    answered = {
        entry.response.request_id
        for entry in before
        if isinstance(entry, HitlEvent) and entry.response is not None and entry.response.decision not in ("stop", "unpaused")
    }
    inside = {
        entry.links.parent_exec_id
        for entry in before
        if (isinstance(entry, ToolCallEntry) and entry.header.exec_id in calls)
        or (isinstance(entry, HitlEvent) and _request_id(entry) in answered)
    }
    left_out = open_ - inside

    def counts(entry: AnyEntry) -> bool:
        match entry:
            case LifetimeEvent():
                return entry.phase == "expired" and entry.links.joins is not None
            case TaskExecution(phase="finished"):
                return entry.header.exec_id not in open_
            case TaskExecution():
                return entry.header.exec_id not in left_out
            case ToolCallEntry():
                return entry.header.exec_id in calls
            case HitlEvent():
                return _request_id(entry) in answered
            case GuardrailEvent():
                lasting = entry.verdict.action in ("pause_lifetime", "abort_lifetime")
                return not lasting and entry.verdict.subject_exec_id not in left_out
        return True

    return [entry for entry in before if counts(entry)]


def effects(entries: Sequence[AnyEntry], kept: Sequence[AnyEntry], graph: AgentGraph) -> list[str]:
    """What the original has done and the fork may do again, and what is not idempotent: one line each."""
    done = {(entry.header.exec_id, entry.phase) for entry in kept}
    found = []
    for entry in entries:
        node = graph.nodes.get(entry.header.name)
        if isinstance(entry, ToolCallEntry) and entry.phase == "intent":
            repeats = not entry.call.idempotent and (entry.header.exec_id, "outcome") not in done
            what = f"the call {entry.call.tool}({_shown(entry.call.args.inline)})"
        else:
            unsafe = _is(entry, TaskExecution, "started") and isinstance(node, Task) and not node.idempotent
            repeats = unsafe and (entry.header.exec_id, "finished") not in done
            what = f"the task {entry.header.name!r}"
        if repeats:
            found.append(f"entry {entry.seq}: {what}")
    return found


def rewritten(first: LifetimeEvent, kept: Sequence[AnyEntry], cut: Cut, *, original: str, streams: Mapping[str, str]) -> list[AnyEntry]:
    """The fork's entries: its own `first`, and the kept ones under its ids. `streams` has the new id of each sandbox stream."""
    ids = _Ids(original, first.header.lifetime_id, streams)
    written: list[AnyEntry] = [first]
    dispatched = next((entry for entry in kept if _is(entry, TaskExecution, "started")), None)
    if dispatched is not None:
        ids.learn(dispatched)  # a policy may have judged the first dispatch before it was made
    for entry in kept:
        ids.learn(entry)
        edit = cut.edits.get(entry.seq)
        links = {"copied_from": entry.seq, "edited": True if edit else entry.links.edited}
        copy = ids.renamed(entry).model_copy(update={"seq": len(written) + 1, "telemetry": _not_spent_again(entry.telemetry)})
        copy = copy.model_copy(update={"links": copy.links.model_copy(update=links)})
        copy = copy.model_copy(update={"header": copy.header.model_copy(update={"session_id": first.header.session_id})})
        written.append(edit(copy) if edit else copy)
    return written


def branched(entries: Sequence[AnyEntry], stream: str) -> list[AnyEntry]:
    """A sandbox stream's beginning as the beginning of another."""
    written: list[AnyEntry] = []
    for seq, entry in enumerate(entries, start=1):
        header = entry.header.model_copy(update={"lifetime_id": stream, "exec_id": make_id(stream, seq)})
        links = entry.links.model_copy(update={"copied_from": entry.seq})
        written.append(entry.model_copy(update={"seq": seq, "header": header, "links": links}))
    return written


class _Ids:
    """Each id of the original, made again of the same cause in the fork's scope: the ids that the runtime would have given."""

    def __init__(self, original: str, fork: str, streams: Mapping[str, str]) -> None:
        self._original = original
        self._fork = fork
        self._known = {original: fork, **streams}

    def learn(self, entry: AnyEntry) -> None:
        """Find out the ids that this entry brings, and those that can follow from it."""
        exec_id = entry.header.exec_id
        match entry:
            case TaskExecution(phase="started"):
                if entry.links.parent_plan_exec_id is None and entry.links.supersedes is None:
                    self._dispatch(START, entry.header.edge_taken or "", 0)
                self._cause(entry.header.input_id or "", entry.header.attempt + 1)
                self._cause("plan", exec_id)
                self._call(exec_id, 0)
                self._requests(exec_id)
                for number in range(1, _GUESSES + 1):
                    self._cause("question", exec_id, number=number)
            case PlanExecution():
                if entry.links.joins is not None:
                    self._cause("join", entry.header.name, entry.links.joins)
                for index, chosen in enumerate(entry.result.next_tasks):
                    self._dispatch(exec_id, f"{entry.header.name}->{chosen.name}", index)
            case ToolCallEntry(phase="intent"):
                self._call(entry.links.parent_exec_id or "", entry.call.ordinal)
                self._call(entry.links.parent_exec_id or "", entry.call.ordinal + 1)

    def renamed(self, entry: AnyEntry) -> AnyEntry:
        """The entry under the fork's ids."""
        update: dict[str, Any] = {"header": self._header(entry.header), "links": self._links(entry.links)}
        match entry:
            case ToolCallEntry():
                key = entry.call.idempotency_key
                update["call"] = entry.call.model_copy(update={"idempotency_key": self._of(key)})
            case HitlEvent():
                for name in ("request", "response"):
                    part = getattr(entry, name)
                    update[name] = part and part.model_copy(update={"request_id": self._of(part.request_id)})
                if entry.response is not None and entry.response.decision == "approved_always":
                    # It was said of the original: in the fork a person is asked again.
                    update["response"] = update["response"].model_copy(update={"decision": "approved"})
            case GuardrailEvent():
                subject = self._of(entry.verdict.subject_exec_id)
                update["verdict"] = entry.verdict.model_copy(update={"subject_exec_id": subject})
        return entry.model_copy(update=update)

    def _header(self, header: Header) -> Header:
        path = tuple(self._branch(branch) for branch in header.branch_path)
        input_id = None if header.input_id is None else self._of(header.input_id)
        update = {"lifetime_id": self._fork, "exec_id": self._of(header.exec_id), "input_id": input_id, "branch_path": path}
        return header.model_copy(update=update)

    def _links(self, links: Links) -> Links:
        single = ("parent_plan_exec_id", "parent_exec_id", "joins", "supersedes", "sandbox_id")
        update: dict[str, Any] = {name: self._of(value) for name in single if (value := getattr(links, name)) is not None}
        update["parent_task_exec_ids"] = tuple(self._of(exec_id) for exec_id in links.parent_task_exec_ids)
        return links.model_copy(update=update)

    def _branch(self, branch: str) -> str:
        fork, _, number = branch.rpartition("/")
        return f"{self._of(fork)}/{number}"

    def _of(self, known: str) -> str:
        return self._known.get(known) or make_id(self._fork, "forked", known)

    def _cause(self, *cause: object, number: int | None = None) -> str:
        """Learn an id by what made it, and return the original's. What of the cause is an id itself has the fork's on the other side."""
        ours = tuple(self._known.get(part, part) if isinstance(part, str) else part for part in cause)
        if number is not None:
            cause, ours = (*cause[:-1], f"{cause[-1]}|{number}"), (*ours[:-1], f"{ours[-1]}|{number}")
        made = make_id(self._original, *cause)
        self._known[made] = make_id(self._fork, *ours)
        return made

    def _dispatch(self, choice: str, edge: str, index: int) -> None:
        self._cause(self._cause(choice, edge, index), 1)

    def _call(self, exec_id: str, ordinal: int) -> None:
        call_id = self._cause(exec_id, "call", ordinal)
        self._cause("approval", call_id)
        self._requests(call_id)

    def _requests(self, subject: str) -> None:
        for attempt in range(_GUESSES):
            self._cause("request", subject, attempt)


def _is(entry: AnyEntry, kind: type[Any], phase: str) -> bool:
    return isinstance(entry, kind) and entry.phase == phase


def _is_result(entry: TaskExecution) -> bool:
    """Whether a Task finished by itself; one that was stopped counts as in flight."""
    stopped = entry.header.status == "CANCELLED" and entry.result is not None and entry.result.error is not None
    return entry.phase == "finished" and not (stopped and entry.result.error.code == "stopped")  # type: ignore[union-attr]


def _is_outcome(entry: ToolCallEntry, open_: set[str]) -> bool:
    """Whether a call came to an end by itself."""
    error = entry.call.error
    stopped = error is not None and (error.code in ("stopped", "outcome_unknown") or error.message == "the run was stopped")
    return entry.phase == "outcome" and not (stopped and entry.links.parent_exec_id in open_)


def _request_id(entry: HitlEvent) -> str:
    part = entry.response or entry.request
    return part.request_id if part is not None else ""


def _not_spent_again(telemetry: Telemetry) -> Telemetry:
    return Telemetry(latency_ms=telemetry.latency_ms, queue_ms=telemetry.queue_ms, tool_calls=telemetry.tool_calls)


def _shown(args: Any) -> str:
    text = ", ".join(f"{name}={value!r}" for name, value in args.items()) if isinstance(args, dict) else repr(args)
    return text if len(text) <= 80 else text[:79] + "…"
