"""The record as DataFrames, for audit and analysis.

    runs()        one row a run: status, model, time, tokens, cost
    executions()  one row a Task or Plan execution
    events()      one row an entry: the audit trail, in order, with its hash
    tool_calls()  one row a call: arguments, result or error, duration
    messages()    one row a message of a conversation
    verdicts()    one row a rule of a policy that held: what it saw, and what was done
    costs()       tokens, dollars and time by run, model, node, session or tenant

Every frame is a declared list of columns, so it has the same typed columns when it is empty. They join on `run_id` (and `exec_id`). Each
takes `run=` (a Run or its id), `since=` and `until=` (timestamps) and `session=`; these filter in the database. Only the store is read:
runs of other processes, finished or not, are there too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

import pandas as pd

from workbench.current import current
from workbench.errors import UserError
from workbench.loop import run_sync
from workbench.owner import is_dead
from workbench.ports import Query, StateStore
from workbench.record.entries import COLUMNS, StoredEntry, decode_entry
from workbench.record.envelope import AnyEntry, GuardrailEvent, HitlEvent, LifetimeEvent, PlanExecution, TaskExecution, ToolCallEntry
from workbench.record.events import readable
from workbench.record.values import ErrorInfo

BATCH = 2000
"""Entries taken from the store at a time; a frame of any length is built in bounded memory beyond its own rows."""

UTC = "datetime64[us, UTC]"
TEXT = "string"
INT = "Int64"
FLOAT = "Float64"
BOOL = "boolean"
ANY = "object"

Row = dict[str, Any]

_SUMMED = ("tokens_in", "tokens_out", "cached_tokens", "reasoning_tokens", "unpriced")

_INDEX = {name: index for index, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Column:
    """A column of a frame: its name and pandas dtype."""

    name: str
    dtype: str


def _columns(**dtypes: str) -> tuple[Column, ...]:
    return tuple(Column(name, dtype) for name, dtype in dtypes.items())


_USAGE: dict[str, str] = {"tokens_in": INT, "tokens_out": INT, "cached_tokens": INT, "reasoning_tokens": INT, "cost_usd": ANY}

RUNS = _columns(
    run_id=TEXT, title=TEXT, kind=TEXT, status=TEXT, model=TEXT, started_at=UTC, ended_at=UTC, duration_s=FLOAT, model_calls=INT,
    tasks=INT, plans=INT, tool_calls=INT, tool_errors=INT, **_USAGE, unpriced=INT, error_code=TEXT, error=TEXT, value=ANY,
    graph_id=TEXT, session_id=TEXT, tenant_id=TEXT, entries=INT, forked_from=TEXT, forked_at=INT,
)  # fmt: skip
"""`cost_usd` is an exact Decimal of what has a price; `unpriced` counts the model calls that have none."""

EXECUTIONS = _columns(
    run_id=TEXT, exec_id=TEXT, kind=TEXT, name=TEXT, status=TEXT, iteration_idx=INT, attempt=INT, started_at=UTC, ended_at=UTC,
    latency_ms=FLOAT, model=TEXT, **_USAGE, unpriced=BOOL, tool_calls=INT, error_code=TEXT, error=TEXT, output=ANY,
    next_tasks=ANY, sandbox_id=TEXT, block_no=INT, seq=INT,
)  # fmt: skip

EVENTS = _columns(
    run_id=TEXT, seq=INT, at=UTC, kind=TEXT, phase=TEXT, name=TEXT, status=TEXT, exec_id=TEXT, parent_exec_id=TEXT, iteration_idx=INT,
    latency_ms=FLOAT, size_bytes=INT, hash=TEXT,
)  # fmt: skip

TOOL_CALLS = _columns(
    run_id=TEXT, exec_id=TEXT, call_id=TEXT, ordinal=INT, tool=TEXT, status=TEXT, args=ANY, result=ANY, error_code=TEXT, error_type=TEXT,
    error=TEXT, idempotent=BOOL, started_at=UTC, duration_ms=FLOAT, seq=INT,
)  # fmt: skip
"""`status` is SUCCEEDED, FAILED, UNKNOWN (stopped in flight), or RUNNING (no outcome is recorded)."""

VERDICTS = _columns(
    run_id=TEXT, seq=INT, at=UTC, rule_id=TEXT, scope=TEXT, point=TEXT, subject_exec_id=TEXT, action=TEXT, applied=BOOL, severity=TEXT,
    message=TEXT, values=ANY, policy_hash=TEXT,
)  # fmt: skip
"""`applied` says whether the action is what was done; of several rules that hold at once the strictest is."""

COSTS = _columns(executions=INT, model_calls=INT, tokens_used=INT, **_USAGE, unpriced=INT, latency_ms=FLOAT, queue_ms=FLOAT)
"""After the column that says of whom. `cost_usd` is an exact Decimal of what has a price; `unpriced` counts the calls that have none."""

_GROUPS = {"run": "run_id", "model": "model", "node": "name", "session": "session_id", "tenant": "tenant_id"}

MESSAGES = _columns(run_id=TEXT, seq=INT, index=INT, role=TEXT, content=TEXT, characters=INT, at=UTC)


def runs(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row a run, oldest first. Filters by time and session look at when a run was created."""
    query = _query(run, since, until, session)
    store = current().store
    owned = _owned(store)
    rows: dict[str, Row] = {}
    for entry in _entries(store, replace(query, kinds=["lifetime_event"], phases=["created"])):
        assert isinstance(entry, LifetimeEvent)
        rows[entry.header.lifetime_id] = _new_run(entry)
    whole = Query(lifetime_ids=list(rows)) if query != Query() else Query()
    if rows:
        for stored in _stored(store, whole):
            if stored.lifetime_id in rows:
                _count(rows[stored.lifetime_id], stored)
        owned |= _owned(store)  # before and after the reading, since a run may begin or end meanwhile
        for run_id, row in rows.items():
            row["status"] = row["status"] if row["ended_at"] is not None or run_id in owned else "interrupted"
    return _frame(RUNS, [_finished_run(row) for row in rows.values()])


