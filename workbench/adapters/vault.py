"""Encryption at rest, as a layer over any state and blob store: what entries say is encrypted, and what queries filter on is not.

Each lifetime has a data key, kept in a table of its own, encrypted with a master key. An entry's stored bytes are encrypted with it, bound
to the lifetime and its number; its hash covers the stored bytes, so a chain is verified without any key. Answers on their way to a run are
encrypted likewise. A blob has a key of its own, which stands in the reference to it, inside an encrypted entry: a fork refers to what its
original had, and each goes with its own data key. Deleting a lifetime's data key shreds all of that.

Clear are the columns: ids, names of nodes, tools and models, times, counts, costs, and the rules a policy applied.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

from workbench.adapters.cipher import FIXED_NONCE, Cipher, Tampered, new_key
from workbench.errors import BlobCorrupt, KeyUnavailable, RecordCorrupt, RunShredded, WorkbenchError
from workbench.ports import DataKey, InboxItem, MasterKeys, Query, StateStore
from workbench.record.entries import SEALED, StoredEntry
from workbench.record.values import BlobRef

BLOBS = "blobs"
"""Stands in the place of a lifetime's id for the secret that the keys of blobs are made with."""

_KNOWN = 1_000
"""So many data keys are kept in memory once they have been opened."""


class Vault:
    """The data keys of a store, and the master keys they are encrypted with."""

    def __init__(self, state: StateStore, keys: MasterKeys) -> None:
        self._state = state
        self._keys = keys
        self._blob_secret: bytes | None = None
        self._open: OrderedDict[DataKey, Cipher] = OrderedDict()
        """By the data key as it is kept: what another process deletes or re-encrypts is noticed, since the table is always asked."""

    async def seal(self, lifetime_id: str) -> Callable[[int, bytes], bytes]:
        """What encrypts entry number `seq` of a lifetime, whose data key is made if there is none.

        Raises:
            RunShredded: its data key has been deleted, so nothing can follow.
        """
        cipher = await self._cipher(lifetime_id)
        return lambda seq, body: SEALED + cipher.encrypt(body, _entry(lifetime_id, seq))

    async def seal_decision(self, item: InboxItem) -> InboxItem:
        """A decision as it is kept."""
        cipher = await self._cipher(item.lifetime_id)
        return item._replace(data=SEALED + cipher.encrypt(item.data, _decision(item)))

    async def open_decision(self, item: InboxItem) -> InboxItem:
        """A decision as it was made; one that is kept in clear is left as it is."""
        if not item.data.startswith(SEALED):
            return item
        cipher = await self.opener(item.lifetime_id)
        try:
            return item._replace(data=cipher.decrypt(item.data[len(SEALED) :], _decision(item)))
        except Tampered:
            raise RecordCorrupt(
                f"the decision for request {item.request_id} has been altered", lifetime_id=item.lifetime_id, seq=0
            ) from None

    async def opener(self, lifetime_id: str) -> Cipher:
        """What decrypts a lifetime.

        Raises:
            RunShredded: its data key has been deleted.
            KeyUnavailable: none of the master keys at hand opens it.
        """
        kept = await self._state.data_key(lifetime_id)
        if kept is None:
            raise shredded(lifetime_id)
        return await self._opened(kept)

    async def seal_blob(self, data: bytes) -> tuple[bytes, str]:
        """A blob's stored bytes, and the key that the reference to it has to carry. The same bytes have the same key, made from them and a
        secret of the store: so equal values have one blob and one address, which nobody without the secret can tell from the values."""
        secret = self._blob_secret = self._blob_secret or await self._secret()
        key = hmac.digest(secret, data, "sha256")
        return Cipher(key).encrypt(data, b"", nonce=FIXED_NONCE), base64.b64encode(key).decode()

    def open_blob(self, data: bytes, ref: BlobRef) -> bytes:
        """The inverse.

        Raises:
            BlobCorrupt: the reference's key does not open it.
        """
        try:
            return Cipher(base64.b64decode(ref.key or "", validate=True)).decrypt(data, b"")
        except (Tampered, binascii.Error, ValueError):
            raise BlobCorrupt(f"the key in the reference to the blob {ref.uri} does not open it") from None

    async def key_of(self, lifetime_id: str) -> bytes:
        """A lifetime's data key in clear, for an export."""
        kept = await self._state.data_key(lifetime_id)
        if kept is None:
            raise shredded(lifetime_id)
        return await self._unwrapped(kept)

    async def adopt(self, lifetime_id: str, data_key: bytes) -> None:
        """Keep the data key of a lifetime that was made elsewhere."""
        await self._state.put_data_key(await self._wrapped(lifetime_id, data_key))

    def opened(self, stored: StoredEntry, data_key: bytes) -> StoredEntry:
        """An encrypted entry with what it says, or with the reason why that cannot be read."""
        return replace(stored, opened=_opened(stored.lifetime_id, stored.seq, stored.data, Cipher(data_key)))

    async def rotate(self) -> int:
        """Encrypt every data key anew that is not encrypted with the newest master key; how many there were. What they encrypt stays as it
        is.

        Raises:
            KeyUnavailable: one of them cannot be opened; those before it are done.
        """
        old = [key for key in await self._state.data_keys() if key.master != self._keys.current]
        for key in old:
            await self._state.replace_data_key(key, await self._wrapped(key.lifetime_id, await self._unwrapped(key)))
        return len(old)

    async def shred(self, lifetime_id: str) -> bool:
        """Delete a lifetime's data key; False if it has none."""
        kept = await self._state.data_key(lifetime_id)
        if kept is None:
            return False
        self._open.pop(kept, None)
        return await self._state.remove_data_key(lifetime_id)

    async def _secret(self) -> bytes:
        return await self._unwrapped(await self._kept(BLOBS))

    async def _cipher(self, lifetime_id: str) -> Cipher:
        return await self._opened(await self._kept(lifetime_id))

    async def _kept(self, lifetime_id: str) -> DataKey:
        kept = await self._state.data_key(lifetime_id)
        if kept is not None:
            return kept
        async for newest in self._state.read(Query(lifetime_ids=[lifetime_id], newest_first=True, limit=1)):
            if newest.sealed:
                raise shredded(lifetime_id)  # with another key, what went before would look as if it had been altered
        # Of two processes that make one at the same time, the first is kept.
        return await self._state.put_data_key(await self._wrapped(lifetime_id, new_key()))

    async def _opened(self, kept: DataKey) -> Cipher:
        cipher = self._open.get(kept)
        if cipher is None:
            cipher = self._open[kept] = Cipher(await self._unwrapped(kept))
            if len(self._open) > _KNOWN:
                self._open.popitem(last=False)
        return cipher

    async def _wrapped(self, lifetime_id: str, data_key: bytes) -> DataKey:
        return DataKey(lifetime_id, self._keys.current, await self._keys.wrap(data_key, lifetime_id.encode()))

    async def _unwrapped(self, key: DataKey) -> bytes:
        try:
            return await self._keys.unwrap(key.master, key.wrapped, key.lifetime_id.encode())
        except KeyUnavailable as error:
            raise KeyUnavailable(f"what {key.lifetime_id} says cannot be read: {error}") from None


