"""The calls of one execution: each is let through, asked about, made or answered from the record, with one intent and one outcome.

A call with a recorded outcome returns it; one that a crash cut off is repeated only if its tool is idempotent, and otherwise a person says
whether it happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from workbench.errors import ReplayDivergence, StoreError, ToolDenied, ToolError, ToolFailed, ToolOutputInvalid, UnencodableValue, UserError
from workbench.raised import trace
from workbench.record.codec import digest
from workbench.record.envelope import Links, Telemetry, ToolCallEntry
from workbench.record.refs import TaskRef
from workbench.record.values import ErrorInfo, Payload, ToolCall, make_id
from workbench.runtime.data_plane import RUN_TOPIC
from workbench.runtime.lifetime import Lifetime
from workbench.runtime.limits import Limits
from workbench.runtime.pieces import Pieces
from workbench.runtime.requests import approval, approval_id, unknown_outcome
from workbench.tools.executor import error_info, safe_text
from workbench.tools.printed import Printed, caught
from workbench.tools.recorded import recorded_args, with_secrets


class Calls:
    """Makes the calls of one execution, and counts them in its telemetry."""

    def __init__(self, life: Lifetime, ref: TaskRef, limits: Limits, telemetry: dict[str, Any]) -> None:
        self._life = life
        self._ref = ref
        self._limits = limits
        self._telemetry = telemetry
        self._count = 0

    async def let_through(self, ordinal: int, name: str, args: Mapping[str, Any], *, asks: bool) -> Mapping[str, Any]:
        """The arguments with which a call may be made, by the run's policy and by whom it may have to ask.

        Raises:
            ToolDenied: it may not.
        """
        life = self._life
        if life.guard is None and not asks and not life.answers and not life.state.requests:
            return args
        call_id = self.id_of(ordinal)
        request_id = approval_id(life, call_id)
        if call_id in life.recorded_calls or call_id in life.state.open_calls:
            # What was decided then counts, not what is allowed by now; a call that nobody could be asked about was refused.
            asks = request_id in life.answers or (asks and life.binding.unattended)
            return await self.approved(call_id, name, args) if asks else args
        if life.guard is not None:
            with self._limits.off_the_clock():
                asks = await life.guard.judge_call(self._ref, call_id, name, self.kept(name, args), ordinal) or asks
        asked_before = request_id in life.answers or request_id in life.state.requests
        if asked_before or (asks and name not in life.state.allowed):
            return await self.approved(call_id, name, args)
        return args

    async def approved(self, call_id: str, name: str, args: Mapping[str, Any], title: str | None = None) -> Mapping[str, Any]:
        """The arguments with which a person lets the call go on, maybe changed.

        Raises:
            ToolDenied: a person refused it, or nobody is there to ask.
        """
        life = self._life
        if life.binding.unattended:
            raise ToolDenied(f"{name!r} needs a person's approval, and nobody is there to give it")
        with self._limits.off_the_clock():
            asked = approval(life, call_id, name, await life.plane.payload(self.kept(name, args)), title)
            response = await life.ask(asked, within=self._ref.exec_id)
        match response.decision:
            case "approved" | "approved_always":
                return args if response.value is None else with_secrets(await life.plane.value(response.value), args)
            case "stop":
                life.stop(f"stopped by {response.actor}, who was asked to approve {name!r}")
                raise ToolDenied("the run was stopped")
            case _:
                raise ToolDenied(f"{response.actor} refused the call of {name!r}" + (f": {response.note}" if response.note else ""))

    def next(self) -> int:
        """The place of a call among those of this execution: fixed when it is made, whatever it then waits for."""
        self._count += 1
        return self._count - 1

    def id_of(self, ordinal: int) -> str:
        """The id of call number `ordinal`, which is also its idempotency key."""
        return make_id(self._life.journal.lifetime_id, self._ref.exec_id, "call", ordinal)

    async def made(
        self, ordinal: int, name: str, args: Mapping[str, Any], perform: Callable[[], Awaitable[Any]], *, idempotent: bool
    ) -> Any:
        """Make call number `ordinal`, or return what the record has as its outcome."""
        life, call_id = self._life, self.id_of(ordinal)
        if self._ref.exec_id not in life.state.running:
            raise UserError(f"{self._ref.name!r} has finished, so it cannot call {name!r}; await its calls before it returns")
        recorded = life.recorded_calls.pop(call_id, None)
        if recorded is not None:
            await self._compare(recorded, name, args)
            return await self._outcome(recorded)
        if call_id in life.state.open_calls:
            intent = await life.entry(life.state.open_calls[call_id].seq)
            assert isinstance(intent, ToolCallEntry)
            call = intent.call
            await self._compare(call, name, args)
            settled = None if call.idempotent else await self._settle(call_id, call)
            if settled is not None:
                return await self._finish(call_id, settled, 0.0)
        else:
            payload = await life.plane.payload(self.kept(name, args))
            call = ToolCall(tool=name, ordinal=ordinal, args=payload, idempotency_key=call_id, idempotent=idempotent)
            life.write(ToolCallEntry, phase="intent", header=life.header(call_id, name, "RUNNING"), links=self._within(), call=call)
            await life.commit()
        return await self._perform(call_id, call, perform)

    async def _perform(self, call_id: str, call: ToolCall, perform: Callable[[], Awaitable[Any]]) -> Any:
        life, started = self._life, self._life.clock.monotonic()
        pieces = Pieces(
            lambda text: life.plane.bus.publish(RUN_TOPIC, life.journal.lifetime_id, {"type": "print", "exec_id": call_id, "text": text})
        )
        # In the test profile the same seed gives the same bytes; what goes to standard error is warnings and progress, with times in it.
        printed = Printed(alone=life.hushed, tell=pieces.add, errors=not life.binding.tools.inline)
        outcome: dict[str, Any]
        try:
            with caught(printed):
                value = await perform()
            outcome = {"result": await life.plane.payload(value)}
        except StoreError:
            raise
        except asyncio.CancelledError:
            life.left[call_id] = printed
            raise
        except ToolError as error:
            outcome = {"error": error_info(error)}
        except UnencodableValue as error:
            outcome = {"error": error_info(ToolOutputInvalid(f"{call.tool}: {error}"))}
        except Exception as error:  # noqa: BLE001 - a call has an outcome, whatever it raises
            outcome = {"error": error_info(ToolFailed(safe_text(error, ()), type=type(error).__name__, trace=trace(error)))}
        except (KeyboardInterrupt, SystemExit) as error:
            # They mean "stop", whether a person or the tool itself says so; were they to reach the loop, it would end with them.
            life.stop(f"the tool {call.tool!r} raised {type(error).__name__}")
            outcome = {"error": ErrorInfo(code="stopped", message="the tool stopped the run", type=type(error).__name__)}
        finally:
            pieces.close()
        return await self._finish(call_id, call.model_copy(update=outcome | await _said(life, printed)), life.clock.monotonic() - started)

    async def _finish(self, call_id: str, call: ToolCall, seconds: float) -> Any:
        """Record the outcome and hand it on. It is stored in the background, since any later durable entry of the run implies it; where the
        call must not happen twice, at once."""
        life = self._life
        if call_id not in life.state.open_calls:
            raise UserError(f"{self._ref.name!r} finished before its call of {call.tool!r}, whose outcome is recorded as unknown")
        header = life.header(call_id, call.tool, "FAILED" if call.error else "SUCCEEDED")
        life.write(
            ToolCallEntry,
            phase="outcome",
            header=header,
            links=self._within(),
            call=call,
            telemetry=Telemetry(latency_ms=round(seconds * 1e3, 3)),
        )
        if call.idempotent:
            life.commit_in_a_moment()
        else:
            life.commit_soon()
        return await self._outcome(call)

    async def _compare(self, recorded: ToolCall, name: str, args: Mapping[str, Any]) -> None:
        """Make sure that a call is the one that the record has at its place."""
        expected = (recorded.tool, digest(await self._life.plane.value(recorded.args)))
        actual = (name, digest(self.kept(name, args)))
        if expected != actual:
            raise ReplayDivergence(f"call {recorded.ordinal} of {self._ref.name}", expected=expected, actual=actual)

    async def _outcome(self, call: ToolCall) -> Any:
        if self._life.stop_reason is not None:
            await asyncio.sleep(0)  # where the order to stop arrives
        self._telemetry["tool_calls"] = self._telemetry.get("tool_calls", 0) + 1
        if call.error is not None:
            raise tool_error(call.error)
        return await self._life.plane.value(call.result)

    async def _settle(self, call_id: str, call: ToolCall) -> ToolCall | None:
        """A call that may or may not have happened: the call with the outcome a person gives it, or None if it has to be made."""
        request = unknown_outcome(self._life, call_id, call.tool, call.args)
        with self._limits.off_the_clock():
            response = await self._life.ask(request, within=self._ref.exec_id)
        match response.decision:
            case "happened":
                return call.model_copy(update={"result": response.value or Payload()})
            case "did_not_happen":
                return None
            case _:
                self._life.stop(f"stopped by {response.actor}, who did not know whether {call.tool!r} had happened")
                return call.model_copy(update={"error": error_info(ToolDenied("the run was stopped"))})

    def kept(self, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """What the record keeps of a call's arguments: secrets are not in it, when they are written, compared or shown to a person."""
        return recorded_args(self._life.binding.tools.tools.get(name), args)

    def _within(self) -> Links:
        return Links(parent_exec_id=self._ref.exec_id)


