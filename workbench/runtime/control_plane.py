"""What was appended → what happens next → its dispatch. No user code runs here.

One coroutine drives a lifetime. What follows from a finished Task (the Plan's choice, the next dispatches) is stored in one transaction
with it, unless the Plan runs in a thread and might take long: then the finish is made durable first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from workbench.errors import StoreError, WorkbenchError
from workbench.record.envelope import LifetimeEvent, Links, TaskExecution, TaskResult
from workbench.record.refs import TaskRef
from workbench.record.state import is_open
from workbench.record.values import ErrorInfo, Payload, Status
from workbench.runtime.calls import leave_open_calls
from workbench.runtime.crew import Crew
from workbench.runtime.decide import Command, Complete, Fail, Retry, RunPlan, StartTask, decide
from workbench.runtime.executor import Executor, StopOrder, chosen_payload
from workbench.runtime.lifetime import Lifetime
from workbench.runtime.pausing import pausing
from workbench.runtime.timers import write_expired

logger = logging.getLogger(__name__)


class ControlPlane:
    """Drives lifetimes from their record to their end."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def drive(self, life: Lifetime) -> bool:
        """Go on from wherever the record stands until the lifetime has ended, or this process loses it: then `life.broken` says why. True
        if it is to be parked, since it only waits for people."""
        parked = False
        try:
            parked = await self._to_the_end(life)
        except StoreError as error:
            logger.error("run %s can no longer be written: %s", life.journal.lifetime_id, error)  # noqa: TRY400 - the error goes to the waiter
            life.broken = error
        except Exception as bug:
            logger.exception("run %s was broken off", life.journal.lifetime_id)
            life.broken = bug
        except asyncio.CancelledError:
            # The loop is shutting down or the workbench is closed: the record stays as it is, and the run can be resumed from it.
            life.broken = life.broken or WorkbenchError("its workbench was closed")
            raise
        finally:
            if life.pause is not None:
                life.pause.cancel()
            if life.thread is not None:
                life.thread.stop()
            life.binding.tools.close()
        try:
            if life.binding.on_end is not None and not parked:
                await life.binding.on_end()
        except Exception:
            logger.exception("run %s has ended, and what follows its end failed", life.journal.lifetime_id)
        return parked

    async def _to_the_end(self, life: Lifetime) -> bool:
        crew = Crew(life, self._executor, in_turn=self._executor.inline)
        try:
            if life.binding.on_open is not None:
                await life.binding.on_open(life)
            _obey(life)
            if life.state.running:
                await crew.work(list(life.state.running.values()), cut_off=not life.forked, beside=pausing(life))
            while not life.state.terminal and not life.parking:
                await crew.work(await self._advance(life, crew), beside=pausing(life))
                await asyncio.sleep(0)  # nothing above has to wait, and other runs, and an order to stop, must have their turn
        except asyncio.CancelledError:
            if life.broken is not None:
                await crew.dismiss()
                raise life.broken from None
            if life.stop_reason is not None:
                await self._abort(life, crew, life.stop_reason)
            elif not life.parking:
                await crew.dismiss()
                raise
        except StopOrder as stopped:
            await self._abort(life, crew, str(stopped))
        except BaseException:
            await crew.dismiss()
            raise
        return life.parking and await self._leave(life, crew)

    async def _leave(self, life: Lifetime, crew: Crew) -> bool:
        """Cancel what waits, and store what it has said all the same: code may refuse to be cancelled."""
        await _forget_cancellation()
        await crew.dismiss()
        await life.commit()
        return not life.state.terminal

    async def _advance(self, life: Lifetime, crew: Crew) -> list[TaskRef]:
        """Carry out every decision the state calls for, store it, and return the Tasks to run."""
        dispatched: list[TaskRef] = []
        _obey(life)
        write_expired(life)
        if life.guard is not None:
            await life.guard.judge_finished()
        while commands := [command for command in decide(life.graph, life.state) if _is_due(command, crew)]:
            _obey(life)
            for command in commands:
                match command:
                    case RunPlan():
                        chosen = await self._executor.run_plan(life, command)
                        if life.guard is not None:
                            life.guard.judge_plan(chosen)
                        if command.joins is not None:
                            await self._dismiss_superseded(life, crew)
                            break  # what else was decided may have been about branches that no longer count
                    case StartTask() | Retry():
                        dispatched.extend(_dispatch_if_let(life, command, crew))
                    case Complete():
                        await self._end(life, crew, to_status="completed", output=await _output(life, command))
                    case Fail():
                        await self._end(life, crew, to_status="failed", error=command.error)
                if life.state.terminal or life.state.pause is not None or life.state.condemned is not None:
                    break
            if not any(isinstance(command, RunPlan) for command in commands):
                break  # only what a Plan has chosen leads on at once
        if not life.state.terminal:
            _obey(life)
        await life.commit()
        return [ref for ref in dispatched if ref.exec_id in life.state.running]

    async def _dismiss_superseded(self, life: Lifetime, crew: Crew) -> None:
        """A join has looked: what is still running in its fork no longer counts."""
        late = [ref for ref in life.state.running.values() if not is_open(life.state, ref.branch)]
        await crew.dismiss([ref.exec_id for ref in late])
        for ref in late:
            await _write_cancelled(life, ref, code="superseded", message="enough other branches had arrived")

    async def _end(self, life: Lifetime, crew: Crew, **how: Any) -> None:
        """Write the end, after cancelling what is still at work in other branches."""
        await crew.dismiss()
        for ref in list(life.state.running.values()):
            await _write_cancelled(life, ref, code="superseded", message="the run has ended in another branch")
        status: Status = "SUCCEEDED" if how["to_status"] == "completed" else "FAILED"
        life.write(LifetimeEvent, phase="ended", header=life.header(life.journal.lifetime_id, "ended", status), **how)

    async def _abort(self, life: Lifetime, crew: Crew, reason: str) -> None:
        """Close what was running, say of every call in flight that its outcome is unknown, and end the lifetime."""
        await _forget_cancellation()
        await crew.dismiss()
        if life.state.terminal:  # the end was written before the order to stop arrived
            await life.commit()
            return
        for ref in list(life.state.running.values()):
            await _write_cancelled(life, ref, code="stopped", message=reason)
        life.write(
            LifetimeEvent,
            phase="ended",
            to_status="aborted",
            header=life.header(life.journal.lifetime_id, "ended", "CANCELLED"),
            reason=reason,
        )
        await life.commit()


