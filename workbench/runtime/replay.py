"""VERIFY: does a record hold, and does its graph still decide what it decided?

Three readings of the same entries, from the outside in. Their bytes: numbers, hashes, columns, blobs, sandbox streams. Their sense: each
entry follows the state before it. Their reasons: every dispatch is one that `decide` calls for, and every Plan, run again on what it looked
at, makes the choice that the record says it made. No Task, no tool and no model is run.

Not here: going on with a record (`Workbench.aresume`), and beginning a new one from it (`fork`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

from workbench.errors import KeyUnavailable, RecordCorrupt, ReplayDivergence, RunPruned, RunShredded, UnknownRun, WorkbenchError
from workbench.graph.graph import AgentGraph
from workbench.graph.nodes import PlanInput
from workbench.ports import Query
from workbench.record.codec import GENESIS, decode_value
from workbench.record.entries import StoredEntry, decode_entry, verify_entry, verify_link
from workbench.record.envelope import AnyEntry, LifetimeEvent, PlanExecution, PlanResult, TaskExecution, ToolCallEntry
from workbench.record.refs import EndRef, TaskRef
from workbench.record.state import RunState, apply
from workbench.record.values import BlobRef, Payload, make_id
from workbench.runtime.choice import edge_that_holds, known_to_edges, plan_result
from workbench.runtime.data_plane import DataPlane
from workbench.runtime.decide import Command, Complete, Fail, Retry, RunPlan, StartTask, decide, illegal_route
from workbench.runtime.outputs import StoredOutputs, loaded_for_edges, loaded_for_plan

_NOT_OF_THE_RECORD = frozenset({"timeout", "cancelled", "stopped"})
"""Errors of a Plan that say something about the machine or the person, and nothing about what it looked at."""


class Verified(NamedTuple):
    """What `run.verify()` found to hold."""

    entries: int
    head: str
    """The hash of the last entry: it stands for the whole record. Kept elsewhere, it shows later that nothing was cut off."""
    plans: int | None = None
    """How many choices were made again and came out the same; None where the graph was not at hand."""
    unreadable: str | None = None
    """Why nothing but the hashes could be checked: the run has been shredded, or its key is not here."""


async def verify(plane: DataPlane, run_id: str, *, graph: AgentGraph | None = None, head: str | None = None) -> Verified:
    """Check the record of a run, and with its `graph` what was decided in it. `head` is the hash it must end with.

    Raises:
        RecordCorrupt: names the first entry that does not hold.
        BlobMissing, BlobCorrupt: a value that was too big for the log is not there, or is another.
        ReplayDivergence: names the first entry that the graph does not lead to, with what the record and the graph say.
        RunPruned, UnknownRun: there is no record.
    """
    again = None if graph is None else _Again(graph, plane, run_id)
    if (why := await _unreadable(plane, run_id)) is not None:
        count, last = await linked(plane, run_id)
        _compare_head(run_id, count, last, head)
        return Verified(count, last, None, why)
    state, last, streams = RunState(), GENESIS, dict[str, None]()
    async for stored in plane.state.read(Query(lifetime_ids=[run_id])):
        entry = verify_entry(stored, run_id, last, state.seq)
        await _check_blobs(plane, stored)
        if again is not None:
            await again.check(state, entry)
        apply(state, entry)
        last = stored.hash
        streams |= dict.fromkeys(streams_of(entry))
    if not state.seq:
        await refuse_absent(plane, run_id)
    _compare_head(run_id, state.seq, last, head)
    for stream in streams:
        await _verify_stream(plane, stream)
    return Verified(state.seq, last, None if again is None else again.plans)


async def _unreadable(plane: DataPlane, run_id: str) -> str | None:
    """Why what a run says cannot be read by anyone, or not here."""
    async for stored in plane.state.read(Query(lifetime_ids=[run_id], limit=1)):
        try:
            decode_entry(stored)
        except (KeyUnavailable, RunShredded) as error:
            return str(error)
    return None


async def linked(plane: DataPlane, run_id: str) -> tuple[int, str]:
    """How many entries follow each other by their hashes, and the last hash."""
    count, last = 0, GENESIS
    async for stored in plane.state.read(Query(lifetime_ids=[run_id])):
        verify_link(stored, run_id, last, count)
        count, last = stored.seq, stored.hash
    return count, last


def _compare_head(run_id: str, count: int, last: str, head: str | None) -> None:
    if head is not None and head != last:
        raise RecordCorrupt(
            f"the record of {run_id} ends with entry {count} and hash {last}, not with {head}: what followed is missing, or it is "
            "another record",
            lifetime_id=run_id,
            seq=count + 1,
        )


async def state_at(plane: DataPlane, run_id: str, seq: int) -> RunState:
    """VIEW: the state that the entries up to number `seq` amount to."""
    state = RunState(lifetime_id=run_id)
    async for stored in plane.state.read(Query(lifetime_ids=[run_id], limit=seq)):
        apply(state, decode_entry(stored))
    return state


async def refuse_absent(plane: DataPlane, run_id: str) -> None:
    """Say why a run has no entries.

    Raises:
        RunPruned, UnknownRun
    """
    tombstone = (await plane.state.tombstones()).get(run_id)
    if tombstone is not None:
        raise RunPruned(
            f"run {run_id} was pruned at {tombstone.pruned_at}: it had {tombstone.entries} entries, the last with hash {tombstone.head}"
        )
    raise UnknownRun(f"there is no run {run_id!r} in this store; `wb.runs()` lists what there is")


def streams_of(entry: AnyEntry) -> Iterator[str]:
    """The sandbox streams that an entry refers to."""
    if entry.links.sandbox_id is not None:
        yield entry.links.sandbox_id
    manifest = entry.manifest if isinstance(entry, LifetimeEvent) else None
    if manifest is not None and isinstance(manifest.resources, dict) and isinstance(manifest.resources.get("sandbox_id"), str):
        yield manifest.resources["sandbox_id"]


def blobs_of(stored: StoredEntry) -> Iterator[BlobRef]:
    """The blobs that an entry refers to."""
    if b'"sha256:' in stored.body:
        yield from _blobs_in(json.loads(stored.body))


def _blobs_in(data: Any) -> Iterator[BlobRef]:
    if isinstance(data, list):
        for item in data:
            yield from _blobs_in(item)
    elif isinstance(data, dict):
        if data.keys() >= {"uri", "size_bytes", "sha256"} and data["uri"] == f"sha256:{data['sha256']}":
            yield BlobRef(**{name: data[name] for name in BlobRef.model_fields if name in data})
        for item in data.values():
            yield from _blobs_in(item)


async def stored_stream(plane: DataPlane, lifetime_id: str) -> AsyncIterator[StoredEntry]:
    """The entries of a lifetime or sandbox stream, each checked against the one before.

    Raises:
        RecordCorrupt: names the first that does not hold.
    """
    last, seq = GENESIS, 0
    async for stored in plane.state.read(Query(lifetime_ids=[lifetime_id])):
        verify_entry(stored, lifetime_id, last, seq)
        last, seq = stored.hash, stored.seq
        yield stored


async def _verify_stream(plane: DataPlane, stream: str) -> None:
    async for stored in stored_stream(plane, stream):
        await _check_blobs(plane, stored)


async def _check_blobs(plane: DataPlane, stored: StoredEntry) -> None:
    for ref in blobs_of(stored):
        await plane.blobs.get(ref)


class _Again:
    """Decides again, entry by entry, and compares."""

    def __init__(self, graph: AgentGraph, plane: DataPlane, run_id: str) -> None:
        self.plans = 0
        self._graph = graph
        self._plane = plane
        self._run_id = run_id
        self._called: dict[str, list[Command]] = {}
        """What has been called for so far and not carried out, by exec id; what is called for together is carried out one by one, and
        the entries of other branches may come between."""
        self._results: dict[int, TaskExecution] = {}
        """Finished executions that a Plan may still look at, by number."""

    async def check(self, state: RunState, entry: AnyEntry) -> None:
        """Compare an entry with what the state before it calls for."""
        try:
            for command in decide(self._graph, state) if state.seq else ():
                called = self._called.setdefault(_key(command), [])
                if command not in called:
                    called.append(command)
        except KeyError as unknown:
            raise self._differs(entry, expected="a node of the graph", actual=f"the graph has no {unknown}") from None
        match entry:
            case TaskExecution(phase="started"):
                self._started(entry)
            case TaskExecution():
                self._results[entry.seq] = entry
            case PlanExecution():
                await self._chosen(state, entry)
            case ToolCallEntry(phase="intent"):
                self._call(entry)
            case LifetimeEvent(phase="ended") if entry.to_status != "aborted":
                await self._ended(entry)

    def _started(self, entry: TaskExecution) -> None:
        called = [command for command in self._called.pop(entry.header.exec_id, []) if isinstance(command, StartTask | Retry)]
        recorded = _dispatch_of(entry)
        decided = [_dispatch(command) for command in called]
        if recorded not in decided:
            raise self._differs(entry, expected=recorded, actual=decided[-1] if decided else self._all())

    async def _chosen(self, state: RunState, entry: PlanExecution) -> None:
        called = [command for command in self._called.pop(entry.header.exec_id, []) if isinstance(command, RunPlan)]
        looked_at = list(entry.links.parent_task_exec_ids)
        # The latest: a guardrail may have rejected since what was to be looked at as a success.
        command = next((each for each in reversed(called) if [task.exec_id for task in each.tasks] == looked_at), None)
        if command is None or command.joins != entry.links.joins or command.branch != entry.header.branch_path:
            expected = {"plan": entry.header.name, "tasks": list(entry.links.parent_task_names)}
            last = called[-1] if called else None
            actual = self._all() if last is None else {"plan": last.plan, "tasks": [task.name for task in last.tasks]}
            raise self._differs(entry, expected=expected, actual=actual)
        executions = [await self._finished(task) for task in command.tasks]
        error = entry.result.error
        if not entry.links.edited and not (error is not None and error.code in _NOT_OF_THE_RECORD):
            recorded = await self._comparable(entry.result)
            name, repeated = await self._choose_again(state, command, executions)
            if name != entry.header.name:
                raise self._differs(entry, expected=entry.header.name, actual=name)
            if repeated != recorded:
                raise self._differs(entry, expected=recorded, actual=repeated)
            self.plans += 1
        for task in command.tasks:
            self._results.pop(task.seq, None)

    async def _choose_again(self, state: RunState, command: RunPlan, executions: list[TaskExecution]) -> tuple[str, Any]:
        """The Plan that looks, and its choice; volatile texts are no part of it."""
        name = command.plan or f"{command.tasks[0].name}->?"
        try:
            outputs = StoredOutputs(self._plane, executions)
            known = known_to_edges(command, await loaded_for_edges(self._graph, command, outputs))
            if command.joins is None:
                name = self._graph.plan_on(edge_that_holds(self._graph, command.tasks[0], known)).name
            plan = self._graph.plans[name]
            settings = state.manifest.resources if state.manifest else {}
            seen = await loaded_for_plan(self._graph, plan, outputs)
            given = plan.typed(PlanInput(executions=executions, outputs=seen, settings=settings, dispatched=dict(state.dispatched)))
            choice = await plan.choose(given) if plan.is_async else await asyncio.to_thread(plan.choose, given)
            result = plan_result(self._graph, name, choice, known)
            error = result.error or illegal_route(self._graph, name, result.next_task_names)
        except WorkbenchError as failure:
            return name, {"error": failure.code}
        except Exception:  # noqa: BLE001 - a Plan may raise anything, and so may the record say
            return name, {"error": "node_failed"}
        return name, {"error": error.code} if error else await self._comparable(result)

    async def _comparable(self, result: PlanResult) -> dict[str, Any]:
        if result.error is not None:
            return {"error": result.error.code}
        tasks = [
            {"name": task.name, "branch_key": task.branch_key} | ({} if task.args is None else {"args": await self._encoded(task.args)})
            for task in result.next_tasks
        ]
        return {"fork": result.fork, "next": tasks}

    async def _encoded(self, payload: Payload | None) -> Any:
        return None if payload is None else (await self._plane.load(payload)).inline

    async def _finished(self, task: TaskRef) -> TaskExecution:
        found = self._results.get(task.seq) or await self._plane.entry(self._run_id, task.seq)
        assert isinstance(found, TaskExecution)
        return found

    def _call(self, entry: ToolCallEntry) -> None:
        expected = make_id(self._run_id, entry.links.parent_exec_id, "call", entry.call.ordinal)
        if entry.header.exec_id != expected:
            raise self._differs(entry, expected=entry.header.exec_id, actual=expected)

    async def _ended(self, entry: LifetimeEvent) -> None:
        ends = [command for command in self._called.get("", []) if isinstance(command, Complete | Fail)]
        if entry.to_status == "completed":
            recorded = {"status": "completed", "output": await self._encoded(entry.output)}
            decided = [{"status": "completed", "output": await self._output(end.ends)} for end in ends if isinstance(end, Complete)]
        else:
            recorded = {"status": "failed", "error": entry.error.code if entry.error else None}
            decided = [{"status": "failed", "error": end.error.code} for end in ends if isinstance(end, Fail)]
        if recorded not in decided:
            raise self._differs(entry, expected=recorded, actual=decided[-1] if decided else self._all())

    async def _output(self, ends: tuple[EndRef, ...]) -> Any:
        outputs = [await self._encoded(await self._handed_on(end)) for end in ends]
        return outputs[0] if len(outputs) == 1 else outputs

    async def _handed_on(self, end: EndRef) -> Payload | None:
        """What a branch brought to `End`: its Plan's own arguments if it gave any, else the output it looked at, or the list of them."""
        choice = await self._plane.entry(self._run_id, end.seq)
        assert isinstance(choice, PlanExecution)
        args = choice.result.next_tasks[end.index].args
        if args is not None:
            return args
        found = [await self._plane.entry(self._run_id, seq) for seq in end.task_seqs]
        outputs = [entry.result.output for entry in found if isinstance(entry, TaskExecution) and entry.result]
        if choice.links.joins is None:
            return outputs[0]
        return Payload(inline=[await self._encoded(output) for output in outputs])

    def _all(self) -> list[str]:
        """What is called for instead, for a person to read."""
        return sorted({_told(command) for commands in self._called.values() for command in commands})

    def _differs(self, entry: AnyEntry, *, expected: object, actual: object) -> ReplayDivergence:
        where = f"entry {entry.seq} of {self._run_id} ({entry.kind} {entry.header.name!r})"
        return ReplayDivergence(where, expected=_readable(expected), actual=_readable(actual), seq=entry.seq)


