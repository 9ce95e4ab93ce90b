"""The calls of one block: answered from the record first, then by the host, and kept in order.

One mechanism serves replay (recorded calls only), promotion to another engine in the middle of a block (recorded calls, then live ones)
and a plain run (live calls only).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from workbench.errors import ReplayDivergence, ToolFailed, UnencodableValue, WorkbenchError
from workbench.record.codec import decode_value, encode_value, roundtrip
from workbench.record.sandbox_items import RecordedCall
from workbench.record.values import ErrorInfo, Payload
from workbench.sandbox.engine import HostCall, ProgramEnd, Raised

Raisable = Callable[[str, str], Raised]


class Journal:
    """Answers the calls of one block and remembers them in `calls`."""

    def __init__(
        self, where: str, raisable: Raisable, *, limit: int, recorded: Sequence[RecordedCall] = (), live: HostCall | None = None
    ) -> None:
        self.calls: list[RecordedCall] = []
        self.hit_limit = False
        self.ends_unanswered = False
        """For the replay of a block that ended at its call limit: the first call beyond the record ends the program."""
        self.divergence: ReplayDivergence | None = None
        """What went wrong in a replay. Sandbox code must not be able to catch it, so it is kept here and the program ended."""
        self._where = where
        self._raisable = raisable
        self._limit = limit
        self._recorded = recorded
        self._live = live

    def again(self, live: HostCall | None) -> Journal:
        """A journal for running the same block once more: what was answered stays answered."""
        return Journal(self._where, self._raisable, limit=self._limit, recorded=tuple(self.calls), live=live)

    async def call(self, tool: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer one call; raises `Raised` into the program, or `ProgramEnd`."""
        place = len(self.calls)
        given = self._given(tool, args, kwargs)
        if place < len(self._recorded):
            return self._repeat(self._recorded[place], tool, given, place)
        if self._live is None:
            if not self.ends_unanswered:
                self.divergence = ReplayDivergence(f"{self._where}, call {place}", expected="no further call", actual=tool)
            raise ProgramEnd
        if place >= self._limit:
            self.hit_limit = True
            raise ProgramEnd
        return await self._ask(self._live, tool, args, kwargs, given)

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

    def _repeat(self, recorded: RecordedCall, tool: str, given: Payload, place: int) -> Any:
        if (recorded.tool, recorded.args.inline) != (tool, given.inline):
            where = f"{self._where}, call {place}"
            expected, actual = (recorded.tool, recorded.args.inline), (tool, given.inline)
            self.divergence = ReplayDivergence(where, expected=expected, actual=actual)
            raise ProgramEnd
        self.calls.append(recorded)
        if recorded.error is not None:
            raise self._raisable(recorded.error.type or "Exception", recorded.error.message)
        if recorded.result is None:
            raise ProgramEnd
        return decode_value(recorded.result.inline)

    async def _ask(self, live: HostCall, tool: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: Payload) -> Any:
        error: ErrorInfo
        try:
            copied = args if tool.startswith("os.") else tuple(roundtrip(arg) for arg in args)
            value = await live(tool, copied, kwargs if tool.startswith("os.") else {name: roundtrip(arg) for name, arg in kwargs.items()})
            inline = encode_value(value)
        except ProgramEnd:
            self.calls.append(RecordedCall(tool=tool, args=given))
            raise
        except asyncio.CancelledError:
            error = ErrorInfo(code="interrupted", type="Interrupted", message="the call was interrupted; it may have had its effect")
            self.calls.append(RecordedCall(tool=tool, args=given, error=error))
            raise
        except UnencodableValue as unencodable:
            error = ErrorInfo(code="tool_output_invalid", type="TypeError", message=f"{tool} returned an unfit value: {unencodable}")
        except Exception as failure:  # noqa: BLE001 - whatever a tool raises belongs to the program that called it
            error = _described(failure)
        else:
            self.calls.append(RecordedCall(tool=tool, args=given, result=Payload(inline=inline)))
            return decode_value(inline)
        self.calls.append(RecordedCall(tool=tool, args=given, error=error))
        raise self._raisable(error.type or "Exception", error.message)


def _described(failure: Exception) -> ErrorInfo:
    code = failure.code if isinstance(failure, WorkbenchError) else "tool_failed"
    message = str(failure)
    kind = failure.type if isinstance(failure, ToolFailed) else type(failure).__name__
    if kind == "KeyError" and len(message) > 1 and message[0] == message[-1] and message[0] in "'\"":
        message = message[1:-1]  # str() of a KeyError is the repr of its key; raised again inside, it would be quoted twice
    return ErrorInfo(code=code, type=kind, message=message)
