"""The calls of one block: answered from the record first, then by the host, and kept in order.

One mechanism serves replay (recorded calls only), promotion to another engine in the middle of a block (recorded calls, then live ones)
and a plain run (live calls only).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from workbench.errors import ReplayDivergence, ToolFailed, UnencodableValue, WorkbenchError
from workbench.loop import begun
from workbench.record.codec import decode_value, encode_value, roundtrip
from workbench.record.sandbox_items import RecordedCall
from workbench.record.values import ErrorInfo, Payload
from workbench.sandbox.engine import HostCall, Limits, ProgramEnd, Raised, Recorded
from workbench.sandbox.weight import told, weight

PATIENCE = 60.0
"""Seconds that an engine is kept for a call; a person may take days to answer one."""

_TOO_BIG = Payload(inline={"too_big": True})
"""What is recorded in the place of arguments that were too big to be passed on."""

Raisable = Callable[[str, str], Raised]


class Parked(Exception):
    """The answer to a call is long in coming. The engine is given up; once `Journal.answered`, the block is run again up to here."""


class Journal:
    """Answers the calls of one block and remembers them in `calls`."""

    def __init__(
        self,
        where: str,
        raisable: Raisable,
        *,
        limits: Limits,
        recorded: Sequence[RecordedCall] = (),
        live: HostCall | None = None,
        form: Recorded | None = None,
    ) -> None:
        self.calls: list[RecordedCall] = []
        self.hit_limit: str | None = None
        """What there was too much of; the program was ended."""
        self.ends_unanswered = False
        """For the replay of a block that ended at its call limit: the first call beyond the record ends the program."""
        self.divergence: ReplayDivergence | None = None
        """What went wrong in a replay. Sandbox code must not be able to catch it, so it is kept here and the program ended."""
        self._where = where
        self._raisable = raisable
        self._limits = limits
        self._traffic = 0
        self._recorded = recorded
        self._live = live
        self._form = form
        self._waiting: asyncio.Task[RecordedCall] | None = None
        self._unanswered: RecordedCall

    def again(self, live: HostCall | None) -> Journal:
        """A journal for running the same block once more: what was answered stays answered."""
        return Journal(self._where, self._raisable, limits=self._limits, recorded=tuple(self.calls), live=live, form=self._form)

    async def call(self, tool: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer one call; raises `Raised` into the program, or `ProgramEnd`, or `Parked` when the answer is long in coming."""
        place = len(self.calls)
        if place < len(self._recorded):
            recorded = self._recorded[place]
            given = recorded.args if recorded.args == _TOO_BIG else self._given(tool, args, kwargs)
            expected, actual = (recorded.tool, recorded.args.inline), (tool, _as_recorded(recorded.args.inline, given.inline))
            if expected != actual:
                self.divergence = ReplayDivergence(f"{self._where}, call {place}", expected=expected, actual=actual)
                raise ProgramEnd
            self.calls.append(recorded)
        elif self._live is None:
            if not self.ends_unanswered:
                self.divergence = ReplayDivergence(f"{self._where}, call {place}", expected="no further call", actual=tool)
            raise ProgramEnd
        elif place >= self._limits.max_tool_calls:
            self._end(f"made more than {self._limits.max_tool_calls} tool calls")
        elif (size := weight([args, kwargs], self._limits.max_args)) > self._limits.max_args:
            message = f"{tool}() was given more than {told(self._limits.max_args)}, which a call may carry; the call was not made"
            refused = ErrorInfo(code="sandbox_limit", type="ValueError", message=message)
            self.calls.append(RecordedCall(tool=tool, args=_TOO_BIG, error=refused))
        else:
            self._count(size)
            kept = (args, kwargs) if self._form is None else self._form(tool, args, kwargs)
            await self._ask(self._live, tool, args, kwargs, self._given(tool, *kept))
        return self._answer(self.calls[-1])

    def _count(self, size: int) -> None:
        self._traffic += size
        if self._traffic > self._limits.max_traffic:
            self._end(f"moved more than {told(self._limits.max_traffic)} in and out of the sandbox")

    def _end(self, limit: str) -> None:
        self.hit_limit = limit
        raise ProgramEnd

    def _answer(self, call: RecordedCall) -> Any:
        if call.error is not None:
            raise self._raisable(call.error.type or "Exception", call.error.message)
        if call.result is None:
            raise ProgramEnd
        return decode_value(call.result.inline)

    async def answered(self) -> None:
        """Wait for the call that parked the block; its answer is then in `calls`."""
        assert self._waiting is not None
        try:
            self.calls.append(await self._waiting)
        except asyncio.CancelledError:
            self._waiting.cancel()
            self.calls.append(self._unanswered)
            raise

    @staticmethod
    def _given(tool: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Payload:
        try:
            return Payload(inline=encode_value({"args": list(args), "kwargs": kwargs}))
        except UnencodableValue as error:
            if tool.startswith("os."):  # a time zone, say: the engine's own object, told apart well enough by its text
                return Payload(
                    inline=encode_value({"args": [repr(arg) for arg in args], "kwargs": {k: repr(v) for k, v in kwargs.items()}})
                )
            raise Raised("TypeError", f"{tool}(): {error}") from None

    async def _ask(self, live: HostCall, tool: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: Payload) -> None:
        task = begun(self._outcome(live, tool, args, kwargs, given))
        if task.done():
            self.calls.append(task.result())
            return
        interrupted = ErrorInfo(code="interrupted", type="Interrupted", message="the call was interrupted; it may have had its effect")
        self._unanswered = RecordedCall(tool=tool, args=given, error=interrupted)
        try:
            await asyncio.wait({task}, timeout=PATIENCE)
        except asyncio.CancelledError:
            task.cancel()
            self.calls.append(self._unanswered)
            raise
        if not task.done():
            self._waiting = task
            raise Parked
        self.calls.append(task.result())

    async def _outcome(self, live: HostCall, tool: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: Payload) -> RecordedCall:
        """Carry out one call; whatever comes of it is in the record of it."""
        try:
            if not tool.startswith("os."):
                args, kwargs = tuple(roundtrip(arg) for arg in args), {name: roundtrip(arg) for name, arg in kwargs.items()}
            value = await live(tool, args, kwargs)
            result = Payload(inline=encode_value(value))
            if (size := weight(value, self._limits.max_result)) <= self._limits.max_result:
                self._traffic += size
                return RecordedCall(tool=tool, args=given, result=result)
            message = f"{tool} returned more than {told(self._limits.max_result)}, which a call may carry into the sandbox; ask for less"
            error = ErrorInfo(code="sandbox_limit", type="ValueError", message=message)
        except ProgramEnd:
            return RecordedCall(tool=tool, args=given)
        except UnencodableValue as unfit:
            error = ErrorInfo(code="tool_output_invalid", type="TypeError", message=f"{tool} returned an unfit value: {unfit}")
        except Exception as failure:  # noqa: BLE001 - whatever a tool raises belongs to the program that called it
            error = _described(failure)
        return RecordedCall(tool=tool, args=given, error=error)


def _as_recorded(recorded: Any, given: Any) -> Any:
    """Arguments that are given again, without what was a secret when they were recorded: nobody knows any more which it was."""
    if not isinstance(recorded, dict) or recorded.keys() != {"args", "kwargs"}:
        return given
    args, kwargs = recorded["args"], recorded["kwargs"]
    return {
        "args": [args[place] if place < len(args) and _is_secret(args[place]) else arg for place, arg in enumerate(given["args"])],
        "kwargs": {name: kwargs[name] if _is_secret(kwargs.get(name)) else arg for name, arg in given["kwargs"].items()},
    }


def _is_secret(arg: Any) -> bool:
    return isinstance(arg, dict) and arg.keys() == {"secret"}


def _described(failure: Exception) -> ErrorInfo:
    code = failure.code if isinstance(failure, WorkbenchError) else "tool_failed"
    message = str(failure)
    kind = failure.type if isinstance(failure, ToolFailed) else type(failure).__name__
    if kind == "KeyError" and len(message) > 1 and message[0] == message[-1] and message[0] in "'\"":
        message = message[1:-1]  # str() of a KeyError is the repr of its key; raised again inside, it would be quoted twice
    return ErrorInfo(code=code, type=kind, message=message)
