"""The SQLite store keeps the promises of `StateStore`, also between processes, after a kill and over a damaged file."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from tests.conformance.samples import heads, lifetime, tasks
from tests.conformance.state_store import Clock, StateStoreSuite, bare, entries_of
from workbench.adapters import sqlite
from workbench.adapters.schema import ENTRIES, VERSION
from workbench.adapters.sql import SqlStateStore
from workbench.errors import ConfigurationError, RecordCorrupt, StaleEpoch, StoreError, StoreTooNew
from workbench.ports import InboxItem, Query, Tombstone
from workbench.record.entries import COLUMNS, columns_of, decode_entry, verify_chain

ROOT = Path(__file__).parents[2]
A = lifetime()


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


class TestSqlStateStore(StateStoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path):
        return lambda clock: SqlStateStore(url_of(tmp_path / "records.db"), clock)


class TestSqlStateStoreOnANetworkFileSystem(StateStoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sqlite, "on_network", lambda path: True)
        return lambda clock: SqlStateStore(url_of(tmp_path / "records.db"), clock)


@pytest.fixture
def database(tmp_path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
async def store(database):
    store = SqlStateStore(url_of(database))
    yield store
    await store.close()


def process(action: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.adapters.sql_process", action, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def grows_to(path: Path, size: int) -> bool:
    """Whether the file has that size within ten seconds."""
    deadline = time.monotonic() + 10
    while path.stat().st_size < size and time.monotonic() < deadline:
        time.sleep(0.01)
    return path.stat().st_size >= size


# The file


async def test_the_file_is_in_wal_mode(store, database):
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_on_a_network_file_system_the_journal_is_deleted_and_one_line_says_so(database, monkeypatch, caplog):
    monkeypatch.setattr(sqlite, "on_network", lambda path: True)
    with caplog.at_level(logging.WARNING):
        await SqlStateStore(url_of(database)).close()
    assert [record.message for record in caplog.records if "network file system" in record.message and str(database) in record.message]
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


async def test_the_directory_is_made_and_a_workbench_directory_ignores_itself(tmp_path):
    await SqlStateStore(url_of(tmp_path / "project" / ".workbench" / "records.db")).close()
    assert (tmp_path / "project" / ".workbench" / ".gitignore").read_text() == "*\n"
    assert not (tmp_path / "project" / ".gitignore").exists()


async def test_a_relative_store_stays_where_it_was_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = SqlStateStore("sqlite:///records.db")
    monkeypatch.chdir(tmp_path.parent)
    await store.claim(A, "me", 60)
    await store.append(tasks(A, 300), {A: 1})
    assert len(await entries_of(store)) == 300
    await store.close()
    assert (tmp_path / "records.db").exists()


@pytest.mark.parametrize(
    "url", ["records.db", "", "sqlite://", "sqlite:///:memory:", "sqlite:///r.db?mode=ro", "sqlite://host/r.db", "postgresql://h/db"]
)
def test_another_url_is_refused_with_the_form_to_write(url):
    with pytest.raises(ConfigurationError, match=r"sqlite:///relative/records\.db"):
        SqlStateStore(url)


def test_the_table_has_every_column_of_the_record():
    assert set(COLUMNS) < set(ENTRIES.c.keys())


async def test_columns_come_back_as_they_were_written(store):
    await store.claim(A, "me", 60)
    await store.append(tasks(A, 4), {A: 1})
    for entry in await entries_of(store):
        expected = columns_of(decode_entry(entry))
        assert (entry.columns, [type(value) for value in entry.columns]) == (expected, [type(value) for value in expected])


@pytest.mark.parametrize("table", ["entries", "inbox"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET lifetime_id = 'x'", "DELETE FROM {}"])
async def test_nothing_is_changed_or_deleted(store, database, table, statement):
    await store.claim(A, "me", 60)
    await store.append(tasks(A, 1), {A: 1})
    await store.put_decision(InboxItem("r", A, b"{}"))
    with closing(sqlite3.connect(database)) as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute(statement.format(table))


async def test_only_the_entries_of_a_lifetime_with_a_tombstone_can_be_deleted(store, database):
    epochs = {lifetime_id: (await store.claim(lifetime_id, "me", 60)).epoch for lifetime_id in (A, lifetime(1))}
    await store.append([*tasks(A, 1), *tasks(lifetime(1), 1)], epochs)
    with closing(sqlite3.connect(database)) as db:
        db.execute("INSERT INTO tombstones VALUES (?, 1, 'head', 'now', '')", (A,))
        assert db.execute("DELETE FROM entries WHERE lifetime_id = ?", (A,)).rowcount == 1
        for statement in ("DELETE FROM entries", "UPDATE tombstones SET head = 'x'", "DELETE FROM tombstones"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)


async def test_a_store_of_version_1_gets_what_it_lacks_and_keeps_what_it_has(database):
    store = SqlStateStore(url_of(database))
    await store.claim(A, "me", 60)
    await store.append(tasks(A, 2), {A: 1})
    await store.close()
    with closing(sqlite3.connect(database)) as db:
        db.executescript("DROP TABLE tombstones; UPDATE meta SET value = '1'; DROP TRIGGER entries_refuse_delete;")
        db.execute("CREATE TRIGGER entries_refuse_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END")
        db.commit()
    store = SqlStateStore(url_of(database))
    assert [entry.seq for entry in await entries_of(store)] == [1, 2]
    await store.release(A, "me")
    await store.prune(Tombstone(A, *heads(tasks(A, 2)), "2026-01-31T10:00:00+00:00"))
    assert await entries_of(store) == []
    await store.close()
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone() == (str(VERSION),)


async def test_a_byte_altered_on_disk_is_found_at_its_entry(database):
    store = SqlStateStore(url_of(database))
    await store.claim(A, "me", 60)
    await store.append([*tasks(A, 5, text="the original text")], {A: 1})
    await store.close()
    content = database.read_bytes()
    places = [place for place in range(len(content)) if content.startswith(b"the original text", place)]
    database.write_bytes(content[: places[-1]] + b"t" + b"H" + content[places[-1] + 2 :])
    store = SqlStateStore(url_of(database))
    altered = await entries_of(store, Query(lifetime_ids=[A]))
    wrong = next(entry.seq for entry in altered if b"tHe original" in entry.data)
    with pytest.raises(RecordCorrupt) as caught:
        verify_chain(iter(altered), A)
    assert caught.value.seq == wrong
    await store.close()


# What cannot be opened


def test_a_file_that_is_no_database_is_refused_and_left_alone(database):
    database.write_bytes(b"not a database, but something somebody needs" * 100)
    with pytest.raises(StoreError, match="not a SQLite database"):
        SqlStateStore(url_of(database))
    assert database.read_bytes().startswith(b"not a database")


def test_a_database_of_something_else_is_refused_and_left_alone(database):
    with closing(sqlite3.connect(database)) as db:
        db.execute("CREATE TABLE customers (name)")
    with pytest.raises(StoreError, match="customers"):
        SqlStateStore(url_of(database))
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("customers",)]


async def test_a_store_of_a_newer_version_is_refused(database):
    await SqlStateStore(url_of(database)).close()
    with closing(sqlite3.connect(database)) as db:
        db.execute("UPDATE meta SET value = ?", (str(VERSION + 1),))
        db.commit()
    with pytest.raises(StoreTooNew, match=f"version {VERSION + 1}"):
        SqlStateStore(url_of(database))


def test_a_directory_in_the_place_of_the_file_is_an_error_that_names_it(database):
    database.mkdir()
    with pytest.raises(StoreError, match=r"records\.db"):
        SqlStateStore(url_of(database))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_a_read_only_directory_is_an_error_that_says_what_to_check():
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o555)
        with process("open_unprivileged", Path(directory) / "records.db") as child:
            said = child.communicate()[0]
        assert said.startswith("store_error")
        assert "permissions" in said or "may be written" in said


async def test_a_closed_store_says_so(database):
    store = SqlStateStore(url_of(database))
    await store.close()
    for call in (store.claim(A, "me", 1), store.head(A)):
        with pytest.raises(StoreError, match=r"records\.db"):
            await call


# Several stores on one file


async def test_two_stores_on_one_file_see_each_other(store, database):
    other = SqlStateStore(url_of(database))
    written = tasks(A, 4)
    lease = await store.claim(A, "me", 60)
    await store.append(written[:2], {A: lease.epoch})
    assert await other.head(A) == heads(written[:2])
    assert await other.leases() == {A: lease}
    await other.append(written[2:], {A: lease.epoch})
    assert bare(await entries_of(store)) == written
    await other.close()


async def test_a_remembered_head_that_is_too_old_is_never_believed(store, database):
    other = SqlStateStore(url_of(database))
    written = tasks(A, 4)
    await store.claim(A, "me", 60)
    await store.append(written[:1], {A: 1})
    await other.append(written[1:3], {A: 1})
    with pytest.raises(RecordCorrupt):
        await store.append(tasks(A, 1, after=1, head=written[0].hash, text="another second entry"), {A: 1})
    await store.append(written[3:], {A: 1})
    assert verify_chain(iter(await entries_of(store)), A) == heads(written)
    await other.close()


async def test_the_loop_goes_on_while_another_process_holds_the_lock(store, database):
    await store.claim(A, "me", 60)
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        waiting = [asyncio.create_task(store.append([entry], {A: 1})) for entry in tasks(A, 3)]
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert not any(task.done() for task in waiting)
        assert await store.head(A) == (0, "0" * 64)
        holder.execute("ROLLBACK")
        await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert (await store.head(A))[0] == 3


async def test_a_lock_that_is_never_given_back_is_an_error_that_says_so(database, monkeypatch):
    monkeypatch.setattr("workbench.adapters.writer.PATIENCE_S", 0.05)
    store = SqlStateStore(url_of(database))
    await store.claim(A, "me", 60)
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="lock"):
            await store.append(tasks(A, 1), {A: 1})
        holder.execute("ROLLBACK")
    await store.append(tasks(A, 1), {A: 1})
    await store.close()


async def test_a_full_disk_keeps_nothing_of_the_append_and_says_so(store):
    await store.claim(A, "me", 60)
    big = tasks(A, 4, text="x" * 200_000)
    db = store._writer._db
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages + 20}")
    with pytest.raises(StoreError, match="disk is full"):
        await store.append(big, {A: 1})
    assert await store.head(A) == (0, "0" * 64)
    db.execute("PRAGMA max_page_count = 1000000")
    await store.append(big, {A: 1})


async def test_checkpoints_move_the_log_into_the_file_while_the_store_is_used(store, database):
    await store.claim(A, "me", 60)
    written = tasks(A, 2000)
    before = database.stat().st_size
    for start in range(0, 2000, 100):
        await store.append(written[start : start + 100], {A: 1})
    assert await asyncio.to_thread(grows_to, database, before + 500_000)
    assert verify_chain(iter(await entries_of(store)), A) == heads(written)


async def test_closing_finishes_what_was_asked_for(database):
    store = SqlStateStore(url_of(database))
    await store.claim(A, "me", 60)
    pending = asyncio.create_task(store.append(tasks(A, 3), {A: 1}))
    await asyncio.sleep(0)
    await store.close()
    await pending
    again = SqlStateStore(url_of(database))
    assert (await again.head(A))[0] == 3
    await again.close()


async def test_a_reading_that_is_cancelled_closes_its_connection(store):
    await store.claim(A, "me", 60)
    await store.append(tasks(A, 2500), {A: 1})

    async def read() -> None:
        async with aclosing(store.read(Query())) as entries:
            async for _ in entries:
                await asyncio.sleep(0)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_what_the_driver_cannot_bind_fails_its_own_append_only(store):
    await store.claim(A, "me", 60)
    good = tasks(A, 1)
    bad = tasks(lifetime(1), 1)[0]
    await store.claim(bad.lifetime_id, "me", 60)
    object.__setattr__(bad, "columns", (object(), *bad.columns[1:]))
    outcomes = await asyncio.gather(store.append([bad], {bad.lifetime_id: 1}), store.append(good, {A: 1}), return_exceptions=True)
    assert isinstance(outcomes[0], StoreError)
    assert outcomes[1] is None
    assert await store.head(A) == heads(good)


# Several processes


@pytest.mark.slow
async def test_a_process_with_a_stale_epoch_is_refused(database):
    clock = Clock()
    store = SqlStateStore(url_of(database), clock)
    await store.claim(A, "gone", 30)
    clock.now += 31
    lease = await store.claim(A, "me", 30)
    with process("append_stale", database) as child:
        assert (await asyncio.to_thread(child.communicate))[0] == f"{StaleEpoch.code}\n"
    await store.append(tasks(A, 1), {A: lease.epoch})
    await store.close()


@pytest.mark.slow
async def test_of_two_processes_that_claim_at_once_one_wins_each_lifetime(database):
    children = [process("claim", database, owner) for owner in ("first", "second")]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    won = [sorted(map(int, (await asyncio.to_thread(child.communicate))[0].split())) for child in children]
    assert sorted(won[0] + won[1]) == list(range(40))
    store = SqlStateStore(url_of(database))
    owners = {lifetime_id: lease.owner for lifetime_id, lease in (await store.leases()).items()}
    assert owners == {lifetime(n): name for name, numbers in zip(("first", "second"), won, strict=True) for n in numbers}
    await store.close()


@pytest.mark.slow
async def test_processes_that_make_one_new_store_and_append_at_once_all_succeed(database):
    children = [process("append_beside_others", database, number) for number in range(4)]
    assert [(await asyncio.to_thread(child.communicate))[0] for child in children] == ["done\n"] * 4
    store = SqlStateStore(url_of(database))
    for number in range(4):
        read = await entries_of(store, Query(lifetime_ids=[lifetime(number)]))
        assert verify_chain(iter(read), lifetime(number))[0] == 100
    await store.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
async def test_a_kill_in_the_middle_of_appends_leaves_a_valid_chain_with_all_that_had_returned(database):
    with process("append_for_ever", database) as child:
        returned = 0
        while returned < 600:
            returned = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        returned = int(([returned, *child.stdout.read().split("\n")[:-1]])[-1])
    store = SqlStateStore(url_of(database))
    seq, _ = verify_chain(iter(await entries_of(store, Query(lifetime_ids=[A]))), A)
    assert seq >= returned
    assert seq % 3 == 0
    await store.close()
