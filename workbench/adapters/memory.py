"""State, events, blobs and small values in this process's memory: the reference reading of every promise in `workbench.ports`.

It is for tests, for throw-away runs and for the local profile's bus and KV. It is not a cache in front of anything and nothing in it
outlives the process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from workbench.adapters.addresses import blob_key, blob_ref, checked
from workbench.adapters.memory_bus import MemoryEventBus
from workbench.adapters.refusals import held_by, not_next, not_the_one, pruned, repeated, stale
from workbench.errors import BlobMissing, ConfigurationError, StoreError
from workbench.ports import DataKey, InboxItem, Lease, Query, Tombstone
from workbench.record.codec import GENESIS
from workbench.record.entries import COLUMNS, StoredEntry
from workbench.record.statistics import Statistics, counted_in_columns
from workbench.record.values import BlobRef
from workbench.visible import masked

Clock = Callable[[], float]

_COLUMN = {name: index for index, name in enumerate(COLUMNS)}
_EXEC_ID, _PHASE = _COLUMN["exec_id"], _COLUMN["phase"]


class MemoryStateStore:
    """The log as one list, with an index by lifetime. Durable only as long as the process lives."""

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._log: list[StoredEntry] = []
        self._heads: dict[str, tuple[int, str]] = {}
        self._keys: set[tuple[str, str, str]] = set()
        self._leases: dict[str, Lease] = {}
        self._inbox: dict[str, InboxItem] = {}
        self._decided: list[tuple[int, str]] = []
        self._cursors: dict[str, int] = {}
        self._tombstones: dict[str, Tombstone] = {}
        self._data_keys: dict[str, DataKey] = {}
        self._position = 0

    async def append(self, entries: Sequence[StoredEntry], epochs: Mapping[str, int]) -> None:
        """Append entries, all or none; see `StateStore.append`."""
        for lifetime_id in {entry.lifetime_id for entry in entries}:
            lease = self._leases.get(lifetime_id)
            if lease is None or lease.epoch != epochs.get(lifetime_id):
                raise stale(lifetime_id, epochs.get(lifetime_id), lease and lease.epoch)
            if lifetime_id in self._tombstones:
                raise pruned(lifetime_id)
        heads: dict[str, tuple[int, str]] = {}
        keys: set[tuple[str, str, str]] = set()
        for entry in entries:
            head = heads.get(entry.lifetime_id) or self._heads.get(entry.lifetime_id, (0, GENESIS))
            if (entry.seq, entry.prev_hash) != (head[0] + 1, head[1]):
                raise not_next(entry, head)
            key = (entry.lifetime_id, entry.columns[_EXEC_ID], entry.columns[_PHASE])
            if key in self._keys or key in keys:
                raise repeated(entry)
            heads[entry.lifetime_id] = (entry.seq, entry.hash)
            keys.add(key)
        for entry in entries:
            self._position += 1
            self._log.append(
                StoredEntry(
                    lifetime_id=entry.lifetime_id,
                    seq=entry.seq,
                    prev_hash=entry.prev_hash,
                    hash=entry.hash,
                    data=entry.data,
                    columns=entry.columns,
                    position=self._position,
                )
            )
        self._heads |= heads
        self._keys |= keys
        await asyncio.sleep(0)  # other work gets its turn, as it does where a store has to wait

    async def read(self, query: Query) -> AsyncIterator[StoredEntry]:
        """What was in the log when the reading began, as `query` asks."""
        log, newest = self._log, len(self._log)  # a prune makes a new list, and this reading goes on with the one it began
        places = range(newest - 1, -1, -1) if query.newest_first else range(newest)
        left = query.limit
        for place in places:
            if left == 0:
                return
            entry = log[place]
            if _matches(query, entry):
                left = None if left is None else left - 1
                yield entry

    async def columns(self, query: Query, names: Sequence[str]) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """Columns alone, all in one batch."""
        rows = []
        async for entry in self.read(query):
            own = {"lifetime_id": entry.lifetime_id, "seq": entry.seq, "hash": entry.hash, "size": len(entry.data), "data": entry.data}
            rows.append(tuple(own[name] if name in own else entry.columns[_COLUMN[name]] for name in names))
        if rows:
            yield rows

    async def statistics(self, query: Query) -> Statistics:
        """The measures over what `query` names."""
        found = Statistics()
        for entry in self._log:
            if _matches(query, entry):
                row = entry.columns
                found.count(counted_in_columns(lambda name, row=row: row[_COLUMN[name]]))  # type: ignore[misc]
                found.first_position = found.first_position or entry.position
                found.last_position = entry.position
        for statistic in found.by_name.values():
            statistic.last = None
        return found

    async def head(self, lifetime_id: str) -> tuple[int, str]:
        """The last sequence number and hash of a lifetime."""
        return self._heads.get(lifetime_id, (0, GENESIS))

    async def cursor(self, consumer: str, position: int | None = None) -> int:
        """Where `consumer` has read to; with `position`, forward to there."""
        here = max(self._cursors.get(consumer, 0), position or 0)
        if position is not None:
            self._cursors[consumer] = here
        return here

    async def claim(self, lifetime_id: str, owner: str, ttl: float) -> Lease:
        """Take or keep the lifetime; see `StateStore.claim`."""
        now, held = self._clock(), self._leases.get(lifetime_id)
        if held is None:
            epoch = 1
        elif held.owner == owner:
            epoch = held.epoch
        elif held.expires_at <= now:
            epoch = held.epoch + 1
        else:
            raise held_by(held, now)
        lease = Lease(lifetime_id, owner, epoch, now + ttl)
        self._leases[lifetime_id] = lease
        return lease

    async def renew(self, owner: str, ttl: float) -> set[str]:
        """Extend the leases nobody has taken from `owner`."""
        expires_at = self._clock() + ttl
        held = {lifetime_id for lifetime_id, lease in self._leases.items() if lease.owner == owner}
        for lifetime_id in held:
            self._leases[lifetime_id] = self._leases[lifetime_id]._replace(expires_at=expires_at)
        return held

    async def release(self, lifetime_id: str, owner: str) -> None:
        """Give the lifetime up. Its row stays without an owner, so that the next claim raises the epoch."""
        held = self._leases.get(lifetime_id)
        if held is not None and held.owner == owner:
            self._leases[lifetime_id] = held._replace(owner="", expires_at=0.0)

    async def leases(self) -> dict[str, Lease]:
        """The unexpired leases, by lifetime."""
        now = self._clock()
        return {lifetime_id: lease for lifetime_id, lease in self._leases.items() if lease.expires_at > now}

    async def put_decision(self, item: InboxItem) -> bool:
        """Keep the first decision for a request."""
        if item.request_id in self._inbox:
            return False
        self._inbox[item.request_id] = item
        self._decided.append((len(self._decided) + 1, item.lifetime_id))
        return True

    async def decisions(self, lifetime_id: str) -> list[InboxItem]:
        """The decisions kept for a lifetime, oldest first."""
        return [item for item in self._inbox.values() if item.lifetime_id == lifetime_id]

    async def decided_after(self, position: int) -> list[tuple[int, str]]:
        """The places in the inbox beyond a position, each with its lifetime."""
        return self._decided[position:]

    async def prune(self, tombstone: Tombstone) -> None:
        """Delete a lifetime whose tombstone describes it; see `StateStore.prune`."""
        lifetime_id, now = tombstone.lifetime_id, self._clock()
        held = self._leases.get(lifetime_id)
        if held is not None and held.expires_at > now:
            raise held_by(held, now)
        found = self._heads.get(lifetime_id, (0, GENESIS))
        if found != (tombstone.entries, tombstone.head):
            raise not_the_one(lifetime_id, found, (tombstone.entries, tombstone.head))
        self._tombstones[lifetime_id] = tombstone
        self._log = [entry for entry in self._log if entry.lifetime_id != lifetime_id]
        self._keys = {key for key in self._keys if key[0] != lifetime_id}
        self._inbox = {request_id: item for request_id, item in self._inbox.items() if item.lifetime_id != lifetime_id}
        self._heads.pop(lifetime_id, None)
        self._data_keys.pop(lifetime_id, None)

    async def tombstones(self) -> dict[str, Tombstone]:
        """What was pruned, by lifetime."""
        return dict(self._tombstones)

    async def data_key(self, lifetime_id: str) -> DataKey | None:
        """The data key of a lifetime, if it has one."""
        return self._data_keys.get(lifetime_id)

    async def data_keys(self) -> list[DataKey]:
        """All data keys."""
        return list(self._data_keys.values())

    async def put_data_key(self, key: DataKey) -> DataKey:
        """Keep the first data key of a lifetime."""
        return self._data_keys.setdefault(key.lifetime_id, key)

    async def replace_data_key(self, old: DataKey, new: DataKey) -> bool:
        """Replace a data key, if it is the one that stands there."""
        stands = self._data_keys.get(old.lifetime_id) == old
        if stands:
            self._data_keys[old.lifetime_id] = new
        return stands

    async def remove_data_key(self, lifetime_id: str) -> bool:
        """Delete a data key."""
        return self._data_keys.pop(lifetime_id, None) is not None

    async def close(self) -> None:
        """Nothing to release."""


def _matches(query: Query, entry: StoredEntry) -> bool:
    row = entry.columns
    created_at = row[_COLUMN["created_at"]]
    return (
        (query.lifetime_ids is None or entry.lifetime_id in query.lifetime_ids)
        and entry.lifetime_id != query.without_lifetime
        and (query.session_id is None or row[_COLUMN["session_id"]] == query.session_id)
        and (query.tenant_id is None or row[_COLUMN["tenant_id"]] == query.tenant_id)
        and (query.kinds is None or row[_COLUMN["kind"]] in query.kinds)
        and (query.phases is None or row[_PHASE] in query.phases)
        and (query.names is None or row[_COLUMN["name"]] in query.names)
        and (query.statuses is None or row[_COLUMN["status"]] in query.statuses)
        and (query.since is None or created_at >= query.since)
        and (query.until is None or created_at < query.until)
        and entry.seq > query.after_seq
        and entry.position > query.after_position
    )


class MemoryBlobStore:
    """Blobs in a dict, by hash."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    async def put(self, data: bytes, media_type: str = "application/json") -> BlobRef:
        """Keep the bytes; the same bytes are kept once."""
        ref = blob_ref(data, media_type)
        self._blobs.setdefault(ref.sha256, bytes(data))
        return ref

    async def get(self, ref: BlobRef) -> bytes:
        """The bytes of a reference, checked against its hash."""
        data = self._blobs.get(blob_key(ref))
        if data is None:
            raise BlobMissing(f"no blob {ref.uri} in memory; it was put in another process, or never")
        return checked(data, ref)

    async def remove(self, digest: str) -> bool:
        """Forget the bytes with this hash."""
        return self._blobs.pop(digest, None) is not None

    async def close(self) -> None:
        """Nothing to release."""


