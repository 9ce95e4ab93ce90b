"""What people were asked, and what came of it: entries in, rows of `approvals` out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workbench.frames.reading import Unread, column_of
from workbench.record.codec import decode_value
from workbench.record.entries import StoredEntry
from workbench.record.envelope import GuardrailEvent, HitlEvent
from workbench.record.events import readable
from workbench.record.values import make_id

Row = dict[str, Any]


class Asked:
    """Takes the entries of any number of runs, in order."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Row] = {}
        self._rules: dict[tuple[str, str], str] = {}
        """The rule that wanted an approval, by run and the id of the question."""
        self._open: dict[str, dict[str, str | None]] = {}
        """The questions of a run that nobody has decided, each with the execution that asks."""

    def take(self, each: StoredEntry, unread: Unread) -> None:
        """The next entry."""
        run_id, kind, phase = each.lifetime_id, column_of(each, "kind"), column_of(each, "phase")
        if kind == "task_execution":
            if phase == "finished" and run_id in self._open:
                self._withdraw(run_id, column_of(each, "exec_id"))
        elif kind == "lifetime_event":
            if phase == "ended":
                self._open.pop(run_id, None)
        else:
            entry = unread.entry(each)
            if isinstance(entry, GuardrailEvent):
                self._rules[run_id, make_id(run_id, "approval", entry.verdict.subject_exec_id)] = entry.verdict.rule_id
            elif isinstance(entry, HitlEvent):
                self._hitl(run_id, entry)

    def rows(self, since: str | None, until: str | None) -> Iterator[Row]:
        """A row for each question that was asked in this time."""
        for (run_id, request_id), row in self._rows.items():
            asked_at = row["asked_at"].isoformat(timespec="microseconds")
            if (since is None or asked_at >= since) and (until is None or asked_at < until):
                yield {**row, "open": request_id in self._open.get(run_id, {})}

    def _hitl(self, run_id: str, entry: HitlEvent) -> None:
        if entry.request is not None:
            asked = entry.request
            self._open.setdefault(run_id, {})[asked.request_id] = entry.links.parent_exec_id
            self._rows[run_id, asked.request_id] = {
                "run_id": run_id,
                "request_id": asked.request_id,
                "exec_id": entry.links.parent_exec_id,
                "kind": asked.kind,
                "title": asked.title,
                "tool": asked.tool,
                "rule": asked.tool if asked.kind == "pause" else self._rules.get((run_id, asked.request_id)),
                "args": readable(asked.args),
                "asked_at": entry.header.created_at,
                "expires_at": asked.expires_at,
                "seq": entry.seq,
            }
        elif entry.response is not None and (run_id, entry.response.request_id) in self._rows:
            answer = entry.response
            row = self._rows[run_id, answer.request_id]
            self._open.get(run_id, {}).pop(answer.request_id, None)
            row |= {
                "decision": answer.decision,
                "actor": answer.actor,
                "note": answer.note,
                "decided_at": entry.header.created_at,
                "wait_s": (entry.header.created_at - row["asked_at"]).total_seconds(),
                "value": None if answer.value is None else readable(answer.value),
                "edited": row["kind"] == "approval" and answer.value is not None and _differ(row["args"], answer.value.inline),
            }

    def _withdraw(self, run_id: str, exec_id: str) -> None:
        """A Task that has finished waits for nobody any more."""
        left = {request_id: within for request_id, within in self._open[run_id].items() if within != exec_id}
        self._open[run_id] = left


def _differ(asked: Any, given: Any) -> bool:
    return bool(given is None or decode_value(given) != asked)
