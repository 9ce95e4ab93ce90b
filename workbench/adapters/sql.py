"""The state store in a SQL database; today a SQLite file.

SQLAlchemy says the tables and writes the queries (`schema`); what runs often is fixed text on the driver, because the append path is what
every step of every run waits for.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from workbench.adapters.refusals import held_by, not_next, not_the_one, pruned, repeated, stale
from workbench.adapters.schema import INSERTED, PRUNED, entry_of, row_of, select_columns, select_entries, select_statistics, statistics_of
from workbench.adapters.sqlite import DIALECT, checkpoint, open_reader, open_writer, speaking_of
from workbench.adapters.writer import Writer
from workbench.errors import ConfigurationError
from workbench.ports import DataKey, InboxItem, Lease, Query, Tombstone
from workbench.record.codec import GENESIS
from workbench.record.entries import StoredEntry
from workbench.record.statistics import Statistics
from workbench.visible import masked

_SMALL = 128
"""So many rows are read on the loop's thread: about as long as a hop to another one takes."""

_BATCH = 1000
"""So many rows are read at a time on another thread."""

_COLUMNS_BATCH = 10_000
"""So many where only headers are read."""

_KNOWN_HEADS = 10_000

_INSERT = f"INSERT INTO entries ({', '.join(INSERTED)}) VALUES ({', '.join('?' * len(INSERTED))})"  # noqa: S608 - our own column names
_HEAD = "SELECT seq, hash FROM entries WHERE lifetime_id = ? ORDER BY seq DESC LIMIT 1"
_EPOCH = "SELECT epoch FROM leases WHERE lifetime_id = ?"
_LEASE = "SELECT lifetime_id, owner, epoch, expires_at FROM leases WHERE lifetime_id = ?"
_CLAIM = """
    INSERT INTO leases (lifetime_id, owner, epoch, expires_at) VALUES (:lifetime_id, :owner, 1, :expires_at)
    ON CONFLICT (lifetime_id) DO UPDATE SET
        epoch = leases.epoch + CASE WHEN leases.owner = excluded.owner THEN 0 ELSE 1 END,
        owner = excluded.owner,
        expires_at = excluded.expires_at
    WHERE leases.owner = excluded.owner OR leases.expires_at <= :now
    RETURNING lifetime_id, owner, epoch, expires_at
"""
_RENEW = "UPDATE leases SET expires_at = ? WHERE owner = ? RETURNING lifetime_id"
_RELEASE = "UPDATE leases SET owner = '', expires_at = 0 WHERE lifetime_id = ? AND owner = ?"
_LEASES = "SELECT lifetime_id, owner, epoch, expires_at FROM leases WHERE owner > '' AND expires_at > ?"
_DECIDE = "INSERT INTO inbox (request_id, lifetime_id, data, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (request_id) DO NOTHING"
_DECISIONS = "SELECT request_id, lifetime_id, data FROM inbox WHERE lifetime_id = ? ORDER BY position"
_DECIDED = "SELECT position, lifetime_id FROM inbox WHERE position > ? ORDER BY position"
_BURY = "INSERT INTO tombstones (lifetime_id, entries, head, pruned_at, blobs) VALUES (?, ?, ?, ?, ?)"
_TOMBSTONES = "SELECT lifetime_id, entries, head, pruned_at, blobs FROM tombstones"
_BURIED = "SELECT 1 FROM tombstones WHERE lifetime_id = ?"
_DATA_KEY = "SELECT lifetime_id, master, wrapped FROM data_keys WHERE lifetime_id = ?"
_DATA_KEYS = "SELECT lifetime_id, master, wrapped FROM data_keys"
_PUT_DATA_KEY = "INSERT INTO data_keys (lifetime_id, master, wrapped) VALUES (?, ?, ?) ON CONFLICT (lifetime_id) DO NOTHING"
_REPLACE_DATA_KEY = "UPDATE data_keys SET master = ?, wrapped = ? WHERE lifetime_id = ? AND wrapped = ?"
_REMOVE_DATA_KEY = "DELETE FROM data_keys WHERE lifetime_id = ?"
_CURSOR = "SELECT position FROM cursors WHERE consumer = ?"
_MOVE_CURSOR = """
    INSERT INTO cursors (consumer, position) VALUES (?, ?)
    ON CONFLICT (consumer) DO UPDATE SET position = excluded.position WHERE excluded.position > cursors.position
"""


