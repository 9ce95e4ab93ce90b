"""Runs Task and Plan code: gives it its input, holds it to its time limit, and turns whatever comes of it into an entry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from workbench.errors import NodeTimeout, RunStopped, StoreError, WorkbenchError
from workbench.graph.edges import Edge
from workbench.graph.nodes import Plan, PlanInput, Task
from workbench.raised import trace
from workbench.record.envelope import Links, PlanExecution, PlanResult, TaskExecution, TaskResult, Telemetry
from workbench.record.refs import TaskRef
from workbench.record.values import ErrorInfo, Payload
from workbench.runtime.calls import leave_open_calls
from workbench.runtime.choice import edge_that_holds, known_to_edges, plan_result
from workbench.runtime.context import TaskContext
from workbench.runtime.decide import RunPlan, illegal_route
from workbench.runtime.lifetime import Lifetime
from workbench.runtime.outputs import StoredOutputs, loaded_for_edges, loaded_for_plan
from workbench.runtime.requests import unknown_outcome
from workbench.tools.executor import safe_text
from workbench.tools.values import plain

logger = logging.getLogger(__name__)


class StopOrder(RunStopped):
    """This run is to stop. Its own class, since the code of a node may itself meet the RunStopped of another run."""


class Executor:
    """Runs nodes. `inline` runs plain functions on the loop itself, for the deterministic test profile."""

    def __init__(self, *, inline: bool = False) -> None:
        self.inline = inline

    async def run_task(self, life: Lifetime, ref: TaskRef, *, cut_off: bool = False) -> None:
        """Run a dispatched Task and write its `finished` entry, whatever comes of it. `cut_off`: a crash ended it the first time."""
        context = TaskContext(life, ref)
        with context.logged():
            await self._run_task(life, ref, context, cut_off=cut_off)

    async def _run_task(self, life: Lifetime, ref: TaskRef, context: TaskContext, *, cut_off: bool) -> None:
        dispatched = life.dispatched_at.pop(ref.exec_id, None)
        started = life.begun_at.setdefault(ref.exec_id, life.clock.monotonic() if dispatched is None else dispatched)
        context.dispatched_at = dispatched
        output: Payload | None = None
        error: ErrorInfo | None = None
        try:
            task = life.graph.task(ref.name)
            value = await self._input(life, ref)
            settled = await self._settle(life, ref, value, context) if cut_off and not task.idempotent else None
            if settled is None:
                if task.input is not None:
                    value = task.input.given_to(task.name, value)
                returned = plain(await self._limited(life, task, value, context))
                if task.output is not None:
                    returned = plain(task.output.returned_by(task.name, returned))
                settled = await life.plane.payload(returned)
            output = settled
        except BaseException as failure:  # noqa: BLE001 - user code may raise anything; it is recorded and ends the run, never lost
            error = _settled(life, ref.name, failure)
        await leave_open_calls(life, ref.exec_id, f"{ref.name!r} finished during the call; it may have happened")
        latency = round((life.clock.monotonic() - started) * 1e3, 3)
        life.begun_at.pop(ref.exec_id, None)
        life.write(
            TaskExecution,
            phase="finished",
            header=life.header(
                ref.exec_id,
                ref.name,
                "FAILED" if error else "SUCCEEDED",
                attempt=ref.attempt,
                iteration_idx=ref.iteration_idx,
                input_id=ref.input_id,
                branch_path=ref.branch,
                ended_at=life.clock.now(),
            ),
            links=Links(**context.links),
            telemetry=Telemetry(**{**context.telemetry, "latency_ms": latency}),
            messages=tuple(context.messages),
            result=TaskResult(output=output, error=error),
        )

    async def run_plan(self, life: Lifetime, command: RunPlan) -> PlanExecution:
        """Let a Plan choose, and write and return its entry; a choice the graph does not allow is recorded as an error.

        A Plan that runs in a thread might take long, so what it looks at is made durable first.
        """
        looked_at = [await _finished(life, task.seq) for task in command.tasks]
        edge: Edge | None = None
        name = command.plan or f"{command.tasks[0].name}->?"
        error: ErrorInfo | None = None
        result = PlanResult()
        try:
            outputs = StoredOutputs(life.plane, looked_at)
            known = known_to_edges(command, await loaded_for_edges(life.graph, command, outputs))
            if command.joins is None:
                edge = edge_that_holds(life.graph, command.tasks[0], known)
                name = life.graph.plan_on(edge).name
            plan = life.graph.plans[name]
            if not plan.is_async:
                await life.commit()
            choice = await self._choose(life, plan, await self._plan_input(life, plan, looked_at, outputs))
            result = await self._spilled(life, plan_result(life.graph, plan.name, choice, known))
            error = result.error or illegal_route(life.graph, plan.name, result.next_task_names)
        except BaseException as failure:  # noqa: BLE001 - user code may raise anything; it is recorded and ends the run, never lost
            error = _settled(life, name, failure)
        last = command.tasks[-1]
        return life.write(
            PlanExecution,
            header=life.header(
                command.exec_id,
                name,
                "FAILED" if error else "SUCCEEDED",
                iteration_idx=last.iteration_idx,
                branch_path=command.branch,
                edge_taken=edge.id if edge else f"{last.name}->{name}",
            ),
            links=Links(
                parent_task_exec_ids=tuple(task.exec_id for task in command.tasks),
                parent_task_names=tuple(task.name for task in command.tasks),
                joins=command.joins,
            ),
            result=PlanResult(error=error, reason=result.reason) if error else result,
        )

    async def _plan_input(self, life: Lifetime, plan: Plan, looked_at: list[TaskExecution], outputs: StoredOutputs) -> PlanInput:
        seen = await loaded_for_plan(life.graph, plan, outputs, inline=self.inline)
        settings = life.state.manifest.resources if life.state.manifest else {}
        return plan.typed(PlanInput(executions=looked_at, outputs=seen, settings=settings, dispatched=dict(life.state.dispatched)))

    async def _input(self, life: Lifetime, ref: TaskRef) -> Any:
        """What the Task receives: its Plan's arguments, or the output the Plan looked at; the lifetime's input for the first Task."""
        if ref.choice is None:
            return await life.plane.value(life.state.input)
        return await life.plane.value(await chosen_payload(life, ref.choice.seq, ref.index, ref.choice.task_seqs))

    async def _limited(self, life: Lifetime, task: Task, value: Any, context: TaskContext) -> Any:
        if task.timeout is None and task.heartbeat_timeout is None:
            return await self._call(life, task, value, context)
        with context.limits.timeout(task.timeout) as limit, context.limits.heart(task.heartbeat_timeout) as heart:
            try:
                async with limit, heart:
                    return await self._call(life, task, value, context)
            except TimeoutError:
                if heart.expired():
                    raise NodeTimeout(f"task {task.name!r} gave no heartbeat for {task.heartbeat_timeout:g} s") from None
                if limit.expired():
                    raise NodeTimeout(f"task {task.name!r} did not finish within {task.timeout:g} s") from None
                raise

    async def _call(self, life: Lifetime, task: Task, value: Any, context: TaskContext) -> Any:
        args = (value, context) if task.takes_context else (value,)
        if task.is_async:
            context.begin()
            return await task.run(*args)

        def run() -> Any:
            context.begin()
            return task.run(*args)

        return await self._in_thread(life, run)

    async def _choose(self, life: Lifetime, plan: Plan, plan_input: PlanInput) -> Any:
        if plan.timeout is None:
            return await self._asked(life, plan, plan_input)
        try:
            async with asyncio.timeout(plan.timeout) as limit:
                return await self._asked(life, plan, plan_input)
        except TimeoutError:
            if limit.expired():
                raise NodeTimeout(f"plan {plan.name!r} did not choose within {plan.timeout:g} s") from None
            raise

    async def _asked(self, life: Lifetime, plan: Plan, plan_input: PlanInput) -> Any:
        if plan.is_async:
            return await plan.choose(plan_input)
        return await self._in_thread(life, lambda: plan.choose(plan_input))

    async def _in_thread(self, life: Lifetime, function: Callable[[], Any]) -> Any:
        """Run a plain function in the run's thread. One that outlives its limit is left behind with its thread, which cannot be killed."""
        if self.inline:
            return function()
        thread = life.borrow_thread()
        try:
            outcome = await thread.submit(function)
        except asyncio.CancelledError:
            thread.stop()
            raise
        life.return_thread(thread)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    async def _settle(self, life: Lifetime, ref: TaskRef, value: Any, context: TaskContext) -> Payload | None:
        """A non-idempotent Task that a crash cut off: the output a person says it had, or None if it has to run. The person is shown its
        input, since other branches may run the same Task."""
        about = await life.plane.payload({"value": value})
        with context.limits.off_the_clock():
            response = await life.ask(unknown_outcome(life, ref.exec_id, ref.name, about), within=ref.exec_id)
        if response.decision == "stop":
            raise StopOrder(f"stopped by {response.actor}, who did not know whether {ref.name!r} had happened")
        return (response.value or Payload()) if response.decision == "happened" else None

    async def _spilled(self, life: Lifetime, result: PlanResult) -> PlanResult:
        tasks = [
            task if task.args is None else task.model_copy(update={"args": await life.plane.spill(task.args)}) for task in result.next_tasks
        ]
        return result.model_copy(update={"next_tasks": tuple(tasks)})


