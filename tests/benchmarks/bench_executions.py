"""What a durable execution costs, beside LangGraph with its SQLite checkpointer: `python -m tests.benchmarks.bench_executions`.

An execution is one Task or one Plan of ours, one node of theirs; all are kept in a SQLite file. The graph is a loop of two nodes that only
count. LangGraph is measured as it comes (a checkpoint is written while the next node runs, and each commit waits for the disk), with
`durability="sync"` (a checkpoint is written before the next node runs, as ours is), and with that and SQLite's `synchronous=NORMAL`, which
ours has: no commit waits for the disk. The last is the fair one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import workbench as wb
from tests.benchmarks import peers
from workbench.graph.nodes import PlanInput
from workbench.profiles import local
from workbench.runtime.workbench import Workbench

LANGGRAPH = ["langgraph==1.2.22", "langgraph-checkpoint-sqlite==3.1.2"]
SETTINGS = (("async", "FULL"), ("sync", "FULL"), ("sync", "NORMAL"))
ROUNDS = 5
EXECUTIONS = 1000


def counting(executions: int) -> wb.AgentGraph:
    """A Task and a Plan that take turns."""

    @wb.task(idempotent=True)
    async def add(n: int) -> int:
        return n + 1

    @wb.plan
    async def look(given: PlanInput) -> str:
        return "End" if given.value >= executions // 2 else "add"

    edges = [("Start", "add"), ("add", "look"), ("look", "add"), ("look", "End")]
    return wb.AgentGraph("counting", version="1.0.0", nodes=[add, look], edges=edges)


def ours(bench: Workbench, executions: int) -> float:
    """Microseconds an execution."""
    graph = counting(executions)
    begun = time.perf_counter()
    run = wb.start(graph, 0, workbench=bench)
    assert run.result() == executions // 2
    seconds = time.perf_counter() - begun
    assert run.state.totals.tasks + run.state.totals.plans == executions
    return seconds / executions * 1e6


def theirs(executions: int, durability: str, synchronous: str) -> float:
    """Microseconds an execution."""
    seconds: float = peers.ask("langgraph", LANGGRAPH, "peer_langgraph.py", executions, durability, synchronous)
    return seconds / executions * 1e6


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--executions", type=int, default=EXECUTIONS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    given = options.parse_args()
    turns: list[list[float]] = []
    with tempfile.TemporaryDirectory() as home:
        bench = local(home=Path(home))
        ours(bench, 20)
        for _ in range(given.rounds):
            turns.append([ours(bench, given.executions), *(theirs(given.executions, *setting) for setting in SETTINGS)])
        bench.close()
    sides = list(zip(*turns, strict=True))
    names = ["ours", *(f"LangGraph, durability={durability}, synchronous={synchronous}" for durability, synchronous in SETTINGS)]
    print(f"{given.executions} durable executions, µs an execution: the fastest of {given.rounds} rounds, and the median")
    for name, side in zip(names, sides, strict=True):
        fastest, usual = min(side), median(side)
        times, usual_times = fastest / min(sides[0]), usual / median(sides[0])
        print(f"  {name:<50} {fastest:6.0f}  {times:5.1f} times   {usual:6.0f}  {usual_times:5.1f} times")


if __name__ == "__main__":
    main()
