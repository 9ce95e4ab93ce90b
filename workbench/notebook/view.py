"""`RunView`: entries in, a `View` out. One forward pass; how the run stands is asked of `RunState`, never decided here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from workbench.errors import UnencodableValue
from workbench.notebook import shown
from workbench.notebook.items import Item, StepItem
from workbench.notebook.shown import FIELD, Code, Problem, Redact, Text
from workbench.notebook.wire import BADGES, BLOCKS, DECISIONS, EXECUTIONS, Badge, Lane, Patch, View
from workbench.record.codec import decode_value
from workbench.record.envelope import AnyEntry, HitlEvent, LifetimeEvent, PlanExecution, TaskExecution, ToolCallEntry
from workbench.record.state import RunState
from workbench.record.state import apply as apply_to_state
from workbench.record.values import BlobRef, ErrorInfo, Payload

RUN_ROOM = 2_000_000
"""Characters of one run that are sent at `FIELD` a field; what comes after them is cut to `SHORT`."""
SHORT = 240
CALLS = 100
"""How many calls of one step are listed; the rest are counted."""

_SETUP = frozenset({"task_user", "task_finish"})


class RunView:
    """A run, drawn as far as its entries have come. `apply` takes the next entry; `full` and `delta` give what a page needs."""

    def __init__(self, redact: Redact = str) -> None:
        self.state = RunState()
        self.version = 0
        self._redact = redact
        self._room = RUN_ROOM
        self._agent = False
        self._max_steps = 0
        self._resumed = 0
        self._summary = Item(0)
        self._steps: list[StepItem] = []
        self._bars: list[Item] = []
        self._turns: dict[int, StepItem] = {}
        self._owner: dict[str, StepItem] = {}
        """The step that an execution, call or request belongs to, by its id."""
        self._calls: dict[str, Item] = {}
        """Calls without an outcome."""
        self._asked: dict[str, Item] = {}
        self._open_bars: dict[str, Item] = {}

    def apply(self, entry: AnyEntry) -> None:
        """Bring the view forward by one entry.

        Raises:
            RecordCorrupt: if the entry cannot follow the ones before it.
        """
        apply_to_state(self.state, entry)
        self.version += 1
        match entry:
            case LifetimeEvent():
                self._lifetime(entry)
            case TaskExecution(phase="started"):
                self._started(entry)
            case TaskExecution():
                self._finished(entry)
            case PlanExecution():
                self._planned(entry)
            case ToolCallEntry():
                self._called(entry)
            case HitlEvent():
                self._asked_or_answered(entry)
        self._summarise(entry)

    def feed(self, message: Mapping[str, Any]) -> None:
        """Show a piece of text that is still arriving: `{"type": "text" | "print", "exec_id", "text"}`. Pieces are never stored."""
        exec_id, piece = str(message.get("exec_id")), message.get("text")
        step, field = self._owner.get(exec_id), {"text": "reply", "print": "prints"}.get(str(message.get("type")))
        if step is None or field is None or not isinstance(piece, str) or exec_id not in self.state.running:
            return
        self.version += 1
        text, length = step.live.get(field, ("", 0))
        text, length = (text + piece)[-2 * FIELD :], length + len(piece)
        step.live[field] = (text, length)
        step.set(self.version, **{field: shown.clip_end(self._redact(text), length)})

    def interrupted(self) -> None:
        """Say that nobody works on the run: its process died, which no entry can tell. The next entry says otherwise."""
        self.version += 1
        self._summary.set(self.version, badge=BADGES["interrupted"], live=False)

    def tick(self, now: datetime) -> None:
        """Let the clock of a live run go on to `now` while nothing is recorded."""
        if self.state.created_at is not None and not self.state.terminal:
            self.version += 1
            self._clock(round((now - self.state.created_at).total_seconds() * 1000))

    def full(self) -> View:
        """Everything there is to draw."""
        view = {"timeline": [dict(bar.data) for bar in self._bars], "steps": [step.full() for step in self._steps]}
        return cast(View, self._heading() | {"summary": dict(self._summary.data)} | view)

    def delta(self, since: int) -> Patch:
        """What has changed since `version` was `since`."""
        timeline = [bar.since(since) for bar in self._bars if bar.version > since]
        steps = [step.since(since) for step in self._steps if step.version > since]
        patch = {"since": since, "summary": self._summary.since(since), "timeline": timeline, "steps": steps}
        return cast(Patch, self._heading() | patch)

    def _heading(self) -> dict[str, Any]:
        return {"version": self.version, "run": self.state.lifetime_id, "seq": self.state.seq}

    def _lifetime(self, entry: LifetimeEvent) -> None:
        if entry.phase == "created":
            manifest = entry.manifest
            self._agent = manifest is not None and manifest.kind == "agent"
            resources = _resources(manifest.resources) if manifest else {}
            model = resources.get("model")
            limit = resources.get("max_iterations")
            self._max_steps = limit if isinstance(limit, int) else 0
            self._summary.set(
                self.version,
                title=self._line(manifest.title if manifest else "run", 140),
                task=self._payload(entry.input, plain=True),
                model=self._line(str(model.get("name", "")), 60) if isinstance(model, dict) else "",
                started=f"{entry.header.created_at:%Y-%m-%d %H:%M} UTC",
                answer=None,
                error=None,
                failed_step=None,
                reason="",
            )
            return
        for call in self._calls.values():
            call.set(self.version, badge=BADGES["unknown"])
        for call_id in self._calls:
            self._touch(self._owner.get(call_id))
        if entry.phase == "resumed":
            self._resumed += 1
            return
        self._close_all(entry)

    def _close_all(self, entry: LifetimeEvent) -> None:
        now = self._at(entry)
        for asked in self._asked.values():
            asked.set(self.version, open=False, answer="not answered: the run has ended")
        for request_id in self._asked:
            self._touch(self._owner.get(request_id))
        badge = BADGES["done" if entry.to_status == "completed" else entry.to_status]
        for step in self._steps:
            if step.data["end_ms"] is None:
                step.did = {"running": "was running", "asking the model": "was asking the model"}.get(step.did, step.did)
                step.end(self.version, now, badge)
        for bar in self._open_bars.values():
            bar.set(self.version, end_ms=now, badge=badge)
        self._open_bars.clear()
        last = self._steps[-1].data if self._steps else None
        self._summary.set(
            self.version,
            answer=self._payload(entry.output, plain=True) if entry.output is not None else None,
            error=self._problem(entry.error),
            failed_step=last["number"] if last and entry.error and last["badge"]["tone"] == "bad" else None,
            reason=self._line(entry.reason, 200) if entry.reason else "",
        )

    def _started(self, entry: TaskExecution) -> None:
        header, now = entry.header, self._at(entry)
        if self._agent and header.name in _SETUP:
            return
        if self._agent and header.name == "task_llm":
            step = self._turns.get(header.iteration_idx) or self._new_step(now)
            self._turns[header.iteration_idx] = step
            step.set(self.version, badge=BADGES["running"], end_ms=None, took="", error=None, hold=False)
            self._open_bar(header.exec_id, "model", step, now, self._summary.data.get("model") or "model")
        elif self._agent and header.name == "task_execute":
            step = self._owner.get(entry.links.parent_plan_exec_id or "") or (self._steps[-1] if self._steps else self._new_step(now))
            step.did = "running"
            self._open_bar(header.exec_id, "sandbox", step, now, "code")
        else:
            step = self._new_step(now)
            step.did = self._line(header.name, 80)
            self._open_bar(header.exec_id, "tasks", step, now, step.did)
        self._owner[header.exec_id] = step
        step.say(self.version)

    def _finished(self, entry: TaskExecution) -> None:
        step = self._owner.get(entry.header.exec_id)
        if step is None:
            return
        badge = _badge_of(entry, block=self._agent and entry.header.name == "task_execute")
        self._close_bar(entry.header.exec_id, self._at(entry, ended=True), badge)
        step.spent(self.version, entry.telemetry)
        step.live.clear()
        if self._agent and entry.header.name == "task_llm":
            self._replied(step, entry)
        elif self._agent and entry.header.name == "task_execute":
            self._ran(step, entry, badge)
        else:
            result = entry.result
            step.set(self.version, prints=None, value=None, error=self._problem(result.error if result else None, step))
            if result is not None and result.output is not None:
                step.set(self.version, value=self._payload(result.output, step))
            step.end(self.version, self._at(entry, ended=True), badge)

    def _replied(self, step: StepItem, entry: TaskExecution) -> None:
        result = entry.result
        step.set(self.version, reply=None)
        if result is not None and result.error is not None:
            step.did = "the model gave no reply"
            step.set(self.version, error=self._problem(result.error, step))
            step.end(self.version, self._at(entry, ended=True), BADGES["error"])
            return
        step.reply = "\n".join(message.content for message in entry.messages if message.role == "assistant")[: 2 * FIELD]
        thinking = _output(result.output if result else None).get("thinking")
        thought = "\n\n".join(str(text) for text in thinking) if isinstance(thinking, list) else ""
        step.did = "the model has replied"
        step.set(self.version, thought=self._text(thought.strip(), step) if thought.strip() else None)
        step.say(self.version)

    def _ran(self, step: StepItem, entry: TaskExecution, badge: Badge) -> None:
        result, now = entry.result, self._at(entry, ended=True)
        if result is not None and result.error is not None:
            step.set(self.version, prints=None, error=self._problem(result.error, step))
            step.end(self.version, now, badge)
            return
        output = _output(result.output if result else None)
        prints, value, error = str(output.get("prints") or ""), output.get("value_text"), output.get("error")
        engine, reason = str(output.get("engine") or ""), output.get("reason")
        step.did = "ran"
        step.set(
            self.version,
            prints=self._text(prints, step) if prints else None,
            value=self._text(str(value), step) if value is not None else None,
            error=self._sandbox_problem(error, step) if isinstance(error, dict) else None,
            engine=self._line(f"{engine}: {reason}" if reason else engine, 200),
            note=self._text(_left_out(output), step) if output.get("truncated") else None,
        )
        step.end(self.version, now, badge)

    def _planned(self, entry: PlanExecution) -> None:
        step = next((self._owner[task] for task in entry.links.parent_task_exec_ids if task in self._owner), None)
        if step is None or not self._agent:
            return
        self._owner[entry.header.exec_id] = step
        if entry.header.name == "plan_dispatch":
            self._dispatched(step, entry)
        elif entry.result.error is not None:
            step.set(self.version, error=step.data["error"] or self._problem(entry.result.error, step))
            step.end(self.version, self._at(entry), BADGES["failed"])
        elif "task_finish" in entry.result.next_task_names:
            step.answered = True
            step.say(self.version)

    def _dispatched(self, step: StepItem, entry: PlanExecution) -> None:
        result, now = entry.result, self._at(entry)
        chosen = result.next_tasks[0] if result.next_tasks else None
        if result.error is not None:
            step.set(self.version, error=step.data["error"] or self._problem(result.error, step))
            step.end(self.version, now, BADGES["failed"])
        elif chosen is not None and chosen.name == "task_execute":
            code = _output(chosen.args).get("code")
            step.set(self.version, code=self._code(code if isinstance(code, str) else shown.payload_text(chosen.args, plain=True), step))
            step.say(self.version)
        elif chosen is not None and chosen.name == "task_finish":
            step.did = "answered"
            step.end(self.version, now, BADGES["done"])
        elif step.data["end_ms"] is None:
            told = "\n".join(message.content for message in entry.messages if message.role == "user")
            step.did = "the reply was not usable"
            step.set(self.version, reply=self._text(step.reply, step), note=self._text(told, step) if told else None)
            step.end(self.version, now, BADGES["unusable"])

    def _called(self, entry: ToolCallEntry) -> None:
        call_id, call = entry.header.exec_id, entry.call
        if entry.phase == "intent":
            step = self._owner.get(entry.links.parent_exec_id or "")
            if step is None:
                return
            self._owner[call_id] = step
            step.called(self.version, self._line(call.tool, 40))
            self._open_bar(call_id, "tools", step, self._at(entry), self._line(call.tool, 40))
            if len(step.calls) < CALLS:
                args = self._text(shown.arguments_text(call.args), step)
                item = Item(self.version, index=len(step.calls), tool=self._line(call.tool, 80), args=args, result=None, error=None,
                             badge=BADGES["running"], took="")  # fmt: skip
                step.calls.append(item)
                self._calls[call_id] = item
            return
        badge = BADGES["error" if call.error else "done"]
        self._close_bar(call_id, self._at(entry), badge)
        step, item_or_none = self._owner.get(call_id), self._calls.pop(call_id, None)
        if step is None or item_or_none is None:
            return
        took = entry.telemetry.latency_ms
        item_or_none.set(
            self.version,
            result=None if call.error else self._payload(call.result, step),
            error=self._problem(call.error, step),
            badge=badge,
            took="" if took is None else shown.duration_text(took),
        )
        self._touch(step)

    def _asked_or_answered(self, entry: HitlEvent) -> None:
        if entry.request is not None:
            asked = entry.request
            step = self._owner.get(entry.links.parent_exec_id or "") or (
                self._steps[-1] if self._steps else self._new_step(self._at(entry))
            )
            self._owner[asked.request_id] = step
            item = Item(
                self.version, index=len(step.requests), id=asked.request_id, title=self._line(asked.title, 300),
                tool=self._line(asked.tool, 80), args=shown.clip(self._redact(shown.arguments_text(asked.args))),
                subject_hash=asked.subject_hash, open=True, answer="", value=None, note=None, took="", asked_ms=self._at(entry),
            )  # fmt: skip
            step.requests.append(item)
            self._asked[asked.request_id] = item
            step.set(self.version, badge=BADGES["waiting"], hold=True)
            self._pause(step, self._at(entry))
            self._open_bar(asked.request_id, "human", step, self._at(entry), "waiting for you")
            self._touch(step)
        if entry.response is None:
            return
        answer = entry.response
        step_or_none, asked_item = self._owner.get(answer.request_id), self._asked.pop(answer.request_id, None)
        if step_or_none is None or asked_item is None:
            return
        now = self._at(entry)
        self._close_bar(answer.request_id, now, BADGES["done"])
        asked_item.set(
            self.version,
            open=False,
            answer=f"{DECISIONS[answer.decision]}, says {self._line(answer.actor, 60)}",
            value=self._payload(answer.value, step_or_none) if answer.value is not None else None,
            note=self._text(answer.note, step_or_none) if answer.note else None,
            took=shown.duration_text(now - asked_item.data["asked_ms"]),
        )
        if step_or_none.data["end_ms"] is None and not any(item.data["open"] for item in step_or_none.requests):
            step_or_none.set(self.version, badge=BADGES["running"])
            self._go_on(step_or_none, now)
        self._touch(step_or_none)

    def _new_step(self, now: int) -> StepItem:
        step = StepItem(self.version, len(self._steps), now)
        self._steps.append(step)
        return step

    def _summarise(self, entry: AnyEntry) -> None:
        state, totals = self.state, self.state.totals
        self._clock(self._at(entry))
        steps, called = len(self._steps), totals.tool_calls
        tokens = totals.tokens_in + totals.tokens_out
        self._summary.set(
            self.version,
            badge=BADGES[state.status],
            live=not state.terminal,
            steps=f"{steps} of {self._max_steps} steps"
            if self._max_steps and not state.terminal
            else f"{steps} {'step' if steps == 1 else 'steps'}",
            calls=f"{called:,} {'call' if called == 1 else 'calls'}" if called else "",
            tokens=shown.tokens_text(totals.tokens_in, totals.cached_tokens, totals.tokens_out),
            cost=shown.money_text(totals.cost_nano, totals.unpriced, tokens),
            asks=len(state.requests),
            resumed=self._resumed,
        )

    def _clock(self, elapsed: int) -> None:
        elapsed = max(elapsed, self._summary.data.get("elapsed_ms", 0))
        self._summary.set(self.version, elapsed_ms=elapsed, took=shown.duration_text(elapsed))

    def _open_bar(self, key: str, lane: Lane, step: StepItem, now: int, label: str) -> None:
        bar = Item(
            self.version,
            index=len(self._bars),
            lane=lane,
            step=step.data["index"],
            label=label,
            start_ms=now,
            end_ms=None,
            badge=BADGES["running"],
        )
        self._bars.append(bar)
        self._open_bars[key] = bar

    def _close_bar(self, key: str, now: int, badge: Badge) -> None:
        bar = self._open_bars.pop(key, None)
        if bar is not None:
            bar.set(self.version, end_ms=max(now, bar.data["start_ms"]), badge=badge)

    def _pause(self, step: StepItem, now: int) -> None:
        """While a person is asked, nothing of the step is drawn as working."""
        for key, bar in list(self._open_bars.items()):
            if bar.data["step"] == step.data["index"] and bar.data["lane"] != "human":
                self._close_bar(key, now, BADGES["waiting"])
                step.paused[key] = bar

    def _go_on(self, step: StepItem, now: int) -> None:
        for key, bar in step.paused.items():
            self._open_bar(key, bar.data["lane"], step, now, bar.data["label"])
        step.paused.clear()

    def _touch(self, step: StepItem | None) -> None:
        if step is not None:
            step.version = self.version

    def _at(self, entry: AnyEntry, *, ended: bool = False) -> int:
        began = self.state.created_at
        stamp: datetime = (entry.header.ended_at if ended else entry.header.started_at) or entry.header.created_at
        return 0 if began is None else max(0, round((stamp - began).total_seconds() * 1000))

    def _line(self, text: str, limit: int) -> str:
        return shown.line_of(self._redact(text), limit)

    def _text(self, text: str, step: StepItem | None = None) -> Text:
        """The text, redacted and cut to what its step and the run have room for."""
        roomy = self._room > 0 and (step is None or step.room > 0)
        clipped = shown.clip(self._redact(text), FIELD if roomy else SHORT)
        self._spend(len(clipped["text"]), step)
        return clipped

    def _code(self, text: str, step: StepItem) -> Code:
        code = shown.code_tokens(self._redact(text), FIELD if self._room > 0 else SHORT)
        self._spend(min(FIELD, code["length"]), step)
        return code

    def _spend(self, characters: int, step: StepItem | None) -> None:
        self._room -= characters
        if step is not None:
            step.room -= characters

    def _payload(self, payload: Payload | None, step: StepItem | None = None, *, plain: bool = False) -> Text:
        return self._text(shown.payload_text(payload, plain=plain), step)

    def _problem(self, error: ErrorInfo | None, step: StepItem | None = None) -> Problem | None:
        if error is None:
            return None
        return {"type": self._line(error.type or error.code, 60), "message": self._text(error.message, step), "line": error.line}

    def _sandbox_problem(self, error: dict[str, Any], step: StepItem) -> Problem:
        line = error.get("line")
        return {
            "type": self._line(str(error.get("type", "")), 60),
            "message": self._text(str(error.get("message", "")), step),
            "line": line if isinstance(line, int) else None,
        }


def _resources(encoded: Any) -> dict[str, Any]:
    return _output(Payload(inline=encoded))


def _output(payload: Payload | None) -> dict[str, Any]:
    """A recorded dict; empty when there is none, or it lies in a blob, or cannot be read."""
    if payload is None or payload.blob is not None:
        return {}
    try:
        value = decode_value(payload.inline)
    except (UnencodableValue, ValueError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}


def _badge_of(entry: TaskExecution, *, block: bool) -> Badge:
    """How an execution ended; of one that ran a block of code without failing itself, how the block ended."""
    result = entry.result
    if block and result is not None and result.error is None:
        return BADGES[BLOCKS.get(str(_output(result.output).get("status")), "error")]
    return BADGES[EXECUTIONS[entry.header.status]]


def _left_out(output: Mapping[str, Any]) -> str:
    """What to say about output that was cut before it was recorded."""
    where = output.get("full_output")
    try:
        return "The output was cut" + (f"; all of it: {shown.blob_text(BlobRef.model_validate(where))}" if where else "") + "."
    except ValueError:
        return "The output was cut."
