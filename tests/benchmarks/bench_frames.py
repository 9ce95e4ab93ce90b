"""A million entries as DataFrames: `python -m tests.benchmarks.bench_frames`. Seconds and memory, each frame in a process of its own.

The store is written as runs write it, by copying one agent's run under new ids, so a frame meets the mix of kinds that it meets in life.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import workbench as wb
from workbench.adapters.sql import SqlStateStore
from workbench.current import set_current
from workbench.loop import run_sync
from workbench.ports import Query
from workbench.profiles import local
from workbench.record.codec import chain
from workbench.record.entries import StoredEntry

FRAMES = ("runs", "executions", "events", "tool_calls", "messages", "approvals", "costs")
STEPS = 10


def look(key: str) -> str:
    """Look something up."""
    return key


def sample(home: Path) -> list[StoredEntry]:
    """The entries of one run with some steps and calls."""
    bench = local(home=home)
    replies = ["```python\nprint(look('a'))\nx = look('b')\n```"] * STEPS + ["It is done."]
    agent = wb.Agent(wb.models.Scripted(replies), tools=[wb.Tool.from_function(look)], max_iterations=STEPS + 1, workbench=bench)
    run = agent.start("look around")
    run.result()
    agent.close()

    async def entries() -> list[StoredEntry]:
        return [each async for each in bench.store.read(Query(lifetime_ids=[run.id]))]

    found = run_sync(entries())
    bench.close()
    return found


def fill(home: Path, count: int) -> int:
    """Write so many entries; how many there are then."""
    original = sample(home / "sample")

    async def write() -> int:
        store = SqlStateStore(f"sqlite:///{(home / 'records.db').as_posix()}")
        written = number = 0
        while written < count:
            batch, epochs = [], {}
            for _ in range(200):
                number += 1
                new = f"{number:08x}-0000-4000-8000-000000000000"
                epochs[new] = (await store.claim(new, "bench", 60)).epoch
                batch += copied(original, new)
            await store.append(batch, epochs)
            for lifetime_id in epochs:
                await store.release(lifetime_id, "bench")
            written += len(batch)
        await store.close()
        return written

    return asyncio.run(write())


def copied(original: list[StoredEntry], new: str) -> list[StoredEntry]:
    """The same record under another id."""
    old, head, found = original[0].lifetime_id.encode(), original[0].prev_hash, []
    for each in original:
        data = each.data.replace(old, new.encode())
        found.append(dataclasses.replace(each, lifetime_id=new, prev_hash=head, data=data, hash=chain(head, data)))
        head = found[-1].hash
    return found


def measure(home: Path, frame: str) -> dict[str, Any]:
    """Seconds, rows, and how much more memory the process had at its most than the frame itself takes."""
    set_current(local(home=home))
    wb.frames.runs(run="none")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    found = getattr(wb.frames, frame)()
    seconds = time.perf_counter() - begun
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    return {"seconds": seconds, "rows": len(found), "peak_mb": peak, "frame_mb": found.memory_usage(deep=True).sum() / 1e6}


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--entries", type=int, default=1_000_000)
    options.add_argument("--frame", choices=FRAMES)
    options.add_argument("--home", type=Path)
    given = options.parse_args()
    if given.frame:
        print(json.dumps(measure(given.home, given.frame)))
        return
    with tempfile.TemporaryDirectory() as home:
        print(f"{fill(Path(home), given.entries):,} entries, {Path(home, 'records.db').stat().st_size / 1e6:,.0f} MB on the disk")
        for frame in FRAMES:
            command = [sys.executable, "-m", "tests.benchmarks.bench_frames", "--frame", frame, "--home", home]
            done = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
            print(
                f"{frame}(): {done['rows']:,} rows in {done['seconds']:.1f} s, at most {done['peak_mb']:,.0f} MB for a frame of"
                f" {done['frame_mb']:,.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
