"""A process that uses a store while a test watches: `python sql_process.py ACTION DATABASE …`, run from the repository's root."""

from __future__ import annotations

import asyncio
import os
import sys

from tests.conformance.samples import lifetime, tasks
from workbench.adapters.sql import SqlStateStore
from workbench.errors import LeaseHeld, WorkbenchError


async def claim(store: SqlStateStore, owner: str) -> None:
    """Wait for a line of input, then claim many lifetimes; print the numbers of those won."""
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for number in range(40):
        try:
            await store.claim(lifetime(number), owner, 60)
        except LeaseHeld:
            continue
        print(number, flush=True)


async def append_stale(store: SqlStateStore) -> None:
    """Append to a lifetime that somebody else has taken over; print the error's code."""
    try:
        await store.append(tasks(lifetime(), 1), {lifetime(): 1})
    except WorkbenchError as error:
        print(error.code, flush=True)


async def append_for_ever(store: SqlStateStore) -> None:
    """Append three entries at a time; print the last number of each append that has returned."""
    lease = await store.claim(lifetime(), "victim", 60)
    entries = tasks(lifetime(), 30_000)
    for start in range(0, len(entries), 3):
        await store.append(entries[start : start + 3], {lifetime(): lease.epoch})
        print(start + 3, flush=True)


async def append_beside_others(store: SqlStateStore, number: str) -> None:
    """Append a hundred entries, one at a time, while other processes do the same."""
    lifetime_id = lifetime(int(number))
    lease = await store.claim(lifetime_id, number, 60)
    for entry in tasks(lifetime_id, 100):
        await store.append([entry], {lifetime_id: lease.epoch})
    print("done", flush=True)


async def main() -> None:
    action, database, *rest = sys.argv[1:]
    actions = {
        "claim": claim,
        "append_stale": append_stale,
        "append_for_ever": append_for_ever,
        "append_beside_others": append_beside_others,
    }
    if action == "open_unprivileged":
        open_unprivileged(database)
        return
    store = SqlStateStore(f"sqlite:///{database}")
    await actions[action](store, *rest)
    await store.close()


def open_unprivileged(database: str) -> None:
    """Open the store as somebody who owns nothing, since the superuser may write everywhere; print the error."""
    if os.geteuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)
    try:
        SqlStateStore(f"sqlite:///{database}")
    except WorkbenchError as error:
        print(error.code, error, flush=True)


asyncio.run(main())