_Ciphers = dict[str, Cipher | WorkbenchError]
"""What opens each lifetime, or why nothing does."""


class SealedState:
    """A state store whose entries are read decrypted. They come to it encrypted: the one who links them encrypts them."""

    def __init__(self, state: StateStore, vault: Vault) -> None:
        self._state = state
        self._vault = vault
        self.append, self.statistics = state.append, state.statistics
        self.head, self.cursor = state.head, state.cursor
        self.claim, self.renew, self.release, self.leases = state.claim, state.renew, state.release, state.leases
        self.decided_after, self.prune, self.tombstones, self.close = state.decided_after, state.prune, state.tombstones, state.close
        self.data_key, self.data_keys, self.put_data_key = state.data_key, state.data_keys, state.put_data_key
        self.replace_data_key, self.remove_data_key = state.replace_data_key, state.remove_data_key

    async def read(self, query: Query) -> AsyncIterator[StoredEntry]:
        """Entries as `query` asks, each with what it says, or with the reason why that cannot be read."""
        known: _Ciphers = {}
        async for stored in self._state.read(query):
            if not stored.sealed:
                yield stored
                continue
            yield replace(stored, opened=await self._opened(known, stored.lifetime_id, stored.seq, stored.data))

    async def columns(self, query: Query, names: Sequence[str]) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """Columns of entries; `data` is what an entry says, or the reason why that cannot be read."""
        if "data" not in names:
            async for batch in self._state.columns(query, names):
                yield batch
            return
        known: _Ciphers = {}
        place = names.index("data")
        async for batch in self._state.columns(query, ("lifetime_id", "seq", *names)):
            rows = []
            for lifetime_id, seq, *row in batch:
                if row[place].startswith(SEALED):
                    row[place] = await self._opened(known, lifetime_id, seq, row[place])
                rows.append(tuple(row))
            yield rows

    async def _opened(self, known: _Ciphers, lifetime_id: str, seq: int, data: bytes) -> bytes | WorkbenchError:
        if lifetime_id not in known:
            try:
                known[lifetime_id] = await self._vault.opener(lifetime_id)
            except WorkbenchError as error:
                known[lifetime_id] = error
        return _opened(lifetime_id, seq, data, known[lifetime_id])

    async def put_decision(self, item: InboxItem) -> bool:
        """Keep a decision, encrypted."""
        return await self._state.put_decision(await self._vault.seal_decision(item))

    async def decisions(self, lifetime_id: str) -> list[InboxItem]:
        """The decisions kept for a lifetime, decrypted."""
        return [await self._vault.open_decision(item) for item in await self._state.decisions(lifetime_id)]


def shredded(lifetime_id: str) -> RunShredded:
    """The error of reading what can no longer be read by anyone."""
    return RunShredded(f"{lifetime_id} has been shredded: its key was deleted, and what it says can be read by nobody")


def _opened(lifetime_id: str, seq: int, data: bytes, cipher: Cipher | WorkbenchError) -> bytes | WorkbenchError:
    if isinstance(cipher, WorkbenchError):
        return cipher
    try:
        return cipher.decrypt(data[len(SEALED) :], _entry(lifetime_id, seq))
    except Tampered:
        altered = f"entry {seq} of {lifetime_id} has been altered: its key does not open it"
        return RecordCorrupt(altered, lifetime_id=lifetime_id, seq=seq)


def _entry(lifetime_id: str, seq: int) -> bytes:
    return f"{lifetime_id}|{seq}".encode()


def _decision(item: InboxItem) -> bytes:
    return f"{item.lifetime_id}|inbox|{item.request_id}".encode()
