"""What each entry adds to a row of a frame."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from workbench.errors import RecordCorrupt, StoreError
from workbench.frames.columns import EXECUTIONS, SUMMED
from workbench.frames.reading import Unread, column_of
from workbench.record.entries import StoredEntry, decode_entry, said_in
from workbench.record.envelope import AnyEntry, GuardrailEvent, HitlEvent, LifetimeEvent
from workbench.record.events import readable
from workbench.record.values import ErrorInfo

Row = dict[str, Any]

_ENDS = {"SUCCEEDED": "completed", "FAILED": "failed", "CANCELLED": "aborted"}
"""The end of a lifetime by the status in its header."""

_COUNTED = (
    *("tokens_in", "tokens_out", "cached_tokens", "reasoning_tokens", "unpriced", "entries", "cost_nano"),
    *("model_calls", "tasks", "plans", "tool_calls", "tool_errors"),
)
_NOTHING_YET: Row = {"ended_at": None, "paused": False, **dict.fromkeys(_COUNTED, 0)}


def new_run(entry: LifetimeEvent) -> Row:
    """The row of a run as it begins."""
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
        "graph_id": entry.header.graph_id,
        "session_id": entry.header.session_id,
        "tenant_id": entry.header.tenant_id,
        "forked_from": origin.lifetime_id if origin else None,
        "forked_at": origin.seq if origin else None,
        **_NOTHING_YET,
        "asked": {},
    }


def unread_run(stored: StoredEntry) -> Row:
    """The row of a run whose beginning cannot be read, from its headers."""
    names = ("graph_id", "session_id", "tenant_id")
    return {
        "run_id": stored.lifetime_id,
        "status": "running",
        "started_at": datetime.fromisoformat(column_of(stored, "created_at")),
        **{name: column_of(stored, name) for name in names},
        "asked": {},
        **_NOTHING_YET,
        **_why(stored),
    }


def _why(stored: StoredEntry) -> Row:
    """Why an entry cannot be read."""
    try:
        decode_entry(stored)
    except StoreError as error:
        return {"error_code": error.code, "error": str(error)}
    return {}


COUNTED = ("lifetime_id", "kind", "phase", "status", "model", "cost_nano", *SUMMED)
"""The columns from which a run is counted."""

TOLD = ("lifetime_event", "hitl_event", "guardrail_event")
"""The kinds of entries that say how a run stands."""


def count(row: Row, header: tuple[Any, ...]) -> None:
    """Add an entry to its run's row, by its `COUNTED` columns."""
    _, kind, phase, status, model, nano, *summed = header
    row["entries"] += 1
    finished = phase in ("finished", "outcome")
    if kind == "tool_call" and finished:
        row["tool_calls"] += 1
        row["tool_errors"] += status != "SUCCEEDED"
    elif kind == "task_execution" and finished:
        row["tasks"] += 1
    elif kind == "plan_execution":
        row["plans"] += 1
    row["model_calls"] += finished and model is not None
    row["cost_nano"] += nano or 0
    for name, number in zip(SUMMED, summed, strict=True):
        if number:
            row[name] += number


def progress(row: Row, stored: StoredEntry, unread: Unread) -> None:
    """How a run stands after an entry, in order."""
    entry = unread.entry(stored)
    if entry is not None:
        _progress(row, entry)
    elif column_of(stored, "phase") == "ended":
        row["status"] = _ENDS[column_of(stored, "status")]
        row["ended_at"] = datetime.fromisoformat(column_of(stored, "created_at"))


def _progress(row: Row, entry: AnyEntry) -> None:
    if isinstance(entry, HitlEvent):
        if entry.request is not None:
            row["asked"][entry.request.request_id] = entry.links.parent_exec_id
        elif entry.response is not None:
            row["asked"].pop(entry.response.request_id, None)
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


def withdraw(row: Row, exec_id: str) -> None:
    """A Task that has finished waits for nobody any more."""
    asked = {request_id: within for request_id, within in row["asked"].items() if within != exec_id}
    if len(asked) != len(row["asked"]):
        row["asked"] = asked
        row["status"] = _standing(row)


