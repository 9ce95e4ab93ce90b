"""How long a lifetime takes from one Task to the next, under load: `python -m tests.benchmarks.bench_planner`.

Each of many lifetimes is a loop of a Task that waits and a Plan that sends it round again; together they offer so many loops a second. What
is measured runs from the last line of a Task to the first line of the next: the result is received, judged and stored, the Plan chooses,
its choice and the next dispatch are stored, and the code begins.

A second part weighs long records: what it takes to fold one, and to go on with it.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

import workbench as wb
from workbench.graph.nodes import PlanInput
from workbench.loop import run_sync
from workbench.ports import Query
from workbench.profiles import local
from workbench.record.entries import decode_entry
from workbench.record.state import fold

ROUNDS = 8


def latencies(lifetimes: int, offered: float) -> tuple[list[float], float]:
    """Milliseconds of each loop, and how many loops a second there were in fact."""
    period = lifetimes / offered
    found: list[float] = []
    left: dict[str, float] = {}

    @wb.task(idempotent=True)
    async def tick(n: int, ctx: Any) -> int:
        if ctx.lifetime_id in left:
            found.append((time.perf_counter() - left[ctx.lifetime_id]) * 1e3)
        await asyncio.sleep(period)
        left[ctx.lifetime_id] = time.perf_counter()
        return n + 1

    @wb.plan
    async def again(given: PlanInput) -> str:
        return "End" if given.value >= ROUNDS else "tick"

    graph = wb.AgentGraph("ticking", nodes=[tick, again], edges=[("Start", "tick"), ("tick", "again"), ("again", "tick"), ("again", "End")])
    with tempfile.TemporaryDirectory() as home:
        bench = local(home=Path(home))
        runs = []
        begun = time.perf_counter()
        for number in range(lifetimes):  # spread over a period, as loops of their own would be
            runs.append(wb.start(graph, 0, workbench=bench))
            time.sleep(max(0.0, begun + number * period / lifetimes - time.perf_counter()))
        for run in runs:
            run.result()
        seconds = time.perf_counter() - begun - period
        bench.close()
    return found, len(found) / seconds


def long_record(entries: int) -> tuple[int, float, float]:
    """How many entries a record of about so many has, the seconds its fold takes, and those a resume takes until its next Task begins."""
    rounds = entries // 3
    hold = asyncio.Event()
    resumed: list[float] = []

    @wb.task(idempotent=True)
    async def step(n: int) -> int:
        if n >= rounds:
            resumed.append(time.perf_counter())
            await hold.wait()
        return n + 1

    @wb.plan
    async def on(given: PlanInput) -> str:
        return "End" if given.value > rounds else "step"

    graph = wb.AgentGraph("long", nodes=[step, on], edges=[("Start", "step"), ("step", "on"), ("on", "step"), ("on", "End")])
    with tempfile.TemporaryDirectory() as home:
        bench = local(home=Path(home))
        run = wb.start(graph, 0, workbench=bench)
        while not resumed:
            time.sleep(0.1)
        bench.close()
        resumed.clear()
        bench = local(home=Path(home))

        async def folded() -> tuple[int, float]:
            stored = [entry async for entry in bench.store.read(Query(lifetime_ids=[run.id]))]
            begun = time.perf_counter()
            fold(decode_entry(entry) for entry in stored)
            return len(stored), time.perf_counter() - begun

        count, seconds = run_sync(folded())
        begun = time.perf_counter()
        again = bench.resume(run.id, graph=graph)
        while not resumed:
            time.sleep(0.01)
        run_sync(_set(hold))
        again.result()
        bench.close()
    return count, seconds, resumed[0] - begun


async def _set(event: asyncio.Event) -> None:
    event.set()


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--offered", type=float, default=1_000.0, help="loops a second")
    options.add_argument("--lifetimes", type=int, default=2_000)
    options.add_argument("--entries", type=int, default=100_000)
    given = options.parse_args()
    found, reached = latencies(given.lifetimes, given.offered)
    cuts = quantiles(found, n=100)
    print(
        f"{given.lifetimes} lifetimes, {given.offered:.0f} loops a second offered, {reached:.0f} made:"
        f" p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, at most {max(found):.1f} ms (target: p99 under 250 ms)",
        flush=True,
    )
    count, seconds, until_going = long_record(given.entries)
    print(f"a record of {count} entries: folded from its bytes in {seconds:.2f} s (target: 2 s), resumed in {until_going:.2f} s")


if __name__ == "__main__":
    main()
