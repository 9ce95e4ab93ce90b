"""While very many runs are alive the garbage collector looks less often, and afterwards as often as before."""

from __future__ import annotations

import asyncio
import gc

import workbench as wb
from tests.runtime.graphs import line
from workbench.loop import run_sync
from workbench.runtime.crowd import MANY, RARELY, Collector


def test_many_runs_and_then_none_leave_the_collector_as_it_was(bench):
    before = gc.get_threshold()
    gate = asyncio.Event()

    async def wait(value):
        await gate.wait()
        return value

    graph = line(wb.task(idempotent=True)(wait))
    runs = [wb.start(graph, n, workbench=bench) for n in range(MANY)]
    assert gc.get_threshold() == RARELY
    run_sync(through(gate, runs))
    assert [run.value for run in runs] == list(range(MANY))
    assert gc.get_threshold() == before


async def through(gate, runs):
    gate.set()
    await asyncio.gather(*(run.wait() for run in runs))


def test_what_somebody_else_sets_meanwhile_stays():
    before = gc.get_threshold()
    try:
        collector = Collector()
        collector.crowded(MANY)
        gc.set_threshold(1_234, 5, 6)
        collector.crowded(0)
        assert gc.get_threshold() == (1_234, 5, 6)
    finally:
        gc.set_threshold(*before)
