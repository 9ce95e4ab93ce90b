"""What the sandbox costs, beside smolagents' local executor and plain exec: `python -m tests.benchmarks.bench_sandbox`.

Four pieces of work: starting a session with its first trivial block, a trivial block in a warm one, many tool calls from one block, and a
loop over numbers. Then what a recorded call and block cost in an agent's own session, what idle sessions weigh, and how many this machine
holds. The sides take turns, so that a busy machine slows all alike; plain exec protects from nothing and is the floor.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any, Literal

import psutil

import workbench as wb
from tests.benchmarks import peers
from tests.benchmarks.bench_steps import SMOLAGENTS
from workbench.profiles import local
from workbench.sandbox import faithful, idle
from workbench.sandbox.engine import Block, Limits, Output
from workbench.sandbox.files import Files
from workbench.sandbox.littrs_engine import AVAILABLE, LittrsEngine
from workbench.sandbox.monty_engine import MontyEngine
from workbench.sandbox.session import Session

Engine = Literal["littrs", "monty"]
ENGINES: tuple[Engine, ...] = ("littrs", "monty") if AVAILABLE else ("monty",)
CALLS = 10_000
ROUNDS = 5
LOOP = "total = 0\nfor i in range(100):\n    for j in range(100):\n        total = i * j % 7 + i // 3\ntotal"
WORK = ("start", "block", "calls", "loop")

TARGETS = {
    "a tool call, engine round trip": 100e-6,
    "a recorded tool call": 400e-6,
    "a recorded trivial block": 1.5e-3,
    "a warm session start": 5e-3,
}


def many_calls(calls: int) -> str:
    """A block of tool calls."""
    return f"last = 0\nfor n in range({calls}):\n    last = tool(n)"


async def host(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Answers at once."""
    return args[0] + 1


async def block(session: Session, code: str) -> float:
    """Seconds of one block."""
    begun = time.perf_counter()
    result = await session.run(code, host, tools=("tool",))
    seconds = time.perf_counter() - begun
    assert result.status == "ok", result
    return seconds


async def repeated(times: int, work: Callable[[], Awaitable[float]]) -> float:
    """The median of some times."""
    return median([await work() for _ in range(times)])


async def start(engine: Engine) -> float:
    """Seconds until a new session has run its first block. A pause before it stands for the model that is asked meanwhile."""
    await asyncio.sleep(0.3)
    session = Session("start", engine=engine)
    try:
        return await block(session, "1")
    finally:
        await session.close()


async def round_trip(name: Engine, calls: int) -> float:
    """Seconds of a tool call between the program and an engine's host, without a session's journal."""
    code = many_calls(calls)
    program = faithful.check(code, {}, ("tool",), ()).program
    limits = Limits()
    engine = await LittrsEngine.start(limits) if name == "littrs" else await MontyEngine.start(limits, Files(limits))
    try:
        begun = time.perf_counter()
        await engine.feed(Block(code=code, tools=("tool",), call=host, output=Output(0), seconds=60, program=program))
        return (time.perf_counter() - begun) / calls
    finally:
        await engine.close()


async def ours(engine: Engine, calls: int) -> dict[str, float]:
    """One round of all work on an engine."""
    warm = Session("warm", engine=engine)
    await block(warm, "1")
    measured = {
        "start": await repeated(5, lambda: start(engine)),
        "block": await repeated(100, lambda: block(warm, "x = 1\nx")),
        "calls": await block(warm, many_calls(calls)),
        "loop": await repeated(3, lambda: block(warm, LOOP)),
    }
    await warm.close()
    return measured


def plain(calls: int) -> dict[str, float]:
    """One round of plain exec."""

    def seconds(code: str) -> float:
        begun = time.perf_counter()
        exec(code, {"tool": lambda n: n + 1})
        return time.perf_counter() - begun

    return {"start": seconds("1"), "block": seconds("x = 1\nx"), "calls": seconds(many_calls(calls)), "loop": seconds(LOOP)}


