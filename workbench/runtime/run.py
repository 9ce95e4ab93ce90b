"""Run: a lifetime as a person holds it. Await it, iterate it, answer it, stop it, resume it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Generator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from workbench.current import frames
from workbench.errors import MaxIterations, OutputInvalid, RunError, RunFailed, RunInterrupted, RunStopped, StoreError, UserError
from workbench.loop import on_runtime_loop, run_async, run_sync, runtime_loop
from workbench.owner import is_dead
from workbench.ports import InboxItem
from workbench.record.envelope import ABSENT, AnyEntry, HitlEvent, HitlRequest, HitlResponse
from workbench.record.events import AgentEvents
from workbench.record.state import RunState, apply
from workbench.runtime import presenting
from workbench.runtime.data_plane import RUN_TOPIC
from workbench.runtime.diff import diff
from workbench.runtime.fork import fork, rerun
from workbench.runtime.pending import Pending
from workbench.runtime.replay import Verified, state_at, verify
from workbench.runtime.requests import misfit

if TYPE_CHECKING:
    import pandas as pd

    from workbench.graph.graph import AgentGraph
    from workbench.runtime.binding import Binding
    from workbench.runtime.custody import Owned
    from workbench.runtime.lifetime import Lifetime
    from workbench.runtime.workbench import Workbench

POLL_SECONDS = 0.1
"""How often a run that another process owns is looked at."""

_FAILURES: dict[str, type[RunFailed]] = {kind.code: kind for kind in (MaxIterations, OutputInvalid)}


class Run:
    """One run, live in this process or read from the store.

    `await run` and `run.result()` wait for its end and give its value; a run that did not succeed raises RunFailed, RunStopped or
    RunInterrupted. `async for event in run` yields its events as they happen.
    """

    def __init__(self, workbench: Workbench, run_id: str, owned: Owned | None = None) -> None:
        self.id = run_id
        self.workbench = workbench
        self._owned = owned
        self._read: RunState | None = None
        """The state as this object has read it from the store."""

    @property
    def state(self) -> RunState:
        """Where the run stands, up to date; for reading only."""
        if self._life is None and not self._seen.terminal:
            run_sync(self._catch_up())
        return self._seen

    @property
    def _life(self) -> Lifetime | None:
        """The lifetime, where this process has it in memory and could write it to its end: else only the store knows how far it came."""
        return self._owned.life if self._owned is not None and self._owned.broken is None else None

    @property
    def _seen(self) -> RunState:
        if self._life is not None:
            return self._life.state
        return self._read or RunState(lifetime_id=self.id)

    @property
    def status(self) -> str:
        """`pending`, `running`, `waiting`, `paused`, `completed`, `failed`, `aborted`; or `interrupted`: unfinished, and no process works
        on it."""
        owned = self._owned
        if owned is not None and not owned.ended.done():
            return owned.status if owned.life is None else owned.life.state.status
        going_on = (owned is None or owned.broken is not None) and run_sync(self._going_on())
        return self.state.status if going_on or self.state.terminal else "interrupted"

    @property
    def title(self) -> str:
        """The task in one line."""
        manifest = self.state.manifest
        return manifest.title if manifest else ""

    @property
    def done(self) -> bool:
        """Whether the run has ended."""
        return self.state.terminal

    @property
    def live(self) -> bool:
        """Whether this process is working on it."""
        return self._owned is not None and not self._owned.ended.done()

    @property
    def value(self) -> Any:
        """The value of a completed run; the run's error is raised if it has another end, RunError if it has none yet."""
        if not self.state.terminal:
            raise RunError(f"run {self.id} is {self.status}; `await run` or `run.result()` waits for its value", run=self)
        return run_sync(self._outcome(self.state))

    @property
    def pending(self) -> list[Pending]:
        """What the run waits for a person to decide, oldest first."""
        return [Pending(self, request) for request in list(self.state.requests.values())]

    async def asked(self) -> Pending | None:
        """The oldest request that nobody has decided, as soon as there is one; None once the run has ended without one."""
        request = await run_async(self._asked())
        return None if request is None else Pending(self, request)

    async def wait(self) -> None:
        """Wait until the run has ended, or has been lost by the process that owned it; whatever the end is, this returns."""
        with contextlib.suppress(RunError):
            await self

    def __await__(self) -> Generator[Any, None, Any]:
        return run_async(self._wait()).__await__()

    def result(self, timeout: float | None = None) -> Any:
        """Block until the run has ended and return its value.

        Raises:
            TimeoutError: after `timeout` seconds; the run goes on.
            RunFailed, RunStopped, RunInterrupted: it has no value.
        """
        return run_sync(self._wait(timeout))

    def stop(self, reason: str = "stopped by the user") -> None:
        """Ask the run to stop; returns at once. Whatever it is doing is cancelled, and the record says so.

        Raises:
            UserError: another process owns the run.
        """
        if self.live and self._owned is not None:
            if on_runtime_loop():
                self.workbench.custody.stop(self._owned, reason)
            else:
                runtime_loop().call_soon_threadsafe(self.workbench.custody.stop, self._owned, reason)
        elif not self.done:
            raise UserError(f"run {self.id} is not live in this process; stop it in the process that owns it")

    def unpause(self, *, actor: str = "code", note: str | None = None, limits: Mapping[str, int | float | Decimal] | None = None) -> None:
        """Let a run go on that a guardrail has paused. The rules that paused it hold no longer for this run, except those that `limits`
        gives a new limit, by rule id. Who said so, and why, is recorded.

        Raises:
            UserError: the run is not paused, or a rule has no limit that could be changed.
        """
        paused = next((each for each in self.pending if each.request.kind == "pause"), None)
        if paused is None:
            raise UserError(f"run {self.id} is {self.status}; only a run that a guardrail has paused can be unpaused")
        paused.unpause(note=note, actor=actor, limits=limits)

    def hush(self) -> None:
        """From now on, what its tools print and display goes into the record of their calls alone, because somebody is shown it there. Else
        it is printed as well. Changes nothing for a run that this process does not work on."""
        if self._owned is not None:
            self._owned.hushed = True
            if self._owned.life is not None:
                self._owned.life.hushed = True

    def resume(self, **objects: Any) -> Run:
        """Go on with an interrupted run from its record; `objects` are what its binder needs (`tools=`, `model=`, `graph=`,
        `accept_changes=`). Finished work is not repeated."""
        return self.workbench.resume(self.id, **objects)

    async def aresume(self, **objects: Any) -> Run:
        """`resume`, for code on an event loop."""
        return await run_async(self.workbench.aresume(self.id, **objects))

    def entries(self) -> list[AnyEntry]:
        """The record, decoded."""
        return run_sync(self.workbench.plane.entries(self.id))

    async def aentries(self) -> list[AnyEntry]:
        """`entries`, for code on an event loop."""
        return await run_async(self.workbench.plane.entries(self.id))

    def events(self) -> list[dict[str, Any]]:
        """The agent events so far, in order; `workbench.record.events` lists their names and fields."""
        reader = AgentEvents()
        return [event for entry in self.entries() for event in reader.feed(entry)]

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        reader, seen = AgentEvents(), 0
        subscription = self.workbench.bus.subscribe(RUN_TOPIC, self.id)
        try:
            messages = aiter(subscription)
            while True:
                for entry in await run_async(self.workbench.plane.entries(self.id, after=seen)):
                    seen = entry.seq
                    for event in reader.feed(entry):
                        yield event
                if reader.ended:
                    return
                try:
                    async with asyncio.timeout(1):
                        while (await anext(messages)).get("type") != "entry":
                            pass
                except (TimeoutError, StopAsyncIteration):
                    # The bus is only a hint, and a run of another process gives none: look at the log now and then.
                    messages = aiter(subscription)
                    if not await run_async(self._going_on()) and not self._seen.terminal:
                        raise self._interrupted() from None
        finally:
            subscription.close()

    def frame(self, name: str = "events") -> pd.DataFrame:
        """One of `wb.frames` for this run: `events`, `executions`, `tool_calls`, `messages`, `approvals`, `verdicts`, `costs` or `runs`.

        Raises:
            UserError: there is no such frame.
        """
        made: pd.DataFrame = frames().of(self, name)
        return made

    def verify(self, *, graph: AgentGraph | None = None, head: str | None = None) -> Verified:
        """Check the record: its bytes, the rules of its state and, where the graph is at hand, that the graph decides again what was
        decided. Nothing but Plans is run. `head` is the hash that an earlier verification found last, if the run had ended by then.

        Raises:
            RecordCorrupt, BlobMissing, BlobCorrupt: names the first entry or blob that does not hold.
            ReplayDivergence: names the first entry to which the graph does not lead, with what is recorded and what it decides.
        """
        return run_sync(self._verify(graph, head))

    async def averify(self, *, graph: AgentGraph | None = None, head: str | None = None) -> Verified:
        """`verify`, for code on an event loop."""
        return await run_async(self._verify(graph, head))

    def at(self, seq: int | None = None, *, step: int | None = None) -> RunState:
        """The state as it was after entry `seq`, or at the end of an agent's step."""
        if (seq is None) == (step is None):
            raise UserError("say when: at(seq), or at(step=…) of an agent's run")
        return run_sync(state_at(self.workbench.plane, self.id, self._end_of(step) if seq is None else seq))

    def fork(
        self,
        at: int | str | None = None,
        *,
        edit: Any = ABSENT,
        step: int | None = None,
        code: str | None = None,
        prompt: str | None = None,
        result: Mapping[int | str, Any] | None = None,
        confirm: bool = False,
        **objects: Any,
    ) -> Run:
        """Begin a new run with what this one has recorded, and go on live from a point of it. This run stays as it is.

        `at` is the number of the last entry that counts, or the id of the execution or call that is done again; with `edit`, that entry, or
        the result of that execution or call, says this instead. For an agent's run `step=4` takes that turn again, with other `code`, as
        if the task had been `prompt`, or with the `result` of its calls given as {ordinal or id: value}. `objects` are what a resume takes
        (`graph=`, `tools=`, `model=`, `resources=`); those this process still has need not be given, and others may be.

        Raises:
            EffectsRepeat: lists what has happened after the point, is not idempotent and may happen again; `confirm=True` lets it.
            UserError: the point is none, or nothing can be edited there.
        """
        where = {"step": step, "code": code, "prompt": prompt, "result": result}
        return run_sync(self._forked(at, edit=edit, confirm=confirm, **where, **objects))

    async def afork(self, at: int | str | None = None, **point: Any) -> Run:
        """`fork`, for code on an event loop; it takes what that takes."""
        return await run_async(self._forked(at, **point))

    def replay(self, *, live: bool = False, confirm: bool = False, **objects: Any) -> Run:
        """Run the same input again, as a new run; `diff` then says what came out differently.

        Tasks run. Calls of tools and models that are recorded with the same arguments are answered from the record, and all others are
        made; with `live`, all are. `objects` are as for `fork`.

        Raises:
            EffectsRepeat: with `live`, lists what is not idempotent and would happen again; `confirm=True` lets it.
        """
        return run_sync(self._rerun(live=live, confirm=confirm, **objects))

    async def areplay(self, *, live: bool = False, confirm: bool = False, **objects: Any) -> Run:
        """`replay`, for code on an event loop."""
        return await run_async(self._rerun(live=live, confirm=confirm, **objects))

    def diff(self, other: Run) -> dict[str, Any]:
        """What differs in another run, step by step; `workbench.runtime.diff` says how."""
        return diff(self.entries(), other.entries())

    def compare(self, other: Run) -> None:
        """Draw this run and another one side by side, step by step; as the data of `diff` where no notebook has been loaded."""
        presenting.compare(self, other)

    def show(self) -> None:
        """Draw the run; as text where no notebook has been loaded."""
        presenting.show(self)

    def view(self) -> None:
        """Open the run's interactive view, in which its graph, messages and record can be looked through; it stays when the run ends.

        Raises:
            UserError: no notebook has been loaded to show it in.
        """
        presenting.view(self)

    async def graph(self) -> AgentGraph | None:
        """The graph that the run is of, where this process has it."""
        return await run_async(self._graph())

    async def _forked(self, at: int | str | None, *, edit: Any = ABSENT, confirm: bool = False, **given: Any) -> Run:
        where = {name: given.pop(name, None) for name in ("step", "code", "prompt", "result")}
        point = {name: value for name, value in where.items() if value is not None}
        return await fork(self.workbench, self.id, live=self._binding, at=at, edit=edit, confirm=confirm, where=point, objects=given)

    async def _rerun(self, *, live: bool, confirm: bool, **objects: Any) -> Run:
        return await rerun(self.workbench, self.id, live=self._binding, answers=not live, confirm=confirm, objects=objects)

    @property
    def _binding(self) -> Binding | None:
        """What the run was bound to, where this process has it."""
        return None if self._owned is None else self._owned.binding

    async def _graph(self) -> AgentGraph | None:
        return self._owned.binding.graph if self._owned is not None else await self.workbench.known_graph(self.id)

    def __repr__(self) -> str:
        # On the runtime's loop the store cannot be waited for, and a representation must never fail.
        if on_runtime_loop():
            return f"<Run {self.id[:8]}>"
        try:
            return f"<Run {self.id[:8]} {self.status}: {self.title!r}>"
        except StoreError as error:
            return f"<Run {self.id[:8]}: {error}>"

    async def decide(self, response: HitlResponse) -> bool:
        """Put a decision into the inbox, from where the run's owner takes it; False if there is one already.

        Raises:
            UserError: it answers no open question of this run, or another text than the one asked, or has not the shape that was asked for.
        """
        return await run_async(self._decide(response))

    async def _decide(self, response: HitlResponse) -> bool:
        state = self._life.state if self._life is not None else await self._catch_up()
        item = InboxItem(response.request_id, self.id, response.model_dump_json(exclude_none=True).encode())
        asked = state.requests.get(item.request_id)
        if asked is not None and (why := misfit(asked, response)):
            raise UserError(f"the decision is refused: {why}")
        if asked is None and item.request_id not in {known.request_id for known in await self.workbench.store.decisions(self.id)}:
            raise UserError(f"run {self.id} does not ask {item.request_id}; `run.pending` lists what it asks")
        kept = await self.workbench.store.put_decision(item)
        if self._owned is not None:
            await self.workbench.custody.take_decisions(self._owned)
        return kept

    async def how_decided(self, request_id: str) -> str:
        """By whom, when and how a request was decided: what whoever comes second is told."""
        return await run_async(self._how_decided(request_id))

    async def _how_decided(self, request_id: str) -> str:
        for entry in reversed(await self.workbench.plane.entries(self.id, kinds=["hitl_event"])):
            if isinstance(entry, HitlEvent) and entry.response is not None and entry.response.request_id == request_id:
                first, when = entry.response, f" at {entry.header.created_at:%Y-%m-%d %H:%M:%S} UTC"
                break
        else:
            items = {item.request_id: item.data for item in await self.workbench.store.decisions(self.id)}
            first, when = HitlResponse.model_validate_json(items[request_id]), ""
        return f"already decided by {first.actor}{when}: {first.decision.replace('_', ' ')}; the first decision counts"

    async def _wait(self, seconds: float | None = None) -> Any:
        async with asyncio.timeout(seconds):
            if self._owned is not None:
                await asyncio.wait({self._owned.ended})
                if self._owned.broken is not None:
                    raise self._interrupted() from self._owned.broken
            while await self._going_on():  # noqa: ASYNC110 - another process sends no events
                await asyncio.sleep(POLL_SECONDS)
        if not self._seen.terminal:
            raise self._interrupted()
        return await self._outcome(self._seen)

    async def _asked(self) -> HitlRequest | None:
        while True:
            going_on = await self._going_on()  # looked at first: what was asked before the end is found after it
            if requests := list(self._seen.requests.values()):
                decided = {item.request_id for item in await self.workbench.store.decisions(self.id)}
                if undecided := [request for request in requests if request.request_id not in decided]:
                    return undecided[0]
            if not going_on:
                return None
            await asyncio.sleep(POLL_SECONDS)

    async def _going_on(self) -> bool:
        """Whether the run has not ended and somebody works on it."""
        if self._owned is not None and self._owned.broken is None:
            if self._life is None:
                await self._catch_up()
            return not self._owned.ended.done()
        somebody = await self._somebody_works()
        # In this order: the end is written before the lease is given up, so a run that nobody owns has its end by now or has none.
        return not (await self._catch_up()).terminal and somebody

    def _interrupted(self) -> RunInterrupted:
        if self._owned is not None:
            return RunInterrupted(f"run {self.id} was broken off: {self._owned.broken}; run.resume() goes on", run=self)
        return RunInterrupted(f"run {self.id} is unfinished and no process works on it; run.resume() goes on", run=self)

    async def _outcome(self, state: RunState) -> Any:
        if state.status == "completed":
            value = await self.workbench.plane.value(state.output)
            return self._owned.binding.convert(value) if self._owned is not None else value
        if state.status == "aborted":
            raise RunStopped(f"run {self.id} was stopped: {state.end_reason}", run=self)
        assert state.error is not None
        kind = _FAILURES.get(state.error.code, RunFailed)
        failure = kind(state.error.message, run=self, error_code=state.error.code)
        if state.error.trace:
            failure.add_note("\n  ".join(["raised in the run at, the innermost last:", *state.error.trace]))
        raise failure

    async def _catch_up(self) -> RunState:
        read = self._read = self._read or RunState(lifetime_id=self.id)
        async for entry in self.workbench.plane.read(self.id, after=read.seq):
            if entry.seq > read.seq:  # else another reader of this run was faster
                apply(read, entry)
        return read

    async def _somebody_works(self) -> bool:
        lease = (await self.workbench.store.leases()).get(self.id)
        if lease is not None and lease.owner == self.workbench.owner:
            return self.workbench.works_on(self.id)
        return lease is not None and not is_dead(lease.owner)

    async def _verify(self, graph: AgentGraph | None, head: str | None) -> Verified:
        if graph is None:
            graph = await self._graph()
        return await verify(self.workbench.plane, self.id, graph=graph, head=head)

    def _end_of(self, step: int | None) -> int:
        turns = [entry.seq for entry in self.entries() if entry.phase == "started" and entry.header.name == "task_llm"]
        if step is None or not 1 <= step <= len(turns):
            raise UserError(f"the run has {len(turns)} steps; there is no step {step}")
        return turns[step] - 1 if step < len(turns) else self.state.seq
