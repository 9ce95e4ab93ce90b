"""What encryption at rest costs: `python -m tests.benchmarks.bench_encryption`. The same runs on two SQLite files in turn."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import workbench as wb
from workbench.graph.nodes import PlanInput
from workbench.profiles import local
from workbench.runtime.workbench import Workbench

EXECUTIONS = 200
ROUNDS = 15


def looping() -> wb.AgentGraph:
    @wb.task(idempotent=True)
    async def add(n: int) -> int:
        return n + 1

    @wb.plan
    async def look(given: PlanInput) -> str:
        return "End" if given.value >= EXECUTIONS else "add"

    return wb.AgentGraph("looping", nodes=[add, look], edges=[("Start", "add"), ("add", "look"), ("look", "add"), ("look", "End")])


def seconds(bench: Workbench, graph: wb.AgentGraph) -> float:
    begun = time.perf_counter()
    assert wb.start(graph, 0, workbench=bench).result() == EXECUTIONS
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    graph = looping()
    with tempfile.TemporaryDirectory() as home:
        clear, sealed = local(home=Path(home, "clear")), local(home=Path(home, "sealed"), encryption="memory:")
        for bench in (clear, sealed):
            seconds(bench, graph)
        pairs = [(seconds(clear, graph), seconds(sealed, graph)) for _ in range(ROUNDS)]
        ratio = statistics.median(mine / other for other, mine in pairs)
        each = [statistics.median(column) / (2 * EXECUTIONS) * 1e6 for column in zip(*pairs, strict=True)]
        print(f"an execution in clear {each[0]:.0f} µs, encrypted {each[1]:.0f} µs: {ratio:.2f} times")
        clear.close()
        sealed.close()


if __name__ == "__main__":
    main()
