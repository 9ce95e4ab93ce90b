"""The record as DataFrames, for audit and analysis.

    runs()        one row a run: status, model, time, tokens, cost
    executions()  one row a Task or Plan execution
    events()      one row an entry: the audit trail, in order, with its hash
    tool_calls()  one row a call: arguments, result or error, duration
    messages()    one row a message of a conversation
    approvals()   one row a thing that a person was asked: why, who decided, when, and what
    verdicts()    one row a rule of a policy that held: what it saw, and what was done
    costs()       tokens, dollars and time by run, model, node, session or tenant

Every frame is a declared list of columns, so it has the same typed columns when it is empty. They join on `run_id` (and `exec_id`). Each
takes `run=` (a Run or its id), `since=` and `until=` (timestamps) and `session=`; these filter in the database. Only the store is read:
runs of other processes, finished or not, are there too. `style` makes one of them easy to read, `to_parquet` writes one to a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from workbench.errors import UserError
from workbench.frames import rows
from workbench.frames.asked import Asked
from workbench.frames.columns import (
    APPROVALS,
    COSTS,
    EVENTS,
    EXECUTIONS,
    GROUPS,
    MESSAGES,
    RUNS,
    SUMMED,
    TEXT,
    TOOL_CALLS,
    VERDICTS,
    Column,
)
from workbench.frames.parquet import write
from workbench.frames.reading import Unread, at_one_go, decoded, framed, framed_columns, headers, owned, selected, store_of, stored, told
from workbench.frames.styling import style as style
from workbench.ports import Query
from workbench.record.envelope import GuardrailEvent, LifetimeEvent

Row = rows.Row


@at_one_go
def runs(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row a run, oldest first. Filters by time and session look at when a run was created. Of an encrypted run whose key is not here
    there is what its headers say; `error` says why there is no more."""
    query = selected(run, since, until, session)
    store, unread = store_of(run), Unread()
    at_work = owned(store)
    found: dict[str, Row] = {}
    for each in stored(store, replace(query, kinds=["lifetime_event"], phases=["created"])):
        entry = unread.entry(each)
        found[each.lifetime_id] = rows.new_run(entry) if isinstance(entry, LifetimeEvent) else rows.unread_run(each)
    whole = Query(lifetime_ids=list(found)) if query != Query() else Query()
    if found:
        for batch in headers(store, whole, rows.COUNTED):
            for header in batch:
                if header[0] in found:
                    rows.count(found[header[0]], header)
        for each in stored(store, replace(whole, kinds=list(rows.TOLD))):
            if each.lifetime_id in found and each.seq > 1:
                rows.progress(found[each.lifetime_id], each, unread)
        waiting = [run_id for run_id, row in found.items() if row["asked"] and row["ended_at"] is None]
        if waiting:
            ended = Query(lifetime_ids=waiting, kinds=["task_execution"], phases=["finished"])
            for batch in headers(store, ended, ("lifetime_id", "exec_id")):
                for run_id, exec_id in batch:
                    rows.withdraw(found[run_id], exec_id)
        at_work |= owned(store)  # before and after the reading, since a run may begin or end meanwhile
        for run_id, row in found.items():
            row["status"] = row["status"] if row["ended_at"] is not None or run_id in at_work else "interrupted"
    return framed(RUNS, [rows.finished_run(row) for row in found.values()])


