"""The short run that docs/record.md prints: one model call, one tool call, an answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from workbench.record.codec import encode_value
from workbench.record.envelope import (
    AnyEntry,
    Header,
    LifetimeEvent,
    Links,
    Manifest,
    NextTask,
    PlanExecution,
    PlanResult,
    TaskExecution,
    TaskResult,
    Telemetry,
    ToolCallEntry,
)
from workbench.record.values import Message, Payload, Status, ToolCall, make_id

LIFETIME = "00000000-0000-4000-8000-000000000001"
THINK, CHOICE, ACT, CALL, END = (make_id(LIFETIME, name) for name in ("think", "choice", "act", "call", "end"))


def _header(seq: int, exec_id: str, name: str, status: Status = "SUCCEEDED") -> Header:
    return Header(
        lifetime_id=LIFETIME,
        exec_id=exec_id,
        name=name,
        status=status,
        created_at=datetime(2026, 1, 31, 10, 0, seq, tzinfo=UTC),
        graph_id="example",
        graph_version="1.0.0",
    )


def _payload(value: Any) -> Payload:
    return Payload(inline=encode_value(value))


def example_run() -> list[AnyEntry]:
    """Return the entries, from the first to the last."""
    question = Message(role="user", content="How heavy is a penguin?")
    code = Message(role="assistant", content="finish(weigh(species='Adelie'))")
    call = ToolCall(tool="weigh", ordinal=0, args=_payload({"species": "Adelie"}), idempotency_key=CALL)
    in_act = Links(parent_exec_id=ACT)
    after_choice = Links(parent_plan_exec_id=CHOICE, parent_plan_name="route")
    manifest = Manifest(graph_id="example", graph_version="1.0.0", graph_hash="5f1d", title=question.content)
    started = datetime(2026, 1, 31, 10, tzinfo=UTC)
    return [
        LifetimeEvent(
            seq=1,
            header=_header(1, LIFETIME, "created", "PENDING"),
            phase="created",
            to_status="running",
            manifest=manifest,
            input=_payload(question.content),
        ),
        TaskExecution(seq=2, header=_header(2, THINK, "think", "RUNNING"), phase="started"),
        TaskExecution(
            seq=3,
            header=_header(3, THINK, "think").model_copy(
                update={"started_at": started + timedelta(seconds=2), "ended_at": started + timedelta(seconds=3)}
            ),
            telemetry=Telemetry(
                tokens_in=412, tokens_out=18, cached_tokens=256, cost_usd="0.000139", latency_ms=1000.0, model="example-model"
            ),
            messages=(question, code),
            phase="finished",
            result=TaskResult(output=_payload({"code": code.content})),
        ),
        PlanExecution(
            seq=4,
            header=_header(4, CHOICE, "route"),
            links=Links(parent_task_exec_ids=(THINK,), parent_task_names=("think",)),
            result=PlanResult(next_tasks=(NextTask(name="act"),), reason="the reply holds code"),
        ),
        TaskExecution(seq=5, header=_header(5, ACT, "act", "RUNNING"), links=after_choice, phase="started"),
        ToolCallEntry(seq=6, header=_header(6, CALL, "weigh", "RUNNING"), links=in_act, phase="intent", call=call),
        ToolCallEntry(
            seq=7,
            header=_header(7, CALL, "weigh"),
            links=in_act,
            phase="outcome",
            call=call.model_copy(update={"result": _payload((3700.66, "g"))}),
        ),
        TaskExecution(
            seq=8,
            header=_header(8, ACT, "act"),
            links=after_choice,
            telemetry=Telemetry(latency_ms=3000.0, tool_calls=1),
            phase="finished",
            result=TaskResult(output=_payload((3700.66, "g"))),
        ),
        PlanExecution(
            seq=9,
            header=_header(9, END, "done"),
            links=Links(parent_task_exec_ids=(ACT,), parent_task_names=("act",)),
            result=PlanResult(next_tasks=(NextTask(name="End"),), reason="finish() was called"),
        ),
        LifetimeEvent(
            seq=10,
            header=_header(10, LIFETIME, "ended"),
            phase="ended",
            to_status="completed",
            reason="End reached",
            output=_payload((3700.66, "g")),
        ),
    ]