async def chosen_payload(life: Lifetime, plan_seq: int, index: int, task_seqs: tuple[int, ...]) -> Payload | None:
    """What a Plan's choice hands on: its own arguments if it gave any, else the output it looked at; behind a JOIN the list of them."""
    choice = await life.entry(plan_seq)
    assert isinstance(choice, PlanExecution)
    chosen = choice.result.next_tasks[index]
    if chosen.args is not None:
        return chosen.args
    outputs = [entry.result.output if entry.result else None for entry in [await _finished(life, seq) for seq in task_seqs]]
    if choice.links.joins is None:
        return outputs[0]
    return await life.plane.payload([await life.plane.value(output) for output in outputs])


async def _finished(life: Lifetime, seq: int) -> TaskExecution:
    entry = await life.entry(seq)
    assert isinstance(entry, TaskExecution)
    return entry


def _settled(life: Lifetime, node: str, failure: BaseException) -> ErrorInfo:
    """What a node's exception means: the record of its failure, unless it is not the node's own, and then it goes on upwards.

    KeyboardInterrupt and SystemExit mean "stop"; were they to leave the asyncio task, the loop and every other run would end with them.
    """
    match failure:
        case StopOrder():
            raise failure
        case StoreError() if life.broken is not None:
            raise failure
        case asyncio.CancelledError() if life.stop_reason is not None or life.broken is not None or _being_cancelled():
            raise failure
        case asyncio.CancelledError():
            return ErrorInfo(code="cancelled", message=f"{node} was cancelled from within")
        case KeyboardInterrupt() | SystemExit():
            raise StopOrder(f"the code of {node!r} raised {type(failure).__name__}") from failure
        case WorkbenchError():
            return ErrorInfo(code=failure.code, message=str(failure), type=type(failure).__name__)
    logger.info("node %s raised", node, exc_info=failure)
    kind = type(failure).__name__
    return ErrorInfo(code="node_failed", message=f"{node} raised {kind}: {safe_text(failure, ())}", type=kind, trace=trace(failure))


def _being_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0
