"""Records put into stores by hand: cut off, altered, hashed anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from workbench.adapters.memory import MemoryStateStore
from workbench.loop import run_sync
from workbench.ports import Query, StateStore
from workbench.record.codec import GENESIS
from workbench.record.entries import StoredEntry, store_entry
from workbench.record.envelope import AnyEntry


def stored(store: StateStore, lifetime_id: str) -> list[StoredEntry]:
    """The entries of a lifetime as the store holds them."""

    async def read() -> list[StoredEntry]:
        return [replace(entry, position=0) async for entry in store.read(Query(lifetime_ids=[lifetime_id]))]

    return run_sync(read())


def chained(entries: Iterable[AnyEntry]) -> list[StoredEntry]:
    """Entries as somebody who knows the format would store them: every hash holds."""
    linked: list[StoredEntry] = []
    for entry in entries:
        linked.append(store_entry(entry, linked[-1].hash if linked else GENESIS))
    return linked


def planted(*records: Sequence[StoredEntry], raw: bool = False) -> MemoryStateStore:
    """A store with these records in it, and nobody's lease on them. `raw` puts them there as they are, whatever is wrong with them."""
    store = MemoryStateStore()

    async def plant() -> None:
        for record in records:
            lease = await store.claim(record[0].lifetime_id, "planter", 60)
            await store.append(record, {lease.lifetime_id: lease.epoch})
            await store.release(lease.lifetime_id, "planter")

    if raw:
        log = [entry for record in records for entry in record]
        store._log = [replace(entry, position=place) for place, entry in enumerate(log, start=1)]
    else:
        run_sync(plant())
    return store
