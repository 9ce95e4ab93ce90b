"""ToolExecutor: whatever a tool does, one call has exactly one outcome.

A call is bound, validated, run under a time limit, and its value converted. `call` returns the value or raises a `ToolError`; `execute`
never raises but returns one `ToolCall`. Only cancellation, KeyboardInterrupt and SystemExit pass through both: they stop the run, and the
caller must catch the last two before they reach the top of an asyncio task.

Retries happen only where they cannot repeat an effect. An idempotent tool is tried again after a transient failure (connection and timeout
errors, or an exception with `retryable = True`); any other tool only after an exception with `retryable = True`, with which its author says
that nothing has happened yet. A `retry_after` in seconds on the exception is honoured. The executor's own time limit is never retried:
the first call may still be running.
"""

from __future__ import annotations

import asyncio
import difflib
import inspect
import itertools
import logging
import math
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import stamina

from workbench import main_thread
from workbench.errors import (
    ToolDenied,
    ToolError,
    ToolFailed,
    ToolInputInvalid,
    ToolNotFound,
    ToolOutputInvalid,
    ToolTimeout,
    UnencodableValue,
    UserError,
)
from workbench.loop import begun
from workbench.raised import HIDDEN, trace
from workbench.record import codec
from workbench.record.values import ErrorInfo, Payload, ToolCall, make_id
from workbench.tools.info import ToolInfo
from workbench.tools.parameters import is_async
from workbench.tools.printed import aside, printing, surroundings
from workbench.tools.recorded import recorded_args, secret_texts
from workbench.tools.thread import Outcome, ToolThread, outcome_of
from workbench.tools.tool import Tool
from workbench.tools.validation import check_result, validate_arguments
from workbench.tools.values import plain

logger = logging.getLogger(__name__)

GRACE_S = 0.5
"""How long a cancelled async tool may clean up before it is abandoned."""

MAX_MESSAGE = 2_000
"""Characters of an exception's text that a model is shown."""

_TRANSIENT = (ConnectionError, TimeoutError)
_TRANSIENT_NAMES = frozenset({"httpx.TransportError", "requests.exceptions.ConnectionError", "requests.exceptions.Timeout"})
"""Transient failures of common libraries, known by name so that none of them is imported."""

_Ready = tuple[list[Any], dict[str, Any]]
"""Positional and keyword arguments, validated, defaults filled in."""