def _readable(data: object) -> object:
    return decode_value(data) if isinstance(data, dict | list) else data


def _key(command: Command) -> str:
    return "" if isinstance(command, Complete | Fail) else command.exec_id


def _told(command: Command) -> str:
    match command:
        case RunPlan():
            return f"plan {command.plan or 'by condition'}"
        case StartTask():
            return f"task {command.name}"
        case Retry():
            return f"retry of task {command.task.name}"
        case Complete():
            return "the end: completed"
        case Fail():
            return f"the end: failed ({command.error.code})"


def _dispatch(command: StartTask | Retry) -> dict[str, Any]:
    if isinstance(command, Retry):
        task = command.task
        place = {"task": task.name, "branch": list(task.branch), "iteration_idx": task.iteration_idx, "attempt": task.attempt + 1}
        return {**place, "input_id": task.input_id, "after": task.exec_id}
    place = {"task": command.name, "branch": list(command.branch), "iteration_idx": command.iteration_idx, "attempt": 1}
    return {**place, "input_id": command.input_id, "after": command.choice.exec_id if command.choice else None}


def _dispatch_of(entry: TaskExecution) -> dict[str, Any]:
    header = entry.header
    place = {
        "task": header.name,
        "branch": list(header.branch_path),
        "iteration_idx": header.iteration_idx,
        "attempt": header.attempt,
        "input_id": header.input_id,
    }
    return {**place, "after": entry.links.supersedes or entry.links.parent_plan_exec_id}