@at_one_go
def executions(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row a Task or Plan execution, in the order in which they began; a Task that has not finished has status RUNNING."""
    query = replace(selected(run, since, until, session), kinds=["task_execution", "plan_execution"])
    return _begun_and_ended(EXECUTIONS, told(store_of(run), query, rows.EXECUTION), rows.execution)


@at_one_go
def events(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row an entry, in the order of the store."""
    return framed_columns(EVENTS, headers(store_of(run), selected(run, since, until, session), rows.EVENT))


def event_rows(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> Iterator[Row]:
    """The rows of `events`, one by one."""
    names = [column.name for column in EVENTS]
    for batch in headers(store_of(run), selected(run, since, until, session), rows.EVENT):
        yield from (dict(zip(names, row, strict=True)) for row in batch)


@at_one_go
def tool_calls(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row a tool call, in the order in which they were made. `args` is a dict; a value too big for the log is `{"blob": uri, …}`."""
    query = replace(selected(run, since, until, session), kinds=["tool_call"])
    return _begun_and_ended(TOOL_CALLS, told(store_of(run), query, rows.TOOL_CALL), rows.tool_call)


def _begun_and_ended(columns: tuple[Column, ...], headers: Iterator[tuple[Any, ...]], row: Callable[..., tuple[Any, ...]]) -> pd.DataFrame:
    """A row for each thing that has an entry when it begins and another when it ends; the first two columns of both name it."""
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    for header in headers:
        key = header[:2]
        found[key] = row(header, found.get(key))
    return framed_columns(columns, [found.values()])


@at_one_go
def messages(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row a message, as the model saw it; `index` counts from 0 in each conversation."""
    return framed(MESSAGES, message_rows(run=run, since=since, until=until, session=session))


def message_rows(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> Iterator[Row]:
    """The rows of `messages`, one by one."""
    return rows.messages(decoded(store_of(run), replace(selected(run, since, until, session), kinds=["task_execution"])))


@at_one_go
def approvals(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row a thing that a person was asked, in order: approvals, questions, pauses, and whether something had happened. `decision` is
    missing while nobody has decided; `open` says whether somebody still may. `value` is the answer, or the arguments if they were changed
    (`edited`). `rule` is the policy's rule that wanted it. Filters by time look at when it was asked."""
    query = selected(run, since, until, session)
    whole = replace(query, since=None, until=None, kinds=["hitl_event", "guardrail_event", "task_execution", "lifetime_event"])
    asked, unread = Asked(), Unread()
    for each in stored(store_of(run), whole):
        asked.take(each, unread)
    unread.warn()
    return framed(APPROVALS, asked.rows(query.since, query.until))


def verdicts(*, run: Any = None, since: Any = None, until: Any = None, session: str | None = None) -> pd.DataFrame:
    """One row a verdict, in order. `values` is a dict of what the rule was judged by."""
    query = replace(selected(run, since, until, session), kinds=["guardrail_event"])
    return framed(VERDICTS, (rows.verdict(entry) for entry in decoded(store_of(run), query) if isinstance(entry, GuardrailEvent)))


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
    if by not in GROUPS:
        raise UserError(f"costs are given by {', '.join(GROUPS)}; got by={by!r}")
    query = replace(selected(run, since, until, session), kinds=["task_execution"], phases=["finished"], tenant_id=tenant)
    found: dict[Any, Row] = {}
    summed = (*SUMMED, "cost_nano", "latency_ms", "queue_ms")
    for batch in headers(store_of(run), query, ("lifetime_id" if by == "run" else GROUPS[by], "model", *summed)):
        for key, model, *numbers in batch:
            row = found.setdefault(key, {GROUPS[by]: key, "cost_nano": 0, **dict.fromkeys((column.name for column in COSTS), 0)})
            row["executions"] += 1
            row["model_calls"] += model is not None
            for name, number in zip(summed, numbers, strict=True):
                row[name] += number or 0
    for row in found.values():
        row["tokens_used"] = row["tokens_in"] + row["tokens_out"]
        row["cost_usd"] = rows.dollars(row["cost_nano"])
    return framed((Column(GROUPS[by], TEXT), *COSTS), found.values())


def of(run: Any, name: str) -> pd.DataFrame:
    """The frame of this name for one run; what `run.frame()` gives.

    Raises:
        UserError: there is no such frame.
    """
    if name == "costs":
        return costs(run=run)
    make, _ = _known(name, *_FRAMES, "costs")
    return make(run=run)


def _known(name: str, *names: str) -> tuple[Callable[..., pd.DataFrame], tuple[Column, ...]]:
    if name not in _FRAMES:
        raise UserError(f"there is no frame {name!r}; there are {', '.join(names)}")
    return _FRAMES[name]


_FRAMES: dict[str, tuple[Callable[..., pd.DataFrame], tuple[Column, ...]]] = {
    "runs": (runs, RUNS),
    "executions": (executions, EXECUTIONS),
    "events": (events, EVENTS),
    "tool_calls": (tool_calls, TOOL_CALLS),
    "messages": (messages, MESSAGES),
    "approvals": (approvals, APPROVALS),
    "verdicts": (verdicts, VERDICTS),
}
_ROWS: dict[str, Callable[..., Iterator[Row]]] = {"events": event_rows, "messages": message_rows}
"""The frames that can be made row by row."""


def to_parquet(
    path: str | Path, frame: str = "events", *, run: Any = None, since: Any = None, until: Any = None, session: str | None = None
) -> int:
    """Write a frame to a Parquet file and return the number of its rows. `events` and `messages` are written in batches, whatever their
    length; a dict or list is written as JSON.

    Raises:
        UserError: there is no such frame.
        ConfigurationError: the package pyarrow is missing.
    """
    make, columns = _known(frame, *_FRAMES)
    chosen = {"run": run, "since": since, "until": until, "session": session}
    return write(Path(path), columns, _ROWS[frame](**chosen) if frame in _ROWS else _rows_of(make(**chosen)))


def _rows_of(frame: pd.DataFrame) -> Iterator[Row]:
    for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None):
        yield dict(zip(frame.columns, row, strict=True))
