"""Lifetime: one run that this process owns. It folds, journals and commits entries, and remembers what the record says of an
interrupted execution."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import ValidationError

from workbench.errors import ReplayDivergence, StoreError
from workbench.ports import Lease
from workbench.record.envelope import AnyEntry, Entry, Header, HitlEvent, HitlRequest, HitlResponse, Links, TaskExecution, ToolCallEntry
from workbench.record.state import RunState, apply
from workbench.record.values import Message, Status, ToolCall
from workbench.runtime.binding import Binding
from workbench.runtime.clock import Clock
from workbench.runtime.data_plane import DataPlane, Journal
from workbench.runtime.requests import misfit
from workbench.tools.thread import ToolThread

if TYPE_CHECKING:
    from workbench.runtime.guard import Guard

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Entry)

RECENT = 4
"""How many entries a live lifetime keeps in memory; older ones are read from the store."""

MOMENT_SECONDS = 0.005
"""How long what may happen again waits for a commit that takes it along."""

LONGEST_LOOK = 60.0
"""A lifetime that cannot be parked is looked at again after twice as long, up to so many seconds."""


class Question(NamedTuple):
    """Who waits for a decision."""

    answer: asyncio.Future[HitlResponse]
    within: str | None
    """The execution that asks, where one does."""


class Lifetime:
    """A run's state, its writer, and everything that only the owning process knows."""

    def __init__(
        self,
        *,
        binding: Binding,
        plane: DataPlane,
        clock: Clock,
        journal: Journal,
        worker_id: str,
        claim: Callable[[str], Awaitable[Lease]],
        may_park: Callable[[Lifetime], bool],
        park_seconds: float | None,
    ) -> None:
        self.binding = binding
        self.graph = binding.graph
        self.plane = plane
        self.clock = clock
        self.journal = journal
        self.worker_id = worker_id
        self.claim = claim
        """Takes another lifetime, such as a sandbox's stream, for this process; raises LeaseHeld if another has it."""
        self.state = RunState(lifetime_id=journal.lifetime_id)
        self.conversation: list[Message] = []
        self.recorded_calls: dict[str, ToolCall] = {}
        """Outcomes of calls made by executions that have not finished, by call id."""
        self._calls_of: dict[str, list[str]] = {}
        """The ids of those calls, by execution."""
        self.answers: dict[str, HitlResponse] = {}
        """Decisions already in the record, by request id."""
        self.asked: dict[str, Question] = {}
        """What waits for a decision, by request id."""
        self.streams: dict[str, Journal] = {}
        """Journals of sandbox streams that are stored together with this one."""
        self.guard: Guard | None = None
        """What judges the run, if it has a policy."""
        self.pause: asyncio.Task[None] | None = None
        """The question whether it may go on, while a guardrail has paused it."""
        self.dispatched_at: dict[str, float] = {}
        """When this process dispatched the executions that have not begun, by its monotonic clock."""
        self.begun_at: dict[str, float] = {}
        """When those began that have not finished."""
        self.parking = False
        """Whether it is on its way out of memory, because it only waits for people."""
        self.thread: ToolThread | None = None
        """Where the run's synchronous nodes run; made when one is first needed."""
        self.forked = False
        """Whether what is in flight at the beginning comes from a fork's original: then no crash has cut it off."""
        self.left: dict[str, Any] = {}
        """What an execution or call that was cancelled leaves for its last entry, by its id."""
        self.hushed = False
        """Whether somebody is shown what its tools print, so that it need not be printed here too."""
        self.stop_reason: str | None = None
        self.broken: Exception | None = None
        """Why this process cannot go on with the lifetime, usually a StoreError; the record stands and can be resumed."""
        self.task: asyncio.Task[None] | None = None
        self._recent: OrderedDict[int, AnyEntry] = OrderedDict()
        self._unseen: deque[AnyEntry] = deque()
        """Written, and not yet shown to observers; they see only what is stored."""
        self._flush: asyncio.Task[None] | None = None
        self._moment: asyncio.TimerHandle | None = None
        self._may_park = may_park
        self._look_after = park_seconds
        self._look: asyncio.TimerHandle | None = None

    def take_in(self, entry: AnyEntry) -> None:
        """Take in an entry that the record already holds. Of calls, the outcomes are kept until their Task has finished."""
        apply(self.state, entry)
        self._remember(entry)
        if self.guard is not None:
            self.guard.note(entry)
        if isinstance(entry, ToolCallEntry) and entry.phase == "outcome":
            self.recorded_calls[entry.header.exec_id] = entry.call
            self._calls_of.setdefault(entry.links.parent_exec_id or "", []).append(entry.header.exec_id)
        elif isinstance(entry, TaskExecution) and entry.phase == "finished":
            for call_id in self._calls_of.pop(entry.header.exec_id, ()):
                del self.recorded_calls[call_id]
        elif isinstance(entry, HitlEvent) and entry.response is not None:
            self.answers[entry.response.request_id] = entry.response

    def header(self, exec_id: str, name: str, status: Status, **more: Any) -> Header:
        """A header with what all entries of this lifetime share."""
        return Header(
            lifetime_id=self.journal.lifetime_id,
            exec_id=exec_id,
            name=name,
            status=status,
            created_at=self.clock.now(),
            graph_id=self.graph.name,
            graph_version=self.graph.version,
            tenant_id=self.state.tenant_id,
            session_id=self.state.session_id,
            worker_id=self.worker_id,
            **more,
        )

    def write(self, kind: type[E], **fields: Any) -> E:
        """Append an entry: it counts from now on, and is stored with the next commit."""
        entry = kind(seq=self.journal.next_seq, **fields)
        apply(self.state, entry)  # type: ignore[arg-type]
        self.journal.add(entry)  # type: ignore[arg-type]
        self._remember(entry)  # type: ignore[arg-type]
        self._unseen.append(entry)  # type: ignore[arg-type]
        if self.guard is not None:
            self.guard.note(entry)  # type: ignore[arg-type]
        return entry

    async def commit(self) -> None:
        """Store everything written so far, sandbox streams included, and show it to observers."""
        written = self.state.seq if self.journal.pending else 0
        try:
            await self.plane.commit(self.journal, *self.streams.values())
        except StoreError as error:
            self.broken = error
            raise
        # What a cancelled commit has stored is shown by the next one.
        fresh = []
        while self._unseen and self._unseen[0].seq <= written:
            fresh.append(self._unseen.popleft())
        for observe in self.binding.on_entries:
            observe(fresh)

    def commit_soon(self) -> None:
        """Commit in the background. If that fails the run cannot go on: it is broken off here, and whoever owns it now goes on."""
        if self._flush is None or self._flush.done():
            self._flush = asyncio.get_running_loop().create_task(self._commit_or_break())

    def commit_in_a_moment(self) -> None:
        """Commit in the background, after a moment in which the next commit may take it along. For what may happen again, should the
        process die meanwhile."""
        if self._moment is None:
            self._moment = asyncio.get_running_loop().call_later(MOMENT_SECONDS, self._moment_is_over)

    def _moment_is_over(self) -> None:
        self._moment = None
        self.commit_soon()

    async def _commit_or_break(self) -> None:
        try:
            while self.journal.pending:
                await self.commit()
        except StoreError as error:
            self.broken = error
            if self.task is not None:
                self.task.cancel()

    async def entry(self, seq: int) -> AnyEntry:
        """One of this lifetime's entries, stored or not."""
        known = self._recent.get(seq) or next((entry for entry in self._unseen if entry.seq == seq), None)
        return known or await self.plane.entry(self.journal.lifetime_id, seq)

    def borrow_thread(self) -> ToolThread:
        """The run's thread for synchronous nodes, or another one while a node of another branch has it."""
        thread, self.thread = self.thread, None
        return thread or ToolThread()

    def return_thread(self, thread: ToolThread) -> None:
        """Give a thread back; one is kept."""
        if self.thread is None:
            self.thread = thread
        else:
            thread.stop()

    def stop(self, reason: str) -> None:
        """End the run as soon as what is running has been cancelled. The first reason stands."""
        if self.stop_reason is None and not self.state.terminal:
            self.stop_reason = reason
            if self.task is not None:
                # Not at once: a task that is cancelled before its first step never runs, and nobody would write the end.
                asyncio.get_running_loop().call_soon(self.task.cancel)

    async def ask(self, request: HitlRequest, *, within: str | None = None) -> HitlResponse:
        """Put a question into the record and wait for its answer, however long that takes. An answer already recorded is returned at
        once; the same request is never put twice. `within` is the execution that asks, where one does.

        Raises:
            ReplayDivergence: after a crash, what is asked here is not what was asked, so what was answered does not answer it.
        """
        recorded = self.answers.get(request.request_id) or self.state.requests.get(request.request_id)
        if recorded is not None and recorded.subject_hash != request.subject_hash:
            raise ReplayDivergence(
                f"request {request.request_id}", expected=recorded.subject_hash, actual=f"{request.title} {request.args}"
            )
        if request.request_id in self.answers:
            return self.answers[request.request_id]
        answer: asyncio.Future[HitlResponse] = asyncio.get_running_loop().create_future()
        self.asked[request.request_id] = Question(answer, within)
        links = Links(parent_exec_id=within)
        try:
            if recorded is None:
                header = self.header(request.request_id, request.kind, "WAITING")
                self.write(HitlEvent, phase="requested", header=header, links=links, request=request)
                await self.commit()
            await self.take_decisions()
            self._look_soon()
            response = await self._decided(request, answer)
        finally:
            del self.asked[request.request_id]
        if response.value is not None:
            response = response.model_copy(update={"value": await self.plane.spill(response.value)})
        self.answers[request.request_id] = response
        header = self.header(request.request_id, request.kind, "SUCCEEDED")
        self.write(HitlEvent, phase="answered", header=header, links=links, response=response)
        await self.commit()
        return response

    async def _decided(self, request: HitlRequest, answer: asyncio.Future[HitlResponse]) -> HitlResponse:
        """The answer, or when the request has expired that it has."""
        if request.expires_at is None:
            return await answer
        left = (request.expires_at - self.clock.now()).total_seconds()
        late = asyncio.ensure_future(self.clock.sleep(max(0.0, left)))
        try:
            either: list[asyncio.Future[Any]] = [answer, late]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            late.cancel()
        if answer.done():
            return answer.result()
        return HitlResponse(request_id=request.request_id, decision="expired", actor="clock", subject_hash=request.subject_hash)

    async def take_decisions(self) -> None:
        """Hand decisions from the inbox to whoever waits for them. One that does not fit its question is left where it is."""
        if not self.asked:
            return
        for item in await self.plane.state.decisions(self.journal.lifetime_id):
            question = self.asked.get(item.request_id)
            if question is None or question.answer.done():
                continue
            try:
                response = HitlResponse.model_validate_json(item.data)
            except ValidationError as error:
                logger.warning("the decision for request %s cannot be read: %s", item.request_id, error)
                continue
            if why := misfit(self.state.requests[item.request_id], response):
                logger.warning("the decision for request %s is not taken: %s", item.request_id, why)
                continue
            question.answer.set_result(response)

    def _look_soon(self) -> None:
        if self._look is None and self._look_after is not None:
            self._look = asyncio.get_running_loop().call_later(self._look_after, self._look_whether_to_park)

    def _look_whether_to_park(self) -> None:
        self._look = None
        if self._look_after is None or self.task is None or not self.asked:
            return
        if self._may_park(self):
            self.parking = True
            self.task.cancel()
        else:
            self._look_after = min(2 * self._look_after, LONGEST_LOOK)
            self._look_soon()

    def _remember(self, entry: AnyEntry) -> None:
        self.conversation.extend(entry.messages)
        self._recent[entry.seq] = entry
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
