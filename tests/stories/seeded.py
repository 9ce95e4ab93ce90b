"""Run the same agent in the test profile and print the hash of everything stored: `python -m tests.stories.seeded SEED`."""

from __future__ import annotations

import sys
import time

import workbench as wb
from workbench.adapters.memory import MemoryStateStore
from workbench.loop import run_sync
from workbench.ports import Query
from workbench.profiles import for_tests
from workbench.record.codec import sha256

SCRIPT = [
    "<think>first</think>\n```python\nnames = spread({'b': 1, 'a': 2, 'c': 3})\nprint(sorted(names))\n```",
    "```python\nbroken(1)\n```",
    "```python\ntotal = 0\nfor n in range(5):\n    total += double(n)\nfinish({'total': total})\n```",
]


@wb.tool
def spread(rows: dict) -> set:
    """A set, whose order depends on the hash seed."""
    return {f"{key}{value}" for key, value in rows.items()} | {"x", "y", "zebra"}


@wb.tool
async def double(n: int) -> int:
    """Twice."""
    return 2 * n


@wb.tool
def broken(n: int) -> int:
    """Fails, and says something that is different each time where warnings and progress go."""
    print(time.time(), file=sys.stderr)
    raise ValueError({"n": n})


def stored(seed: int) -> list[bytes]:
    """The bytes of two runs, in the order of the store."""
    bench = for_tests(seed)
    agent = wb.Agent(wb.models.Scripted(SCRIPT), tools=[spread, double, broken], workbench=bench, engine="monty")
    for _ in range(2):
        agent.run("Do it.")
    assert isinstance(bench.store, MemoryStateStore)
    entries = run_sync(taken(bench.store))
    agent.close()
    bench.close()
    return entries


async def taken(store: MemoryStateStore) -> list[bytes]:
    return [stored.hash.encode() + b" " + stored.data async for stored in store.read(Query())]


if __name__ == "__main__":
    for line in stored(int(sys.argv[1])):
        print(sha256(line), line.decode()[:4000])
