"""A lifetime's states: whatever entries come in whatever order, it is in the state the table says, or the entry is refused."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import RecordCorrupt
from workbench.record.envelope import GuardrailEvent, Header, HitlEvent, HitlRequest, HitlResponse, LifetimeEvent, Verdict
from workbench.record.state import RunState, apply
from workbench.record.values import Payload

ACTIONS = ["create", "resume", "ask", "answer", "pause", "unpause", "complete", "fail", "abort"]
ENDS = {"complete": "completed", "fail": "failed", "abort": "aborted"}


def lifetime(phase, to_status):
    return lambda header: LifetimeEvent(phase=phase, to_status=to_status, **header("lifetime"))


def asked(kind, request_id):
    request = HitlRequest(request_id=request_id, kind=kind, title="?", tool="t", args=Payload(), subject_hash="h")
    return lambda header: HitlEvent(phase="requested", request=request, **header(request_id))


def answered(request_id, decision):
    response = HitlResponse(request_id=request_id, decision=decision, actor="me", subject_hash="h")
    return lambda header: HitlEvent(phase="answered", response=response, **header(request_id))


def paused(header):
    verdict = {"rule_id": "r", "policy_hash": "p", "scope": "lifetime", "point": "task", "subject_exec_id": "x", "message": "m"}
    return GuardrailEvent(verdict=Verdict(**verdict, action="pause_lifetime", applied=True, values={}), **header("pause"))


ENTRIES = {
    "create": [lifetime("created", "running")],
    "resume": [lifetime("resumed", "running")],
    "ask": [asked("question", "question")],
    "answer": [answered("question", "answered")],
    "pause": [paused, asked("pause", "pause")],
    "unpause": [answered("pause", "unpaused")],
    "complete": [lifetime("ended", "completed")],
    "fail": [lifetime("ended", "failed")],
    "abort": [lifetime("ended", "aborted")],
}


class Model:
    """What RUNTIME's table of transitions says, in so many words."""

    def __init__(self) -> None:
        self.begun, self.asked, self.paused, self.end = False, False, False, None

    @property
    def status(self):
        if self.end or not self.begun:
            return self.end or "pending"
        return "paused" if self.paused else "waiting" if self.asked else "running"

    def allows(self, action) -> bool:
        if self.end or not self.begun:
            return not self.end and action == "create"
        needs = {"create": False, "answer": self.asked, "unpause": self.paused}
        return needs.get(action, not (self.paused and action in ("complete", "fail")))

    def take(self, action) -> None:
        self.begun = True
        self.asked = action == "ask" or (self.asked and action != "answer")
        self.paused = action == "pause" or (self.paused and action != "unpause")
        self.end = ENDS.get(action)


def after(state, action) -> RunState:
    """A copy of the state with the action's entries applied."""
    state = deepcopy(state)
    for make in ENTRIES[action]:

        def header(exec_id, seq=state.seq + 1):
            stamp = datetime(2026, 1, 1, tzinfo=UTC)
            return {
                "seq": seq,
                "header": Header(lifetime_id="life", exec_id=exec_id, name=action, status="RUNNING", created_at=stamp),
            }

        apply(state, make(header))
    return state


@given(st.lists(st.sampled_from(ACTIONS), max_size=12))
def test_every_transition_is_the_tables_or_refused(actions):
    state, model = RunState(), Model()
    for action in ["create", *actions]:
        if model.allows(action):
            state = after(state, action)
            model.take(action)
        else:
            with pytest.raises(RecordCorrupt):
                after(state, action)
        assert state.status == model.status


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_follows_an_end(end, action):
    ended = after(after(RunState(), "create"), end)
    with pytest.raises(RecordCorrupt, match=f"has ended \\({ENDS[end]}\\)"):
        after(ended, action)


@pytest.mark.parametrize("end", ["complete", "fail"])
def test_a_paused_lifetime_can_only_go_on_or_be_aborted(end):
    state = after(after(RunState(), "create"), "pause")
    with pytest.raises(RecordCorrupt, match="a lifetime that is paused cannot become"):
        after(state, end)
    assert after(state, "abort").status == "aborted"
