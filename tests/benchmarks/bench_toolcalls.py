"""What a recorded tool call from the sandbox costs, and where the time goes: `python -m tests.benchmarks.bench_toolcalls`.

One block calls a tool a thousand times. Its parts are measured by themselves: the engine with a host that answers at once, and the tool
executor without a record. What is left is the record: the intent, stored before the tool runs, and the outcome, stored behind it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Literal

import workbench as wb
from workbench.loop import run_sync
from workbench.profiles import local
from workbench.runtime.workbench import Workbench
from workbench.sandbox.littrs_engine import AVAILABLE
from workbench.sandbox.session import Session
from workbench.tools.executor import ToolExecutor
from workbench.tools.tool import Tool

CALLS = 1000
ROUNDS = 5

Engine = Literal["littrs", "monty"]
ENGINES: tuple[Engine, ...] = ("littrs", "monty") if AVAILABLE else ("monty",)


@wb.tool(idempotent=True)
async def awaited(n: int) -> int:
    """One more than n."""
    return n + 1


@wb.tool(idempotent=True)
def threaded(n: int) -> int:
    """One more than n."""
    return n + 1


def block(tool: Tool, calls: int) -> str:
    """The program."""
    return f"last = 0\nfor n in range({calls}):\n    last = {tool.name}(n)"


def whole(bench: Workbench, engine: Engine, tool: Tool, calls: int) -> float:
    """Seconds of the block in a run of an agent."""
    model = wb.models.Scripted([f"```python\n{block(tool, calls)}\n```", "done"])
    agent = wb.Agent(model, tools=[tool], engine=engine, workbench=bench)
    run = agent.start("Call the tool.")
    assert run.result() == "done"
    agent.close()
    assert run.state.totals.tool_calls == calls
    (executed,) = [event for event in run.events() if event["event"] == "code_executed"]
    assert executed["success"]
    assert executed["engine"] == engine
    return float(executed["duration_ms"]) / 1e3


async def engine_alone(engine: Engine, tool: Tool, calls: int) -> float:
    """Seconds of the block with a host that answers at once and records nothing."""

    async def host(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return args[0] + 1

    session = Session(str(uuid.uuid4()), engine=engine)
    try:
        begun = time.perf_counter()
        result = await session.run(block(tool, calls), host, tools=[tool.name])
        seconds = time.perf_counter() - begun
    finally:
        await session.close()
    assert result.status == "ok", result
    assert len(result.calls) == calls
    return seconds


async def executor_alone(tool: Tool, calls: int) -> float:
    """Seconds of the calls without sandbox or record."""
    executor = ToolExecutor([tool])
    begun = time.perf_counter()
    for n in range(calls):
        assert await executor.call(tool.name, {"n": n}) == n + 1
    seconds = time.perf_counter() - begun
    executor.close()
    return seconds


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=CALLS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    given = options.parse_args()
    tools = [Tool.of(awaited), Tool.of(threaded)]
    print(
        f"{given.calls} recorded tool calls from one block, the fastest of {given.rounds} rounds, µs a call, the engine's start included:"
    )
    print(f"{'engine':<8} {'tool':<9} {'whole':>7} {'engine':>7} {'executor':>9} {'record':>7}")
    with tempfile.TemporaryDirectory() as home:
        bench = local(home=Path(home))
        for engine in ENGINES:
            for tool in tools:
                whole(bench, engine, tool, 10)
                turns = [
                    (
                        whole(bench, engine, tool, given.calls),
                        run_sync(engine_alone(engine, tool, given.calls)),
                        run_sync(executor_alone(tool, given.calls)),
                    )
                    for _ in range(given.rounds)
                ]
                total, round_trip, execution = (min(part) / given.calls * 1e6 for part in zip(*turns, strict=True))
                rest = total - round_trip - execution
                print(f"{engine:<8} {tool.name:<9} {total:7.0f} {round_trip:7.0f} {execution:9.0f} {rest:7.0f}")
        bench.close()


if __name__ == "__main__":
    main()
