"""Deadlines: a run's own, what nodes inherit of it, heartbeats, and the lines a node logs."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

import workbench as wb
from tests.runtime.graphs import line
from tests.runtime.test_join_timeout import until
from workbench.adapters.memory import MemoryStateStore
from workbench.errors import RunFailed, UserError
from workbench.runtime.clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


async def forever(value):
    await asyncio.Event().wait()


def ended_by_its_deadline(run):
    with pytest.raises(RunFailed, match="did not end within its timeout"):
        run.result(5)
    run.verify()
    return run.state.error.code == "deadline"


def test_a_run_that_has_not_ended_in_time_fails_and_what_it_did_is_cancelled(benches, clock):
    run = wb.start(line(forever), timeout=60, workbench=benches(clock=clock))
    until(lambda: clock.asleep == [60])
    clock.advance(60)
    assert ended_by_its_deadline(run)
    assert [entry.header.status for entry in run.entries() if entry.kind == "task_execution"] == ["RUNNING", "CANCELLED"]


def test_a_run_that_waits_for_a_person_has_a_deadline_too(benches, clock):
    run = wb.start(line(wb.human("ask", "Well?")), timeout=60, workbench=benches(clock=clock))
    until(lambda: run.pending)
    clock.advance(60)
    assert ended_by_its_deadline(run)


def test_a_retry_does_not_outlive_the_run(benches, clock):
    def bad(value):
        raise ValueError("no")

    retries = wb.RetryPolicy(attempts=2, first_wait=100, jitter=0, longest_wait=100)
    run = wb.start(line(wb.task(retries=retries)(bad)), timeout=60, workbench=benches(clock=clock))
    until(lambda: len(clock.asleep) == 2)
    assert clock.asleep[1] == 100
    clock.advance(60)
    assert ended_by_its_deadline(run)


def test_the_process_that_goes_on_with_a_run_has_what_is_left_of_its_time(benches, clock):
    state, graph = MemoryStateStore(), line(wb.task(idempotent=True)(forever))
    first = benches(clock=clock, state=state)
    run = wb.start(graph, timeout=60, workbench=first)
    until(lambda: clock.asleep)
    clock.advance(50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "close", first.bus.close)
        first.close()
    again = wb.resume(run.id, graph=graph, workbench=benches(clock=clock, state=state))
    until(lambda: clock.asleep == [10])
    clock.advance(10)
    assert ended_by_its_deadline(again)


def test_a_run_in_time_knows_nothing_of_it(benches, clock):
    run = wb.start(line(lambda value: value + 1), 1, timeout=60, workbench=benches(clock=clock))
    assert run.result(5) == 2
    assert clock.asleep == []


def test_a_nested_deadline_is_never_later_than_the_one_around_it(benches, clock):
    seen = []

    async def look(value, ctx):
        seen.append((ctx.remaining, ctx.deadline))

    bench = benches(clock=clock)
    for own, whole in ((None, None), (5, None), (None, 60), (5, 60), (90, 60)):
        wb.start(line(wb.task(timeout=own)(look)), timeout=whole, workbench=bench).result(5)
    lefts = [left for left, _ in seen]
    assert (lefts[0], lefts[2], lefts[4]) == (None, 60, 60)
    assert 0 < lefts[1] <= 5
    assert 0 < lefts[3] <= 5
    assert (seen[2][1] - clock.now()).total_seconds() == 60


def test_a_question_does_not_outlive_the_run(benches, clock):
    run = wb.start(line(wb.human("ask", "Well?", timeout=3600)), timeout=60, workbench=benches(clock=clock))
    until(lambda: run.pending)
    (asked,) = [entry.request for entry in run.entries() if entry.phase == "requested"]
    assert (asked.expires_at - clock.now()).total_seconds() == 60
    run.stop()


def test_a_tool_is_cut_off_with_the_node_that_called_it(bench):
    @wb.tool(timeout=3600)
    async def slow() -> int:
        await asyncio.Event().wait()
        return 1

    async def call(value, ctx):
        return await ctx.call_tool("slow", {})

    with pytest.raises(RunFailed, match=r"task 'call' did not finish within 0\.05 s"):
        wb.start(line(wb.task(timeout=0.05)(call)), tools=[slow], workbench=bench).result(5)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_that_is_none_is_refused(bench, timeout):
    with pytest.raises(UserError, match="a run's timeout is a positive number of seconds"):
        wb.start(line(forever), timeout=timeout, workbench=bench)


def test_a_node_that_stops_beating_is_timed_out(bench):
    async def stuck(value, ctx):
        ctx.heartbeat()
        await asyncio.Event().wait()

    run = wb.start(line(wb.task(heartbeat_timeout=0.05)(stuck)), workbench=bench)
    with pytest.raises(RunFailed, match=r"task 'stuck' gave no heartbeat for 0\.05 s"):
        run.result(5)
    assert run.state.error.code == "timeout"


@pytest.mark.parametrize("is_async", [True, False])
def test_a_node_that_beats_may_take_longer_than_the_time_between_beats(bench, is_async):
    rest = threading.Event()

    async def beat_async(value, ctx):
        for _ in range(5):
            await asyncio.sleep(0.3)
            ctx.heartbeat()
        return "done"

    def beat(value, ctx):
        for _ in range(5):
            rest.wait(0.3)
            ctx.heartbeat()
        return "done"

    step = wb.task(heartbeat_timeout=1.2)(beat_async if is_async else beat)
    assert wb.start(line(step), workbench=bench).result(30) == "done"


def test_no_heartbeat_is_asked_for_while_a_person_decides(bench):
    async def ask(value, ctx):
        return await ctx.ask_human("Well?")

    run = wb.start(line(wb.task(heartbeat_timeout=0.1)(ask)), workbench=bench)
    until(lambda: run.pending)
    threading.Event().wait(0.3)
    run.pending[0].answer("yes")
    assert run.result(5) == "yes"


def test_what_a_node_logs_carries_its_ids_between_one_start_and_one_finish(bench, caplog):
    def work(value, ctx):
        ctx.logger.warning("hello %s", value, extra={"mine": 1})

    with caplog.at_level(logging.INFO, "workbench.task"):
        run = wb.start(line(work), "you", workbench=bench)
        run.result(5)
    lines = [record for record in caplog.records if record.name == "workbench.task"]
    assert [line.getMessage() for line in lines] == ["task work started", "hello you", "task work finished: SUCCEEDED"]
    assert {(line.lifetime_id, line.node, line.attempt) for line in lines} == {(run.id, "work", 1)}
    assert (lines[1].mine, lines[2].status) == (1, "SUCCEEDED")


def test_a_run_that_is_stopped_has_its_pair_of_lines(bench, caplog):
    with caplog.at_level(logging.INFO, "workbench.task"):
        run = wb.start(line(forever), workbench=bench)
        until(lambda: run.state.running)
        until(lambda: caplog.records)
        run.stop()
        with pytest.raises(wb.errors.RunStopped):
            run.result(5)
    assert [line.getMessage() for line in caplog.records] == ["task forever started", "task forever finished: CANCELLED"]