class MemoryKVStore:
    """Small values in a dict. A counter is stored as its decimal digits, as Redis does."""

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._values: dict[str, tuple[bytes, float | None]] = {}

    def _live(self, key: str) -> tuple[bytes | None, float | None]:
        value, expires_at = self._values.get(key, (None, None))
        if expires_at is not None and expires_at <= self._clock():
            del self._values[key]
            return None, None
        return value, expires_at

    async def get(self, key: str) -> bytes | None:
        """The value, or None when it is absent or has expired."""
        return self._live(key)[0]

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store a value, for `ttl` seconds or until it is replaced."""
        self._values[key] = (value, None if ttl is None else self._clock() + ttl)

    async def add(self, key: str, amount: int) -> int:
        """Add to a counter, which keeps its time to live.

        Raises:
            StoreError: if what stands there is not a number.
        """
        value, expires_at = self._live(key)
        try:
            total = int(value or b"0") + amount
        except ValueError:
            raise StoreError(f"{key!r} holds {value!r}, which is not a counter; use another key") from None
        self._values[key] = (b"%d" % total, expires_at)
        return total

    async def swap(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        """Replace `old` by `new` (None: absent) if `old` stands there; the new value has no time to live."""
        if self._live(key)[0] != old:
            return False
        if new is None:
            self._values.pop(key, None)
        else:
            self._values[key] = (new, None)
        return True

    async def close(self) -> None:
        """Nothing to release."""


def state_store(url: str) -> MemoryStateStore:
    """The adapter behind `memory:` as a profile's state store; it has no other address."""
    _only(url)
    return MemoryStateStore()


def event_bus(url: str) -> MemoryEventBus:
    """The adapter behind `memory:` as a profile's event bus."""
    _only(url)
    return MemoryEventBus()


def blob_store(url: str) -> MemoryBlobStore:
    """The adapter behind `memory:` as a profile's blob store."""
    _only(url)
    return MemoryBlobStore()


def kv_store(url: str) -> MemoryKVStore:
    """The adapter behind `memory:` as a profile's key-value store."""
    _only(url)
    return MemoryKVStore()


def _only(url: str) -> None:
    if url.rstrip("/") != "memory:":
        raise ConfigurationError(f"{masked(url)!r} has parts that memory does not know; write 'memory:'")
