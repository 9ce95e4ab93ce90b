"""Stop, loss and closing: whatever a run is doing, it ends, says so, and nobody who waits is left hanging."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import workbench as wb
from tests.runtime.graphs import choosing, kinds_of, line
from workbench.adapters.memory import MemoryStateStore
from workbench.errors import LeaseHeld, RunFailed, RunInterrupted, RunStopped, StaleEpoch, StoreError, UserError
from workbench.loop import run_sync
from workbench.record.state import fold
from workbench.runtime.binding import graph_binding


class FailingStore(MemoryStateStore):
    """Refuses appends while `broken`; counts them."""

    def __init__(self, fail_at: int = -1) -> None:
        super().__init__()
        self.fail_at = fail_at
        self.appends = 0

    async def append(self, entries, epochs):
        self.appends += 1
        if self.appends == self.fail_at:
            raise StoreError("the disk is full")
        await super().append(entries, epochs)


class SlowStore(MemoryStateStore):
    """Takes its time from the second append on."""

    def __init__(self) -> None:
        super().__init__()
        self.appending = threading.Event()

    async def append(self, entries, epochs):
        await super().append(entries, epochs)
        if entries[0].seq > 1 and not self.appending.is_set():
            self.appending.set()
            await asyncio.sleep(30)


def one(x):
    return x


async def forever(x):
    await asyncio.sleep(60)


def stopped(run, reason="enough"):
    """Stop a run and check everything that must hold of it then."""
    run.stop(reason)
    with pytest.raises(RunStopped, match=reason):
        run.result(5)
    assert run.verify().entries == len(run.entries())
    state = fold(run.entries())
    assert (state.status, state.end_reason, state.running, state.open_calls) == ("aborted", reason, {}, {})
    return run


def until(condition, seconds=5.0):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_stopping_an_async_task(bench):
    run = wb.start(line(forever), workbench=bench)
    until(lambda: run.state.running)
    stopped(run)
    (finished,) = [entry for entry in run.entries() if entry.phase == "finished"]
    assert (finished.header.status, finished.result.error.code) == ("CANCELLED", "stopped")


def test_stopping_a_plain_task_leaves_its_thread_behind(bench):
    release, began = threading.Event(), threading.Event()

    def stuck(x):
        began.set()
        release.wait(30)

    run = wb.start(line(stuck), workbench=bench)
    began.wait(5)
    stopped(run)
    release.set()


def test_stopping_an_async_task_that_takes_its_time_to_clean_up(bench):
    cleaned = []

    async def careful(x):
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            cleaned.append(True)

    run = wb.start(line(careful), workbench=bench)
    until(lambda: run.state.running)
    stopped(run)
    assert cleaned == [True]


def test_a_task_that_swallows_its_cancellation_is_stopped_all_the_same(bench):
    async def stubborn(x):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "went on"

    run = wb.start(line(stubborn, one), workbench=bench)
    until(lambda: run.state.running)
    stopped(run)
    assert "task_execution/started/one" not in kinds_of(run)


def test_a_task_that_answers_its_cancellation_with_an_error_is_stopped_all_the_same(bench):
    async def angry(x):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("no") from None

    run = wb.start(line(angry), workbench=bench)
    until(lambda: run.state.running)
    stopped(run)


@pytest.mark.parametrize("is_async", [False, True])
def test_stopping_during_a_tool_call_leaves_its_outcome_unknown(bench, is_async):
    began, release = threading.Event(), threading.Event()

    def hang():
        began.set()
        release.wait(30)

    async def hang_async():
        began.set()
        await asyncio.sleep(60)

    async def calls(x, ctx):
        await ctx.call_tool("hang", {})

    tool = wb.tool(name="hang")(hang_async if is_async else hang)
    run = wb.start(line(calls), workbench=bench, tools=[tool])
    began.wait(5)
    stopped(run)
    release.set()
    (outcome,) = [entry for entry in run.entries() if entry.phase == "outcome"]
    assert (outcome.header.status, outcome.call.error.code) == ("UNKNOWN", "outcome_unknown")


def test_stopping_during_a_commit(benches):
    store = SlowStore()
    seen = []
    run = wb.start(line(one), workbench=benches(state=store))
    assert store.appending.wait(5)
    stopped(run)
    assert seen == []


def test_stopping_while_a_plan_waits(bench):
    async def ponder(given):
        await asyncio.sleep(60)

    run = wb.start(choosing(one, wb.plan(ponder)), workbench=bench)
    until(lambda: run.state.unrouted)
    stopped(run)


def test_stopping_again_and_again_between_nodes(bench):
    async def again(given):
        return "work"

    async def work(x):
        return x

    for delay in (0, 0.0005, 0.001, 0.003):
        plan = wb.plan(again)
        graph = wb.AgentGraph(
            "loop",
            nodes=[wb.task(work), plan],
            edges=[("Start", "work"), ("work", "again"), ("again", "work"), ("again", "End")],
        )
        run = wb.start(graph, workbench=bench)
        time.sleep(delay)
        stopped(run)


def test_stopping_before_anything_ran(bench):
    async def start_and_stop():
        run = await bench.astart(graph_binding(line(forever), title="t", inline=bench.inline))
        run.stop("at once")
        return run

    run = run_sync(start_and_stop())
    stopped(run, "at once")


def test_stopping_twice_keeps_the_first_reason(bench):
    run = wb.start(line(forever), workbench=bench)
    run.stop("first")
    run.stop("second")
    with pytest.raises(RunStopped, match="first"):
        run.result(5)
    run.stop("third")
    assert run.state.end_reason == "first"


def test_stopping_after_the_end_changes_nothing(bench):
    run = wb.start(line(one), 3, workbench=bench)
    assert run.result(5) == 3
    run.stop()
    assert (run.status, run.value) == ("completed", 3)


def test_a_stop_that_comes_with_the_end_never_breaks_the_record(bench):
    for delay in range(30):
        run = wb.start(line(one), 3, workbench=bench)
        time.sleep(delay / 10_000)
        run.stop("late")
        with contextlib.suppress(RunStopped):
            assert run.result(5) == 3
        assert run.status in ("completed", "aborted")
        run.verify()


def test_a_tool_that_raises_an_interrupt_stops_the_run_with_a_recorded_outcome(bench):
    @wb.tool
    def leave() -> None:
        raise KeyboardInterrupt

    async def calls(x, ctx):
        await ctx.call_tool("leave", {})

    run = wb.start(line(calls), workbench=bench, tools=[leave])
    with pytest.raises(RunStopped, match="leave"):
        run.result(5)
    assert fold(run.entries()).status == "aborted"
    assert run.verify()


@pytest.mark.parametrize("fail_at", [2, 3, 4])
def test_a_store_that_fails_an_append_breaks_the_run_off_and_it_resumes(benches, fail_at):
    bench = benches(state=FailingStore(fail_at))
    graph = line(wb.task(idempotent=True)(one), wb.task(name="two", idempotent=True)(one))
    run = wb.start(graph, 5, workbench=bench)
    with pytest.raises(RunInterrupted, match="disk is full"):
        run.result(5)
    assert run.status == "interrupted"
    resumed = bench.resume(run.id, graph=graph)
    assert resumed.result(5) == 5
    assert resumed.verify()


def test_a_store_that_fails_under_a_tool_call_makes_no_call_that_is_not_recorded(benches):
    made = []

    @wb.tool
    def effect(n: int) -> int:
        made.append(n)
        return n

    async def calls(x, ctx):
        for n in range(4):
            with contextlib.suppress(StoreError):
                await ctx.call_tool("effect", {"n": n})

    bench = benches(state=FailingStore(4))
    run = wb.start(line(calls), workbench=bench, tools=[effect])
    with pytest.raises(RunInterrupted):
        run.result(5)
    recorded = [entry.call.args.inline["n"] for entry in run.entries() if entry.phase == "intent"]
    assert made == recorded


def test_a_run_that_another_workbench_has_claimed_is_lost_and_its_record_stands(benches):
    store = MemoryStateStore()
    first, second = benches(state=store, lease_seconds=0.05), benches(state=store)
    go = threading.Event()

    def wait(x):
        go.wait(10)

    graph = line(wb.task(idempotent=True)(wait))
    run = wb.start(graph, workbench=first)
    until(lambda: run.state.running)
    run_sync(first.store.release(run.id, first.owner))
    other = second.resume(run.id, graph=graph)
    go.set()
    assert other.result(5) is None
    with pytest.raises(RunInterrupted) as caught:
        run.result(5)
    assert isinstance(caught.value.__cause__, StaleEpoch)
    assert other.verify()


def test_a_live_run_cannot_be_taken_by_another_workbench(benches):
    store = MemoryStateStore()
    first, second = benches(state=store), benches(state=store)
    graph = line(forever)
    run = wb.start(graph, workbench=first)
    with pytest.raises(LeaseHeld):
        second.resume(run.id, graph=graph)
    assert second.open(run.id).status == "running"
    with pytest.raises(UserError, match="not live"):
        second.open(run.id).stop()
    stopped(run)


def test_closing_a_workbench_breaks_its_runs_off_and_releases_whoever_waits(benches):
    store = MemoryStateStore()
    first, second = benches(state=store), benches(state=store)
    graph = line(wb.task(idempotent=True)(one), wb.task(idempotent=True)(forever))
    run = wb.start(graph, workbench=first)
    waiter = ThreadPoolExecutor(1).submit(run.result, 5)
    until(lambda: "forever" in [ref.name for ref in run.state.running.values()])
    first.close()
    with pytest.raises(RunInterrupted, match="closed"):
        waiter.result(5)
    again = second.resume(run.id, graph=graph)
    stopped(again)


def test_a_run_that_was_started_and_closed_in_one_breath_is_not_left_hanging(bench):
    async def start_and_close():
        run = await bench.astart(graph_binding(line(forever), title="t", inline=bench.inline))
        await bench.aclose()
        return run

    with pytest.raises(RunInterrupted):
        run_sync(start_and_close()).result(5)


def test_an_observer_sees_every_entry_once_and_in_order_whatever_is_stopped(benches):
    for delay in (0.0, 0.001, 0.004):
        bench, seen = benches(), []

        async def calls(x, ctx):
            while True:
                await ctx.call_tool("tick", {})

        binding = graph_binding(line(calls), title="t", inline=bench.inline, tools=[wb.tool(name="tick")(lambda: None)])
        object.__setattr__(binding, "on_entries", (lambda entries, seen=seen: seen.extend(e.seq for e in entries),))
        run = bench.start(binding)
        time.sleep(delay)
        stopped(run)
        assert seen == list(range(1, len(run.entries()) + 1))


def test_what_fails_after_the_end_does_not_hold_the_end_back(bench):
    async def bad():
        raise ValueError("late")

    binding = graph_binding(line(one), title="t", inline=bench.inline)
    object.__setattr__(binding, "on_end", bad)
    assert bench.start(binding, 4).result(5) == 4


def test_two_resumes_at_once_are_one(benches):
    bench = benches(state=FailingStore(3))
    graph = line(wb.task(idempotent=True)(one), wb.task(idempotent=True)(forever))
    run = wb.start(graph, workbench=bench)
    with pytest.raises(RunInterrupted):
        run.result(5)

    async def both():
        return await asyncio.gather(bench.aresume(run.id, graph=graph), bench.aresume(run.id, graph=graph))

    first, second = run_sync(both())
    assert first.live
    assert second.live
    stopped(second)
    with pytest.raises(RunStopped):
        first.result(5)


def test_a_run_that_has_ended_cannot_be_resumed(bench):
    graph = line(one)
    run = wb.start(graph, 1, workbench=bench)
    run.result(5)
    with pytest.raises(UserError, match="has ended"):
        bench.resume(run.id, graph=graph)
    assert run.id not in run_sync(bench.store.leases())


def test_a_failure_is_told_every_time_it_is_asked_for(bench):
    def bad(x):
        raise ValueError("no")

    run = wb.start(line(bad), workbench=bench)
    for _ in range(2):
        with pytest.raises(RunFailed, match="no"):
            run.result(5)
    with pytest.raises(RunFailed):
        bench.open(run.id).value  # noqa: B018 - reading it is the act
