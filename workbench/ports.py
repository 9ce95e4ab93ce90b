"""What the runtime needs from the outside: four protocols and what each of them promises.

An adapter is one module named after its technology. `workbench.adapters.memory` is the reference reading of every promise, and
tests/conformance holds each adapter to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from workbench.record.entries import Seal, StoredEntry
from workbench.record.statistics import Statistics
from workbench.record.values import BlobRef


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which entries to read; None means any. All conditions must hold."""

    lifetime_ids: Sequence[str] | None = None
    session_id: str | None = None
    tenant_id: str | None = None
    without_lifetime: str | None = None
    """Leaves this lifetime out."""
    kinds: Sequence[str] | None = None
    phases: Sequence[str] | None = None
    names: Sequence[str] | None = None
    statuses: Sequence[str] | None = None
    since: str | None = None
    """`created_at` at or after this stamp, written as the column is: ISO 8601 with microseconds and `+00:00`."""
    until: str | None = None
    """`created_at` before this stamp, written likewise."""
    after_seq: int = 0
    """With one lifetime: only entries with a greater sequence number."""
    after_position: int = 0
    limit: int | None = None
    newest_first: bool = False


class Lease(NamedTuple):
    """The right to write to a lifetime."""

    lifetime_id: str
    owner: str
    epoch: int
    """Grows by one each time the lifetime changes hands; an append carries it."""
    expires_at: float
    """Seconds since the Unix epoch."""


class InboxItem(NamedTuple):
    """A decision on its way from whoever made it to the process that owns the lifetime."""

    request_id: str
    lifetime_id: str
    data: bytes
    """The encoded `HitlResponse`."""


class Tombstone(NamedTuple):
    """What is left of a lifetime that was pruned."""

    lifetime_id: str
    entries: int
    """How many it had."""
    head: str
    """The hash of the last one: an exported copy can still be told to be the one that was pruned."""
    pruned_at: str
    """ISO 8601 in UTC."""
    blobs: tuple[str, ...] = ()
    """The hashes of the blobs it referred to."""


class DataKey(NamedTuple):
    """What encrypts a lifetime, itself encrypted."""

    lifetime_id: str
    master: str
    """The name of the master key that it is encrypted with."""
    wrapped: bytes


class StateStore(Protocol):
    """The append-only log, who may write to it, decisions on their way to it, and the keys of what is encrypted.

    Log. An append is atomic and durable when it returns (within the adapter's stated limits on power loss): all of its entries or none.
    Entries of one lifetime are gap-free and in order; positions grow over the whole store in commit order, so a reader that remembers the
    last position it has seen misses nothing: the log is the outbox. Nothing is ever changed, and nothing is deleted but whole lifetimes, by
    `prune`. Cancelling the caller of an append does not withdraw it: appends are stored in the order in which they were called.

    Leases. One owner a lifetime at a time. A claim succeeds when there is no lease, it has expired, or the claimant holds it already; each
    change of hands raises the epoch. An append with an older epoch is refused.

    Inbox. The first decision for a request is kept and the second is refused, across all processes.

    Methods may be called from the runtime's loop only.
    """

    async def append(self, entries: Sequence[StoredEntry], epochs: Mapping[str, int]) -> None:
        """Append entries, possibly of several lifetimes, in the order given. `epochs` has the epoch held for each of these lifetimes.

        Raises:
            StaleEpoch: a lifetime's lease has moved on, or it has none; nothing is written.
            RecordCorrupt: an entry's number or `prev_hash` does not continue its lifetime, or its `(exec_id, phase)` is there already;
                nothing is written.
        """
        ...

    def read(self, query: Query) -> AsyncIterator[StoredEntry]:
        """Entries in order of position, or from the newest back: all that were there when the reading began.

        Reads in batches; appends go on meanwhile, and what they add may follow.
        """
        ...

    def columns(self, query: Query, names: Sequence[str]) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """The headers of entries: rows of these columns, in batches, in the order of `read`. Names are those of
        `workbench.record.entries.COLUMNS`, and `lifetime_id`, `seq`, `hash`, `data`, the stored bytes, and `size`, their number. Of a store
        that decrypts, `data` is what they say in the clear, or the error that says why it cannot be read."""
        ...

    async def statistics(self, query: Query) -> Statistics:
        """The measures (`workbench.record.statistics`) over the entries that `query` names, summed up in the store; exact for counts,
        tokens and money. There is no last value. `limit` and `newest_first` mean nothing here."""
        ...

    async def head(self, lifetime_id: str) -> tuple[int, str]:
        """The last sequence number and hash of a lifetime; `(0, GENESIS)` when there is none."""
        ...

    async def cursor(self, consumer: str, position: int | None = None) -> int:
        """The position up to which `consumer` has read; with `position`, move it there. A cursor never moves back."""
        ...

    async def claim(self, lifetime_id: str, owner: str, ttl: float) -> Lease:
        """Take or keep the lifetime for `ttl` seconds.

        Raises:
            LeaseHeld: another owner holds an unexpired lease.
        """
        ...

    async def renew(self, owner: str, ttl: float) -> set[str]:
        """Extend every lease that `owner` still holds; the ids of their lifetimes.

        A lease that has expired is still held while nobody else has taken it: a laptop that slept goes on.
        """
        ...

    async def release(self, lifetime_id: str, owner: str) -> None:
        """Give the lifetime up; no error if it is not held."""
        ...

    async def leases(self) -> dict[str, Lease]:
        """The unexpired leases, by lifetime."""
        ...

    async def put_decision(self, item: InboxItem) -> bool:
        """Keep a decision; False if the request has one already."""
        ...

    async def decisions(self, lifetime_id: str) -> list[InboxItem]:
        """The decisions kept for a lifetime, oldest first. They stay: the owner turns each into an entry once, by its request id."""
        ...

    async def decided_after(self, position: int) -> list[tuple[int, str]]:
        """The places in the inbox beyond a position (0 is before the first), in order, each with the lifetime that a decision is for. A
        decision that is kept later has a higher place, so one question finds what is new for any number of lifetimes."""
        ...

    async def prune(self, tombstone: Tombstone) -> None:
        """Write a tombstone, then delete the lifetime's entries and decisions, in one transaction. Its id is not used again.

        Its data key goes with it.

        Raises:
            RecordCorrupt: the lifetime's number of entries or last hash is another; nothing is deleted.
            LeaseHeld: somebody works on it.
        """
        ...

    async def data_key(self, lifetime_id: str) -> DataKey | None:
        """The data key of a lifetime, if it has one."""
        ...

    async def data_keys(self) -> list[DataKey]:
        """All of them."""
        ...

    async def put_data_key(self, key: DataKey) -> DataKey:
        """Keep a lifetime's data key; the one that is kept, which is an earlier one if there is one."""
        ...

    async def replace_data_key(self, old: DataKey, new: DataKey) -> bool:
        """Replace a data key by the same one, encrypted with another master key; False if `old` is not what stands there."""
        ...

    async def remove_data_key(self, lifetime_id: str) -> bool:
        """Delete a lifetime's data key, as far as the technology can: no copy of it stays in the store's files. False if it has none."""
        ...

    async def tombstones(self) -> dict[str, Tombstone]:
        """What was pruned, by lifetime."""
        ...

    async def close(self) -> None:
        """Release connections. Nothing that was appended is lost."""
        ...


