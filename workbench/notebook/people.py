"""What a run asks of people, as its view shows it: opened, answered, closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.errors import UnencodableValue
from workbench.notebook import shown
from workbench.notebook.asking import code_of, drawn
from workbench.notebook.excerpts import Excerpts
from workbench.notebook.forms import changes
from workbench.notebook.items import Item, StepItem
from workbench.notebook.wire import DECISIONS
from workbench.record.codec import decode_value
from workbench.record.envelope import HitlEvent, HitlRequest, HitlResponse, Verdict
from workbench.record.state import RunState
from workbench.record.values import Payload, make_id


class People:
    """The questions of one run, and what its manifest and policy say about why they are asked."""

    def __init__(self, texts: Excerpts) -> None:
        self._texts = texts
        self._tools: dict[str, dict[str, Any]] = {}
        self._why: dict[str, str] = {}
        """Why a policy has a call approved, by the id of the question."""
        self._open: dict[str, tuple[HitlRequest, StepItem, Item]] = {}

    def introduce(self, resources: Mapping[str, Any]) -> None:
        """Learn what tools the run has."""
        self._tools = {str(tool.get("name")): tool for tool in resources.get("tools") or [] if isinstance(tool, dict)}

    @property
    def tools(self) -> list[str]:
        """The names of the run's tools."""
        return list(self._tools)

    def warn(self, run_id: str, verdict: Verdict) -> None:
        """A policy wants a person to approve a call."""
        said = f"The run's policy asks: rule {verdict.rule_id!r}" + (f", {verdict.message}" if verdict.message else "")
        self._why[make_id(run_id, "approval", verdict.subject_exec_id)] = said

    def ask(self, version: int, asked: HitlRequest, step: StepItem, now: int, state: RunState) -> None:
        """A question is put, `now` milliseconds into the run."""
        schema = self._tools.get(asked.tool, {}).get("schema")
        item = Item(
            version,
            index=len(step.requests),
            **drawn(asked, self._texts, state.lifetime_id, began=state.created_at, schema=schema, why=self._reason(asked)),
            open=True,
            answer="",
            at="",
            value=None,
            changes=[],
            note=None,
            asked_ms=now,
            took="",
        )
        step.requests.append(item)
        self._open[asked.request_id] = asked, step, item
        if asked.kind == "approval" and step.data["code"] is not None:
            step.set(version, asking=shown.lines_calling(shown.plain_code(step.data["code"]), asked.tool))
        step.version = version

    def answer(self, version: int, answer: HitlResponse, entry: HitlEvent, now: int) -> StepItem | None:
        """A person has decided, or the clock; the step in which they were asked."""
        asked, step, item = self._open.pop(answer.request_id, (None, None, None))
        if asked is None or step is None or item is None:
            return None
        edits = [] if answer.value is None or asked.kind != "approval" else changes(_value(asked.args), _value(answer.value))
        item.set(
            version,
            open=False,
            answer=DECISIONS.get(answer.decision, "Decided by {}").format(self._texts.line(answer.actor, 60)),
            at=f"{entry.header.created_at:%Y-%m-%d %H:%M:%S} UTC",
            value=None if answer.value is None or edits else self._texts.payload(answer.value, step),
            changes=[{"sign": edit["sign"], "text": self._texts.redact(edit["text"])} for edit in edits],
            note=self._texts.optional(answer.note, step),
            took=shown.duration_text(now - item.data["asked_ms"]),
        )
        step.set(version, asking=[])
        step.version = version
        return step

    def withdraw(self, version: int, state: RunState) -> list[str]:
        """What the run no longer asks, because the Task that did has ended."""
        gone = [request_id for request_id in self._open if request_id not in state.requests]
        for request_id in gone:
            _, step, item = self._open.pop(request_id)
            item.set(version, open=False, answer="not answered: its step has ended")
            step.set(version, asking=[])
            step.version = version
        return gone

    def close(self, version: int) -> None:
        """The run has ended, and nobody has answered."""
        for _, step, item in self._open.values():
            item.set(version, open=False, answer="not answered: the run has ended")
            step.set(version, asking=[])
            step.version = version
        self._open.clear()

    def _reason(self, asked: HitlRequest) -> str:
        if asked.kind != "approval":
            return ""
        if asked.tool not in self._tools and code_of(asked) is not None:
            return "In this run every block of code needs an approval."
        return self._why.get(asked.request_id) or f"The tool {asked.tool!r} asks for an approval of its calls."


def _value(payload: Payload) -> Any:
    try:
        return None if payload.blob is not None else decode_value(payload.inline)
    except (UnencodableValue, ValueError, TypeError):
        return None