class ToolExecutor:
    """Runs tools: synchronous ones in one thread of its own, or in the main thread if they say so; asynchronous ones on the running loop.

    `timeout` holds for tools that set none. `inline=True` runs synchronous tools on the loop itself, without a time limit: the
    deterministic test profile. `scope` (a UUID) is what idempotency keys are derived from; give the lifetime's id to make them repeatable.
    """

    def __init__(
        self,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        timeout: float = 30.0,
        *,
        inline: bool = False,
        scope: str | None = None,
    ) -> None:
        self.timeout = timeout
        self.inline = inline
        self.abandoned = 0
        """Calls that outlived their limit and could not be stopped; each may still be running."""
        self._tools: dict[str, Tool] = {}
        self._scope = scope or str(uuid.uuid4())
        self._ordinals = itertools.count()
        self._thread: ToolThread | None = None
        self._turn = asyncio.Lock()
        for tool in tools:
            self.register(tool)

    @property
    def tools(self) -> Mapping[str, Tool]:
        """Name → Tool, in the order of registration; read only."""
        return MappingProxyType(self._tools)

    def register(self, tool: Tool | ToolInfo | Callable[..., Any], fn: Callable[..., Any] | None = None) -> Tool:
        """Add a tool, or replace the one of the same name. A `ToolInfo` comes with the function it describes."""
        if isinstance(tool, ToolInfo):
            if fn is None:
                raise UserError(f"ToolInfo {tool.name} has no function; register it with one, or give ToolInfo(…).tool(fn)")
            made = tool.tool(fn)
        else:
            made = Tool.of(tool)
        self._tools[made.name] = made
        return made

    async def call(self, name: str, args: Mapping[str, Any], *, approved: bool = False) -> Any:
        """Run a tool with arguments by name and return its value in the record's types.

        `approved` says that whoever had to decide about the call has: without it a call that needs a person's approval is refused.

        Raises:
            ToolDenied: the call needs an approval and has none; nothing was run.
            ToolNotFound, ToolInputInvalid: nothing was run.
            ToolTimeout: it did not return in time; whether it had an effect is unknown.
            ToolError: it needs the main thread, which did not come to it in time; nothing was run.
            ToolFailed: it raised; `type` is the exception's class name, the text is safe for a model.
            ToolOutputInvalid: it ran, but its value has no faithful form.
        """
        started = time.perf_counter()
        _log("tool started", name)
        try:
            value = await self._call(name, args, approved)
        except BaseException as error:
            duration = round((time.perf_counter() - started) * 1000, 3)
            code = error.code if isinstance(error, ToolError) else type(error).__name__
            _log("tool failed", name, error_code=code, duration_ms=duration)
            raise
        _log("tool finished", name, duration_ms=round((time.perf_counter() - started) * 1000, 3))
        return value

    async def execute(
        self,
        name: str,
        args: Mapping[str, Any],
        *,
        ordinal: int | None = None,
        idempotency_key: str | None = None,
        approved: bool = False,
    ) -> ToolCall:
        """Run a tool and return what was asked and what came of it, a result or an error, whatever the tool or the caller did wrong."""
        ordinal = next(self._ordinals) if ordinal is None else ordinal
        known = self._tools.get(name) if isinstance(name, str) else None
        asked = ToolCall(
            tool=str(name),
            ordinal=ordinal,
            # Encoded before the call: a tool that changes its arguments must not change what it was asked.
            args=Payload(inline=_encoded(known, args)),
            idempotency_key=idempotency_key or make_id(self._scope, name, ordinal),
            idempotent=known is not None and known.idempotent,
        )
        try:
            value = await self.call(name, args, approved=approved)
            result = Payload(inline=codec.encode_value(value))
        except (ToolError, UnencodableValue) as error:
            return asked.model_copy(update={"error": error_info(error)})
        return asked.model_copy(update={"result": result})

    def close(self) -> None:
        """Let the tool thread end; a later call starts a new one."""
        if self._thread is not None:
            self._thread.stop()
            self._thread = None

    async def _call(self, name: str, args: Mapping[str, Any], approved: bool) -> Any:
        tool = self._find(name)
        if not isinstance(args, Mapping):
            raise ToolInputInvalid(f"{tool.signature} was called with a {type(args).__name__} instead of a dict of arguments")
        try:
            given = dict(args)
        except Exception as error:
            raise ToolInputInvalid(f"{tool.signature}: the arguments cannot be read, {type(error).__name__}") from error
        if (call := printing()) is not None:
            unread = [given[name] for name in tool.secrets if name in given]
            call.hide(secret_texts(unread, bare=True))  # validators may print too
        ready = validate_arguments(tool, tool.bind((), given))
        if not approved and tool.asks(given):
            raise ToolDenied(f"{tool.name} needs a person's approval, and outside a run nobody is asked; have an agent or a graph call it")
        hidden = secret_texts([*ready[0], *ready[1].values()])
        if (call := printing()) is not None:
            call.hide(hidden)
        value = await self._attempts(tool, ready, hidden)
        try:
            result = plain(value)
            check_result(tool, value, result)
        except ToolOutputInvalid as error:
            raise ToolOutputInvalid(f"{tool.name}: {error}") from None
        except Exception as error:
            # The value's own code (a property, a serialiser) failed while it was read.
            raise ToolOutputInvalid(f"{tool.name}: the result cannot be read, {type(error).__name__}: {safe_text(error, ())}") from error
        return result

    def _find(self, name: str) -> Tool:
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            near = difflib.get_close_matches(str(name), self._tools, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise ToolNotFound(f"No tool is named {name!r}.{meant} The tools are: {', '.join(self._tools) or 'none'}.")
        return tool

    async def _attempts(self, tool: Tool, ready: _Ready, hidden: tuple[str, ...]) -> Any:
        if tool.retries == 0:
            return await self._attempt(tool, ready, hidden)
        attempts = stamina.retry_context(
            on=lambda error: _retry_wait(tool, error), attempts=tool.retries + 1, timeout=None, wait_jitter=0.1
        )
        async for attempt in attempts:
            with attempt:
                return await self._attempt(tool, ready, hidden)
        raise AssertionError("stamina returns or raises")

    async def _attempt(self, tool: Tool, ready: _Ready, hidden: tuple[str, ...]) -> Any:
        outcome = await self._run(tool, ready)
        error = outcome.error
        if error is None:
            return outcome.value
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise error
        raise ToolFailed(safe_text(error, hidden), type=type(error).__name__, trace=trace(error, hidden)) from error

    async def _run(self, tool: Tool, ready: _Ready) -> Outcome:
        positional, named = ready
        limit = self.timeout if tool.timeout is None else tool.timeout
        deadline = time.monotonic() + limit
        if is_async(tool.fn):
            return await self._awaited(tool, lambda: tool.fn(*positional, **named), limit, deadline)
        if self.inline:
            outcome = outcome_of(lambda: _called(tool, ready))
        else:
            async with self._turn:
                deadline = time.monotonic() + limit
                run = self._threaded if tool.on is None else self._in_main_thread
                outcome = await run(tool, lambda: _called(tool, ready), limit)
        if inspect.iscoroutine(outcome.value) or isinstance(outcome.value, asyncio.Future):
            pending = outcome.value
            return await self._awaited(tool, lambda: pending, limit, deadline)
        return outcome

    async def _threaded(self, tool: Tool, fn: Callable[[], Any], limit: float) -> Outcome:
        if self._thread is None:
            self._thread = ToolThread()
        future = self._thread.submit(fn)
        try:
            done, _ = await asyncio.wait({future}, timeout=None if limit == math.inf else limit)
        except asyncio.CancelledError:
            self._abandon(tool)
            raise
        if not done:
            self._abandon(tool)
            raise _timeout(tool, limit)
        return future.result()

    async def _in_main_thread(self, tool: Tool, fn: Callable[[], Any], limit: float) -> Outcome:
        """Let the main thread call it. The limit is one for its beginning, and then one for its end."""
        outcome = Outcome(error=KeyboardInterrupt())  # as long as nothing else came of it: an interrupt came before it did

        def work() -> None:
            nonlocal outcome
            outcome = outcome_of(fn)
            if isinstance(outcome.error, KeyboardInterrupt):
                raise KeyboardInterrupt

        job = main_thread.submit(work)
        ended = asyncio.wrap_future(job.ended)
        try:
            done, _ = await asyncio.wait({ended}, timeout=None if limit == math.inf else limit)
            if not done and job.withdraw():
                raise _not_begun(tool, limit)
            if not done:
                began = time.monotonic() if job.began is None else job.began
                done, _ = await asyncio.wait({ended}, timeout=max(0.0, began + limit - time.monotonic()))
        except asyncio.CancelledError:
            if not job.withdraw() and not job.ended.done():
                self._count_abandoned(tool)
            raise
        if not done:
            self._count_abandoned(tool)
            raise _timeout(tool, limit)
        return outcome

    async def _awaited(self, tool: Tool, start: Callable[[], Any], limit: float, deadline: float) -> Outcome:
        """Await a tool's coroutine; past the limit it is cancelled, given a moment, and then left behind.

        `asyncio.wait` neither raises the tool's own TimeoutError as ours nor lets a tool that swallows cancellation return late.
        """
        task = begun(_caught(start))
        if task.done():
            return task.result()
        remaining = None if limit == math.inf else max(0.0, deadline - time.monotonic())
        try:
            done, _ = await asyncio.wait({task}, timeout=remaining)
        except asyncio.CancelledError:
            await self._cancelled(tool, task)
            raise
        if not done:
            await self._cancelled(tool, task)
            raise _timeout(tool, limit)
        return task.result()

    async def _cancelled(self, tool: Tool, task: asyncio.Future[Outcome]) -> None:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=GRACE_S)
        if not done:
            self._count_abandoned(tool)

    def _abandon(self, tool: Tool) -> None:
        self._count_abandoned(tool)
        self.close()

    def _count_abandoned(self, tool: Tool) -> None:
        self.abandoned += 1
        _log("tool abandoned: it could not be stopped and may still be running", tool.name, logging.WARNING)


