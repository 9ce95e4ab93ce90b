"""Entries ⇄ stored bytes: encoded once, checked when read, with the columns that queries filter on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Required

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from workbench.errors import KeyUnavailable, RecordCorrupt, StoreTooNew, WorkbenchError
from workbench.record.codec import GENESIS, chain
from workbench.record.envelope import ENTRY, SCHEMA, AnyEntry, Dollars
from workbench.record.values import ErrorInfo, Payload, ToolCall, nano_dollars

SEALED = b"\x01"
"""How the stored bytes of an encrypted entry begin; those of any other begin with a brace."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as a store holds it."""

    lifetime_id: str
    seq: int
    prev_hash: str
    hash: str
    data: bytes
    """The stored bytes: what was hashed. The canonical form, or that encrypted."""
    columns: tuple[Any, ...]
    """In the order of `COLUMNS`; a projection of `data`, made by `columns_of` when the entry was appended."""
    position: int = 0
    """The entry's place in the whole log, from 1; assigned by the store and used as a consumer's cursor."""
    opened: bytes | WorkbenchError | None = None
    """Of an encrypted entry, what was decrypted, or why it could not be."""

    @property
    def sealed(self) -> bool:
        """Whether it is encrypted."""
        return self.data.startswith(SEALED)

    @property
    def body(self) -> bytes:
        """The canonical form.

        Raises:
            KeyUnavailable, RunShredded: it is encrypted and cannot be read.
            RecordCorrupt: it has been altered.
        """
        if not self.sealed:
            return self.data
        if isinstance(self.opened, bytes):
            return self.opened
        raise self.opened or locked(self.lifetime_id)


def locked(lifetime_id: str) -> KeyUnavailable:
    """The error of reading what is encrypted where no key is connected."""
    return KeyUnavailable(
        f"{lifetime_id} is encrypted; connect with its key: wb.connect(encryption='env:WORKBENCH_KEY') or WORKBENCH_ENCRYPTION"
    )


Seal = Callable[[int, bytes], bytes]
"""From an entry's number and canonical form to the bytes that are stored."""


def _iso(stamp: datetime | None) -> str | None:
    return None if stamp is None else stamp.isoformat(timespec="microseconds")


COLUMNS: dict[str, Callable[[AnyEntry], Any]] = {
    "kind": lambda e: e.kind,
    "phase": lambda e: e.phase,
    "exec_id": lambda e: e.header.exec_id,
    "name": lambda e: e.header.name,
    "status": lambda e: e.header.status,
    "tenant_id": lambda e: e.header.tenant_id,
    "session_id": lambda e: e.header.session_id,
    "graph_id": lambda e: e.header.graph_id,
    "attempt": lambda e: e.header.attempt,
    "iteration_idx": lambda e: e.header.iteration_idx,
    "created_at": lambda e: _iso(e.header.created_at),
    "started_at": lambda e: _iso(e.header.started_at),
    "ended_at": lambda e: _iso(e.header.ended_at),
    "parent_exec_id": lambda e: e.links.parent_exec_id,
    "tokens_in": lambda e: e.telemetry.tokens_in,
    "tokens_out": lambda e: e.telemetry.tokens_out,
    "cached_tokens": lambda e: e.telemetry.cached_tokens,
    "reasoning_tokens": lambda e: e.telemetry.reasoning_tokens,
    "cost_nano": lambda e: None if e.telemetry.cost_usd is None else nano_dollars(e.telemetry.cost_usd),
    "unpriced": lambda e: int(e.telemetry.unpriced),
    "latency_ms": lambda e: e.telemetry.latency_ms,
    "queue_ms": lambda e: e.telemetry.queue_ms,
    "model": lambda e: e.telemetry.model,
}
"""Column name → how it is read from an entry. Money is in integer nano-dollars, stamps in ISO 8601 UTC with microseconds."""


def columns_of(entry: AnyEntry) -> tuple[Any, ...]:
    """The entry's columns, in the order of `COLUMNS`."""
    return tuple([read(entry) for read in COLUMNS.values()])  # a list is filled faster than a generator is asked


def encode_entry(entry: AnyEntry) -> bytes:
    """The canonical bytes of an entry: compact JSON, fields in declared order, what has its default left out. The defaults are therefore a
    part of the schema's version, as its field names are."""
    body = entry.model_dump_json(by_alias=True, exclude_defaults=True)
    return f'{{"schema":"{SCHEMA}","kind":"{entry.kind}",{body[1:]}'.encode()


def store_entry(entry: AnyEntry, prev_hash: str, seal: Seal | None = None) -> StoredEntry:
    """Encode an entry, encrypt it where that is said, and link it to the one before."""
    body = encode_entry(entry)
    data = body if seal is None else seal(entry.seq, body)
    return StoredEntry(
        lifetime_id=entry.header.lifetime_id,
        seq=entry.seq,
        prev_hash=prev_hash,
        hash=chain(prev_hash, data),
        data=data,
        columns=columns_of(entry),
        opened=None if seal is None else body,
    )


