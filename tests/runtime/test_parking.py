"""A run that only waits for people leaves memory, and nobody who looks at it can tell."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

import workbench as wb
from tests.runtime.graphs import asking_beside, kinds_of, line
from tests.runtime.guarded import steps, until
from workbench.adapters.memory import MemoryStateStore
from workbench.errors import LeaseHeld, RunInterrupted, RunStopped, StoreError, UserError
from workbench.graph.nodes import human
from workbench.loop import run_sync

SOON = 0.02


@pytest.fixture
def bench(benches):
    return benches(park_seconds=SOON)


def parked(run):
    """Wait until nothing of the run is in memory."""
    until(lambda: is_parked(run))
    return run


def is_parked(run):
    owned = run.workbench.custody.get(run.id)
    return owned is not None and owned.life is None


def test_a_parked_run_is_answered_and_its_record_is_that_of_one_that_never_left(bench, benches):
    graph = line(human("ask", "Well?"))
    run = parked(wb.start(graph, 0, workbench=bench))
    assert (run.status, run.live, run.pending[0].title) == ("waiting", True, "Well?")
    run.pending[0].answer("yes")
    assert run.result(5) == "yes"
    other = wb.start(graph, 0, workbench=benches(park_seconds=None))
    run_sync(other.asked()).answer("yes")
    assert other.result(5) == "yes"
    assert kinds_of(run) == kinds_of(other)
    run.verify()


def test_nothing_of_it_but_what_it_is_bound_to_stays_in_memory(bench):
    run = wb.start(line(human("ask", "Well?")), 0, workbench=bench)
    life = weakref.ref(bench.custody.get(run.id).life)
    parked(run)
    gc.collect()
    assert life() is None
    run.stop()


def test_the_answer_may_come_from_another_process(benches):
    store = MemoryStateStore()
    run = parked(wb.start(line(human("ask", "Well?")), 0, workbench=benches(state=store, park_seconds=SOON)))
    benches(state=store).open(run.id).pending[0].answer("from afar")
    assert run.result(5) == "from afar"


def test_a_time_that_is_over_wakes_it(bench):
    asking = line(human("ask", "Well?", timeout=0.3, default="nobody"))
    assert parked(wb.start(asking, 0, workbench=bench)).result(5) == "nobody"
    with pytest.raises(wb.errors.RunFailed, match="within its timeout"):
        parked(wb.start(line(human("ask", "Well?")), 0, workbench=bench, timeout=0.3)).result(5)


def test_an_order_to_stop_wakes_it(bench):
    run = parked(wb.start(line(human("ask", "Well?")), 0, workbench=bench))
    run.stop("enough")
    with pytest.raises(RunStopped, match="enough"):
        run.result(5)


def test_a_branch_at_work_keeps_the_others_in_memory(bench):
    gate = asyncio.Event()

    @wb.task(idempotent=True)
    async def work(x):
        await gate.wait()
        return "worked"

    run = wb.start(asking_beside(work), 0, workbench=bench)
    run_sync(run.asked())
    time.sleep(5 * SOON)
    assert not is_parked(run)
    run_sync(_set(gate))
    parked(run).pending[0].answer("yes")
    assert run.result(5) == ["yes", "worked"]
    run.verify()


async def _set(gate):
    gate.set()


def test_a_task_of_ones_own_is_only_parked_if_it_says_that_it_may(bench):
    begun = []

    async def ask(value, ctx):
        begun.append(value)
        return await ctx.ask_human("Well?")

    stays = wb.start(line(wb.Task(name="ask", run=ask, idempotent=True)), 1, workbench=bench)
    goes = parked(wb.start(line(wb.Task(name="ask", run=ask, idempotent=True, parks=True)), 2, workbench=bench))
    assert not is_parked(stays)
    for run in (stays, goes):
        run.pending[0].answer("yes")
        assert run.result(5) == "yes"
    assert begun == [1, 2, 2]


def test_a_task_that_parks_has_to_be_idempotent():
    with pytest.raises(UserError, match="idempotent=True"):
        wb.task(parks=True)(lambda value: value)


def test_code_that_does_not_let_itself_be_cancelled_is_heard_all_the_same(bench):
    async def stubborn(value, ctx):
        try:
            return await ctx.ask_human("Well?")
        except asyncio.CancelledError:
            return "never mind"

    run = wb.start(line(wb.Task(name="ask", run=stubborn, idempotent=True, parks=True)), 0, workbench=bench)
    assert run.result(5) == "never mind"


def test_a_pause_is_parked_too(bench):
    run = parked(wb.start(steps(5), 3, policy="sum(tokens_used) > 1 500 -> pause_lifetime", workbench=bench))
    assert run.status == "paused"
    run.unpause()
    assert run.result(5) == 3


def test_its_lease_is_kept(benches):
    store = MemoryStateStore()
    graph = line(human("ask", "Well?"))
    run = parked(wb.start(graph, 0, workbench=benches(state=store, park_seconds=SOON, lease_seconds=0.3)))
    time.sleep(1)
    with pytest.raises(LeaseHeld):
        benches(state=store).resume(run.id, graph=graph)
    run.stop()


def test_when_its_workbench_is_closed_it_is_interrupted_and_another_goes_on(benches):
    store = MemoryStateStore()
    graph = line(human("ask", "Well?"))
    first = benches(state=store, park_seconds=SOON)
    run = parked(wb.start(graph, 0, workbench=first))
    run_sync(first.custody.close())
    with pytest.raises(RunInterrupted, match="closed"):
        run.result(5)
    again = benches(state=store).resume(run.id, graph=graph)
    again.pending[0].answer("yes")
    assert again.result(5) == "yes"


def test_a_store_that_fails_when_it_is_woken_breaks_it_off_and_loses_nothing(benches):
    class Troubled(MemoryStateStore):
        trouble = False

        async def head(self, lifetime_id):
            if self.trouble:
                raise StoreError("the disk is gone")
            return await super().head(lifetime_id)

    store = Troubled()
    graph = line(human("ask", "Well?"))
    run = parked(wb.start(graph, 0, workbench=benches(state=store, park_seconds=SOON)))
    store.trouble = True
    run.pending[0].answer("yes")
    with pytest.raises(RunInterrupted, match="the disk is gone"):
        run.result(5)
    store.trouble = False
    assert run.resume(graph=graph).result(5) == "yes"


def test_the_time_it_took_has_the_wait_in_it(bench):
    run = parked(wb.start(line(human("ask", "Well?")), 0, workbench=bench))
    time.sleep(0.3)
    run.pending[0].answer("yes")
    run.result(5)
    finished = next(entry for entry in run.entries() if entry.kind == "task_execution" and entry.phase == "finished")
    assert finished.telemetry.latency_ms > 300
