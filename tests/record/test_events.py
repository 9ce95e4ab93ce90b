"""The ten agent events, read from the entries of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from docs.schemas.example import LIFETIME, example_run
from workbench.record.codec import encode_value
from workbench.record.envelope import (
    AnyEntry,
    Header,
    LifetimeEvent,
    Manifest,
    NextTask,
    PlanExecution,
    PlanResult,
    TaskExecution,
    TaskResult,
    Telemetry,
    ToolCallEntry,
)
from workbench.record.events import EVENTS, AgentEvents
from workbench.record.values import BlobRef, ErrorInfo, LifetimeStatus, Message, Payload, ToolCall

BLOB = Payload(blob=BlobRef(uri="sha256:ab", size_bytes=2_000_000, sha256="ab"))
OUTPUT = {"prints": "hi\n", "value_text": "2", "status": "ok", "engine": "monty", "error": None}


def payload(value: Any) -> Payload:
    return Payload(inline=encode_value(value))


def header(name: str, **fields: Any) -> Header:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Header(**{"lifetime_id": LIFETIME, "exec_id": name, "name": name, "status": "SUCCEEDED", "created_at": at} | fields)


def created(kind: str = "agent") -> LifetimeEvent:
    manifest = Manifest(graph_id="g", graph_version="1", graph_hash="", title="t", kind=kind, resources={"max_iterations": 5})
    return LifetimeEvent(seq=1, header=header("created"), phase="created", to_status="running", manifest=manifest)


def ended(status: LifetimeStatus = "completed", **fields: Any) -> LifetimeEvent:
    return LifetimeEvent(seq=1, header=header("ended"), phase="ended", to_status=status, **fields)


def task(
    name: str, output: Payload | None = None, messages: tuple[Message, ...] = (), **fields: Any
) -> tuple[TaskExecution, TaskExecution]:
    begun = TaskExecution(seq=1, header=header(name, **fields), phase="started")
    telemetry = Telemetry(tokens_in=3, tokens_out=4, cost_usd="0.5", latency_ms=7.0, model="m")
    done = begun.model_copy(update={"phase": "finished", "result": TaskResult(output=output), "messages": messages, "telemetry": telemetry})
    return begun, done


def plan(name: str, to: str, args: Payload | None = None) -> PlanExecution:
    return PlanExecution(seq=1, header=header(name), result=PlanResult(next_tasks=(NextTask(name=to, args=args),)))


def turn(reply: str, **output: Any) -> tuple[TaskExecution, TaskExecution]:
    return task("task_llm", payload({"thinking": []} | output), (Message(role="assistant", content=reply),))


def call(error: ErrorInfo | None = None) -> tuple[ToolCallEntry, ToolCallEntry]:
    what = ToolCall(tool="add", ordinal=0, args=payload({"a": 1}), idempotency_key="k")
    intent = ToolCallEntry(seq=1, header=header("add", exec_id="c"), phase="intent", call=what)
    came = what.model_copy(update={"error": error} if error else {"result": payload((2,))})
    return intent, ToolCallEntry(seq=1, header=header("add", exec_id="c"), telemetry=Telemetry(latency_ms=1.5), phase="outcome", call=came)


def events(*entries: AnyEntry) -> list[dict[str, Any]]:
    reader = AgentEvents()
    return [event for seq, entry in enumerate(entries, start=1) for event in reader.feed(entry.model_copy(update={"seq": seq}))]


def only(name: str, *entries: AnyEntry) -> dict[str, Any]:
    """The fields of the only event of that name."""
    (event,) = (event for event in events(*entries) if event["event"] == name)
    return {field: value for field, value in event.items() if field not in ("event", "run_id", "seq")}


def test_all_ten_events_of_a_run_come_in_order() -> None:
    run = [created(), *turn("x", thinking=["hm"]), plan("plan_dispatch", "task_execute", payload({"code": "add(1)"}))]
    run += [*call(), *task("task_execute", payload(OUTPUT | {"error": {"type": "E", "message": "no"}, "status": "error"}))]
    run += [ended(output=payload((2,)))]
    names = [event["event"] for event in events(*run)]
    assert names == [*EVENTS[:7], "code_executed", "error", "finish"]


def test_every_event_names_its_run_and_entry() -> None:
    assert [(event["run_id"], event["seq"]) for event in events(created(), *turn("x"), ended(output=payload(1)))] == [
        (LIFETIME, seq) for seq in (2, 2, 3, 4)
    ]


def test_an_iteration_is_counted_from_one_against_its_limit() -> None:
    begun, _ = task("task_llm", iteration_idx=2)
    assert only("iteration_start", created(), begun) == {"iteration": 3, "max_iterations": 5}


def test_a_reply_carries_its_usage_price_and_time() -> None:
    usage = {"tokens_in": 3, "tokens_out": 4, "cached_tokens": 0, "reasoning_tokens": 0}
    expected = {"content": "hello", "usage": usage, "cost_usd": "0.5", "model": "m", "latency_ms": 7.0}
    assert only("llm_response", created(), *turn("hello")) == expected


def test_a_call_and_its_result_are_paired_by_id_and_keep_their_values() -> None:
    assert only("tool_call", created(), *call()) == {"call_id": "c", "name": "add", "args": {"a": 1}}
    assert only("tool_result", created(), *call()) == {"call_id": "c", "name": "add", "duration_ms": 1.5, "result": (2,)}


def test_a_failed_call_has_an_error_and_no_result() -> None:
    failed = only("tool_result", *call(ErrorInfo(code="tool_failed", message="no", type="ValueError")))
    assert failed["error"] == {"code": "tool_failed", "type": "ValueError", "message": "no"}
    assert "result" not in failed


def test_executed_code_is_shown_with_what_it_did() -> None:
    chosen = plan("plan_dispatch", "task_execute", payload({"code": "1 + 1"}))
    executed = only("code_executed", created(), chosen, *task("task_execute", payload(OUTPUT)))
    assert executed == {"code": "1 + 1", "output": "hi\n", "value": "2", "success": True, "engine": "monty", "duration_ms": 7.0}


@pytest.mark.parametrize("name", ["plan_dispatch", "plan_answer"])
def test_what_the_model_got_wrong_is_an_error(name: str) -> None:
    wrong = plan(name, "task_llm", payload({"say": "try again", "problem": "output_invalid"}))
    assert only("error", created(), wrong) == {"message": "try again", "code": "output_invalid"}


@pytest.mark.parametrize("name", ["plan_observe", "plan_answer"])
def test_a_request_counts_what_is_about_to_be_said(name: str) -> None:
    said = plan(name, "task_llm", payload({"say": "Output: hi", "problem": None}))
    begun, _ = task("task_llm")
    counts = [event["message_count"] for event in events(created(), *turn("x"), said, begun) if event["event"] == "llm_request"]
    assert counts == [0, 2]


def test_values_too_big_for_the_log_are_named_by_their_blob() -> None:
    said = "(2,000,000 bytes, too big for the log; they lie in sha256:ab)"
    assert only("finish", created(), ended(output=BLOB)) == {"value": {"blob": "sha256:ab", "size_bytes": 2_000_000}}
    executed = only("code_executed", created(), *task("task_execute", BLOB))
    assert (executed["output"], executed["success"]) == (said, None)
    assert only("code_generated", created(), plan("plan_dispatch", "task_execute", BLOB)) == {"code": said}


def test_a_failed_and_a_stopped_run_end_in_an_error() -> None:
    assert only("error", ended("failed", error=ErrorInfo(code="model_timeout", message="late"))) == {
        "message": "late",
        "code": "model_timeout",
    }
    assert only("error", ended("aborted", reason="by ada")) == {"message": "by ada", "code": "stopped"}


def test_a_run_of_another_graph_has_only_calls_and_an_end() -> None:
    assert [event["event"] for event in events(*example_run())] == ["tool_call", "tool_result", "finish"]
    assert events(created("graph"), *turn("x"), plan("plan_dispatch", "task_execute", payload("no dict"))) == []


def test_a_reader_knows_when_the_run_has_ended() -> None:
    reader = AgentEvents()
    reader.feed(created())
    assert not reader.ended
    reader.feed(ended(output=payload(None)))
    assert reader.ended