def error_info(error: Exception) -> ErrorInfo:
    """The recorded form of a failed call."""
    return ErrorInfo(
        code=getattr(error, "code", "tool_error"),
        message=str(error),
        type=error.type if isinstance(error, ToolFailed) else None,
        trace=error.trace if isinstance(error, ToolFailed) else (),
        retryable=getattr(error, "retryable", False),
    )


def safe_text(error: BaseException, hidden: Iterable[str]) -> str:
    """An exception's own text without the secrets that the call was given, shortened; never a traceback."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception whose own __str__ fails still has one outcome
        return "(its text could not be read)"
    for secret in hidden:
        text = text.replace(secret, HIDDEN)
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}… ({len(text):,} characters)"


def _retry_wait(tool: Tool, failure: Exception) -> bool | float:
    error = failure.__cause__
    if not isinstance(failure, ToolFailed) or error is None:
        return False
    says_so = getattr(error, "retryable", False) is True and not isinstance(error, ToolError)
    if not says_so and not (tool.idempotent and _is_transient(error)):
        return False
    wait = getattr(error, "retry_after", None)
    return float(wait) if isinstance(wait, (int, float)) and not isinstance(wait, bool) else True


def _is_transient(error: BaseException) -> bool:
    names = {f"{base.__module__.removesuffix('._exceptions')}.{base.__name__}" for base in type(error).__mro__}
    return isinstance(error, _TRANSIENT) or bool(names & _TRANSIENT_NAMES)


def _timeout(tool: Tool, limit: float) -> ToolTimeout:
    return ToolTimeout(f"{tool.name} did not return within {limit:g} s; whether it had an effect is unknown")


def _not_begun(tool: Tool, limit: float) -> ToolError:
    return ToolError(
        f'{tool.name} runs in the main thread (on="main"), which did not come to it within {limit:g} s; nothing was run. '
        "Let the main thread wait for the run: await run, run.result() or agent.run()"
    )


def _log(message: str, tool: str, level: int = logging.INFO, **about: Any) -> None:
    with aside():  # a handler may write to the stream that the tool prints to
        logger.log(level, message, extra={"tool_name": tool, **about})


def _called(tool: Tool, ready: _Ready) -> Any:
    with surroundings():
        return tool.fn(*ready[0], **ready[1])


async def _caught(start: Callable[[], Any]) -> Outcome:
    """Await what `start` gives and keep whatever it raises: a KeyboardInterrupt leaving a task would end the whole loop."""
    try:
        return Outcome(value=await start())
    except BaseException as error:  # noqa: BLE001 - the executor decides what each exception means
        return Outcome(error=error)


def _encoded(tool: Tool | None, args: Any) -> Any:
    """The recorded form of the arguments; what has no form at all is named."""
    try:
        return codec.encode_value(plain(recorded_args(tool, args) if isinstance(args, Mapping) else args))
    except Exception:  # noqa: BLE001 - reading a foreign object runs its code, and a call is recorded whatever that does
        return f"<{type(args).__name__} that cannot be recorded>"