async def leave_open_calls(life: Lifetime, exec_id: str, why: str) -> None:
    """Say of every call that an execution leaves in flight that its outcome is unknown."""
    for call in [call for call in life.state.open_calls.values() if call.exec_id == exec_id]:
        intent, printed = await life.entry(call.seq), life.left.pop(call.call_id, None)
        said = await _said(life, printed) if printed is not None else {}
        if call.call_id not in life.state.open_calls:
            continue  # its outcome came meanwhile
        assert isinstance(intent, ToolCallEntry)
        life.write(
            ToolCallEntry,
            phase="outcome",
            header=life.header(call.call_id, call.tool, "UNKNOWN"),
            links=intent.links,
            call=intent.call.model_copy(update=said | {"error": ErrorInfo(code="outcome_unknown", message=why)}),
        )


async def _said(life: Lifetime, printed: Printed) -> dict[str, Any]:
    """What the record keeps of what a call printed."""
    return {"prints": printed.text, "pictures": tuple([await life.plane.payload(picture._asdict()) for picture in printed.pictures])}


def tool_error(info: ErrorInfo) -> ToolError:
    """The exception that a recorded tool error stands for."""
    if info.code == ToolFailed.code:
        return ToolFailed(info.message, type=info.type or "Exception")
    kinds = {kind.code: kind for kind in ToolError.__subclasses__()}
    return kinds.get(info.code, ToolError)(info.message)
