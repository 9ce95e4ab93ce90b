"""Guard: where a lifetime meets its policy. It says what is to be judged, sums up what the policy looks at, and records every verdict.

A lifetime's own numbers come from its state, entries that are not yet stored included. Those of other lifetimes come from the store; the
lifetime's own are made durable before these are read, so of two that spend at the same time at least one sees both.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from workbench.errors import ToolDenied
from workbench.guardrails.judge import Judgement, Subject, Violation
from workbench.guardrails.names import NOTHING
from workbench.guardrails.policy import Language
from workbench.guardrails.rules import Window
from workbench.ports import Query
from workbench.record.envelope import Action, AnyEntry, GuardrailEvent, Links, PlanExecution, TaskExecution, Verdict
from workbench.record.refs import TaskRef
from workbench.record.statistics import Counted, Statistics, counted_in
from workbench.record.values import Status, make_id
from workbench.runtime.decide import Retry, StartTask
from workbench.runtime.lifetime import Lifetime
from workbench.runtime.pausing import until_unpaused

logger = logging.getLogger(__name__)

_STATUS: dict[Action, Status] = {
    "warn": "SUCCEEDED",
    "require_approval": "WAITING",
    "reject_execution": "REJECTED",
    "pause_lifetime": "WAITING",
    "abort_lifetime": "CANCELLED",
}

BROKEN_ENGINE = "policy"
"""The rule that is named when the policy itself fails."""

Passage = Literal["go", "hold", "reject", "stop"]


class Guard:
    """The policy of one lifetime, at work."""

    def __init__(self, life: Lifetime, language: Language) -> None:
        self._life = life
        self._engine = language.engine
        self._hash = language.engine.hash
        self._shared = [window for window in language.engine.wants if window.scope in ("session", "tenant")]
        self._longest = max((window.seconds for window in language.engine.wants if window.seconds is not None), default=None)
        self._recent: deque[tuple[datetime, list[Counted]]] = deque()
        """What the lifetime itself has counted within the longest window."""
        self._others: dict[Window, Statistics] = {}
        self._judged: set[str] = set()
        """Finished Tasks that are still waiting for a Plan and have been judged."""

    def note(self, entry: AnyEntry) -> None:
        """Take an entry of the lifetime into its windows."""
        if self._longest is None:
            return
        counted = counted_in(entry)
        if counted:
            self._recent.append((entry.header.created_at, counted))
        oldest = entry.header.created_at - timedelta(seconds=self._longest)
        while self._recent and self._recent[0][0] < oldest:
            self._recent.popleft()

    async def judge_finished(self) -> None:
        """Judge every Task that has finished since the last time."""
        state = self._life.state
        await self._refresh()
        self._judged &= state.unrouted.keys()
        for ref in list(state.unrouted.values()):
            if ref.exec_id in self._judged or ref.exec_id in state.judged or ref.status == "REJECTED":
                continue
            entry = await self._life.entry(ref.seq)
            assert isinstance(entry, TaskExecution)
            if ref.exec_id in state.unrouted:
                self._judged.add(ref.exec_id)
                self._take(self._of_task(ref, entry))

    def judge_plan(self, entry: PlanExecution) -> None:
        """Judge a Plan's choice before it is followed."""
        error = entry.result.error
        values = {
            "name": entry.header.name,
            "status": entry.header.status,
            "error": error.code if error else None,
            "iteration_idx": entry.header.iteration_idx,
            "next_tasks": list(entry.result.next_task_names),
        }
        self._take(self._subject("plan", entry.header.exec_id, entry.header.name, values))

    def judge_dispatch(self, command: StartTask | Retry) -> Passage:
        """Whether a Task may be dispatched: now, later, never, or not while the lifetime is stopped."""
        if isinstance(command, Retry):
            name, attempt, iteration = command.task.name, command.task.attempt + 1, command.task.iteration_idx
        else:
            name, attempt, iteration = command.name, 1, command.iteration_idx
        values = {"name": name, "attempt": attempt, "iteration_idx": iteration}
        counted = {"tasks": 1, "attempt": attempt, "iteration_idx": iteration}
        action = self._take(self._subject("dispatch", command.exec_id, name, values, counted=counted))
        match action:
            case "hold":
                return "hold"
            case "reject_execution":
                return "reject"
            case "pause_lifetime" | "abort_lifetime":
                return "stop"
            case _:
                return "go"

    async def judge_call(self, ref: TaskRef, call_id: str, name: str, args: Mapping[str, Any], earlier: int) -> bool:
        """Whether a person has to approve a call before it is made; waits while the lifetime is paused by a rule about it. `earlier` is
        how many calls its execution has made.

        Raises:
            ToolDenied: it may not be made.
        """
        life = self._life
        while True:
            known = life.state.judged.get(call_id)
            if known in ("require_approval", "warn"):
                return known == "require_approval"
            if known == "pause_lifetime" and life.state.pause is not None:
                await until_unpaused(life)
            await self._refresh()
            values = {
                "name": ref.name,
                "tool": name,
                "args": dict(args),
                "tool_calls": earlier + 1,
                "attempt": ref.attempt,
                "iteration_idx": ref.iteration_idx,
            }
            subject = self._subject("tool_call", call_id, ref.name, values, counted={"tool_calls": 1})
            match self._take(subject):
                case "require_approval":
                    return True
                case "reject_execution":
                    raise ToolDenied(f"the call of {name!r} was refused by the run's policy")
                case "abort_lifetime":
                    life.stop(life.state.condemned or "the run's policy")
                    raise ToolDenied("the run was stopped by its policy")
                case "pause_lifetime":
                    await until_unpaused(life)
                case _:
                    return False

    def _take(self, subject: Subject) -> Action | Literal["hold"] | None:
        """Judge, record every verdict, and say what is to be done."""
        judgement = self._judge(subject)
        if judgement.held:
            return "hold"
        action = judgement.action
        for violation in judgement.violations:
            verdict = Verdict(
                rule_id=violation.rule_id,
                policy_hash=self._hash,
                scope=violation.scope,
                point=subject.point,
                subject_exec_id=subject.exec_id,
                action=violation.action,
                applied=violation.action == action,
                message=violation.message,
                severity=violation.severity,
                values=dict(violation.values),
            )
            entry_id = make_id(self._life.journal.lifetime_id, "verdict", self._life.journal.next_seq)
            header = self._life.header(entry_id, violation.rule_id, _STATUS[violation.action])
            self._life.write(GuardrailEvent, header=header, links=Links(parent_exec_id=subject.exec_id), verdict=verdict)
        return action

    def _judge(self, subject: Subject) -> Judgement:
        state = self._life.state
        try:
            judgement = self._engine.judge(state, subject, self._sums(subject.now))
            violations = [violation for violation in judgement.violations if violation.rule_id not in state.waived]
        except Exception as error:
            logger.exception("the policy of run %s failed", self._life.journal.lifetime_id)
            message = f"the policy failed, so nothing goes on: {type(error).__name__}: {error}"
            return Judgement((Violation(rule_id=BROKEN_ENGINE, scope="lifetime", action="pause_lifetime", message=message),))
        if subject.point != "tool_call":
            # Only a call can wait for an approval of its own; elsewhere the lifetime waits.
            violations = [replace(each, action="pause_lifetime") if each.action == "require_approval" else each for each in violations]
        return Judgement(tuple(violations), judgement.held and not violations)

    def _subject(
        self,
        point: Literal["task", "plan", "tool_call", "dispatch"],
        exec_id: str,
        node: str,
        values: dict[str, Any],
        *,
        counted: Mapping[str, int] | None = None,
    ) -> Subject:
        state = self._life.state
        everywhere = {"tenant_id": state.tenant_id, "session_id": state.session_id, "graph": self._life.graph.name}
        now = self._life.clock.now()
        return Subject(point=point, exec_id=exec_id, node=node, values={**everywhere, **values}, counted=counted or {}, now=now)

    def _of_task(self, ref: TaskRef, entry: TaskExecution) -> Subject:
        telemetry = entry.telemetry
        values = {
            "name": ref.name,
            "status": entry.header.status,
            "error": ref.error.code if ref.error else None,
            "attempt": ref.attempt,
            "iteration_idx": ref.iteration_idx,
            "cost_usd": Decimal(telemetry.cost_usd or 0),
            "unpriced": telemetry.unpriced,
            "latency_ms": NOTHING if telemetry.latency_ms is None else telemetry.latency_ms,
            "queue_ms": NOTHING if telemetry.queue_ms is None else telemetry.queue_ms,
            "tool_calls": telemetry.tool_calls,
            "model": telemetry.model,
        }
        names = ("tokens_used", "tokens_in", "tokens_out", "cached_tokens", "reasoning_tokens")
        values |= {name: getattr(telemetry, name) for name in names}
        return self._subject("task", ref.exec_id, ref.name, values)

    async def _refresh(self) -> None:
        """Read what other lifetimes have counted."""
        if not self._shared:
            return
        life = self._life
        await life.commit()
        now = life.clock.now()
        for window in self._shared:
            if window.scope == "session" and life.state.session_id is None:
                continue
            query = Query(
                without_lifetime=life.journal.lifetime_id,
                session_id=life.state.session_id if window.scope == "session" else None,
                tenant_id=life.state.tenant_id,
            )
            known = self._others.get(window)
            if window.seconds is None:
                # Entries never change, so only those that are new have to be added.
                after = (known.last_position if known is not None else None) or 0
                fresh = await life.plane.state.statistics(replace(query, after_position=after))
                self._others[window] = fresh if known is None else known.plus(fresh)
            else:
                # What was too old the last time is too old now, so the reading begins where it found something.
                since = (now - timedelta(seconds=window.seconds)).isoformat(timespec="microseconds")
                after = ((known.first_position if known is not None else None) or 1) - 1
                self._others[window] = await life.plane.state.statistics(replace(query, since=since, after_position=after))

    def _sums(self, now: datetime) -> dict[Window, Statistics]:
        sums = {}
        for window in self._engine.wants:
            own = self._life.state.statistics if window.seconds is None else self._within(now - timedelta(seconds=window.seconds))
            others = self._others.get(window)
            sums[window] = own if others is None else own.plus(others)
        return sums

    def _within(self, since: datetime) -> Statistics:
        own = Statistics()
        for stamp, counted in self._recent:
            if stamp >= since:
                own.count(counted)
        return own