def decode_entry(stored: StoredEntry) -> AnyEntry:
    """The entry in `stored`, if this version of the package knows its schema.

    Raises:
        StoreTooNew: if a newer version of the package wrote it.
        RecordCorrupt: if the bytes are not an entry, or are another entry than the one stored under this id and number.
        KeyUnavailable, RunShredded: if it is encrypted and cannot be read.
    """
    body = stored.body
    try:
        entry = ENTRY.validate_json(body)
    except ValidationError as error:
        raise _not_an_entry(stored.lifetime_id, stored.seq, body, error) from error
    _refuse_another(stored.lifetime_id, stored.seq, entry.header.lifetime_id, entry.seq)
    return entry


class _Links(TypedDict, total=False):
    parent_exec_id: str | None
    sandbox_id: str | None
    block_no: int | None


class _Telemetry(TypedDict, total=False):
    cost_usd: Dollars | None
    tool_calls: int


class _NextTask(TypedDict):
    name: str


class _Header(TypedDict):
    lifetime_id: str


class _Result(TypedDict, total=False):
    output: Payload | None
    error: ErrorInfo | None
    next_tasks: list[_NextTask]


class Said(TypedDict, total=False):
    """What an entry says of an execution or a call beside its columns, for readers of very many that need little of each."""

    schema: Required[Literal["workbench.envelope/1"]]
    seq: Required[int]
    header: Required[_Header]
    links: _Links
    telemetry: _Telemetry
    result: _Result | None
    call: ToolCall


_SAID = TypeAdapter(Said)


def said_in(lifetime_id: str, seq: int, body: bytes) -> Said:
    """What the body of an entry says. Nothing else is looked at, so this checks less than `decode_entry` and takes a fifth of its time.

    Raises:
        StoreTooNew, RecordCorrupt: as `decode_entry`.
    """
    try:
        said: Said = _SAID.validator.validate_json(body)
    except ValidationError as error:
        raise _not_an_entry(lifetime_id, seq, body, error) from error
    _refuse_another(lifetime_id, seq, said["header"]["lifetime_id"], said["seq"])
    return said


def _refuse_another(lifetime_id: str, seq: int, says_lifetime: str, says_seq: int) -> None:
    if (says_lifetime, says_seq) != (lifetime_id, seq):
        raise RecordCorrupt(
            f"entry {seq} of {lifetime_id} says it is entry {says_seq} of {says_lifetime}", lifetime_id=lifetime_id, seq=seq
        )


def _not_an_entry(lifetime_id: str, seq: int, body: bytes, cause: ValidationError) -> Exception:
    try:
        schema = json.loads(body).get("schema")
    except (ValueError, AttributeError, RecursionError):
        schema = None
    if isinstance(schema, str) and schema != SCHEMA and schema.startswith("workbench.envelope/"):
        return StoreTooNew(f"entry {seq} of {lifetime_id} has schema {schema!r}; this version reads {SCHEMA!r}: upgrade")
    first = cause.errors(include_url=False)[0]
    return RecordCorrupt(
        f"entry {seq} of {lifetime_id} is not valid: {'.'.join(map(str, first['loc']))}: {first['msg']}",
        lifetime_id=lifetime_id,
        seq=seq,
    )


def verify_entry(stored: StoredEntry, lifetime_id: str, head: str, after: int) -> AnyEntry:
    """Check that an entry follows number `after` with hash `head`: its number, hash and columns, over the stored bytes.

    Raises:
        RecordCorrupt: it does not.
        KeyUnavailable, RunShredded: it does, and what it says cannot be read.
    """
    verify_link(stored, lifetime_id, head, after)
    entry = decode_entry(stored)
    if columns_of(entry) != stored.columns:
        raise RecordCorrupt(
            f"the columns of entry {stored.seq} of {lifetime_id} have been altered", lifetime_id=lifetime_id, seq=stored.seq
        )
    return entry


def verify_link(stored: StoredEntry, lifetime_id: str, head: str, after: int) -> None:
    """Check number and hash alone, for which nothing has to be read.

    Raises:
        RecordCorrupt: they do not follow.
    """
    expected = after + 1
    if stored.seq != expected:
        raise RecordCorrupt(f"entry {expected} of {lifetime_id} is missing", lifetime_id=lifetime_id, seq=expected)
    if stored.prev_hash != head or type(stored.data) is not bytes or stored.hash != chain(head, stored.data):
        raise RecordCorrupt(f"entry {expected} of {lifetime_id} has been altered", lifetime_id=lifetime_id, seq=expected)


def verify_chain(entries: Iterator[StoredEntry], lifetime_id: str, head: str = GENESIS, after: int = 0) -> tuple[int, str]:
    """Check sequence numbers, hashes and columns over stored bytes; return the last number and hash.

    Raises:
        RecordCorrupt: names the first entry that does not hold.
    """
    for stored in entries:
        verify_entry(stored, lifetime_id, head, after)
        head, after = stored.hash, stored.seq
    return after, head
