"""Group commit on one SQLite connection: what is asked for in the same turn of the loop becomes one transaction.

A commit costs about as much as writing three entries, so a thousand runs that append at once must not pay a thousand. It is done on the
loop's own thread, because a hop to another thread and back costs more than the commit. Two things take longer and have a thread: waiting
for another process that holds the lock, and the checkpoint, which moves the write-ahead log into the file.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from workbench.adapters.sqlite import PATIENCE_S, checkpoint, is_busy, store_error
from workbench.errors import StoreError

T = TypeVar("T")

_CHECKPOINT_ROWS = 1000
"""After so many rows, about 4 MB of log, a checkpoint begins. A log that only grows makes each commit slower."""

Operation = Callable[[sqlite3.Connection], Any]
"""What one caller wants written. It runs inside a transaction, maybe more than once, and refuses with a `StoreError`."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    operation: Operation
    answer: asyncio.Future[Any]


class Writer:
    """The one connection of this process that writes to the file."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        """`db` is in autocommit mode and may be used from other threads; the writer closes it."""
        self._db = db
        self._path = path
        self._asked: list[_Request] = []
        self._working: asyncio.Future[list[Any]] | None = None
        self._checkpoint: asyncio.Future[None] | None = None
        self._checkpointed_at = 0
        self._scheduled = False
        self._alone = True
        self._closed = False
        self._wait_for_lock(0.0)

    async def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run `operation` in a transaction and return its result once that is committed.

        Cancelling the caller does not withdraw what it asked for: a journal counts an entry from the moment it is handed over, and the
        next one continues it.

        Raises:
            StoreError: what the operation refused with, or what the database could not do; then nothing of it is kept.
        """
        if self._closed:
            raise StoreError(f"the store {str(self._path)!r} has been closed; connect again")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._asked.append(_Request(operation, answer))
        if self._alone and self._working is None and len(self._asked) == 1:
            # Nobody else has asked in this turn of the loop: waiting for others would cost more than it saves.
            self._alone = False
            loop.call_soon(self._next_turn)
            self._flush(loop)
        else:
            self._schedule(loop)
        return answer.result() if answer.done() else await answer

    def _next_turn(self) -> None:
        self._alone = True

    async def close(self) -> None:
        """Finish what was asked for and close the connection."""
        self._closed = True
        while self._working is not None or self._asked:
            await (self._working or asyncio.sleep(0))
        if self._checkpoint is not None:
            await self._checkpoint
        # The last connection to a file moves its log into it, which may take a while.
        await asyncio.to_thread(self._db.close)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._scheduled and self._working is None:
            self._scheduled = True
            loop.call_soon(self._flush, loop)

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        requests, self._asked = self._asked, []
        try:
            outcomes = self._commit(requests)
        except Exception:  # noqa: BLE001 - it shows again in the thread, where each caller gets what is its own
            # Futures of the executor and not tasks: the runtime cancels its tasks when it ends, and this must still be finished.
            self._working = loop.run_in_executor(None, self._commit_patiently, requests)
            self._working.add_done_callback(partial(self._flushed, requests, loop))
            return
        _answer(requests, outcomes)
        self._checkpoint_if_due(loop)

    def _flushed(self, requests: list[_Request], loop: asyncio.AbstractEventLoop, done: asyncio.Future[list[Any]]) -> None:
        self._working = None
        failure = done.exception()
        _answer(requests, done.result() if failure is None else [failure] * len(requests))
        if self._asked:
            self._schedule(loop)

    def _commit_patiently(self, requests: list[_Request]) -> list[Any]:
        """The results or exceptions of `requests`, waiting for the lock; one that cannot be done is not felt by the others."""
        self._wait_for_lock(PATIENCE_S)
        try:
            return self._commit(requests)
        except sqlite3.Error as error:
            if is_busy(error) or len(requests) == 1:
                return [store_error(self._path, error) for _ in requests]
        except Exception as error:  # noqa: BLE001 - whatever an operation raises belongs to its caller
            if len(requests) == 1:
                return [error]
        finally:
            self._wait_for_lock(0.0)
        return [outcome for request in requests for outcome in self._commit_patiently([request])]

    def _commit(self, requests: list[_Request]) -> list[Any]:
        """The results or refusals of `requests` in one transaction, or an exception and nothing written."""
        db = self._db
        outcomes: list[Any] = []
        try:
            db.execute("BEGIN IMMEDIATE")
            for request in requests:
                written = db.total_changes
                try:
                    outcomes.append(request.operation(db))
                except StoreError as refusal:
                    if db.total_changes != written:
                        raise  # what it wrote before it refused must go, and the transaction with it
                    outcomes.append(refusal)
            db.execute("COMMIT")
        finally:
            if db.in_transaction:  # something was raised, and SQLite has not rolled back by itself, as it does when the disk is full
                db.execute("ROLLBACK")
        return outcomes

    def _checkpoint_if_due(self, loop: asyncio.AbstractEventLoop) -> None:
        running = self._checkpoint is not None and not self._checkpoint.done()
        if not running and self._db.total_changes - self._checkpointed_at >= _CHECKPOINT_ROWS:
            self._checkpointed_at = self._db.total_changes
            self._checkpoint = loop.run_in_executor(None, checkpoint, self._path)

    def _wait_for_lock(self, seconds: float) -> None:
        self._db.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def _answer(requests: list[_Request], outcomes: list[Any]) -> None:
    for request, outcome in zip(requests, outcomes, strict=True):
        if request.answer.cancelled():
            continue
        if isinstance(outcome, Exception):
            request.answer.set_exception(outcome)
        else:
            request.answer.set_result(outcome)
