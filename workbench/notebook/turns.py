"""What the Tasks and Plans of an agent say on their step: the reply, the block it asks for, what came of it, what was made of that."""

from __future__ import annotations

from workbench.agents.reply import read_reply
from workbench.notebook import shown
from workbench.notebook.excerpts import Excerpts, beside_output, fields_of
from workbench.notebook.items import StepItem
from workbench.notebook.shown import FIELD
from workbench.notebook.wire import BADGES, Badge
from workbench.record.envelope import PlanExecution, TaskExecution

SUPERSEDED = "superseded"
"""The error code of an execution whose outcome no longer counts."""


class Turns:
    """Writes onto steps; `now` is in milliseconds since the run began."""

    def __init__(self, texts: Excerpts) -> None:
        self._texts = texts
        self.thinking_tag: str | None = None

    def cancelled(self, version: int, step: StepItem, entry: TaskExecution, badge: Badge, now: int) -> None:
        """Nothing went wrong: it was stopped, or its outcome no longer counts. A stop's reason stands above all steps already."""
        error = entry.result.error if entry.result is not None else None
        if error is not None and error.code == SUPERSEDED:
            step.set(version, note=self._texts.optional(f"Its outcome no longer counts: {error.message}.", step))
        left = fields_of(entry.result.output if entry.result is not None else None)
        step.set(version, prints=self._texts.optional(left.get("prints"), step))
        step.cut_off()
        step.end(version, now, badge)

    def replied(self, version: int, step: StepItem, entry: TaskExecution, now: int) -> None:
        result = entry.result
        step.set(version, reply=None)
        if entry.header.status == "CANCELLED":
            self.cancelled(version, step, entry, BADGES["aborted"], now)
            return
        if result is not None and result.error is not None:
            step.did = "the model gave no reply"
            step.set(version, error=self._texts.problem(result.error, step))
            step.end(version, now, BADGES["error"])
            return
        step.reply = "\n".join(message.content for message in entry.messages if message.role == "assistant")[: 2 * FIELD]
        thinking = fields_of(result.output if result else None).get("thinking")
        said = [read_reply(message.content, self.thinking_tag).prose for message in entry.messages if message.role == "assistant"]
        thought = "\n\n".join(text for text in [*map(str, thinking if isinstance(thinking, list) else []), *said] if text.strip())
        step.did = "the model has replied"
        step.set(version, thought=self._texts.optional(thought.strip(), step))
        step.say(version)

    def ran(self, version: int, step: StepItem, entry: TaskExecution, badge: Badge, now: int) -> None:
        result = entry.result
        if entry.header.status == "CANCELLED":
            self.cancelled(version, step, entry, badge, now)
            return
        if result is not None and result.error is not None:
            step.set(version, prints=None, error=self._texts.problem(result.error, step))
            step.end(version, now, badge)
            return
        output = fields_of(result.output if result else None)
        prints, value, error = str(output.get("prints") or ""), output.get("value_text"), output.get("error")
        engine, reason = str(output.get("engine") or ""), output.get("reason")
        step.did = "ran"
        step.set(
            version,
            prints=self._texts.text(prints, step) if prints else None,
            value=self._texts.text(str(value), step) if value is not None else None,
            error=self._texts.block_problem(error, step),
            engine=self._texts.line(f"{engine}: {reason}" if reason else engine, 200),
            note=self._texts.optional(beside_output(output), step),
        )
        step.end(version, now, badge)

    def dispatched(self, version: int, step: StepItem, entry: PlanExecution, now: int) -> None:
        result = entry.result
        chosen = result.next_tasks[0] if result.next_tasks else None
        args = fields_of(chosen.args) if chosen is not None else {}
        if chosen is not None and chosen.name in ("task_execute", "task_approve"):
            code = args.get("code") or shown.payload_text(chosen.args, plain=True)
            step.set(version, code=self._texts.code(str(code), step))
            step.say(version)
        elif chosen is not None and chosen.name == "task_finish":
            step.did = "answered"
            step.end(version, now, BADGES["done"])
        elif step.data["end_ms"] is None:
            step.did = "the reply was not usable"
            told = self._texts.optional(args.get("say") or _fault(entry), step)
            step.set(version, reply=self._texts.optional(step.reply, step), note=told)
            step.end(version, now, BADGES["unusable"])

    def allowed(self, version: int, step: StepItem, entry: PlanExecution, now: int) -> None:
        """A person has let a block run, maybe changed, or has refused it."""
        if "task_execute" in entry.result.next_task_names:
            self.dispatched(version, step, entry, now)
            return
        told = fields_of(entry.result.next_tasks[0].args).get("say") if entry.result.next_tasks else None
        step.did = "was not run"
        step.set(version, note=self._texts.optional(told or _fault(entry), step))
        step.end(version, now, BADGES["rejected"])

    def judged(self, version: int, step: StepItem, entry: PlanExecution, now: int) -> None:
        """An answer that was not accepted goes back to the model, or ends the run."""
        result = entry.result
        back = next((task for task in result.next_tasks if task.name == "task_llm"), None)
        if back is not None or result.error is not None:
            step.answered = False
            step.did = step.did if step.data["code"] is not None else "answered"
            say = fields_of(back.args).get("say") if back is not None else None
            step.set(version, note=self._texts.optional(say or _fault(entry), step))
            step.end(version, now, BADGES["unaccepted"])


def _fault(entry: PlanExecution) -> str | None:
    return entry.result.error.message if entry.result.error is not None else None