def _obey(life: Lifetime) -> None:
    """Stop if somebody or a guardrail has said so; a node's code may have swallowed the cancellation.

    Raises:
        StopOrder
    """
    reason = life.stop_reason or life.state.condemned
    if reason is not None:
        raise StopOrder(reason)


def _is_due(command: Command, crew: Crew) -> bool:
    return not isinstance(command, Retry) or crew.is_due(command.exec_id, command.wait)


def _dispatch_if_let(life: Lifetime, command: StartTask | Retry, crew: Crew) -> list[TaskRef]:
    """Dispatch a Task, if the guardrails let it; one they reject is recorded as that and not run."""
    passage = "go" if life.guard is None else life.guard.judge_dispatch(command)
    if passage in ("hold", "stop"):
        if isinstance(command, Retry):
            crew.is_owed(command.exec_id)
        return []
    ref = _dispatch(life, command) if isinstance(command, StartTask) else _dispatch_again(life, command)
    if passage == "go":
        life.dispatched_at[ref.exec_id] = life.clock.monotonic()
        return [ref]
    header = life.header(ref.exec_id, ref.name, "REJECTED", attempt=ref.attempt, iteration_idx=ref.iteration_idx, branch_path=ref.branch)
    rejected = ErrorInfo(code="rejected", message=f"a guardrail does not let {ref.name!r} run")
    life.write(TaskExecution, phase="finished", header=header, result=TaskResult(error=rejected))
    return []


def _dispatch(life: Lifetime, command: StartTask) -> TaskRef:
    choice = command.choice
    links = Links(parent_plan_exec_id=choice.exec_id, parent_plan_name=choice.plan) if choice else Links()
    header = life.header(
        command.exec_id,
        command.name,
        "RUNNING",
        input_id=command.input_id,
        iteration_idx=command.iteration_idx,
        edge_taken=command.edge,
        branch_path=command.branch,
    )
    life.write(TaskExecution, phase="started", header=header, links=links)
    return life.state.running[command.exec_id]


def _dispatch_again(life: Lifetime, command: Retry) -> TaskRef:
    task, choice = command.task, command.task.choice
    header = life.header(
        command.exec_id,
        task.name,
        "RUNNING",
        input_id=task.input_id,
        iteration_idx=task.iteration_idx,
        branch_path=task.branch,
        attempt=task.attempt + 1,
    )
    links = Links(supersedes=task.exec_id)
    if choice is not None:
        links = Links(supersedes=task.exec_id, parent_plan_exec_id=choice.exec_id, parent_plan_name=choice.plan)
    life.write(TaskExecution, phase="started", header=header, links=links)
    return life.state.running[command.exec_id]


async def _write_cancelled(life: Lifetime, ref: TaskRef, *, code: str, message: str) -> None:
    await leave_open_calls(life, ref.exec_id, "the run was stopped during the call; it may have happened")
    header = life.header(ref.exec_id, ref.name, "CANCELLED", attempt=ref.attempt, iteration_idx=ref.iteration_idx, branch_path=ref.branch)
    left = life.left.pop(ref.exec_id, None)
    output = None if left is None else await life.plane.payload(left)
    result = TaskResult(output=output, error=ErrorInfo(code=code, message=message))
    life.write(TaskExecution, phase="finished", header=header, result=result)


async def _output(life: Lifetime, command: Complete) -> Payload | None:
    """What the run's value is: what the branch that reached `End` brought; of several, the list in the order of the branches."""
    payloads = [await chosen_payload(life, end.seq, end.index, end.task_seqs) for end in command.ends]
    if len(payloads) == 1:
        return payloads[0]
    return await life.plane.payload([await life.plane.value(payload) for payload in payloads])


async def _forget_cancellation() -> None:
    """The cancellation was ours and has done its work; what follows must not be cancelled by it."""
    current = asyncio.current_task()
    while current is not None and current.cancelling():
        current.uncancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)  # takes one that was asked for and has not arrived
