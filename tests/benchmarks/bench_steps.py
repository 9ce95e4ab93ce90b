"""What an agent's step costs, beside smolagents: `python -m tests.benchmarks.bench_steps`.

Both talk to the same server on loopback, which answers every request with a small block of Python. A step's own time is its wall time less
what a plain HTTP client takes to encode and send the same growing prompt and to read the reply: what no agent can avoid. Ours records each
step durably in SQLite; theirs keeps it in memory. The sides take turns, and the fastest round of each counts: a step of ours passes between
three processes, so other work on the machine slows it more than one that only computes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx

import workbench as wb
from tests.benchmarks import chat_server, peers
from workbench.profiles import local
from workbench.runtime.workbench import Workbench

SMOLAGENTS = ["smolagents[openai]==1.26.0"]
ROUNDS = 3


class Measured(NamedTuple):
    """One run. Each list has a number of seconds a step."""

    steps: list[float]
    floor: list[float]

    @property
    def raw_ms(self) -> float:
        """Wall time, in milliseconds a step."""
        return sum(self.steps) / len(self.steps) * 1e3

    def own_ms(self, first: int = 0, last: int | None = None) -> float:
        """The mean of a stretch of steps without what the plain client takes, in milliseconds."""
        own = [step - floor for step, floor in zip(self.steps, self.floor, strict=True)][first:last]
        return sum(own) / len(own) * 1e3


def ours(bench: Workbench, address: str, steps: int) -> Measured:
    """A run of our agent."""
    model = wb.models.OpenAI("bench", base_url=f"{address}/ours-{time.time_ns()}/{steps}/finish/v1", api_key="none", stream=False)
    begun = time.perf_counter()
    agent = wb.Agent(model, max_iterations=steps, workbench=bench)
    run = agent.start("Add up squares, step by step.")
    assert run.result() == "done"
    seconds = time.perf_counter() - begun
    entries = run.entries()
    agent.close()
    asked = [entry.header.created_at for entry in entries if entry.header.name == "task_llm" and entry.phase == "started"]
    between = [(after - before).total_seconds() for before, after in pairwise(asked)]
    # What came before the first question and after the last one belongs to the last step.
    taken = [*between, seconds - sum(between)]
    messages = [message.model_dump() for entry in entries for message in entry.messages]
    return Measured(taken, asyncio.run(floor(address, messages, steps)))


def theirs(address: str, steps: int) -> Measured:
    """A run of theirs, whose steps are not told apart."""
    answer = peers.ask("smolagents", SMOLAGENTS, "peer_smolagents.py", address, steps)
    return Measured([answer["seconds"] / steps] * steps, asyncio.run(floor(address, answer["messages"], steps)))


async def floor(address: str, messages: list[dict[str, Any]], steps: int) -> list[float]:
    """Seconds that a plain client takes for each request of a run with these messages."""
    assert len(messages) >= 2 * steps, (len(messages), steps)
    url = f"{address}/floor-{time.time_ns()}/{steps}/finish/v1/chat/completions"
    taken = []
    async with httpx.AsyncClient() as client:
        for step in range(steps):
            begun = time.perf_counter()
            prompt = [dict(message) for message in messages[: 2 + 2 * step]]
            body = {"model": "bench", "messages": prompt, "temperature": 0.7, "max_tokens": 4096}
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            response = await client.post(url, content=content, headers={"content-type": "application/json"})
            response.json()
            taken.append(time.perf_counter() - begun)
    return taken


def compare(bench: Workbench, address: str, steps: int, rounds: int) -> None:
    """One line for all that a step takes and one for its own time."""
    turns = [(ours(bench, address, steps), theirs(address, steps)) for _ in range(rounds)]
    report(f"{steps} steps, all", [(mine.raw_ms, other.raw_ms) for mine, other in turns])
    report(f"{steps} steps, own", [(mine.own_ms(), other.own_ms()) for mine, other in turns])


def report(name: str, turns: list[tuple[float, float]]) -> None:
    """The fastest round of each side, which other work on the machine has disturbed least, and the medians."""
    mine, other = (min(side) for side in zip(*turns, strict=True))
    usual, others = (median(side) for side in zip(*turns, strict=True))
    print(
        f"{name:<18} ours {mine:6.2f} ms, smolagents {other:6.2f} ms: {other / mine:5.1f} times   "
        f"(medians {usual:6.2f} and {others:6.2f} ms: {others / usual:5.1f} times)"
    )


def alone(bench: Workbench, address: str, steps: int, rounds: int) -> None:
    """Ours in a long run: whether a late step costs more than an early one."""
    runs = [ours(bench, address, steps) for _ in range(rounds)]
    tenth = steps // 10
    parts = [min(run.own_ms(first, first + tenth) for run in runs) for first in range(0, steps - 1, tenth)]
    print(f"{steps} steps, all    ours {min(run.raw_ms for run in runs):6.2f} ms")
    print(f"{steps} steps, own    ours {min(run.own_ms() for run in runs):6.2f} ms", end="; ")
    print("by tenths of the run", ", ".join(f"{part:.2f}" for part in parts))


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, nargs="*", default=[50, 200])
    options.add_argument("--long", type=int, nargs="*", default=[1000])
    options.add_argument("--rounds", type=int, default=ROUNDS)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as home, chat_server.running() as address:
        bench = local(home=Path(home))
        ours(bench, address, 3)
        for steps in given.steps:
            compare(bench, address, steps, given.rounds)
        for steps in given.long:
            alone(bench, address, steps, given.rounds)
        bench.close()


if __name__ == "__main__":
    main()
