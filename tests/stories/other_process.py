"""A second process on a store: `python -m tests.stories.other_process HOME ACTION [RUN]`. It prints one JSON line and ends, or hangs on."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import workbench as wb


@wb.task(idempotent=True)
async def quick(value: int) -> int:
    return value + 1


@wb.task(idempotent=True)
async def long(value: int, ctx) -> int:
    if ctx.resources == "hang":
        await asyncio.sleep(60)
    return value * 10


GRAPH = wb.AgentGraph("two", nodes=[quick, long], edges=[("Start", "quick"), ("quick", "long"), ("long", "End")])


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main() -> None:
    home, action, *rest = sys.argv[1:]
    bench = wb.connect(home=home)
    if action == "hang":
        run = wb.start(GRAPH, 1, resources="hang")
        while "long" not in [ref.name for ref in run.state.running.values()]:
            time.sleep(0.002)
        say(run=run.id)
        time.sleep(60)
    elif action == "look":
        run = wb.open(rest[0])
        try:
            run.resume(graph=GRAPH)
            refused = ""
        except wb.errors.WorkbenchError as error:
            refused = error.code
        listed = {row.run_id: row.status for row in wb.frames.runs().itertuples()}
        say(status=run.status, refused=refused, entries=len(run.entries()), frame=listed, pending=len(run.pending))
    elif action == "resume":
        say(value=wb.resume(rest[0], graph=GRAPH).result(10))
    bench.close()


if __name__ == "__main__":
    main()
