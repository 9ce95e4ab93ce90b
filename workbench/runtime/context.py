"""TaskContext: all that node code may touch.

Every effect that goes through it is recorded, and on resume answered from the record: a call with a recorded outcome returns it; a call
that a crash cut off is repeated only if its tool is idempotent, and otherwise a person says whether it happened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol

from workbench.errors import (
    NodeTimeout,
    ToolDenied,
    ToolError,
    UserError,
)
from workbench.record.envelope import ABSENT, Telemetry
from workbench.record.refs import TaskRef
from workbench.record.values import BlobRef, Message, Usage
from workbench.runtime.calls import Calls
from workbench.runtime.clock import Clock
from workbench.runtime.data_plane import RUN_TOPIC
from workbench.runtime.lifetime import Lifetime
from workbench.runtime.limits import Limits
from workbench.runtime.requests import approval_id, question
from workbench.runtime.timers import lifetime_left
from workbench.schemas import AnswerSchema

logger = logging.getLogger("workbench.task")


class Stream(Protocol):
    """Something with a record of its own that runs take along."""

    async def write_new(self, life: Lifetime) -> None:
        """Write to its journal what is new."""
        ...


class TaskContext:
    """One execution of a Task, as its code sees it."""

    def __init__(self, life: Lifetime, ref: TaskRef) -> None:
        self._life = life
        self._ref = ref
        self._asked = 0
        self.limits = Limits()
        self.messages: list[Message] = []
        """What `say` has added; stored when the Task finishes."""
        self.links: dict[str, Any] = {}
        self.telemetry: dict[str, Any] = {}
        self._calls = Calls(life, ref, self.limits, self.telemetry)
        self.dispatched_at: float | None = None
        """On the monotonic clock; None where another process dispatched it."""

    def begin(self) -> None:
        """The first line of the node's code is about to run."""
        if self.dispatched_at is not None:
            self.telemetry["queue_ms"] = round((self._life.clock.monotonic() - self.dispatched_at) * 1e3, 3)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Where the node's code logs: every line carries the ids of the run and of this execution, and the node's name."""
        return BoundLogger(logger, self._ids)

    @property
    def _ids(self) -> dict[str, Any]:
        ref = self._ref
        return {"lifetime_id": self.lifetime_id, "exec_id": ref.exec_id, "node": ref.name, "attempt": ref.attempt}

    def heartbeat(self) -> None:
        """Say, from any thread, that the code is alive. A node with a `heartbeat_timeout` has to, at least that often."""
        self.limits.beat()

    @property
    def remaining(self) -> float | None:
        """How many seconds this execution has left, by its own timeout and by its lifetime's; None where neither has a limit."""
        left = [seconds for seconds in (self.limits.remaining(), lifetime_left(self._life)) if seconds is not None]
        return max(0.0, min(left)) if left else None

    @property
    def deadline(self) -> datetime | None:
        """When this execution has to be done; None where it has no limit."""
        left = self.remaining
        return None if left is None else self._life.clock.now() + timedelta(seconds=left)

    @contextmanager
    def logged(self) -> Iterator[None]:
        """One line when the execution starts and one when it finishes, whatever comes of it."""
        logger.info("task %s started", self._ref.name, extra=self._ids)
        try:
            yield
        finally:
            if self._life.parking:
                logger.info("task %s is parked", self._ref.name, extra=self._ids)
            else:
                task = self._life.state.unrouted.get(self.exec_id)
                status = "CANCELLED" if task is None else task.status
                logger.info("task %s finished: %s", self._ref.name, status, extra={**self._ids, "status": status})

    @property
    def lifetime_id(self) -> str:
        """The run."""
        return self._life.journal.lifetime_id

    @property
    def exec_id(self) -> str:
        """This execution; the same after a crash and resume."""
        return self._ref.exec_id

    @property
    def idempotency_key(self) -> str:
        """What to send along with an effect so that its receiver can tell a repetition: stable over crashes and retries."""
        return self._ref.input_id or self._ref.exec_id

    @property
    def iteration_idx(self) -> int:
        """How many times this node has run before in this lifetime."""
        return self._ref.iteration_idx

    @property
    def attempt(self) -> int:
        """From 1."""
        return self._ref.attempt

    @property
    def clock(self) -> Clock:
        """The run's time and randomness. They are no part of the record: what depends on them belongs into an `effect`."""
        return self._life.clock

    @property
    def resources(self) -> Any:
        """The live objects the run was started with."""
        return self._life.binding.resources

    @property
    def conversation(self) -> tuple[Message, ...]:
        """Every message so far, this execution's included."""
        return (*self._life.conversation, *self.messages)

    async def blob(self, data: bytes, media_type: str = "application/octet-stream") -> BlobRef:
        """Store bytes beside the record, which then need only be referred to: return `ref.model_dump()`, or part of it. The same bytes
        have one blob."""
        return await self._life.plane.put_blob(data, media_type)

    async def read_blob(self, ref: BlobRef | Mapping[str, Any]) -> bytes:
        """The bytes of a reference.

        Raises:
            BlobMissing, BlobCorrupt
        """
        return await self._life.plane.get_blob(BlobRef.model_validate(ref))

    def say(self, *messages: Message) -> None:
        """Add to the conversation."""
        for message in messages:
            if not isinstance(message, Message):
                raise UserError(f"say() takes messages; got a {type(message).__name__}. Write Message(role='user', content=…)")
        self.messages.extend(messages)

    def usage(self, usage: Usage, *, model: str, cost_usd: str | None, retries: int = 0, price_table: str | None = None) -> None:
        """Report what a model call used; an unknown price is recorded as unpriced, never as 0."""
        numbers = {**usage.model_dump(), "model": model, "cost_usd": cost_usd, "retries": retries, "price_table": price_table}
        used = Telemetry(**numbers, unpriced=cost_usd is None)
        self.telemetry.update(used.model_dump(exclude_defaults=True))

    def link_sandbox(self, sandbox_id: str, block_no: int) -> None:
        """Say which block of which sandbox stream this execution ran."""
        self.links.update(sandbox_id=sandbox_id, block_no=block_no)

    async def keep(self, stream: Stream) -> None:
        """Store what a stream of its own (a sandbox session's) has gained, in one transaction with this Task's result."""
        await stream.write_new(self._life)

    def leave(self, value: Any) -> None:
        """Say what there is of the output, for a Task that is being cancelled: it stands in the entry that says so."""
        self._life.left[self.exec_id] = value

    def emit(self, kind: str, **fields: Any) -> None:
        """Send an ephemeral piece (tokens, output as it comes) to whoever watches. It is not stored."""
        self._life.plane.bus.publish(RUN_TOPIC, self.lifetime_id, {"type": kind, "exec_id": self.exec_id, **fields})

    async def call_tool(self, name: str, args: Mapping[str, Any], *, refused: ToolError | None = None) -> Any:
        """Call a tool, with exactly one intent and one outcome in the record. A call that is `refused` beforehand (its arguments fit no
        signature) is recorded with that error and not made.

        Raises:
            ToolError: what went wrong, with a message that is safe to show to a model.
            ReplayDivergence: the recorded call at this place was another one.
        """
        tools = self._life.binding.tools
        tool = tools.tools.get(name)
        ordinal = self._calls.next()
        if refused is None:
            try:
                args = await self._calls.let_through(ordinal, name, args, asks=tool is not None and tool.asks(args))
            except ToolDenied as denied:
                refused = denied

        async def perform() -> Any:
            if refused is not None:
                raise refused
            return await tools.call(name, args, approved=True)

        return await self._calls.made(ordinal, name, args, perform, idempotent=refused is not None or tool is None or tool.idempotent)

    async def approve(self, name: str, args: Mapping[str, Any], *, title: str) -> Mapping[str, Any]:
        """Ask a person whether something may be done, and return the arguments with which it may: those given, or others. What was always
        allowed under this `name` in this run is not asked about again.

        Raises:
            ToolDenied: it may not be done, or nobody is there to ask.
        """
        life, call_id = self._life, self._calls.id_of(self._calls.next())
        request_id = approval_id(life, call_id)
        if name in life.state.allowed and request_id not in life.answers and request_id not in life.state.requests:
            return args
        return await self._calls.approved(call_id, name, args, title)

    async def ask_human(
        self,
        text: str,
        *,
        schema: dict[str, Any] | type[Any] | None = None,
        about: Any = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a person's time, kept in the record and beyond this process
        default: Any = ABSENT,
    ) -> Any:
        """Ask a person and wait for the answer, in this process or, after a crash, in the one that goes on with the run.

        An answer that does not match the `schema` (a JSON Schema or a pydantic class, which gives an instance) is refused where it is
        given. `about` is shown with the question. After `timeout` seconds the answer is `default`; without one that is an error. Other
        limits do not run meanwhile.

        Raises:
            NodeTimeout: nobody has answered in time, and there is no default.
        """
        life = self._life
        self._asked += 1
        shape = None if schema is None else AnswerSchema(schema)
        left = lifetime_left(life)
        if timeout is not None and left is not None:
            timeout = min(timeout, left)
        request = question(
            life,
            f"{self.exec_id}|{self._asked}",
            self._ref.name,
            text,
            about=await life.plane.payload(about),
            schema=shape.json_schema if shape else None,
            timeout=timeout,
        )
        with self.limits.off_the_clock():
            response = await life.ask(request, within=self.exec_id)
        match response.decision:
            case "answered":
                value = await life.plane.value(response.value)
                return shape.convert(value) if shape else value
            case "expired" if default is not ABSENT:
                return default
            case "expired":
                raise NodeTimeout(f"nobody answered {text!r} within {timeout:g} s")
            case _:
                life.stop(f"stopped by {response.actor}, who was asked {text!r}")
                await asyncio.sleep(0)  # where the order to stop arrives
                raise ToolDenied("the run was stopped")

    async def effect(self, name: str, args: Mapping[str, Any], perform: Callable[[], Awaitable[Any]], *, idempotent: bool = False) -> Any:
        """Do something whose outcome must be in the record, and return it; on resume the recorded outcome is returned instead.

        `perform` may raise a ToolError, which is recorded and raised again. `idempotent` says that it may be repeated after a crash.
        """
        ordinal = self._calls.next()
        try:
            args = await self._calls.let_through(ordinal, name, args, asks=False)
        except ToolDenied as denied:
            refusal = denied

            async def refuse() -> Any:
                raise refusal

            return await self._calls.made(ordinal, name, args, refuse, idempotent=True)
        return await self._calls.made(ordinal, name, args, perform, idempotent=idempotent)


class BoundLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds its ids to what a line carries already."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(kwargs.get("extra") or {}), **(self.extra or {})}}
