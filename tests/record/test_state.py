"""The fold: what a record means, and which entries cannot follow."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from functools import reduce
from typing import Any, get_args

import pytest

from docs.schemas.example import ACT, CALL, CHOICE, LIFETIME, THINK, example_run
from workbench.errors import RecordCorrupt
from workbench.record.codec import encode_value
from workbench.record.entries import decode_entry, store_entry
from workbench.record.envelope import (
    AnyEntry,
    Header,
    HitlEvent,
    HitlRequest,
    HitlResponse,
    LifetimeEvent,
    Links,
    NextTask,
    PlanExecution,
    PlanResult,
    SandboxEvent,
    TaskExecution,
    TaskResult,
    Telemetry,
    ToolCallEntry,
)
from workbench.record.sandbox_items import SandboxItem
from workbench.record.state import RunState, apply, fold
from workbench.record.values import TERMINAL, ErrorInfo, LifetimeStatus, Payload, ToolCall


def header(exec_id: str, **fields: Any) -> Header:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Header(**{"lifetime_id": LIFETIME, "exec_id": exec_id, "name": exec_id, "status": "SUCCEEDED", "created_at": at} | fields)


def numbered(*entries: AnyEntry) -> list[AnyEntry]:
    return [entry.model_copy(update={"seq": seq}) for seq, entry in enumerate(entries, start=1)]


def created(**fields: Any) -> LifetimeEvent:
    return LifetimeEvent(**{"seq": 1, "header": header("run"), "phase": "created", "to_status": "running"} | fields)


def ended(status: LifetimeStatus = "completed", **fields: Any) -> LifetimeEvent:
    return LifetimeEvent(seq=1, header=header("run"), phase="ended", to_status=status, **fields)


def resumed() -> LifetimeEvent:
    return LifetimeEvent(seq=1, header=header("run"), phase="resumed", to_status="running")


def started(exec_id: str, plan: str | None = None, **fields: Any) -> TaskExecution:
    return TaskExecution(seq=1, header=header(exec_id, **fields), links=Links(parent_plan_exec_id=plan), phase="started")


def finished(exec_id: str, **fields: Any) -> TaskExecution:
    return TaskExecution(**{"seq": 1, "header": header(exec_id), "phase": "finished", "result": TaskResult()} | fields)


def planned(exec_id: str, *tasks: str, after: tuple[str, ...] = ()) -> PlanExecution:
    choice = PlanResult(next_tasks=tuple(NextTask(name=name) for name in tasks))
    return PlanExecution(seq=1, header=header(exec_id), links=Links(parent_task_exec_ids=after), result=choice)


def call(call_id: str, within: str = "task", error: ErrorInfo | None = None) -> tuple[ToolCallEntry, ToolCallEntry]:
    what = ToolCall(tool="buy", ordinal=0, args=Payload(inline={}), idempotency_key=call_id, error=error)
    links = Links(parent_exec_id=within)
    intent = ToolCallEntry(seq=1, header=header(call_id), links=links, phase="intent", call=what.model_copy(update={"error": None}))
    return intent, ToolCallEntry(seq=1, header=header(call_id), links=links, phase="outcome", call=what)


def asked(request_id: str) -> HitlEvent:
    request = HitlRequest(
        request_id=request_id,
        kind="unknown_outcome",
        title="Did it happen?",
        tool="buy",
        args=Payload(),
        subject_hash=f"hash of {request_id}",
    )
    return HitlEvent(seq=1, header=header(request_id), phase="requested", request=request)


def answered(request_id: str, to: str | None = None) -> HitlEvent:
    response = HitlResponse(request_id=request_id, decision="stop", actor="ada", subject_hash=f"hash of {to or request_id}")
    return HitlEvent(seq=1, header=header(request_id), phase="answered", response=response)


def test_a_fold_is_apply_over_all_entries() -> None:
    assert fold(example_run()) == reduce(apply, example_run(), RunState())


def test_a_fold_can_go_on_from_any_prefix() -> None:
    run = example_run()
    for cut in range(len(run) + 1):
        assert reduce(apply, run[cut:], fold(run[:cut])) == fold(run)


def test_a_fold_means_the_same_after_storing() -> None:
    stored = [decode_entry(store_entry(entry, "")) for entry in example_run()]
    assert fold(stored) == fold(example_run())


def test_nothing_folds_to_a_pending_run() -> None:
    assert (fold([]).status, fold([]).seq, fold([]).terminal) == ("pending", 0, False)


def test_a_finished_run_has_its_answer_and_its_sums() -> None:
    state = fold(example_run())
    assert (state.status, state.end_reason, state.output) == ("completed", "End reached", Payload(inline=encode_value((3700.66, "g"))))
    totals = state.totals
    assert (totals.tasks, totals.plans, totals.tool_calls, totals.tool_errors) == (2, 2, 1, 0)
    assert (totals.tokens_in, totals.tokens_out, totals.cached_tokens, totals.cost_nano) == (412, 18, 256, 139_000)


def test_a_state_follows_the_run_entry_by_entry() -> None:
    states = [deepcopy(fold(example_run()[:seq])) for seq in range(11)]
    assert [list(state.running) for state in states] == [[], [], [THINK], [], [], [ACT], [ACT], [ACT], [], [], []]
    assert [list(state.unrouted) for state in states] == [[], [], [], [THINK], [], [], [], [], [ACT], [], []]
    assert [list(state.choices) for state in states[:9]] == [[], [], [], [], [CHOICE], [], [], [], []]
    assert [list(state.open_calls) for state in states] == [[], [], [], [], [], [], [CALL], [], [], [], []]


def test_dispatches_are_counted_by_node() -> None:
    run = numbered(created(), started("a", name="step"), finished("a"), planned("p", "step", after=("a",)), started("b", "p", name="step"))
    assert fold(run).dispatched == {"step": 2}


def test_a_choice_of_several_tasks_is_carried_out_one_by_one() -> None:
    run = numbered(
        created(), planned("p", "x", "y", "x"), started("1", "p", name="x"), started("2", "p", name="y"), started("3", "p", name="x")
    )
    left = [[tuple(item.name for item in ref.next) for ref in fold(run[:seq]).choices.values()] for seq in range(2, 6)]
    assert left == [[("x", "y", "x")], [("y", "x")], [("x",)], []]


def test_a_question_makes_the_run_wait_until_all_are_answered() -> None:
    run = numbered(created(), asked("q1"), asked("q2"), answered("q1"), answered("q2"))
    assert [fold(run[:seq]).status for seq in range(1, 6)] == ["running", "waiting", "waiting", "waiting", "running"]


def test_a_resumed_run_still_waits_for_its_answer() -> None:
    assert fold(numbered(created(), asked("q"), resumed())).status == "waiting"


def test_a_failed_call_counts_as_a_call_and_an_error() -> None:
    run = numbered(created(), started("task"), *call("c", error=ErrorInfo(code="tool_failed", message="no")))
    assert (fold(run).totals.tool_calls, fold(run).totals.tool_errors) == (1, 1)


def test_a_finished_task_leaves_no_call_open() -> None:
    run = numbered(created(), started("task"), call("c")[0], started("other"), call("d", within="other")[0], finished("task"))
    assert list(fold(run).open_calls) == ["d"]


def test_sums_add_up_and_an_unknown_price_is_counted_apart() -> None:
    half = Telemetry(tokens_in=1, tokens_out=2, reasoning_tokens=3, cost_usd="0.0000000005")
    run = numbered(created(), started("a"), finished("a", telemetry=half), started("b"), finished("b", telemetry=Telemetry(unpriced=True)))
    totals = fold(run).totals
    assert (totals.tokens_in, totals.tokens_out, totals.reasoning_tokens, totals.cost_nano, totals.unpriced) == (1, 2, 3, 0, 1)


def test_only_the_finish_of_a_task_is_counted() -> None:
    begun = started("a").model_copy(update={"telemetry": Telemetry(tokens_in=100)})
    assert fold(numbered(created(), begun)).totals.tokens_in == 0


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_an_end_leaves_no_work(status: LifetimeStatus) -> None:
    state = fold(numbered(created(), started("a"), finished("a"), started("b"), planned("p", "x"), asked("q"), ended(status)))
    assert (state.terminal, state.running, state.unrouted, state.choices, state.requests) == (True, {}, {}, {}, {})


def test_a_state_holds_references_and_not_entries() -> None:
    big = TaskResult(output=Payload(inline="x" * 100_000))
    state = fold(numbered(created(), started("a"), finished("a", result=big)))
    assert len(repr(state)) < 5_000


def test_a_sandbox_stream_is_a_record_too() -> None:
    opened, reset = (
        SandboxEvent(seq=1, header=header(phase), phase=phase, item=SandboxItem(action=phase)) for phase in ("opened", "reset")
    )
    assert fold(numbered(opened, reset)).seq == 2


elsewhere = header("run", lifetime_id=LIFETIME[:-1] + "9")
IMPOSSIBLE: dict[str, tuple[list[AnyEntry], str]] = {
    "a gap": ([created(), *numbered(created(), created(), started("a"))[2:]], "cannot follow entry 1"),
    "a repetition": ([created(), created()], "cannot follow entry 1"),
    "a start in the middle": (numbered(created(), started("a"))[1:], "cannot follow entry 0"),
    "another lifetime": (numbered(created(), LifetimeEvent(seq=1, header=elsewhere, phase="resumed", to_status="running")), "belongs to"),
    "no beginning": (numbered(started("a")), "begins once"),
    "a second beginning": (numbered(created(), created()), "begins once"),
    "a sandbox opened inside": (
        numbered(created(), SandboxEvent(seq=1, header=header("s"), phase="opened", item=SandboxItem(action="opened"))),
        "begins once",
    ),
    "after the end": (numbered(created(), ended(), resumed()), "has ended"),
    "a second end": (numbered(created(), ended("failed"), ended("completed")), "has ended"),
    "an end that is none": (numbered(created(), ended("running")), "is not an end"),
    "a finish without a start": (numbered(created(), finished("a")), "without having started"),
    "a second finish": (numbered(created(), started("a"), finished("a"), finished("a")), "without having started"),
    "a second start": (numbered(created(), started("a"), started("a")), "started twice"),
    "a task nobody chose": (numbered(created(), planned("p", "x"), started("1", "p", name="y")), "did not choose"),
    "a plan after a task that runs": (numbered(created(), started("a"), planned("p", "x", after=("a",))), "not waiting for a plan"),
    "a plan after a task seen before": (
        numbered(created(), started("a"), finished("a"), planned("p", "x", after=("a",)), planned("q", "x", after=("a",))),
        "not waiting for a plan",
    ),
    "an outcome without an intent": (numbered(created(), started("task"), call("c")[1]), "without an intent"),
    "a second outcome": (numbered(created(), started("task"), *call("c"), call("c")[1]), "without an intent"),
    "an outcome after its task": (numbered(created(), started("task"), call("c")[0], finished("task"), call("c")[1]), "without an intent"),
    "an answer to nothing": (numbered(created(), answered("q")), "no open question"),
    "a second answer": (numbered(created(), asked("q"), answered("q"), answered("q")), "no open question"),
    "an answer to another text": (numbered(created(), asked("q"), answered("q", to="other")), "another text"),
    "a request without a question": (numbered(created(), asked("q").model_copy(update={"request": None})), "without its question"),
    "an answer without a decision": (
        numbered(created(), asked("q"), answered("q").model_copy(update={"response": None})),
        "without its decision",
    ),
}


@pytest.mark.parametrize(("run", "why"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_entry_that_cannot_follow_is_refused_with_its_place(run: list[AnyEntry], why: str) -> None:
    with pytest.raises(RecordCorrupt, match=why) as caught:
        fold(run)
    assert (caught.value.lifetime_id, caught.value.seq) == (run[-1].header.lifetime_id, run[-1].seq)


def test_terminal_statuses_are_statuses() -> None:
    assert set(get_args(LifetimeStatus)) > TERMINAL


@pytest.mark.parametrize("drop", range(9))
def test_no_entry_of_a_run_can_be_left_out(drop: int) -> None:
    run = example_run()
    with pytest.raises(RecordCorrupt):
        fold([*run[:drop], *run[drop + 1 :]])


@pytest.mark.parametrize("change", [lambda run: run[1:], lambda run: [*run[:2], *run[3:]]])
def test_a_cleverly_renumbered_record_still_does_not_fit(change: Callable[[list[AnyEntry]], list[AnyEntry]]) -> None:
    with pytest.raises(RecordCorrupt):
        fold(numbered(*change(example_run())))
