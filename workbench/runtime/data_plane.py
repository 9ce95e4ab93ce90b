"""Validate, spill big results to blobs, append, announce a reference.

The announcement is a hint that something is new, never the thing itself: it carries ids and a sequence number, and whoever wants the entry
reads the log.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from workbench.errors import KeyUnavailable, RecordCorrupt
from workbench.ports import BlobStore, EventBus, Query, StateStore, Vault
from workbench.record.codec import GENESIS, decode_value, encode_value, to_json
from workbench.record.entries import Seal, StoredEntry, decode_entry, store_entry
from workbench.record.envelope import AnyEntry
from workbench.record.values import BlobRef, Payload

SPILL_BYTES = 1_000_000
"""An encoded value larger than this goes to the blob store."""

RUN_TOPIC = "run"
"""The bus topic of everything that happens in runs, keyed by lifetime."""


class Journal:
    """The one writer of one lifetime: numbers entries, links their hashes, and holds what is not yet stored."""

    def __init__(self, lifetime_id: str, *, epoch: int, seq: int, head: str, seal: Seal | None = None) -> None:
        self.lifetime_id = lifetime_id
        self.epoch = epoch
        self.seq = seq
        self.head = head
        self._seal = seal
        self._pending: list[StoredEntry] = []

    @property
    def next_seq(self) -> int:
        """The sequence number the next entry must have."""
        return self.seq + 1

    @property
    def pending(self) -> bool:
        """Whether something has not been handed to the store."""
        return bool(self._pending)

    def add(self, entry: AnyEntry) -> None:
        """Take an entry into the chain; it is stored with the next commit."""
        assert entry.seq == self.next_seq
        stored = store_entry(entry, self.head, self._seal)
        self.seq, self.head = stored.seq, stored.hash
        self._pending.append(stored)

    def take(self) -> list[StoredEntry]:
        """Hand over what is not yet stored."""
        taken, self._pending = self._pending, []
        return taken


class DataPlane:
    """Values and entries on their way into the store, and back."""

    def __init__(
        self, state: StateStore, bus: EventBus, blobs: BlobStore, *, vault: Vault | None = None, spill_bytes: int = SPILL_BYTES
    ) -> None:
        self.state = state
        self.bus = bus
        self.blobs = blobs
        self._vault = vault
        self.spill_bytes = spill_bytes

    async def journal(self, lifetime_id: str, *, epoch: int, seq: int = 0, head: str = GENESIS) -> Journal:
        """The writer of a lifetime that has `seq` entries; it encrypts them where the store is encrypted."""
        seal = None if self._vault is None else await self._vault.seal(lifetime_id)
        return Journal(lifetime_id, epoch=epoch, seq=seq, head=head, seal=seal)

    async def payload(self, value: Any) -> Payload:
        """A value in the form the record holds it: encoded inline, or as a blob when it is big.

        Raises:
            UnencodableValue: names the part of the value that has no faithful form.
        """
        return await self.spill(Payload(inline=encode_value(value)))

    async def spill(self, payload: Payload) -> Payload:
        """The payload, moved to a blob if it is inline and big."""
        if payload.blob is not None or payload.inline is None or isinstance(payload.inline, int | float):
            return payload
        data = to_json(payload.inline)
        if len(data) <= self.spill_bytes:
            return payload
        return Payload(blob=await self.put_blob(data))

    async def load(self, payload: Payload) -> Payload:
        """The payload with its encoded value inline, read from its blob if need be."""
        if payload.blob is None:
            return payload
        return Payload(inline=json.loads(await self.get_blob(payload.blob)))

    async def put_blob(self, data: bytes, media_type: str = "application/json") -> BlobRef:
        """Store bytes beside the log, encrypted where the store is."""
        if self._vault is None:
            return await self.blobs.put(data, media_type)
        sealed, key = await self._vault.seal_blob(data)
        return (await self.blobs.put(sealed, media_type)).model_copy(update={"key": key})

    async def get_blob(self, ref: BlobRef) -> bytes:
        """The bytes of a reference.

        Raises:
            BlobMissing, BlobCorrupt
            KeyUnavailable: they are encrypted, and this store is connected without a key.
        """
        data = await self.blobs.get(ref)
        if ref.key is None:
            return data
        if self._vault is None:
            raise KeyUnavailable(f"the blob {ref.uri} is encrypted; connect with the key: wb.connect(encryption='env:WORKBENCH_KEY')")
        return self._vault.open_blob(data, ref)

    async def value(self, payload: Payload | None) -> Any:
        """The value of a payload; None for no payload. Every call returns a new copy."""
        return None if payload is None else decode_value((await self.load(payload)).inline)

    async def commit(self, *journals: Journal) -> None:
        """Store what the journals hold, all or nothing, and announce it.

        Raises:
            StaleEpoch: another process has taken one of the lifetimes over.
        """
        batch = [stored for journal in journals for stored in journal.take()]
        if not batch:
            return
        await self.state.append(batch, {journal.lifetime_id: journal.epoch for journal in journals})
        self.announce(batch)

    def announce(self, batch: Sequence[StoredEntry]) -> None:
        """Tell subscribers which lifetimes have new entries, once each."""
        for lifetime_id, seq in {stored.lifetime_id: stored.seq for stored in batch}.items():
            self.bus.publish(RUN_TOPIC, lifetime_id, {"type": "entry", "seq": seq})

    async def entries(self, lifetime_id: str, *, after: int = 0, kinds: Sequence[str] | None = None) -> list[AnyEntry]:
        """The decoded entries of a lifetime with a sequence number above `after`, all at once: a long record is better read one by one."""
        return [entry async for entry in self.read(lifetime_id, after=after, kinds=kinds)]

    async def read(self, lifetime_id: str, *, after: int = 0, kinds: Sequence[str] | None = None) -> AsyncIterator[AnyEntry]:
        """The decoded entries of a lifetime with a sequence number above `after`, one by one."""
        async for stored in self.state.read(Query(lifetime_ids=[lifetime_id], after_seq=after, kinds=kinds)):
            yield decode_entry(stored)

    async def entry(self, lifetime_id: str, seq: int) -> AnyEntry:
        """One entry."""
        async for stored in self.state.read(Query(lifetime_ids=[lifetime_id], after_seq=seq - 1, limit=1)):
            if stored.seq == seq:
                return decode_entry(stored)
        raise RecordCorrupt(f"entry {seq} of {lifetime_id} is missing", lifetime_id=lifetime_id, seq=seq)