def executions(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row a Task or Plan execution, in the order in which they began; a Task that has not finished has status RUNNING."""
    rows: dict[tuple[str, str], Row] = {}
    query = replace(_query(run, since, until, session), kinds=["task_execution", "plan_execution"])
    for entry in _entries(current().store, query):
        key = (entry.header.lifetime_id, entry.header.exec_id)
        rows[key] = {**rows.get(key, {}), **_execution(entry)}
    return _frame(EXECUTIONS, rows.values())


def events(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row an entry, in the order of the store."""
    return _frame(EVENTS, (_event(stored) for stored in _stored(current().store, _query(run, since, until, session))))


def tool_calls(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row a tool call, in the order in which they were made. `args` is a dict; a value too big for the log is `{"blob": uri, …}`."""
    rows: dict[tuple[str, str], Row] = {}
    for entry in _entries(current().store, replace(_query(run, since, until, session), kinds=["tool_call"])):
        assert isinstance(entry, ToolCallEntry)
        key = (entry.header.lifetime_id, entry.header.exec_id)
        rows[key] = {**rows.get(key, {}), **_tool_call(entry)}
    return _frame(TOOL_CALLS, rows.values())


def messages(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row a message, as the model saw it; `index` counts from 0 in each conversation."""
    return _frame(MESSAGES, _messages(_entries(current().store, replace(_query(run, since, until, session), kinds=["task_execution"]))))


def verdicts(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row a verdict, in order. `values` is a dict of what the rule was judged by."""
    query = replace(_query(run, since, until, session), kinds=["guardrail_event"])
    return _frame(VERDICTS, (_verdict(entry) for entry in _entries(current().store, query) if isinstance(entry, GuardrailEvent)))


def costs(
    by: Literal["run", "model", "node", "session", "tenant"] = "run",
    *,
    run: Any = None,
    since: Any = None,
    until: Any = None,
    session: str | None = None,
    tenant: str | None = None,
) -> pd.DataFrame:
    """What finished Tasks have used, one row a run (`run_id`), model, node (`name`), session (`session_id`) or tenant (`tenant_id`)."""
    if by not in _GROUPS:
        raise UserError(f"costs are given by {', '.join(_GROUPS)}; got by={by!r}")
    query = replace(_query(run, since, until, session), kinds=["task_execution"], phases=["finished"], tenant_id=tenant)
    rows: dict[Any, Row] = {}
    for stored in _stored(current().store, query):
        key = stored.lifetime_id if by == "run" else _column(stored, _GROUPS[by])
        row = rows.setdefault(key, {_GROUPS[by]: key, "cost_nano": 0, **dict.fromkeys((column.name for column in COSTS), 0)})
        row["executions"] += 1
        row["model_calls"] += _column(stored, "model") is not None
        row["tokens_used"] += _column(stored, "tokens_in") + _column(stored, "tokens_out")
        for name in (*_SUMMED, "cost_nano", "latency_ms", "queue_ms"):
            row[name] += _column(stored, name) or 0
    for row in rows.values():
        row["cost_usd"] = _dollars(row["cost_nano"])
    return _frame((Column(_GROUPS[by], TEXT), *COSTS), rows.values())


def _owned(store: StateStore) -> set[str]:
    return {run_id for run_id, lease in run_sync(store.leases()).items() if not is_dead(lease.owner)}


def _query(run: Any, since: Any, until: Any, session: str | None) -> Query:
    run_id = getattr(run, "id", run)
    return Query(lifetime_ids=None if run_id is None else [str(run_id)], since=_stamp(since), until=_stamp(until), session_id=session)


def _stamp(when: Any) -> str | None:
    """A filter's time as the store writes it; a naive one is meant in UTC."""
    if when is None:
        return None
    stamp = pd.Timestamp(when)
    stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
    return str(stamp.to_pydatetime().isoformat(timespec="microseconds"))


def _stored(store: StateStore, query: Query) -> Iterator[StoredEntry]:
    """The store's entries, fetched in batches so that decoding them happens in this thread and never on the runtime's loop."""
    reader = store.read(query)
    while batch := run_sync(_take(reader)):
        yield from batch


async def _take(reader: AsyncIterator[StoredEntry]) -> list[StoredEntry]:
    batch: list[StoredEntry] = []
    async for stored in reader:
        batch.append(stored)
        if len(batch) == BATCH:
            break
    return batch


def _entries(store: StateStore, query: Query) -> Iterator[AnyEntry]:
    return (decode_entry(stored) for stored in _stored(store, query))


def _frame(columns: Sequence[Column], rows: Any) -> pd.DataFrame:
    gathered: dict[str, list[Any]] = {column.name: [] for column in columns}
    for row in rows:
        for name, values in gathered.items():
            values.append(row.get(name))
    return pd.DataFrame({column.name: _series(gathered[column.name], column.dtype) for column in columns})


def _series(values: list[Any], dtype: str) -> Any:
    if dtype == UTC:
        stamps: Any = pd.Series(pd.to_datetime(values, utc=True, format="ISO8601"))
        return stamps.astype(dtype)
    return pd.Series(values, dtype=dtype)


def _new_run(entry: LifetimeEvent) -> Row:
    manifest = entry.manifest
    model = manifest.resources.get("model") if manifest else None
    origin = manifest.forked_from if manifest else None
    return {
        "run_id": entry.header.lifetime_id,
        "title": manifest.title if manifest else "",
        "kind": manifest.kind if manifest else "",
        "status": entry.to_status,
        "model": model["name"] if model else None,
        "started_at": entry.header.created_at,
        "ended_at": None,
        "graph_id": entry.header.graph_id,
        "session_id": entry.header.session_id,
        "tenant_id": entry.header.tenant_id,
        "forked_from": origin.lifetime_id if origin else None,
        "forked_at": origin.seq if origin else None,
        "cost_nano": 0,
        "asked": 0,
        "paused": False,
        **dict.fromkeys(("tokens_in", "tokens_out", "cached_tokens", "reasoning_tokens", "unpriced", "entries"), 0),
        **dict.fromkeys(("model_calls", "tasks", "plans", "tool_calls", "tool_errors"), 0),
    }


def _count(row: Row, stored: StoredEntry) -> None:
    """Add an entry to its run's row, from the columns wherever they suffice."""
    kind, phase, status, model = (_column(stored, name) for name in ("kind", "phase", "status", "model"))
    row["entries"] += 1
    finished = phase in ("finished", "outcome")
    row["tasks"] += kind == "task_execution" and finished
    row["plans"] += kind == "plan_execution"
    row["tool_calls"] += kind == "tool_call" and finished
    row["tool_errors"] += kind == "tool_call" and finished and status != "SUCCEEDED"
    row["model_calls"] += finished and model is not None
    for name in _SUMMED:
        row[name] += _column(stored, name)
    row["cost_nano"] += _column(stored, "cost_nano") or 0
    if kind in ("lifetime_event", "hitl_event", "guardrail_event") and phase != "created":
        _progress(row, decode_entry(stored))


def _progress(row: Row, entry: AnyEntry) -> None:
    if isinstance(entry, HitlEvent):
        row["asked"] += 1 if entry.phase == "requested" else -1
        row["paused"] = row["paused"] and not (entry.response is not None and entry.response.decision == "unpaused")
    elif isinstance(entry, GuardrailEvent):
        row["paused"] = row["paused"] or (entry.verdict.applied and entry.verdict.action == "pause_lifetime")
    if isinstance(entry, HitlEvent | GuardrailEvent):
        row["status"] = _standing(row)
    elif isinstance(entry, LifetimeEvent):
        row["status"] = _standing(row) if entry.phase in ("resumed", "expired") else entry.to_status
        if entry.phase == "ended":
            row["ended_at"] = entry.header.created_at
            row["value"] = readable(entry.output)
            row["error_code"], row["error"] = _error(entry.error) if entry.error else (None, entry.reason)


def _standing(row: Row) -> str:
    return "paused" if row["paused"] else "waiting" if row["asked"] else "running"


def _finished_run(row: Row) -> Row:
    if row["ended_at"] is not None:
        row["duration_s"] = (row["ended_at"] - row["started_at"]).total_seconds()
    row["cost_usd"] = _dollars(row["cost_nano"])
    return row


def _execution(entry: AnyEntry) -> Row:
    header, telemetry = entry.header, entry.telemetry
    row: Row = {
        "run_id": header.lifetime_id,
        "exec_id": header.exec_id,
        "kind": "plan" if isinstance(entry, PlanExecution) else "task",
        "name": header.name,
        "status": header.status,
        "iteration_idx": header.iteration_idx,
        "attempt": header.attempt,
        "seq": entry.seq,
    }
    if isinstance(entry, TaskExecution) and entry.phase == "started":
        return {**row, "started_at": header.created_at}
    row |= telemetry.model_dump(include={*_USAGE, "unpriced", "tool_calls", "model", "latency_ms"})
    row["cost_usd"] = None if telemetry.cost_usd is None else Decimal(telemetry.cost_usd)
    row |= {"sandbox_id": entry.links.sandbox_id, "block_no": entry.links.block_no, "ended_at": header.created_at}
    if isinstance(entry, PlanExecution):
        row |= {"started_at": header.created_at, "next_tasks": list(entry.result.next_task_names)}
        error = entry.result.error
    else:
        assert isinstance(entry, TaskExecution)
        result = entry.result
        row["output"] = readable(result.output) if result else None
        error = result.error if result else None
    row["error_code"], row["error"] = _error(error)
    return row


def _event(stored: StoredEntry) -> Row:
    row: Row = {name: _column(stored, name) for name in ("kind", "phase", "name", "status", "exec_id", "parent_exec_id", "iteration_idx")}
    at, latency = _column(stored, "created_at"), _column(stored, "latency_ms")
    own = {"run_id": stored.lifetime_id, "seq": stored.seq, "at": at, "latency_ms": latency}
    return row | own | {"size_bytes": len(stored.data), "hash": stored.hash}


def _tool_call(entry: ToolCallEntry) -> Row:
    call = entry.call
    row: Row = {
        "run_id": entry.header.lifetime_id,
        "exec_id": entry.links.parent_exec_id,
        "call_id": entry.header.exec_id,
        "ordinal": call.ordinal,
        "tool": call.tool,
        "status": entry.header.status,
        "args": readable(call.args),
        "idempotent": call.idempotent,
        "seq": entry.seq,
    }
    if entry.phase == "intent":
        return {**row, "started_at": entry.header.created_at}
    row["error_code"], row["error"] = _error(call.error)
    return {
        **row,
        "result": readable(call.result),
        "error_type": call.error.type if call.error else None,
        "duration_ms": entry.telemetry.latency_ms,
    }


def _messages(entries: Iterator[AnyEntry]) -> Iterator[Row]:
    counts: dict[str, int] = {}
    for entry in entries:
        for message in entry.messages:
            run_id = entry.header.lifetime_id
            index = counts.get(run_id, 0)
            counts[run_id] = index + 1
            yield {
                "run_id": run_id,
                "seq": entry.seq,
                "index": index,
                "role": message.role,
                "content": message.content,
                "characters": len(message.content),
                "at": entry.header.created_at,
            }


def _verdict(entry: GuardrailEvent) -> Row:
    verdict = entry.verdict
    return {"run_id": entry.header.lifetime_id, "seq": entry.seq, "at": entry.header.created_at, **verdict.model_dump()}


def _dollars(nano: int) -> Decimal:
    return Decimal(nano).scaleb(-9).normalize()


def _error(error: ErrorInfo | None) -> tuple[str | None, str | None]:
    return (error.code, error.message) if error else (None, None)


def _column(stored: StoredEntry, name: str) -> Any:
    return stored.columns[_INDEX[name]]
