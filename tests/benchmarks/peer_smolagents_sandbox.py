"""smolagents' local executor, for `bench_sandbox`, run in its own environment: `peer_smolagents_sandbox.py CALLS ROUNDS LOOP`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from statistics import median

from smolagents import LocalPythonExecutor


def executor() -> LocalPythonExecutor:
    """One with a tool."""
    made = LocalPythonExecutor(additional_authorized_imports=[])
    made.send_tools({"tool": lambda n: n + 1})
    return made


def seconds(work: Callable[[], object], rounds: int) -> float:
    """The median of some rounds."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return median(taken)


if __name__ == "__main__":
    calls, rounds, loop = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    warm = executor()
    answer = {
        "start": seconds(lambda: executor()("1"), rounds * 10),
        "block": seconds(lambda: warm("x = 1\nx"), rounds * 40),
        "calls": seconds(lambda: warm(f"last = 0\nfor n in range({calls}):\n    last = tool(n)"), rounds),
        "loop": seconds(lambda: warm(loop), rounds),
    }
    print(json.dumps(answer))
