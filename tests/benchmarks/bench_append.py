"""What an awaited append costs, beside a bare sqlite3 insert and commit of the same rows: `python -m tests.benchmarks.bench_append`.

The two are measured in turns, in rounds, so that a busy machine slows both alike; the ratio says more than the microseconds.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles

from tests.conformance.samples import lifetime, tasks
from workbench.adapters.schema import INSERTED, create_statements, row_of
from workbench.adapters.sql import SqlStateStore
from workbench.adapters.sqlite import DIALECT
from workbench.record.entries import StoredEntry

ROUNDS = 10
APPENDS = 300
"""Of each size, in a round."""

TEXT = "a sentence of a model's reply, of ordinary length. " * 8
INSERT = f"INSERT INTO entries ({', '.join(INSERTED)}) VALUES ({', '.join('?' * len(INSERTED))})"


def bare_database(path: Path) -> sqlite3.Connection:
    """The same tables and settings, without triggers."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    for statement in create_statements(DIALECT):
        db.execute(statement)
    return db


def insert(db: sqlite3.Connection, entries: Sequence[StoredEntry]) -> None:
    """One transaction, no checks."""
    db.execute("BEGIN IMMEDIATE")
    db.executemany(INSERT, [row_of(entry) for entry in entries])
    db.execute("COMMIT")


async def one_by_one(store: SqlStateStore, db: sqlite3.Connection, size: int, numbers: range) -> tuple[list[float], list[float]]:
    """Seconds of each awaited append of `size` entries, and of each bare insert."""
    appends, inserts = [], []
    for number in numbers:
        entries = tasks(lifetime(number), size * APPENDS, text=TEXT)
        groups = [entries[start : start + size] for start in range(0, len(entries), size)]
        epochs = {lifetime(number): (await store.claim(lifetime(number), "bench", 3600)).epoch}
        for group in groups:
            begun = time.perf_counter()
            await store.append(group, epochs)
            appends.append(time.perf_counter() - begun)
        for group in groups:
            begun = time.perf_counter()
            insert(db, group)
            inserts.append(time.perf_counter() - begun)
    return appends, inserts


async def at_once(store: SqlStateStore, db: sqlite3.Connection, numbers: range) -> tuple[list[float], list[float]]:
    """Seconds of a thousand concurrent appends of three entries, each of its own lifetime, and of as many bare inserts; a thousandth."""
    appends, inserts = [], []
    groups = [tasks(lifetime(number), 3, text=TEXT) for number in numbers]
    epochs = {group[0].lifetime_id: (await store.claim(group[0].lifetime_id, "bench", 3600)).epoch for group in groups}
    for start in range(0, len(groups), 1000):
        begun = time.perf_counter()
        await asyncio.gather(*(store.append(group, epochs) for group in groups[start : start + 1000]))
        appends.append((time.perf_counter() - begun) / 1000)
        begun = time.perf_counter()
        for group in groups[start : start + 1000]:
            insert(db, group)
        inserts.append((time.perf_counter() - begun) / 1000)
    return appends, inserts


def report(name: str, measured: tuple[list[float], list[float]]) -> None:
    """One line: medians, means and their ratio."""
    ours, bare = measured
    middle, mean = median(ours) * 1e6, sum(ours) / len(ours) * 1e6
    bare_middle, bare_mean = median(bare) * 1e6, sum(bare) / len(bare) * 1e6
    print(
        f"{name:<34} median {middle:6.1f} µs, mean {mean:6.1f} µs   bare sqlite3 {bare_middle:6.1f}, {bare_mean:6.1f} µs   "
        f"ratio {middle / bare_middle:.2f}, {mean / bare_mean:.2f}   99 % within {quantiles(ours, n=100)[98] * 1e6:.0f} µs"
    )


async def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        store = SqlStateStore(f"sqlite:///{directory}/store.db")
        with closing(bare_database(Path(directory) / "bare.db")) as db:
            report("an awaited append of 1 entry", await one_by_one(store, db, 1, range(ROUNDS)))
            report("an awaited append of 3 entries", await one_by_one(store, db, 3, range(100, 100 + ROUNDS)))
            report("1,000 appends of 3 at once, each", await at_once(store, db, range(1000, 1000 + 1000 * ROUNDS)))
        await store.close()


if __name__ == "__main__":
    asyncio.run(main())
