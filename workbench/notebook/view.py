"""`RunView`: entries in, a `View` out. One forward pass; how the run stands is asked of `RunState`, never decided here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from workbench.notebook import shown
from workbench.notebook.branches import Branches, aside_of
from workbench.notebook.excerpts import Excerpts, fields_of
from workbench.notebook.items import Item, StepItem
from workbench.notebook.people import People
from workbench.notebook.route import Route
from workbench.notebook.shown import FIELD, Problem, Redact
from workbench.notebook.timeline import Timeline
from workbench.notebook.turns import SUPERSEDED, Turns
from workbench.notebook.wire import BADGES, BLOCKS, EXECUTIONS, Badge, Lane, Patch, View
from workbench.record.envelope import (
    AnyEntry,
    ForkedFrom,
    GuardrailEvent,
    HitlEvent,
    HitlRequest,
    HitlResponse,
    LifetimeEvent,
    PlanExecution,
    TaskExecution,
    ToolCallEntry,
)
from workbench.record.state import RunState
from workbench.record.state import apply as apply_to_state

PICTURES = 10
"""How many pictures of one call are drawn; a call keeps no more, but a record may say anything."""

CALLS = 100
"""How many calls of one step are listed; the rest are counted."""


_SETUP = frozenset({"task_user", "task_approve", "task_finish"})


class RunView:
    """A run, drawn as far as its entries have come. `apply` takes the next entry; `full` and `delta` give what a page needs."""

    def __init__(self, redact: Redact = str) -> None:
        self.state = RunState()
        self.version = 0
        self._texts = Excerpts(redact)
        self._agent = False
        self._max_steps = 0
        self._resumed = 0
        self._summary = Item(0)
        self._steps: list[StepItem] = []
        self._timeline = Timeline()
        self._route = Route()
        self._people = People(self._texts)
        self._branches = Branches()
        self._told = Turns(self._texts)
        self._broken: list[StepItem] = []
        """Steps that were running when the run was interrupted."""
        self._turns: dict[int, StepItem] = {}
        self._owner: dict[str, StepItem] = {}
        """The step that an execution, call or request belongs to, by its id."""
        self._calls: dict[str, Item] = {}
        """Calls without an outcome."""
        self._origin: ForkedFrom | None = None
        """The run that this one is a fork of, and up to where it has the same entries."""

    def apply(self, entry: AnyEntry) -> None:
        """Bring the view forward by one entry.

        Raises:
            RecordCorrupt: if the entry cannot follow the ones before it.
        """
        apply_to_state(self.state, entry)
        self.version += 1
        self._mended()
        self._route.follow(self.version, entry, self.state)
        match entry:
            case LifetimeEvent():
                self._lifetime(entry)
            case TaskExecution(phase="started"):
                self._started(entry)
            case TaskExecution():
                self._finished(entry)
            case PlanExecution():
                self._planned(entry)
            case ToolCallEntry(phase="intent"):
                self._called(entry)
            case ToolCallEntry():
                self._came_back(entry)
            case HitlEvent(request=HitlRequest() as asked):
                self._asked_person(asked, entry.links.parent_exec_id or "", self._at(entry))
            case HitlEvent(response=HitlResponse() as answer):
                self._answered(answer, entry, self._at(entry))
            case GuardrailEvent(verdict=verdict) if verdict.action == "require_approval":
                self._people.warn(self.state.lifetime_id, verdict)
        if self._origin is not None and entry.seq == self._origin.seq:
            for step in self._steps:
                step.taken_over(self.version)
        self._summarise(entry)

    def feed(self, message: Mapping[str, Any]) -> None:
        """Show a piece of text that is still arriving: `{"type": "text" | "print", "exec_id", "text"}`. Pieces are never stored."""
        exec_id, piece = str(message.get("exec_id")), message.get("text")
        step, field = self._owner.get(exec_id), {"text": "reply", "print": "prints"}.get(str(message.get("type")))
        item = self._calls.get(exec_id) or (step if exec_id in self.state.running else None)
        if step is None or item is None or field is None or not isinstance(piece, str):
            return
        self.version += 1
        text, length = item.live.get(field, ("", 0))
        text, length = (text + piece)[-2 * FIELD :], length + len(piece)
        item.live[field] = (text, length)
        item.set(self.version, **{field: self._texts.arriving(text, length)})
        self._touch(step)

    def interrupted(self) -> None:
        """Say that nobody works on the run: its process died, which no entry can tell. The next entry says otherwise."""
        self.version += 1
        self._summary.set(self.version, badge=BADGES["interrupted"], live=False, hint=self._how_to_go_on())
        self._broken = [step for step in self._steps if step.data["end_ms"] is None and step.data["badge"] == BADGES["running"]]
        for step in self._broken:
            step.set(self.version, badge=BADGES["interrupted"], hold=True)
            step.was(self.version, past=True)
        for call_id, call in self._calls.items():
            call.set(self.version, badge=BADGES["unknown"])
            self._touch(self._owner.get(call_id))
        self._timeline.mark(self.version, BADGES["interrupted"])

    def _mended(self) -> None:
        if self._summary.data.get("hint"):
            self._summary.set(self.version, hint="")
            self._timeline.mark(self.version, BADGES["running"])
        for step in self._broken:
            step.set(self.version, badge=BADGES["running"])
            step.was(self.version, past=False)
        self._broken = []

    def _how_to_go_on(self) -> str:
        tools = ", ".join(name for name in self._people.tools if name != "finish")
        needs = ([] if self._agent else ["graph=…"]) + ([f"tools=[{self._texts.line(tools, 200)}]"] if tools else [])
        call = ", ".join([repr(self.state.lifetime_id[:8]), *needs])
        return f"No process works on this run any more. wb.resume({call}) goes on from its record; what is done is not repeated."

    def tick(self, now: datetime) -> None:
        """Let the clock of a live run go on to `now` while nothing is recorded."""
        if self.state.created_at is not None and not self.state.terminal:
            self.version += 1
            self._clock(round((now - self.state.created_at).total_seconds() * 1000))

    def full(self) -> View:
        """Everything there is to draw."""
        view = {"way": self._route.full(), "timeline": self._timeline.full(), "steps": [step.full() for step in self._steps]}
        return cast(View, self._heading() | {"summary": dict(self._summary.data)} | view)

    def delta(self, since: int) -> Patch:
        """What has changed since `version` was `since`."""
        steps = [step.since(since) for step in self._steps if step.version > since]
        way = self._route.since(since)
        patch = {"since": since, "way": way, "summary": self._summary.since(since), "timeline": self._timeline.since(since), "steps": steps}
        return cast(Patch, self._heading() | patch)

    def _heading(self) -> dict[str, Any]:
        return {"version": self.version, "run": self.state.lifetime_id, "seq": self.state.seq}

    def _lifetime(self, entry: LifetimeEvent) -> None:
        if entry.phase == "created":
            manifest = entry.manifest
            self._agent = manifest is not None and manifest.kind == "agent"
            self._origin = manifest.forked_from if manifest is not None else None
            # Plain JSON, not an encoded value: a JSON Schema in it has keys of its own that begin with `$`.
            resources = manifest.resources if manifest is not None and isinstance(manifest.resources, dict) else {}
            model, limit, tag = (resources.get(name) for name in ("model", "max_iterations", "thinking_tag"))
            self._max_steps = limit if isinstance(limit, int) else 0
            self._told.thinking_tag = tag if isinstance(tag, str) else None
            self._people.introduce(resources)
            self._summary.set(
                self.version,
                title=self._texts.line(manifest.title if manifest else "run", 140),
                name=f"run {entry.header.lifetime_id[:8]}" + (f", fork of {self._origin.lifetime_id[:8]}" if self._origin else ""),
                task=self._texts.text(_task_of(entry, resources)),
                model=self._texts.line(str(model.get("name", "")), 60) if isinstance(model, dict) else "",
                started=f"{entry.header.created_at:%Y-%m-%d %H:%M} UTC",
                answer=None,
                error=None,
                failed_step=None,
                reason="",
                hint="",
            )
            return
        if entry.phase == "expired":
            return
        for call in self._calls.values():
            call.set(self.version, badge=BADGES["unknown"])
        for call_id in self._calls:
            self._touch(self._owner.get(call_id))
        if entry.phase == "resumed":
            self._resumed += 1
            for item in (*self._steps, *self._calls.values()):
                item.live.clear()  # what is run again from its beginning prints again
            return
        self._close_all(entry)

    def _close_all(self, entry: LifetimeEvent) -> None:
        now = self._at(entry)
        self._people.close(self.version)
        badge = BADGES["done" if entry.to_status == "completed" else entry.to_status]
        for step in self._steps:
            if step.data["end_ms"] is None:
                step.cut_off()
                step.end(self.version, now, badge)
        self._timeline.close_all(self.version, now, badge)
        error = self._texts.problem(entry.error)
        self._summary.set(
            self.version,
            answer=self._texts.payload(entry.output, plain=True) if entry.output is not None else None,
            error=error,
            failed_step=self._step_of(error),
            reason=self._texts.line(entry.reason, 200) if entry.reason else "",
        )

    def _step_of(self, error: Problem | None) -> int | None:
        """The number of the step that an error came from."""
        ends = (step.data for step in reversed(self._steps) if step.data["error"] is not None)
        return next((step["number"] for step in ends if error is not None and step["error"]["message"] == error["message"]), None)

    def _started(self, entry: TaskExecution) -> None:
        header, now = entry.header, self._at(entry)
        if self._agent and header.name in _SETUP:
            chosen_for = self._owner.get(entry.links.parent_plan_exec_id or "")
            if chosen_for is not None:
                self._owner[header.exec_id] = chosen_for
            return
        lane: Lane
        label, aside = self._texts.line(header.name, 80), self._texts.line(aside_of(header, self._branches, agent=self._agent), 120)
        if self._agent and header.name == "task_llm":
            step = self._turns.get(header.iteration_idx) or self._new_step(now)
            self._turns[header.iteration_idx] = step
            step.did = "asking the model"
            step.set(self.version, badge=BADGES["running"], end_ms=None, took="", error=None, hold=False, aside=aside)
            lane, label = "model", self._summary.data.get("model") or "model"
        elif self._agent and header.name == "task_execute":
            step = self._owner.get(entry.links.parent_plan_exec_id or "") or self._latest(now)
            step.did = "running"
            step.set(self.version, badge=BADGES["running"], end_ms=None, took="", error=None, hold=False, aside=aside)
            lane, label = "sandbox", "code"
        else:
            before = self._owner.get(entry.links.supersedes or "")
            if before is not None:
                before.set(self.version, badge=BADGES["retried"], hold=False)
            step = self._new_step(now)
            step.did = label
            step.set(self.version, aside=aside)
            lane = "tasks"
        self._timeline.open(self.version, header.exec_id, lane, step, now=now, label=f"{label}, {aside}" if aside else label)
        self._owner[header.exec_id] = step
        step.say(self.version)

    def _finished(self, entry: TaskExecution) -> None:
        for request_id in self._people.withdraw(self.version, self.state):
            self._timeline.close(self.version, request_id, self._at(entry, ended=True), BADGES["superseded"])
        step = self._owner.get(entry.header.exec_id)
        if step is None or (self._agent and entry.header.name in _SETUP):
            return
        badge = _badge_of(entry, block=self._agent and entry.header.name == "task_execute")
        self._timeline.close(self.version, entry.header.exec_id, self._at(entry, ended=True), badge)
        step.spent(self.version, entry.telemetry)
        step.live.clear()
        if self._agent and entry.header.name == "task_llm":
            self._told.replied(self.version, step, entry, self._at(entry, ended=True))
        elif self._agent and entry.header.name == "task_execute":
            self._told.ran(self.version, step, entry, badge, self._at(entry, ended=True))
        elif entry.header.status == "CANCELLED":
            self._told.cancelled(self.version, step, entry, badge, self._at(entry, ended=True))
        else:
            result = entry.result
            step.set(self.version, prints=None, value=None, error=self._texts.problem(result.error if result else None, step))
            if result is not None and result.output is not None:
                step.set(self.version, value=self._texts.payload(result.output, step))
            step.end(self.version, self._at(entry, ended=True), badge)

    def _planned(self, entry: PlanExecution) -> None:
        self._branches.add(entry)
        step = next((self._owner[task] for task in entry.links.parent_task_exec_ids if task in self._owner), None)
        if step is None or not self._agent:
            return
        self._owner[entry.header.exec_id] = step
        match entry.header.name:
            case "plan_dispatch":
                self._told.dispatched(self.version, step, entry, self._at(entry))
            case "plan_approval":
                self._told.allowed(self.version, step, entry, self._at(entry))
            case "plan_observe" if "task_finish" in entry.result.next_task_names:
                step.answered = True
                step.say(self.version)
            case "plan_answer":
                self._told.judged(self.version, step, entry, self._at(entry))

    def _called(self, entry: ToolCallEntry) -> None:
        step = self._owner.get(entry.links.parent_exec_id or "")
        if step is None:
            return
        call, version, tool = entry.call, self.version, self._texts.line(entry.call.tool, 40)
        self._owner[entry.header.exec_id] = step
        step.called(version, tool)
        self._timeline.open(version, entry.header.exec_id, "tools", step, now=self._at(entry), label=tool)
        if len(step.calls) == CALLS:
            return
        item = Item(
            version,
            index=len(step.calls),
            tool=self._texts.line(call.tool, 80),
            args=self._texts.text(shown.arguments_text(call.args), step),
            prints=None,
            pictures=[],
            result=None,
            table=None,
            error=None,
            badge=BADGES["running"],
            took="",
        )
        step.calls.append(item)
        self._calls[entry.header.exec_id] = item

    def _came_back(self, entry: ToolCallEntry) -> None:
        call = entry.call
        badge = BADGES["unknown" if entry.header.status == "UNKNOWN" else "error" if call.error else "done"]
        self._timeline.close(self.version, entry.header.exec_id, self._at(entry), badge)
        step, item = self._owner.get(entry.header.exec_id), self._calls.pop(entry.header.exec_id, None)
        if step is None or item is None:
            return
        took = entry.telemetry.latency_ms
        item.set(
            self.version,
            prints=self._texts.optional(call.prints, step),
            pictures=[self._texts.picture(picture) for picture in call.pictures[:PICTURES]],
            result=None if call.error else self._texts.payload(call.result, step),
            table=None if call.error else self._texts.table(call.result, step),
            error=self._texts.problem(call.error, step),
            badge=badge,
            took="" if took is None else shown.duration_text(took),
        )
        self._touch(step)

    def _asked_person(self, asked: HitlRequest, parent: str, now: int) -> None:
        step = self._owner.get(parent) or self._latest(now)
        self._people.ask(self.version, asked, step, now, self.state)
        step.set(self.version, badge=BADGES["waiting"] if step.data["end_ms"] is None else step.data["badge"], hold=True)
        self._timeline.pause(self.version, step, now)
        self._timeline.open(self.version, asked.request_id, "human", step, now=now, label="waiting for you")

    def _answered(self, answer: HitlResponse, entry: HitlEvent, now: int) -> None:
        step = self._people.answer(self.version, answer, entry, now)
        if step is None:
            return
        self._timeline.close(self.version, answer.request_id, now, BADGES["done"])
        if step.data["end_ms"] is not None:
            step.set(self.version, hold=step.data["badge"]["tone"] in ("bad", "wait"))
        elif not any(item.data["open"] for item in step.requests):
            step.set(self.version, badge=BADGES["running"])
            self._timeline.go_on(self.version, step, now)

    def _latest(self, now: int) -> StepItem:
        return self._steps[-1] if self._steps else self._new_step(now)

    def _new_step(self, now: int) -> StepItem:
        step = StepItem(self.version, len(self._steps), now)
        self._steps.append(step)
        return step

    def _summarise(self, entry: AnyEntry) -> None:
        state, totals = self.state, self.state.totals
        self._clock(self._at(entry))
        steps, called = len(self._steps), totals.tool_calls
        tokens, limit = totals.tokens_in + totals.tokens_out, 0 if state.terminal else self._max_steps
        self._summary.set(
            self.version,
            badge=BADGES[state.status],
            live=not state.terminal,
            steps=f"{steps} of {limit} steps" if limit else f"{steps} {'step' if steps == 1 else 'steps'}",
            calls=f"{called:,} {'call' if called == 1 else 'calls'}" if called else "",
            tokens=shown.tokens_text(totals.tokens_in, totals.cached_tokens, totals.tokens_out),
            cost=shown.money_text(totals.cost_nano, totals.unpriced, tokens),
            asks=len(state.requests),
            resumed=self._resumed,
        )

    def _clock(self, elapsed: int) -> None:
        elapsed = elapsed if self.state.terminal else max(elapsed, self._summary.data.get("elapsed_ms", 0))
        self._summary.set(self.version, elapsed_ms=elapsed, took=shown.duration_text(elapsed))

    def _touch(self, step: StepItem | None) -> None:
        if step is not None:
            step.version = self.version

    def _at(self, entry: AnyEntry, *, ended: bool = False) -> int:
        began = self.state.created_at
        stamp: datetime = (entry.header.ended_at if ended else entry.header.started_at) or entry.header.created_at
        return 0 if began is None else max(0, round((stamp - began).total_seconds() * 1000))


def _badge_of(entry: TaskExecution, *, block: bool) -> Badge:
    """How an execution ended; of one that ran a block of code without failing itself, how the block ended."""
    result = entry.result
    if block and result is not None and result.error is None:
        return BADGES[BLOCKS.get(str(fields_of(result.output).get("status")), "error")]
    if entry.header.status == "CANCELLED" and result is not None and result.error is not None and result.error.code == SUPERSEDED:
        return BADGES["superseded"]
    return BADGES[EXECUTIONS[entry.header.status]]


def _task_of(entry: LifetimeEvent, resources: Mapping[str, Any]) -> str:
    """What the run was given; of a conversation, what was said last."""
    given = fields_of(entry.input)
    if isinstance(resources.get("continues"), str) and isinstance(given.get("task"), str):
        return f"(goes on with run {resources['continues'][:8]})\n\n{given['task']}"
    return shown.payload_text(entry.input, plain=True)
