"""FORK and RE-RUN: a new lifetime that begins with what another one has recorded, and goes on live.

Before the point everything is answered from the record; after it, Tasks and calls run. What is copied and why is said in `beginning`; what
a kind of run (an agent's) can change besides is its own (`RunKind`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workbench.errors import EffectsRepeat, UserError
from workbench.graph.graph import AgentGraph
from workbench.ports import Query
from workbench.record.codec import digest, encode_value
from workbench.record.envelope import (
    ABSENT,
    AnyEntry,
    ForkedFrom,
    LifetimeEvent,
    Manifest,
    PlanExecution,
    PlanResult,
    TaskExecution,
    TaskResult,
    ToolCallEntry,
)
from workbench.record.values import Payload, ToolCall
from workbench.runtime.beginning import Cut, Edit, beginning, effects, rewritten
from workbench.runtime.binding import Binder, Binding
from workbench.runtime.calls import tool_error
from workbench.runtime.choice import plan_result
from workbench.runtime.data_plane import DataPlane
from workbench.runtime.decide import illegal_route
from workbench.tools.executor import ToolExecutor
from workbench.tools.printed import Picture, printing
from workbench.tools.recorded import recorded_args

if TYPE_CHECKING:
    from workbench.runtime.run import Run
    from workbench.runtime.workbench import Workbench


@dataclass(frozen=True, kw_only=True)
class Branch:
    """What a run takes along into a fork besides its entries."""

    manifest: Manifest
    """Of the original, with the resources that the fork has instead."""
    objects: Mapping[str, Any]
    """What the binder is given."""
    streams: Mapping[str, Sequence[AnyEntry]] = field(default_factory=dict)
    """The beginnings of its sandbox streams, as streams of the fork, by the original's id."""


@dataclass(frozen=True, kw_only=True)
class RunKind:
    """How runs of a kind are made live again from their record, and forked."""

    graph: AgentGraph
    bind: Binder
    cut: Callable[..., Cut]
    """`cut(entries, **where)`: where and what, in the words of the kind (an agent's steps)."""
    branch: Callable[..., Awaitable[Branch]]
    """`await branch(plane, entries, kept, cut, fork_id=…, live=…, answers=…, **objects)`"""


async def fork(
    bench: Workbench,
    run_id: str,
    *,
    live: Binding | None,
    at: int | str | None = None,
    edit: Any = ABSENT,
    confirm: bool = False,
    where: Mapping[str, Any],
    objects: Mapping[str, Any],
) -> Run:
    """Begin a fork; see `Run.fork`. `live` is the original's binding, where this process has it."""
    entries = await bench.plane.entries(run_id)
    first = entries[0]
    assert isinstance(first, LifetimeEvent)
    assert first.manifest is not None
    kind = bench.kind(first.manifest)
    if where and (kind is None or at is not None):
        raise UserError(f"{', '.join(where)} say where an agent's run is forked, by its steps; a graph's is forked with at= and edit=")
    graph = kind.graph if kind is not None else graph_of(objects, live, first.manifest)
    cut = kind.cut(entries, **where) if kind is not None and where else await point(bench.plane, graph, entries, at, edit)
    kept = beginning(entries, cut)
    repeated = effects(entries, kept, graph)
    if repeated and not confirm:
        raise EffectsRepeat(repeated)
    return await begin(bench, entries, kept, cut, kind=kind, live=live, objects=objects)


async def rerun(bench: Workbench, run_id: str, *, live: Binding | None, answers: bool, confirm: bool, objects: Mapping[str, Any]) -> Run:
    """Begin the same run again; see `Run.replay`. With `answers`, recorded calls are answered from the record."""
    entries = await bench.plane.entries(run_id)
    first = entries[0]
    assert isinstance(first, LifetimeEvent)
    assert first.manifest is not None
    kind = bench.kind(first.manifest)
    graph = kind.graph if kind is not None else graph_of(objects, live, first.manifest)
    repeated = [] if answers else effects(entries, [], graph)
    if repeated and not confirm:
        raise EffectsRepeat(repeated)
    cut = Cut(seq=1, told={"replayed": "from the record" if answers else "live"})
    return await begin(bench, entries, [], cut, kind=kind, live=live, objects=objects, answers=answers)


async def begin(
    bench: Workbench,
    entries: Sequence[AnyEntry],
    kept: Sequence[AnyEntry],
    cut: Cut,
    *,
    kind: RunKind | None,
    live: Binding | None,
    objects: Mapping[str, Any],
    answers: bool = False,
) -> Run:
    """Write the fork's beginning, in one transaction with those of its sandbox streams, and go on from there."""
    first = entries[0]
    assert isinstance(first, LifetimeEvent)
    assert first.manifest is not None
    original, fork_id = first.header.lifetime_id, bench.new_id()
    if kind is not None:
        branch = await kind.branch(bench.plane, entries, kept, cut, fork_id=fork_id, live=live, answers=answers, **objects)
    else:
        branch = Branch(manifest=first.manifest, objects=_of_a_graph(objects, live, first.manifest))
    binding = await bench.bind(branch.manifest, accept_changes=True, **branch.objects)
    if answers:
        binding = replace(binding, tools=await answering(bench.plane, binding.tools, entries))
    origin = ForkedFrom(
        lifetime_id=original, seq=cut.seq, hash=await _hash_at(bench.plane, original, cut.seq), edits=encode_value(dict(cut.told)) or None
    )
    manifest = binding.manifest(first.manifest.package).model_copy(update={"forked_from": origin})
    header = first.header.model_copy(
        update={"lifetime_id": fork_id, "exec_id": fork_id, "created_at": bench.clock.now(), "session_id": bench.session_id}
    )
    own = first.model_copy(update={"header": header, "manifest": manifest})
    own = cut.edits[1](own) if 1 in cut.edits else own
    streams = {old: new[0].header.lifetime_id for old, new in branch.streams.items() if new}
    return await bench.begin(binding, rewritten(own, kept, cut, original=original, streams=streams), list(branch.streams.values()))


