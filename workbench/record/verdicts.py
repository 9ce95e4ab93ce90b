"""What the verdicts of guardrails, and what was used until then, mean for a run's state. A part of `fold`; see `workbench.record.state`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workbench.record.codec import decode_value
from workbench.record.envelope import GuardrailEvent, HitlResponse, TaskExecution, Verdict
from workbench.record.refs import ChoiceRef, PauseRef
from workbench.record.statistics import SPENT, counted_in
from workbench.record.values import ErrorInfo

if TYPE_CHECKING:
    from workbench.record.state import RunState


def take_verdict(state: RunState, entry: GuardrailEvent) -> None:
    """A rule held: what was judged is rejected, or the lifetime pauses or is to be aborted."""
    verdict = entry.verdict
    if verdict.action == "warn" and verdict.scope != "execution":
        state.warned.add(verdict.rule_id)
    if not verdict.applied:
        return
    state.judged[verdict.subject_exec_id] = verdict.action
    match verdict.action:
        case "abort_lifetime":
            state.condemned = state.condemned or f"guardrail {verdict.rule_id!r}: {verdict.message}"
        case "pause_lifetime":
            known = state.pause or PauseRef(request_id=entry.header.exec_id, rules=(), why=verdict.message)
            state.pause = replace(known, rules=tuple(dict.fromkeys((*known.rules, verdict.rule_id))))
        case "reject_execution":
            _reject(state, verdict)
        case "require_approval" | "warn":
            pass


def _reject(state: RunState, verdict: Verdict) -> None:
    """What was judged is not routed: a Task counts as rejected, a Plan as failed."""
    exec_id = verdict.subject_exec_id
    error = ErrorInfo(code="rejected", message=f"guardrail {verdict.rule_id!r}: {verdict.message}")
    if exec_id in state.unrouted:
        state.unrouted[exec_id] = replace(state.unrouted[exec_id], status="REJECTED", error=error)
    if exec_id in state.choices:
        state.choices[exec_id] = replace(state.choices[exec_id], error=error)
    for end in [end for end in state.ends if end.exec_id == exec_id]:
        state.ends.remove(end)
        state.choices[exec_id] = ChoiceRef(
            exec_id=exec_id, plan="", seq=end.seq, next=(), task_seqs=end.task_seqs, branch=end.branch, error=error
        )


def unpause(state: RunState, response: HitlResponse) -> None:
    """The rules that paused no longer hold for this lifetime, unless they were given new limits."""
    if state.pause is None or response.decision != "unpaused":
        return
    given = None if response.value is None else decode_value(response.value.inline)
    limits = {str(rule): str(limit) for rule, limit in (given or {}).items()}
    state.limits |= limits
    state.waived |= set(state.pause.rules) - set(limits)
    state.pause = None


def measure_use(state: RunState, entry: TaskExecution) -> None:
    """Count what a finished Task used, and remember the most that its node has."""
    state.statistics.add(entry)
    peaks = state.peaks.setdefault(entry.header.name, {})
    if entry.telemetry.tokens_used or entry.telemetry.cost_usd is not None:
        for name, value in counted_in(entry):
            if name in SPENT:
                peaks[name] = max(peaks.get(name, 0), value)