class EventBus(Protocol):
    """Wake-up hints and ephemeral pieces (tokens, output as it comes). The log is the truth; a lost message loses nothing.

    Messages of one key arrive at each subscriber in the order they were published. A subscriber sees what is published after it has
    subscribed. A slow subscriber never blocks a publisher: beyond its buffer the oldest messages are dropped and counted.
    """

    def publish(self, topic: str, key: str, message: Mapping[str, Any]) -> None:
        """Send `message` to the topic's subscribers; returns at once."""
        ...

    def subscribe(self, topic: str, key: str | None = None) -> Subscription:
        """Start receiving a topic's messages, of one key or of all."""
        ...

    async def close(self) -> None:
        """End every subscription."""
        ...


class Subscription(Protocol):
    """Messages as an async iterator that ends when the subscription or the bus is closed."""

    dropped: int
    """How many messages were lost because the subscriber was slow."""

    def __aiter__(self) -> AsyncIterator[Mapping[str, Any]]: ...

    def close(self) -> None:
        """Stop receiving; the iterator ends after what has already arrived."""
        ...


class BlobStore(Protocol):
    """Bytes too big for the log, content-addressed: the same bytes have one blob, and a blob never changes."""

    async def put(self, data: bytes, media_type: str = "application/json") -> BlobRef:
        """Store bytes durably; a half-written blob is never visible."""
        ...

    async def get(self, ref: BlobRef) -> bytes:
        """The bytes of a reference, checked against its hash.

        Raises:
            BlobMissing, BlobCorrupt
        """
        ...

    async def remove(self, digest: str) -> bool:
        """Delete the blob with this SHA-256; False if it is not there. Whether anything refers to it is for the caller to know."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class KVStore(Protocol):
    """Small shared values that may be lost: caches and counters that the record can always rebuild."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when it is absent or has expired."""
        ...

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store a value, for `ttl` seconds or until it is replaced."""
        ...

    async def add(self, key: str, amount: int) -> int:
        """Add to a counter atomically (an absent one counts from 0) and return the new value. It keeps its time to live.

        A counter's value is its decimal digits.

        Raises:
            StoreError: if what stands there is not a counter.
        """
        ...

    async def swap(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        """Replace `old` by `new` if `old` is what stands there (None: absent); whether it did."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class MasterKeys(Protocol):
    """What data keys are encrypted with: a key at hand, or a service that never gives one out."""

    current: str
    """The name of the master key that `wrap` uses."""

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """A data key, encrypted with the current master key and bound to the context."""
        ...

    async def unwrap(self, master: str, wrapped: bytes, context: bytes) -> bytes:
        """A data key that was encrypted with the master key of that name.

        Raises:
            KeyUnavailable: that master key is not at hand, or the bytes were not encrypted with it in this context.
        """
        ...


class Vault(Protocol):
    """Encryption at rest: what seals the entries of a lifetime, and what becomes of its data key."""

    async def seal(self, lifetime_id: str) -> Seal:
        """What encrypts the lifetime's entries; its data key is made if there is none."""
        ...

    async def seal_blob(self, data: bytes) -> tuple[bytes, str]:
        """A blob's stored bytes, and the key that the reference to it has to carry."""
        ...

    def open_blob(self, data: bytes, ref: BlobRef) -> bytes:
        """The inverse.

        Raises:
            BlobCorrupt: the reference's key does not open it.
        """
        ...

    async def key_of(self, lifetime_id: str) -> bytes:
        """A lifetime's data key in clear, for an export.

        Raises:
            KeyUnavailable, RunShredded
        """
        ...

    async def adopt(self, lifetime_id: str, data_key: bytes) -> None:
        """Keep the data key of a lifetime that was made elsewhere."""
        ...

    def opened(self, stored: StoredEntry, data_key: bytes) -> StoredEntry:
        """An encrypted entry with what it says, or with the reason why that cannot be read."""
        ...

    async def rotate(self) -> int:
        """Encrypt the data keys anew that are not encrypted with the current master key; how many there were."""
        ...

    async def shred(self, lifetime_id: str) -> bool:
        """Delete a lifetime's data key; False if it has none."""
        ...