async def point(plane: DataPlane, graph: AgentGraph, entries: Sequence[AnyEntry], at: int | str | None, edit: Any) -> Cut:
    """Where `at` is: a number means after that entry; an id means before that execution or call, or with an edit after its result."""
    if at is None:
        raise UserError("say where to fork: at= a number of an entry or the id of an execution; for an agent's run also step=")
    if isinstance(at, str):
        places = [entry.seq for entry in entries if entry.header.exec_id == at]
        if not places or places == [1]:
            raise UserError(f"the run has no execution or call {at!r}; wb.frames.executions() and tool_calls() list them")
        seq = places[0] - 1 if edit is ABSENT else places[-1]
    else:
        seq = at
    if not 1 <= seq <= len(entries):
        raise UserError(f"the run has entries 1 to {len(entries)}; there is no entry {seq}")
    if edit is ABSENT:
        return Cut(seq=seq)
    entry = entries[seq - 1]
    return Cut(seq=seq, edits={seq: await edited(plane, graph, entry, edit)}, told={"entry": seq, "name": entry.header.name})


async def edited(plane: DataPlane, graph: AgentGraph, entry: AnyEntry, value: Any) -> Edit:
    """What a value means in the place of what an entry says.

    Raises:
        UserError: it says nothing that can be replaced.
    """
    match entry:
        case LifetimeEvent(phase="created"):
            return with_input(await plane.payload(value))
        case TaskExecution(phase="finished"):
            return with_output(await plane.payload(value))
        case ToolCallEntry(phase="outcome"):
            return with_result(await plane.payload(value))
        case PlanExecution():
            result = plan_result(graph, entry.header.name, value, {})
            error = illegal_route(graph, entry.header.name, result.next_task_names)
            if error is not None:
                raise UserError(error.message)
            return with_choice(result)
    what = "a run's input (entry 1), a task's result, a plan's choice and a call's result"
    raise UserError(f"entry {entry.seq} ({entry.kind}, {entry.phase}) cannot be edited; what can be is {what}")


def with_input(payload: Payload) -> Edit:
    """The run was started with this."""
    return lambda entry: entry.model_copy(update={"input": payload})


def with_output(payload: Payload) -> Edit:
    """The Task returned this."""
    return lambda entry: _succeeded(entry).model_copy(update={"result": TaskResult(output=payload)})


def with_result(payload: Payload) -> Edit:
    """The call returned this."""
    return lambda entry: _succeeded(entry).model_copy(update={"call": entry.call.model_copy(update={"result": payload, "error": None})})


def with_choice(result: PlanResult) -> Edit:
    """The Plan chose this."""
    return lambda entry: _succeeded(entry).model_copy(update={"result": result})


def _succeeded(entry: Any) -> Any:
    return entry.model_copy(update={"header": entry.header.model_copy(update={"status": "SUCCEEDED"})})


def graph_of(objects: Mapping[str, Any], live: Binding | None, manifest: Manifest) -> AgentGraph:
    """The graph of a plain run: the one given, or the one that this process has.

    Raises:
        UserError: there is none.
    """
    graph = objects.get("graph") or (live.graph if live is not None else None)
    if not isinstance(graph, AgentGraph):
        raise UserError(f"this run is of the graph {manifest.graph_id!r}; give it with graph=…")
    return graph


def _of_a_graph(objects: Mapping[str, Any], live: Binding | None, manifest: Manifest) -> dict[str, Any]:
    known: dict[str, Any] = {"graph": graph_of(objects, live, manifest)}
    if live is not None:
        known |= {"tools": list(live.tools.tools.values()), "resources": live.resources}
    return {**known, **objects}


async def _hash_at(plane: DataPlane, lifetime_id: str, seq: int) -> str:
    async for stored in plane.state.read(Query(lifetime_ids=[lifetime_id], after_seq=seq - 1, limit=1)):
        return stored.hash
    return ""


class _Answering(ToolExecutor):
    """Tools whose recorded calls are answered from a record: the first call with the same arguments by the first recorded, and so on."""

    def __init__(self, live: ToolExecutor, recorded: Mapping[tuple[str, str], deque[tuple[ToolCall, Any, list[Any]]]]) -> None:
        super().__init__(live.tools.values(), live.timeout, inline=live.inline)
        self._recorded = recorded

    async def call(self, name: str, args: Mapping[str, Any], *, approved: bool = False) -> Any:
        left = self._recorded.get((name, digest(recorded_args(self.tools.get(name), args))))
        if not left:
            return await super().call(name, args, approved=approved)
        call, value, pictures = left.popleft()
        if (now := printing()) is not None:
            now.write(call.prints)
            for picture in pictures:
                now.show("", Picture(**picture))
        if call.error is not None:
            raise tool_error(call.error)
        return value


async def answering(plane: DataPlane, tools: ToolExecutor, entries: Iterable[AnyEntry]) -> ToolExecutor:
    """These tools, answering from the record whatever it has an answer to."""
    recorded: dict[tuple[str, str], deque[tuple[ToolCall, Any, list[Any]]]] = {}
    for entry in entries:
        if isinstance(entry, ToolCallEntry) and entry.phase == "outcome" and entry.header.status != "UNKNOWN":
            key = (entry.call.tool, digest(await plane.value(entry.call.args)))
            pictures = [await plane.value(picture) for picture in entry.call.pictures]
            recorded.setdefault(key, deque()).append((entry.call, await plane.value(entry.call.result), pictures))
    return _Answering(tools, recorded)
