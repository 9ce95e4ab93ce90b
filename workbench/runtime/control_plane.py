"""What was appended → what happens next → its dispatch. No user code runs here.

One coroutine drives a lifetime. What follows from a finished Task (the Plan's choice, the next dispatch) is stored in one transaction with
it, unless the Plan runs in a thread and might take long: then the finish is made durable first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from workbench.errors import StoreError, WorkbenchError
from workbench.record.envelope import LifetimeEvent, Links, TaskExecution, TaskResult
from workbench.record.state import TaskRef
from workbench.record.values import ErrorInfo
from workbench.runtime.context import leave_open_calls
from workbench.runtime.decide import Complete, Fail, RunPlan, StartTask, decide
from workbench.runtime.executor import Executor, StopOrder, chosen_payload
from workbench.runtime.lifetime import Lifetime

logger = logging.getLogger(__name__)


class ControlPlane:
    """Drives lifetimes from their record to their end."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def drive(self, life: Lifetime) -> None:
        """Go on from wherever the record stands until the lifetime has ended, or this process loses it.

        `life.ended` is set at the very end, whatever the end is; `life.broken` says why there is none in the record.
        """
        try:
            await self._to_the_end(life)
        except StoreError as error:
            logger.error("run %s can no longer be written: %s", life.journal.lifetime_id, error)  # noqa: TRY400 - the error goes to the waiter
            life.broken = error
        except Exception as bug:
            logger.exception("run %s was broken off", life.journal.lifetime_id)
            life.broken = bug
        except asyncio.CancelledError:
            # The loop is shutting down or the workbench is closed: the record stays as it is, and the run can be resumed from it.
            life.broken = life.broken or WorkbenchError("its workbench was closed")
            life.ended.set_result(None)
            raise
        finally:
            if life.thread is not None:
                life.thread.stop()
            life.binding.tools.close()
        try:
            if life.binding.on_end is not None:
                await life.binding.on_end()
        except Exception:
            logger.exception("run %s has ended, and what follows its end failed", life.journal.lifetime_id)
        finally:
            life.ended.set_result(None)

    async def _to_the_end(self, life: Lifetime) -> None:
        try:
            if life.binding.on_open is not None:
                await life.binding.on_open(life)
            for ref in list(life.state.running.values()):
                await self._executor.run_task(life, ref, cut_off=True)
            while not life.state.terminal:
                for ref in await self._advance(life):
                    await self._executor.run_task(life, ref)
                await asyncio.sleep(0)  # nothing above has to wait, and other runs, and an order to stop, must have their turn
        except asyncio.CancelledError:
            if life.broken is not None:
                raise life.broken from None
            if life.stop_reason is None:
                raise
            await self._abort(life, life.stop_reason)
        except StopOrder as stopped:
            await self._abort(life, str(stopped))

    async def _advance(self, life: Lifetime) -> list[TaskRef]:
        """Carry out every decision the state calls for, store it, and return the Tasks to run."""
        dispatched: list[TaskRef] = []
        while commands := decide(life.graph, life.state):
            if life.stop_reason is not None:
                # A node's code may have swallowed the cancellation.
                raise StopOrder(life.stop_reason)
            for command in commands:
                match command:
                    case RunPlan():
                        if not life.graph.plans[command.task.name].is_async:
                            await life.commit()
                        await self._executor.run_plan(life, command)
                    case StartTask():
                        dispatched.append(_dispatch(life, command))
                    case Complete():
                        output = await chosen_payload(life, command.choice.seq, command.choice.task_seqs, "End")
                        life.write(
                            LifetimeEvent,
                            phase="ended",
                            to_status="completed",
                            header=life.header(life.journal.lifetime_id, "ended", "SUCCEEDED"),
                            output=output,
                        )
                    case Fail():
                        await self._fail(life, command)
                if life.state.terminal:
                    break
        await life.commit()
        return dispatched

    async def _fail(self, life: Lifetime, command: Fail) -> None:
        error = command.error
        if command.task is not None:
            failed = await life.entry(command.task.seq)
            assert isinstance(failed, TaskExecution)
            error = failed.result.error if failed.result else None
        life.write(
            LifetimeEvent,
            phase="ended",
            to_status="failed",
            header=life.header(life.journal.lifetime_id, "ended", "FAILED"),
            error=error or ErrorInfo(code="failed", message="the run failed"),
        )

    async def _abort(self, life: Lifetime, reason: str) -> None:
        """Close what was running, say of every call in flight that its outcome is unknown, and end the lifetime."""
        await _forget_cancellation()
        if life.state.terminal:  # the end was written before the order to stop arrived
            await life.commit()
            return
        for ref in list(life.state.running.values()):
            await leave_open_calls(life, ref.exec_id, "the run was stopped during the call; it may have happened")
            life.write(
                TaskExecution,
                phase="finished",
                header=life.header(ref.exec_id, ref.name, "CANCELLED", attempt=ref.attempt, iteration_idx=ref.iteration_idx),
                result=TaskResult(error=ErrorInfo(code="stopped", message=reason)),
            )
        life.write(
            LifetimeEvent,
            phase="ended",
            to_status="aborted",
            header=life.header(life.journal.lifetime_id, "ended", "CANCELLED"),
            reason=reason,
        )
        await life.commit()


def _dispatch(life: Lifetime, command: StartTask) -> TaskRef:
    choice = command.choice
    links = Links(parent_plan_exec_id=choice.exec_id, parent_plan_name=choice.plan) if choice else Links()
    header = life.header(
        command.exec_id, command.name, "RUNNING", input_id=command.input_id, iteration_idx=command.iteration_idx, edge_taken=command.edge
    )
    life.write(TaskExecution, phase="started", header=header, links=links)
    return life.state.running[command.exec_id]


async def _forget_cancellation() -> None:
    """The cancellation was ours and has done its work; what follows must not be cancelled by it."""
    current = asyncio.current_task()
    while current is not None and current.cancelling():
        current.uncancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)  # takes one that was asked for and has not arrived
