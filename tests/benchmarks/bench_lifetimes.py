"""Many lifetimes at once: `python -m tests.benchmarks.bench_lifetimes`.

All of them are started together from one event loop and stand at a gate, so that all are alive together; then the gate opens. Each is a
loop of a Task and a Plan that only count, in one SQLite file. Beside it LangGraph with its SQLite checkpointer does the same with as many
threads, also gathered on one event loop, with the durability and the synchronous setting that ours has. A second part lets lifetimes wait
for a person and weighs them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import workbench as wb
from tests.benchmarks import peers
from tests.benchmarks.bench_executions import LANGGRAPH
from workbench.graph.nodes import PlanInput
from workbench.loop import run_sync
from workbench.profiles import local
from workbench.runtime.run import Run

EXECUTIONS = 10


def megabytes() -> float:
    """What this process has in memory now, shared pages included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def counting(gate: asyncio.Event) -> wb.AgentGraph:
    """Five Tasks and five Plans; the first Task waits for the gate."""

    @wb.task(idempotent=True)
    async def add(n: int) -> int:
        await gate.wait()
        return n + 1

    @wb.plan
    async def look(given: PlanInput) -> str:
        return "End" if given.value >= EXECUTIONS // 2 else "add"

    return wb.AgentGraph("counting", nodes=[add, look], edges=[("Start", "add"), ("add", "look"), ("look", "add"), ("look", "End")])


def crowd(lifetimes: int) -> dict[str, float]:
    """Run so many at once; seconds to start them, seconds from the gate to the end of the last, and the most memory."""
    gate = asyncio.Event()
    graph = counting(gate)
    with tempfile.TemporaryDirectory() as home:
        bench = local(home=Path(home))
        empty = megabytes()

        async def all_at_once() -> tuple[list[Run], float, float, float]:
            begun = time.perf_counter()
            runs = await asyncio.gather(*(wb.astart(graph, 0, workbench=bench) for _ in range(lifetimes)))
            started = time.perf_counter()
            gate.set()
            await asyncio.gather(*(run.wait() for run in runs))
            return runs, begun, started, time.perf_counter()

        runs, begun, started, ended = run_sync(all_at_once())
        assert {run.status for run in runs} == {"completed"}
        assert all(run.value == EXECUTIONS // 2 for run in runs[:: max(1, lifetimes // 50)])
        bench.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"start": started - begun, "run": ended - started, "peak_mb": peak, "above_empty_mb": peak - empty}


def waiting(lifetimes: int) -> dict[str, float]:
    """Let so many wait for a person; what they weigh once all of them do."""
    ask = wb.human("ask", "Shall it go on?", schema={"type": "string"})
    graph = wb.AgentGraph("asking", nodes=[ask], edges=[("Start", "ask"), ("ask", "End")])
    with tempfile.TemporaryDirectory() as home:
        bench = local(home=Path(home))
        warm = wb.start(graph, 0, workbench=bench)
        until_asked([warm])
        warm.pending[0].answer("yes")
        assert warm.result() == "yes"
        empty = megabytes()
        runs = [wb.start(graph, 0, workbench=bench) for _ in range(lifetimes)]
        until_asked(runs)
        weight = megabytes() - empty
        some = runs[:: max(1, lifetimes // 20)]
        for run in some:
            run.pending[0].answer("yes")
        assert [run.result(60) for run in some] == ["yes"] * len(some)
        bench.close()
    return {"above_empty_mb": weight}


def until_asked(runs: list[Run]) -> None:
    """Wait until all of them wait for a person."""
    while not all(run.status == "waiting" for run in runs):
        time.sleep(0.05)


def alone(part: str, lifetimes: int) -> Any:
    """The figures of a part, measured in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_lifetimes", "--part", part, "--lifetimes", str(lifetimes)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--part", choices=("crowd", "waiting"))
    options.add_argument("--lifetimes", type=int, default=10_000)
    given = options.parse_args()
    if given.part:
        print(json.dumps(crowd(given.lifetimes) if given.part == "crowd" else waiting(given.lifetimes)))
        return
    for lifetimes in (1_000, given.lifetimes):
        ours = alone("crowd", lifetimes)
        each = (ours["start"] + ours["run"]) / (lifetimes * EXECUTIONS) * 1e6
        print(
            f"{lifetimes} lifetimes of {EXECUTIONS} executions at once: {ours['start']:.1f} s to start, {ours['run']:.1f} s from the gate"
            f" to the last end, {each:.0f} µs an execution in all, at most {ours['peak_mb']:.0f} MB"
            f" ({ours['above_empty_mb']:.0f} above empty)",
            flush=True,
        )
        if lifetimes == 1_000:
            theirs = peers.ask("langgraph", LANGGRAPH, "peer_langgraph.py", EXECUTIONS, "sync", "NORMAL", lifetimes)
            other = theirs / (lifetimes * EXECUTIONS) * 1e6
            print(f"  LangGraph, the same with as many threads: {other:.0f} µs an execution, {other / each:.1f} times ours", flush=True)
    weight = alone("waiting", given.lifetimes)["above_empty_mb"]
    print(f"{given.lifetimes} lifetimes that wait for a person: {weight:.0f} MB above empty")


if __name__ == "__main__":
    main()