def _standing(row: Row) -> str:
    return "paused" if row["paused"] else "waiting" if row["asked"] else "running"


def finished_run(row: Row) -> Row:
    """A run's row, with what follows from all of its entries."""
    if row["ended_at"] is not None:
        row["duration_s"] = (row["ended_at"] - row["started_at"]).total_seconds()
    row["cost_usd"] = dollars(row["cost_nano"])
    return row


EXECUTION = (
    *("lifetime_id", "exec_id", "seq", "data", "kind", "phase", "name", "status", "iteration_idx", "attempt", "created_at"),
    *("latency_ms", "model", "tokens_in", "tokens_out", "cached_tokens", "reasoning_tokens", "unpriced"),
)
"""The columns of the log from which an execution's row is made."""


def execution(header: tuple[Any, ...], begun: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """The row of an execution, in the order of `EXECUTIONS`, after an entry with these columns; `begun` is its row before."""
    run_id, exec_id, seq, body, entry_kind, phase, name, status, round_idx, attempt, at, latency_ms, model, *tokens, unpriced = header
    kind = "plan" if entry_kind == "plan_execution" else "task"
    what = (run_id, exec_id, kind, name, status, round_idx, attempt)
    if phase == "started":
        return (*what, at, *(None,) * (len(EXECUTIONS) - len(what) - 2), seq)
    said = said_in(run_id, seq, body)
    result, links, telemetry = said.get("result") or {}, said.get("links", {}), said.get("telemetry", {})
    cost = telemetry.get("cost_usd")
    started_at = at if kind == "plan" else begun[len(what)] if begun is not None else None
    return (
        *(*what, started_at, at, latency_ms, model, *tokens),
        None if cost is None else Decimal(cost),
        bool(unpriced),
        telemetry.get("tool_calls", 0),
        *_error(result.get("error")),
        readable(result.get("output")),
        [task["name"] for task in result.get("next_tasks", ())] if kind == "plan" else None,
        links.get("sandbox_id"),
        links.get("block_no"),
        seq,
    )


EVENT = (
    *("lifetime_id", "seq", "created_at", "kind", "phase", "name", "status", "exec_id", "parent_exec_id", "iteration_idx"),
    *("latency_ms", "size", "hash"),
)
"""The columns of the log that `events` has, in its order."""


TOOL_CALL = ("lifetime_id", "exec_id", "seq", "data", "phase", "status", "parent_exec_id", "created_at", "latency_ms")
"""The columns of the log from which a call's row is made."""


def tool_call(header: tuple[Any, ...], begun: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """The row of a call, in the order of `TOOL_CALLS`, after an entry with these columns; `begun` is its row before."""
    run_id, call_id, seq, body, phase, status, exec_id, at, latency_ms = header
    call = said_in(run_id, seq, body).get("call")
    if call is None:
        raise RecordCorrupt(f"entry {seq} of {run_id} is no call of a tool", lifetime_id=run_id, seq=seq)
    ended = phase == "outcome"
    started_at = at if not ended else begun[-3] if begun is not None else None
    error_code, error = _error(call.error)
    return (
        *(run_id, exec_id, call_id, call.ordinal, call.tool, status),
        readable(call.args),
        readable(call.result),
        *(error_code, call.error.type if call.error else None, error),
        *(call.prints, call.idempotent, started_at, latency_ms if ended else None, seq),
    )


def messages(entries: Iterator[AnyEntry]) -> Iterator[Row]:
    """A row a message, as they are said."""
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


def verdict(entry: GuardrailEvent) -> Row:
    """A verdict."""
    verdict = entry.verdict
    return {"run_id": entry.header.lifetime_id, "seq": entry.seq, "at": entry.header.created_at, **verdict.model_dump()}


def dollars(nano: int) -> Decimal:
    """Exact dollars."""
    return Decimal(nano).scaleb(-9).normalize()


def _error(error: ErrorInfo | None) -> tuple[str | None, str | None]:
    return (error.code, error.message) if error else (None, None)
