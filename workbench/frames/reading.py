"""From the store to rows, and from rows to a frame."""

from __future__ import annotations

import functools
import gc
import warnings
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec

import pandas as pd

from workbench.current import current
from workbench.errors import KeyUnavailable, RunShredded, WorkbenchError
from workbench.frames.columns import UTC, Column
from workbench.loop import run_sync
from workbench.owner import is_dead
from workbench.ports import Query, StateStore
from workbench.record.entries import COLUMNS, SEALED, StoredEntry, decode_entry, locked
from workbench.record.envelope import AnyEntry

P = ParamSpec("P")

BATCH = 2000
"""Entries taken from the store at a time; a frame of any length is built in bounded memory beyond its own rows."""

_INDEX = {name: index for index, name in enumerate(COLUMNS)}


def at_one_go(make: Callable[P, pd.DataFrame]) -> Callable[P, pd.DataFrame]:
    """Make a frame without looking for garbage meanwhile: all of its rows stay, and going through them again and again takes a quarter of
    the time. Frames that several threads make at once leave the collector as it was."""

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> pd.DataFrame:
        if not gc.isenabled():
            return make(*args, **kwargs)
        gc.disable()
        try:
            return make(*args, **kwargs)
        finally:
            gc.enable()

    return made


def store_of(run: Any) -> StateStore:
    """The store that a run lies in; the current one where only an id is given, or nothing."""
    bench = getattr(run, "workbench", None)
    store: StateStore = current().store if bench is None else bench.store
    return store


def selected(run: Any, since: Any, until: Any, session: str | None) -> Query:
    """What a frame's filters choose."""
    run_id = getattr(run, "id", run)
    return Query(lifetime_ids=None if run_id is None else [str(run_id)], since=_stamp(since), until=_stamp(until), session_id=session)


def _stamp(when: Any) -> str | None:
    """A filter's time as the store writes it; a naive one is meant in UTC."""
    if when is None:
        return None
    stamp = pd.Timestamp(when)
    stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
    return str(stamp.to_pydatetime().isoformat(timespec="microseconds"))


def owned(store: StateStore) -> set[str]:
    """The lifetimes that a process works on."""
    return {run_id for run_id, lease in run_sync(store.leases()).items() if not is_dead(lease.owner)}


def stored(store: StateStore, query: Query) -> Iterator[StoredEntry]:
    """The store's entries, fetched in batches so that decoding them happens in this thread and never on the runtime's loop."""
    reader = store.read(query)
    while batch := run_sync(_take(reader)):
        yield from batch


async def _take(reader: AsyncIterator[StoredEntry]) -> list[StoredEntry]:
    batch: list[StoredEntry] = []
    async for each in reader:
        batch.append(each)
        if len(batch) == BATCH:
            break
    return batch


def headers(store: StateStore, query: Query, names: Sequence[str]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Columns of the store's entries, in batches of rows."""
    reader = store.columns(query, names)
    while (batch := run_sync(_next(reader))) is not None:
        yield batch


async def _next(reader: AsyncIterator[Sequence[tuple[Any, ...]]]) -> Sequence[tuple[Any, ...]] | None:
    return await anext(reader, None)


def told(store: StateStore, query: Query, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Columns of the store's entries, `data` among them, row by row. What cannot be read is left out, with a warning."""
    unread = Unread()
    lifetime_id, data = names.index("lifetime_id"), names.index("data")
    for batch in headers(store, query, names):
        for row in batch:
            if unread.has(row[lifetime_id], row[data]):
                yield row
    unread.warn()


def decoded(store: StateStore, query: Query) -> Iterator[AnyEntry]:
    """The store's entries, decoded. What is encrypted and cannot be read is left out, and a warning says of how many entries and why."""
    unread = Unread()
    for each in stored(store, query):
        entry = unread.entry(each)
        if entry is not None:
            yield entry
    unread.warn()


class Unread:
    """What could not be read while a frame was made."""

    def __init__(self) -> None:
        self._count = 0
        self._why = ""

    def entry(self, each: StoredEntry) -> AnyEntry | None:
        """The entry; None where it cannot be read."""
        try:
            return decode_entry(each)
        except (KeyUnavailable, RunShredded) as error:
            self._count, self._why = self._count + 1, self._why or str(error)
            return None

    def has(self, lifetime_id: str, data: bytes | WorkbenchError) -> bool:
        """Whether the bytes of an entry are what it says.

        Raises:
            WorkbenchError: they have been altered.
        """
        if isinstance(data, bytes):
            if not data.startswith(SEALED):
                return True
            data = locked(lifetime_id)
        if not isinstance(data, KeyUnavailable | RunShredded):
            raise data
        self._count, self._why = self._count + 1, self._why or str(data)
        return False

    def warn(self) -> None:
        """Say what is missing, if anything is."""
        if self._count:
            warnings.warn(f"what {self._count} entries say is missing here, for instance: {self._why}", stacklevel=4)


def framed(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A frame with these columns, in their types; what a row lacks is missing."""
    gathered: dict[str, list[Any]] = {column.name: [] for column in columns}
    for row in rows:
        for name, values in gathered.items():
            values.append(row.get(name))
    return pd.DataFrame({column.name: _series(gathered[column.name], column.dtype) for column in columns})


def framed_columns(columns: Sequence[Column], batches: Iterable[Collection[tuple[Any, ...]]]) -> pd.DataFrame:
    """A frame of rows that have its columns in their order. Words that come again and again are kept once."""
    gathered: list[list[Any]] = [[] for _ in columns]
    known: dict[Any, Any] = {}
    for batch in filter(None, batches):
        for column, values, found in zip(columns, gathered, zip(*batch, strict=True), strict=True):
            values.extend([known.setdefault(value, value) for value in found] if column.name in _AGAIN else found)
    made = {}
    for place, column in enumerate(columns):
        made[column.name] = _series(gathered[place], column.dtype)
        gathered[place] = []
    return pd.DataFrame(made)


_AGAIN = frozenset({"run_id", "kind", "phase", "name", "status", "model", "tool"})


def _series(values: list[Any], dtype: str) -> Any:
    if dtype == UTC:
        stamps: Any = pd.Series(pd.to_datetime(values, utc=True, format="ISO8601"))
        return stamps.astype(dtype)
    return pd.Series(values, dtype=dtype)


def column_of(each: StoredEntry, name: str) -> Any:
    """A column of the log, for which an entry need not be decoded."""
    return each.columns[_INDEX[name]]
