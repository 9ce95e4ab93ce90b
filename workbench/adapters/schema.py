"""The tables of a state store, and a `Query` as a SELECT over them. SQLAlchemy Core says both once for every SQL database.

It only writes SQL: no engine, no session, no connection. The statements run on the database's own driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.type_api import TypeEngine

from workbench.ports import Query
from workbench.record.entries import COLUMNS, StoredEntry
from workbench.record.statistics import MEASURES, Measure, Statistic, Statistics

VERSION = 3
"""Written into each store. A package refuses a store with a higher number; a change of any table below raises it."""

_NUMBERS: dict[str, type[TypeEngine[Any]]] = {
    "attempt": Integer,
    "iteration_idx": Integer,
    "tokens_in": BigInteger,
    "tokens_out": BigInteger,
    "cached_tokens": BigInteger,
    "reasoning_tokens": BigInteger,
    "cost_nano": BigInteger,
    "unpriced": Integer,
    "latency_ms": Float,
    "queue_ms": Float,
}

METADATA = MetaData()

ENTRIES = Table(
    "entries",
    METADATA,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("lifetime_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("prev_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    *(Column(name, _NUMBERS.get(name, Text)) for name in COLUMNS),
    Column("data", LargeBinary, nullable=False),
    UniqueConstraint("lifetime_id", "seq"),
    UniqueConstraint("lifetime_id", "exec_id", "phase"),
    # The one index that only frames use; each further one costs every append.
    Index("entries_by_kind", "kind", "position"),
    sqlite_autoincrement=True,  # a position is never given twice, also after a prune
)

LEASES = Table(
    "leases",
    METADATA,
    Column("lifetime_id", Text, primary_key=True),
    Column("owner", Text, nullable=False, index=True),  # "" when it was given up
    Column("epoch", Integer, nullable=False),
    Column("expires_at", Float, nullable=False),
)

INBOX = Table(
    "inbox",
    METADATA,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("request_id", Text, nullable=False, unique=True),
    Column("lifetime_id", Text, nullable=False, index=True),
    Column("data", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

CURSORS = Table("cursors", METADATA, Column("consumer", Text, primary_key=True), Column("position", Integer, nullable=False))

META = Table("meta", METADATA, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

TOMBSTONES = Table(
    "tombstones",
    METADATA,
    Column("lifetime_id", Text, primary_key=True),
    Column("entries", Integer, nullable=False),
    Column("head", Text, nullable=False),
    Column("pruned_at", Text, nullable=False),
    Column("blobs", Text, nullable=False),  # hashes, with a space between them
)

DATA_KEYS = Table(
    "data_keys",
    METADATA,
    Column("lifetime_id", Text, primary_key=True),
    Column("master", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)

APPEND_ONLY = (ENTRIES, INBOX, TOMBSTONES)
"""The tables in which nothing is ever changed."""

PRUNED = (ENTRIES, INBOX, DATA_KEYS)
"""From which the rows of a lifetime go when it is pruned. Those of the append-only ones only then."""

INSERTED = ("lifetime_id", "seq", "prev_hash", "hash", *COLUMNS, "data")
"""The columns an append gives, in the order of `row_of`."""


def row_of(entry: StoredEntry) -> tuple[Any, ...]:
    """An entry as `INSERTED` has it."""
    return (entry.lifetime_id, entry.seq, entry.prev_hash, entry.hash, *entry.columns, entry.data)


def entry_of(row: Sequence[Any]) -> StoredEntry:
    """A row that `select_entries` chose, as an entry."""
    position, lifetime_id, seq, prev_hash, entry_hash, *columns, data = row
    return StoredEntry(
        lifetime_id=lifetime_id, seq=seq, prev_hash=prev_hash, hash=entry_hash, data=data, columns=tuple(columns), position=position
    )


def create_statements(dialect: Dialect) -> list[str]:
    """The DDL of every table and index."""
    statements = [str(CreateTable(table).compile(dialect=dialect)) for table in METADATA.sorted_tables]
    return statements + [str(CreateIndex(index).compile(dialect=dialect)) for table in METADATA.sorted_tables for index in table.indexes]


def select_entries(query: Query, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    """The SELECT that answers `query`, with its parameters, all bound."""
    return _bound(query, dialect)


def select_columns(query: Query, names: Sequence[str], dialect: Dialect) -> tuple[str, dict[str, Any]]:
    """The SELECT of these columns of the entries that `query` names."""
    return _bound(query, dialect, names=tuple(names))


def select_statistics(query: Query, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    """The SELECT whose one row `statistics_of` reads."""
    return _bound(replace(query, limit=None, newest_first=False), dialect, summed=True)


def statistics_of(row: Sequence[Any]) -> Statistics:
    """The row of `select_statistics`."""
    first_position, last_position, *numbers = row
    found = Statistics(first_position=first_position, last_position=last_position)
    for place, measure in enumerate(MEASURES):
        count, total, least, most = numbers[4 * place : 4 * place + 4]
        if count:
            found.by_name[measure.name] = Statistic(count, total, least, most)
    return found


def _bound(query: Query, dialect: Dialect, *, summed: bool = False, names: tuple[str, ...] = ()) -> tuple[str, dict[str, Any]]:
    lists = {
        "lifetime_id": query.lifetime_ids,
        "kind": query.kinds,
        "phase": query.phases,
        "name": query.names,
        "status": query.statuses,
    }
    bounds = {
        "session_id": query.session_id,
        "tenant_id": query.tenant_id,
        "without_lifetime": query.without_lifetime,
        "since": query.since,
        "until": query.until,
        "after_seq": query.after_seq or None,
        "after_position": query.after_position or None,
        "limit": query.limit,
    }
    shape = _Shape(
        tuple((name, len(values)) for name, values in lists.items() if values is not None),
        frozenset(name for name, value in bounds.items() if value is not None),
        query.newest_first,
        summed,
        names,
    )
    parameters = {name: value for name, value in bounds.items() if value is not None}
    for name, values in lists.items():
        parameters |= {f"{name}_{index}": value for index, value in enumerate(values or ())}
    text, constants = _compiled(shape, dialect)
    return text, {**constants, **parameters}


class _Shape(NamedTuple):
    """What of a query decides the text of its SELECT: everything but the values."""

    lists: tuple[tuple[str, int], ...]
    bounds: frozenset[str]
    newest_first: bool
    summed: bool
    names: tuple[str, ...]


_BOUNDS: dict[str, ColumnElement[bool]] = {
    "session_id": ENTRIES.c.session_id == bindparam("session_id"),
    "tenant_id": ENTRIES.c.tenant_id == bindparam("tenant_id"),
    "without_lifetime": ENTRIES.c.lifetime_id != bindparam("without_lifetime"),
    "since": ENTRIES.c.created_at >= bindparam("since"),
    "until": ENTRIES.c.created_at < bindparam("until"),
    "after_seq": ENTRIES.c.seq > bindparam("after_seq"),
    "after_position": ENTRIES.c.position > bindparam("after_position"),
}


_ENDS = (func.min(ENTRIES.c.position), func.max(ENTRIES.c.position))

_WHOLE = tuple(ENTRIES.c[name] for name in INSERTED)


def _sums() -> list[ColumnElement[Any]]:
    """Count, sum, least and most of each measure."""
    values = [_value(measure) for measure in MEASURES]
    return [function(value) for value in values for function in (func.count, func.sum, func.min, func.max)]


def _value(measure: Measure) -> ColumnElement[Any]:
    """A measure of one entry, NULL where the entry has none."""
    value: Any = _written("1")
    if measure.columns:
        first, *others = (ENTRIES.c[name] for name in measure.columns)
        value = sum(others, first)
    counts = [ENTRIES.c.kind == _written(measure.kind), ENTRIES.c.phase == _written(measure.phase)]
    if measure.statuses:
        counts.append(or_(*(ENTRIES.c.status == _written(status) for status in measure.statuses)))
    if measure.nonzero:
        counts.append(value != _written("0"))
    return case((and_(*counts), value))


def _written(word: str) -> ColumnElement[Any]:
    """One of our own words, in the text of the statement: as a parameter it would get a name that a query may use."""
    return literal_column(word if word.isdecimal() else f"'{word}'")


@lru_cache(maxsize=256)
def _compiled(shape: _Shape, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    # Writing the SQL takes fifty times as long as a small query does.
    if shape.names:
        statement: Select[Any] = select(*(func.length(ENTRIES.c.data) if name == "size" else ENTRIES.c[name] for name in shape.names))
    else:
        statement = select(*_ENDS, *_sums()) if shape.summed else select(ENTRIES.c.position, *_WHOLE)
    for name, count in shape.lists:
        statement = statement.where(ENTRIES.c[name].in_([bindparam(f"{name}_{index}") for index in range(count)]))
    statement = statement.where(*(condition for name, condition in _BOUNDS.items() if name in shape.bounds))
    # Within one lifetime both orders are the same, and the unique index on (lifetime_id, seq) already has this one.
    if not shape.summed:
        order = ENTRIES.c.seq if ("lifetime_id", 1) in shape.lists else ENTRIES.c.position
        statement = statement.order_by(order.desc() if shape.newest_first else order)
    if "limit" in shape.bounds:
        statement = statement.limit(bindparam("limit"))
    compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    return str(compiled), compiled.params