def resident() -> int:
    """Bytes of this process and those it has started that no other process shares."""
    process = psutil.Process()
    return sum(one.memory_full_info().uss for one in [process, *process.children(recursive=True)])


async def weight(engine: Engine, sessions: int) -> tuple[float, float]:
    """Bytes of an idle session that keeps its engine, and seconds it took to start it, of many at once."""
    warmest, idle.MAX_IDLE = idle.MAX_IDLE, sessions + 1
    before = resident()
    begun = time.perf_counter()
    held = [Session(str(number), engine=engine) for number in range(sessions)]
    await asyncio.gather(*(session.run("x = 1", host) for session in held))
    seconds = time.perf_counter() - begun
    gc.collect()
    await asyncio.sleep(0.5)
    each = (resident() - before) / sessions
    for session in held:
        await session.close()
    idle.MAX_IDLE = warmest
    return each, seconds / sessions


def recorded(engine: Engine, calls: int) -> dict[str, float]:
    """What a synchronous tool call and a block cost in a run of an agent with a durable record."""

    @wb.tool(idempotent=True)
    def tool(n: int) -> int:
        """One more than n."""
        return n + 1

    durations: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as home:
        bench = local(home=Path(home))
        for name, codes in (("call", ["1", many_calls(calls)]), ("block", ["x = 1\nx"] * 40)):
            agent = wb.Agent(
                wb.models.Scripted([*(f"```python\n{code}\n```" for code in codes), "done"]), tools=[tool], engine=engine, workbench=bench,
                max_iterations=len(codes) + 2,
            )  # fmt: skip
            run = agent.start("Work.")
            assert run.result() == "done"
            taken = [float(event["duration_ms"]) / 1e3 for event in run.events() if event["event"] == "code_executed"]
            assert len(taken) == len(codes)
            durations[name] = taken[1] / calls if name == "call" else median(taken[1:])
            agent.close()
        bench.close()
    return durations


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=CALLS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--sessions", type=int, default=50)
    given = options.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {}
    for _ in range(given.rounds):
        for engine in ENGINES:
            rounds.setdefault(engine, []).append(asyncio.run(ours(engine, given.calls)))
        answer = peers.ask("smolagents", SMOLAGENTS, "peer_smolagents_sandbox.py", given.calls, 1, LOOP)
        rounds.setdefault("smolagents", []).append(answer)
        rounds.setdefault("exec", []).append(plain(given.calls))
    middle = {side: {work: median(one[work] for one in turns) for work in WORK} for side, turns in rounds.items()}
    print(f"ms, median of {given.rounds} rounds; in brackets how many times faster than smolagents' executor, which runs in our process")
    print(f"{'':<12}{'session start':>22}{'trivial block':>22}{f'{given.calls} calls':>22}{'numeric loop':>22}")
    for side, figures in middle.items():
        cells = [f"{figures[work] * 1e3:10.3f} ({middle['smolagents'][work] / figures[work]:7.2f})" for work in WORK]
        print(f"{side:<12}" + "".join(f"{cell:>22}" for cell in cells))
    for engine in ENGINES:
        costs = recorded(engine, min(given.calls, 1000))
        trip = median(asyncio.run(round_trip(engine, min(given.calls, 3000))) for _ in range(given.rounds))
        seen = (trip, costs["call"], costs["block"], middle[engine]["start"])
        for (name, target), seconds in zip(TARGETS.items(), seen, strict=True):
            print(
                f"{engine:<8} {name:<32} {seconds * 1e6:9.0f} µs, target {target * 1e6:6.0f} µs {'met' if seconds < target else 'MISSED'}"
            )
    for engine in ENGINES:
        each, seconds = asyncio.run(weight(engine, given.sessions))
        room = psutil.virtual_memory().available / each
        print(
            f"{engine:<8} {given.sessions} idle sessions: {each / 2**20:.1f} MB and {seconds * 1e3:.1f} ms each, "
            f"so about {room:,.0f} at once in this machine's free memory"
        )


if __name__ == "__main__":
    main()
