"""smolagents' side of `bench_steps`, run in its own environment: `peer_smolagents.py ADDRESS STEPS`."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from smolagents import CodeAgent, LogLevel, OpenAIServerModel


def solve(address: str, key: str, steps: int) -> tuple[float, list[Any]]:
    """Seconds of one run, and the messages of its last request with the reply."""
    model = OpenAIServerModel("bench", api_base=f"{address}/{key}/{steps}/final_answer/v1", api_key="none")
    begun = time.perf_counter()
    agent = CodeAgent(tools=[], model=model, max_steps=steps, verbosity_level=LogLevel.OFF)
    answer = agent.run("Add up squares, step by step.")
    seconds = time.perf_counter() - begun
    assert answer == "done", answer
    messages = model._prepare_completion_kwargs(messages=agent.write_memory_to_messages())["messages"]
    return seconds, messages


if __name__ == "__main__":
    address, steps = sys.argv[1], int(sys.argv[2])
    solve(address, f"warm-{time.time_ns()}", 3)
    seconds, messages = solve(address, f"smolagents-{time.time_ns()}", steps)
    print(json.dumps({"seconds": seconds, "messages": messages}))