class SqlStateStore:
    """The state store in a SQLite file, shared by any number of processes of one machine.

    The file is in WAL mode with synchronous=NORMAL: what an append has returned survives the death of every process, and a crash or power
    loss of the machine leaves a valid record but may take its last moments (what was committed since the last checkpoint). On a
    network file system it is in DELETE mode with synchronous=FULL, where nothing is lost and an append takes milliseconds.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        """Open `sqlite:///relative.db` or `sqlite:////absolute.db`, making it if it is absent. `clock` tells when leases end.

        Raises:
            ConfigurationError: for a URL of another form.
            StoreError: when the file cannot be used.
            StoreTooNew: when a newer version of the package wrote it.
        """
        self.path = _path_of(url).absolute()
        self._clock = clock
        self._heads: dict[str, tuple[int, str]] = {}
        self._writer = Writer(open_writer(self.path), self.path)
        self._reader = open_reader(self.path)

    async def append(self, entries: Sequence[StoredEntry], epochs: Mapping[str, int]) -> None:
        """Append entries, all or none; see `StateStore.append`."""
        if not entries:
            return
        heads = await self._writer.write(partial(self._append, entries, epochs))
        for lifetime_id, head in heads.items():
            self._heads.pop(lifetime_id, None)
            self._heads[lifetime_id] = head
        while len(self._heads) > _KNOWN_HEADS:
            del self._heads[next(iter(self._heads))]

    def _append(self, entries: Sequence[StoredEntry], epochs: Mapping[str, int], db: sqlite3.Connection) -> dict[str, tuple[int, str]]:
        # The epoch must be read in this transaction: another process may have claimed the lifetime a moment ago. A head may be remembered:
        # entries never change, so a remembered one is right or too old, and then the unique (lifetime_id, seq) refuses what follows it.
        heads: dict[str, tuple[int, str]] = {}
        for entry in entries:
            lifetime_id = entry.lifetime_id
            head = heads.get(lifetime_id)
            if head is None:
                row = db.execute(_EPOCH, (lifetime_id,)).fetchone()
                if row is None or row[0] != epochs.get(lifetime_id):
                    raise stale(lifetime_id, epochs.get(lifetime_id), row and row[0])
                head = self._heads.get(lifetime_id)
                if head is None or (entry.seq, entry.prev_hash) != (head[0] + 1, head[1]):
                    head = db.execute(_HEAD, (lifetime_id,)).fetchone() or (0, GENESIS)
                    if head[0] == 0 and db.execute(_BURIED, (lifetime_id,)).fetchone():
                        raise pruned(lifetime_id)
            if (entry.seq, entry.prev_hash) != (head[0] + 1, head[1]):
                raise not_next(entry, head)
            heads[lifetime_id] = (entry.seq, entry.hash)
        written = db.total_changes
        try:
            db.executemany(_INSERT, [row_of(entry) for entry in entries])
        except sqlite3.IntegrityError as error:
            entry = entries[db.total_changes - written]
            if "entries.seq" in str(error):
                raise not_next(entry, db.execute(_HEAD, (entry.lifetime_id,)).fetchone()) from error
            raise repeated(entry) from error
        return heads

    async def read(self, query: Query) -> AsyncIterator[StoredEntry]:
        """Entries as `query` asks; see `StateStore.read`.

        A few entries of one lifetime are read at once, everything else on another thread.
        """
        one_lifetime = query.lifetime_ids is not None and len(query.lifetime_ids) == 1
        if one_lifetime and (not query.newest_first or (query.limit is not None and query.limit <= _SMALL)):
            wanted = _SMALL if query.limit is None else min(query.limit, _SMALL)
            with speaking_of(self.path):
                rows = self._reader.execute(*select_entries(replace(query, limit=wanted), DIALECT)).fetchall()
            for row in rows:
                yield entry_of(row)
            if len(rows) < _SMALL or wanted == query.limit:
                return
            query = replace(query, after_seq=entry_of(rows[-1]).seq, limit=None if query.limit is None else query.limit - wanted)
        batches = _Batches(self.path, *select_entries(query, DIALECT))
        try:
            while rows := await asyncio.to_thread(batches.next):
                for row in rows:
                    yield entry_of(row)
        finally:
            await asyncio.to_thread(batches.close)

    async def columns(self, query: Query, names: Sequence[str]) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """Columns alone, read on another thread; the bytes of an entry are touched only where they are asked for."""
        batches = _Batches(self.path, *select_columns(query, names, DIALECT), size=_COLUMNS_BATCH)
        try:
            while rows := await asyncio.to_thread(batches.next):
                yield rows
        finally:
            await asyncio.to_thread(batches.close)

    async def statistics(self, query: Query) -> Statistics:
        """The measures over what `query` names; added up by the database, on another thread."""
        batches = _Batches(self.path, *select_statistics(query, DIALECT))
        try:
            return statistics_of((await asyncio.to_thread(batches.next))[0])
        finally:
            await asyncio.to_thread(batches.close)

    async def head(self, lifetime_id: str) -> tuple[int, str]:
        """The last sequence number and hash of a lifetime."""
        row = self._look_up(_HEAD, lifetime_id)
        return (0, GENESIS) if row is None else (row[0], row[1])

    async def cursor(self, consumer: str, position: int | None = None) -> int:
        """Where `consumer` has read to; with `position`, forward to there."""
        if position is not None:
            await self._writer.write(lambda db: db.execute(_MOVE_CURSOR, (consumer, position)).rowcount)
        row = self._look_up(_CURSOR, consumer)
        return 0 if row is None else int(row[0])

    async def claim(self, lifetime_id: str, owner: str, ttl: float) -> Lease:
        """Take or keep the lifetime; see `StateStore.claim`."""
        return await self._writer.write(partial(self._claim, lifetime_id, owner, ttl))

    def _claim(self, lifetime_id: str, owner: str, ttl: float, db: sqlite3.Connection) -> Lease:
        now = self._clock()
        rows = db.execute(_CLAIM, {"lifetime_id": lifetime_id, "owner": owner, "expires_at": now + ttl, "now": now}).fetchall()
        if not rows:
            raise held_by(Lease(*db.execute(_LEASE, (lifetime_id,)).fetchone()), now)
        return Lease(*rows[0])

    async def renew(self, owner: str, ttl: float) -> set[str]:
        """Extend the leases nobody has taken from `owner`."""
        expires_at = self._clock() + ttl
        return await self._writer.write(lambda db: {row[0] for row in db.execute(_RENEW, (expires_at, owner))})

    async def release(self, lifetime_id: str, owner: str) -> None:
        """Give the lifetime up. Its row stays without an owner, so that the next claim raises the epoch."""
        await self._writer.write(lambda db: db.execute(_RELEASE, (lifetime_id, owner)).rowcount)

    async def leases(self) -> dict[str, Lease]:
        """The unexpired leases, by lifetime."""
        with speaking_of(self.path):
            return {row[0]: Lease(*row) for row in self._reader.execute(_LEASES, (self._clock(),)).fetchall()}

    async def put_decision(self, item: InboxItem) -> bool:
        """Keep the first decision for a request."""
        values = (item.request_id, item.lifetime_id, item.data, self._clock())
        return await self._writer.write(lambda db: db.execute(_DECIDE, values).rowcount == 1)

    async def decisions(self, lifetime_id: str) -> list[InboxItem]:
        """The decisions kept for a lifetime, oldest first."""
        with speaking_of(self.path):
            return [InboxItem(*row) for row in self._reader.execute(_DECISIONS, (lifetime_id,)).fetchall()]

    async def decided_after(self, position: int) -> list[tuple[int, str]]:
        """The places in the inbox beyond a position, each with its lifetime."""
        with speaking_of(self.path):
            return [(place, lifetime_id) for place, lifetime_id in self._reader.execute(_DECIDED, (position,))]

    async def prune(self, tombstone: Tombstone) -> None:
        """Delete a lifetime whose tombstone describes it; see `StateStore.prune`."""
        self._heads.pop(tombstone.lifetime_id, None)
        await self._writer.write(partial(self._prune, tombstone))

    def _prune(self, tombstone: Tombstone, db: sqlite3.Connection) -> None:
        lifetime_id, now = tombstone.lifetime_id, self._clock()
        lease = db.execute(_LEASE, (lifetime_id,)).fetchone()
        if lease is not None and lease[1] and lease[3] > now:
            raise held_by(Lease(*lease), now)
        found = db.execute(_HEAD, (lifetime_id,)).fetchone() or (0, GENESIS)
        if tuple(found) != (tombstone.entries, tombstone.head):
            raise not_the_one(lifetime_id, found, (tombstone.entries, tombstone.head))
        db.execute(_BURY, (*tombstone[:4], " ".join(tombstone.blobs)))
        for table in PRUNED:
            db.execute(f"DELETE FROM {table.name} WHERE lifetime_id = ?", (lifetime_id,))  # noqa: S608 - our own table names

    async def tombstones(self) -> dict[str, Tombstone]:
        """What was pruned, by lifetime."""
        with speaking_of(self.path):
            rows = self._reader.execute(_TOMBSTONES).fetchall()
        return {row[0]: Tombstone(row[0], row[1], row[2], row[3], tuple(row[4].split())) for row in rows}

    async def data_key(self, lifetime_id: str) -> DataKey | None:
        """The data key of a lifetime, if it has one."""
        row = self._look_up(_DATA_KEY, lifetime_id)
        return None if row is None else DataKey(*row)

    async def data_keys(self) -> list[DataKey]:
        """All data keys."""
        with speaking_of(self.path):
            return [DataKey(*row) for row in self._reader.execute(_DATA_KEYS).fetchall()]

    async def put_data_key(self, key: DataKey) -> DataKey:
        """Keep the first data key of a lifetime."""

        def put(db: sqlite3.Connection) -> DataKey:
            db.execute(_PUT_DATA_KEY, key)
            return DataKey(*db.execute(_DATA_KEY, (key.lifetime_id,)).fetchone())

        return await self._writer.write(put)

    async def replace_data_key(self, old: DataKey, new: DataKey) -> bool:
        """Replace a data key, if it is the one that stands there."""
        values = (new.master, new.wrapped, old.lifetime_id, old.wrapped)
        return await self._writer.write(lambda db: db.execute(_REPLACE_DATA_KEY, values).rowcount == 1)

    async def remove_data_key(self, lifetime_id: str) -> bool:
        """Delete a data key. Its row is overwritten, and the write-ahead log, which may have it too, is begun anew."""
        removed = await self._writer.write(lambda db: db.execute(_REMOVE_DATA_KEY, (lifetime_id,)).rowcount == 1)
        await asyncio.to_thread(checkpoint, self.path, "TRUNCATE")
        return removed

    async def close(self) -> None:
        """Finish what is being appended and close the file."""
        self._reader.close()
        await self._writer.close()

    def _look_up(self, statement: str, key: str) -> tuple[Any, ...] | None:
        with speaking_of(self.path):
            rows = self._reader.execute(statement, (key,)).fetchall()
        return rows[0] if rows else None


class _Batches:
    """One long query on a connection of its own, opened and read on other threads: a reader that holds a snapshot delays nobody."""

    def __init__(self, path: Path, statement: str, parameters: dict[str, Any], size: int = _BATCH) -> None:
        self._path, self._statement, self._parameters, self._size = path, statement, parameters, size
        self._lock = threading.Lock()  # a reader that is cancelled closes this while the thread may still be fetching
        self._open: tuple[sqlite3.Connection, sqlite3.Cursor] | None = None

    def next(self) -> list[tuple[Any, ...]]:
        """The next rows, none at the end."""
        with self._lock, speaking_of(self._path):
            if self._open is None:
                db = open_reader(self._path)
                self._open = (db, db.cursor())
                self._open[1].execute(self._statement, self._parameters)
            return self._open[1].fetchmany(self._size)

    def close(self) -> None:
        """End the query."""
        with self._lock:
            if self._open is not None:
                self._open[0].close()


def _path_of(url: str) -> Path:
    form = "sqlite:///relative/records.db or sqlite:////absolute/records.db"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(f"{masked(url)!r} is not a database URL; write {form}") from None
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(f"no state store for {parsed.get_backend_name()!r} URLs; write {form}")
    if not parsed.database or parsed.database == ":memory:" or parsed.query or parsed.host:
        raise ConfigurationError(f"{masked(url)!r} names no file; write {form}, or memory: for a store that ends with the process")
    return Path(parsed.database)
