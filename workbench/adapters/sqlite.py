"""One SQLite file: opening it safely, and saying what went wrong with it. It knows the tables of a store, not what is done with them."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from workbench.adapters.places import on_network, prepare_directory
from workbench.adapters.schema import APPEND_ONLY, METADATA, PRUNED, TOMBSTONES, VERSION, create_statements
from workbench.errors import StoreError, StoreTooNew

T = TypeVar("T")

PATIENCE_S = 30.0
"""How long a write waits for another process to finish its own before it gives up."""

DIALECT = sqlite.dialect(paramstyle="named")

_log = logging.getLogger("workbench")

_ADVICE = {
    sqlite3.SQLITE_BUSY: f"another process has held its lock for {PATIENCE_S:.0f} s; end that process, then try again",
    sqlite3.SQLITE_LOCKED: "another connection has locked a table; end what uses it, then try again",
    sqlite3.SQLITE_READONLY: "it may not be written; check the permissions of the file and of its directory, or choose another store",
    sqlite3.SQLITE_PERM: "it may not be opened; check the permissions of the file and of its directory, or choose another store",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its directory exists and may be written, or choose another store",
    sqlite3.SQLITE_FULL: "the disk is full; make room, then resume the run: nothing of this write was kept",
    sqlite3.SQLITE_IOERR: "the disk reported an error; check it, and restore the file from a copy if this happens again",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; keep a copy and recover what can be read with `sqlite3 FILE .recover`",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database; move that file away or choose another store",
}


def is_busy(error: sqlite3.Error) -> bool:
    """Whether the error means that another process has the lock."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """The error a person sees: the file, what SQLite said, and what to do."""
    advice = _ADVICE.get(_primary_code(error), "connect again; if it stays, please report it with this message")
    return StoreError(f"the store {str(path)!r} failed ({error}): {advice}")


def _primary_code(error: sqlite3.Error) -> int:
    # The low byte is the primary code; errors that Python itself raises (a closed connection) have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextlib.contextmanager
def speaking_of(path: Path) -> Iterator[None]:
    """Turn the driver's errors into `StoreError`s that name the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(path, error) from error


def open_writer(path: Path) -> sqlite3.Connection:
    """Open a store for reading and writing, making the file, its directory and its tables if they are absent.

    Raises:
        StoreError: if that cannot be done, or the file is something else than a store.
        StoreTooNew: if a newer version of the package wrote it.
    """
    prepare_directory(path.parent)
    with speaking_of(path):
        db = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
    try:
        with speaking_of(path):
            _make_tables(db, path)
            _choose_journal(db, path)
    except BaseException:
        db.close()
        raise
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """Open an existing store for reading only."""
    with speaking_of(path):
        return sqlite3.connect(
            path.resolve().as_uri() + "?mode=ro", uri=True, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
        )


def checkpoint(path: Path, how: str = "PASSIVE") -> None:
    """Move what is in the write-ahead log into the file, while others read and write. A failure is logged: the log keeps everything."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE_S)) as db:
            busy = db.execute(f"PRAGMA wal_checkpoint({how})").fetchone()[0]
        if busy and how == "TRUNCATE":
            _log.warning("what was deleted stays in the log of %s until its readers are done and it is begun anew", path)
    except sqlite3.Error as error:
        _log.warning("a checkpoint of the store was left for later: %s", store_error(path, error))


def _make_tables(db: sqlite3.Connection, path: Path) -> None:
    if _tables(db) >= {"meta"}:
        _check_version(db, path)
        return
    db.execute("BEGIN IMMEDIATE")
    tables = _tables(db)  # another process may have made them while this one waited
    if tables >= {"meta"}:
        db.execute("ROLLBACK")
        _check_version(db, path)
        return
    if tables:
        db.execute("ROLLBACK")
        raise StoreError(f"{str(path)!r} is a SQLite database of something else (tables {', '.join(sorted(tables))}); choose another store")
    for statement in create_statements(DIALECT):
        db.execute(statement)
    _guard(db)
    db.execute("INSERT INTO meta (key, value) VALUES ('schema_version', ?)", (str(VERSION),))
    db.execute("COMMIT")


def _guard(db: sqlite3.Connection) -> None:
    """Refuse every change of what is append-only, and every deletion but that of a lifetime whose tombstone has been written."""
    for table in APPEND_ONLY:
        spared = f"WHEN NOT EXISTS (SELECT 1 FROM {TOMBSTONES.name} WHERE lifetime_id = OLD.lifetime_id)" if table in PRUNED else ""  # noqa: S608 - our own table names
        for action, condition in (("UPDATE", ""), ("DELETE", spared)):
            name = f"{table.name}_refuse_{action.lower()}"
            db.execute(f"DROP TRIGGER IF EXISTS {name}")
            db.execute(
                f"CREATE TRIGGER {name} BEFORE {action} ON {table.name} {condition} "
                f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only'); END"
            )


def _tables(db: sqlite3.Connection) -> set[str]:
    return {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")}


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    row = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if row is None or not row[0].isdecimal():
        raise StoreError(f"{str(path)!r} has a table `meta` without a schema_version: it is not a store; choose another one")
    if int(row[0]) > VERSION:
        raise StoreTooNew(f"the store {str(path)!r} has version {row[0]}; this package reads up to {VERSION}: upgrade agent-workbench")
    if int(row[0]) < VERSION:
        _upgrade(db)


def _upgrade(db: sqlite3.Connection) -> None:
    """Bring a store of an older version to this one: what is missing is added, and nothing that is there changes."""
    db.execute("BEGIN IMMEDIATE")
    missing = {table.name for table in METADATA.sorted_tables} - _tables(db)
    for table in METADATA.sorted_tables:
        if table.name in missing:
            db.execute(str(CreateTable(table).compile(dialect=DIALECT)))
    _guard(db)
    db.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(VERSION),))
    db.execute("COMMIT")


def _choose_journal(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA secure_delete = ON")  # a pruned run or a shredded key is overwritten, not only forgotten
    if on_network(path):
        # WAL needs memory shared between all users of the file, which machines on a network do not have.
        _patiently(lambda: db.execute("PRAGMA journal_mode = DELETE"))
        db.execute("PRAGMA synchronous = FULL")
        _log.warning("the store %s lies on a network file system: journal_mode is DELETE, and appends are slower", path)
        return
    _patiently(lambda: db.execute("PRAGMA journal_mode = WAL"))
    db.execute("PRAGMA synchronous = NORMAL")
    # The writer has checkpoints done on another thread, where their two fsyncs (5 to 50 ms) delay nobody. A log is begun anew
    # only when a checkpoint has caught up with it, which appends without a pause prevent: then, at 32 MB, SQLite does one within a commit.
    db.execute("PRAGMA wal_autocheckpoint = 8000")


def _patiently(action: Callable[[], T]) -> T:
    # SQLite does not wait for the lock that a change of journal mode needs, so two processes that open one new store would collide.
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
