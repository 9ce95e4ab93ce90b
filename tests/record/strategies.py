"""Hypothesis strategies for values and entries, and equality that also compares types, order and NaN."""

from __future__ import annotations

import math
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from workbench.record.codec import encode_value
from workbench.record.envelope import (
    AnyEntry,
    GuardrailEvent,
    Header,
    HitlEvent,
    HitlRequest,
    HitlResponse,
    LifetimeEvent,
    Links,
    Manifest,
    NextTask,
    PlanExecution,
    PlanResult,
    SandboxEvent,
    TaskExecution,
    TaskResult,
    Telemetry,
    ToolCallEntry,
    Verdict,
)
from workbench.record.sandbox_items import RecordedCall, SandboxBlock, SandboxItem
from workbench.record.values import BlobRef, ErrorInfo, Message, Payload, ToolCall


def identical(left: Any, right: Any) -> bool:
    """Whether two values are the same in type, content, order of keys, sign of zero and number of decimals."""
    if type(left) is not type(right):
        return False
    match left:
        case float():
            return (math.isnan(left) and math.isnan(right)) or (left == right and math.copysign(1, left) == math.copysign(1, right))
        case Decimal():
            return str(left) == str(right)
        case datetime() | time():
            return left.isoformat() == right.isoformat()
        case list() | tuple():
            return len(left) == len(right) and all(map(identical, left, right))
        case dict():
            return identical(list(left.items()), list(right.items()))
        case set() | frozenset():
            return len(left) == len(right) and all(any(identical(one, other) for other in right) for one in left)
        case _:
            return bool(left == right)


offsets = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
text = st.text(st.characters()) | st.text(st.sampled_from("$a\ud83d\ude00é\x00\n"))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | text
    | st.binary()
    | st.decimals()
    | st.dates()
    | st.datetimes()
    | st.datetimes(timezones=offsets)
    | st.times()
    | st.times(timezones=offsets)
    | st.timedeltas()
)
hashable = st.recursive(
    scalars.filter(lambda value: not (isinstance(value, Decimal) and value.is_snan())),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(text, inner, max_size=5)
        | st.dictionaries(hashable, inner, max_size=5)
        | st.sets(hashable, max_size=5)
        | st.frozensets(hashable, max_size=5)
    ),
    max_leaves=25,
)
"""Everything the codec promises to keep."""

names = st.text(st.characters(codec="utf-8"), max_size=12)
counts = st.integers(0, 2**53)
stamps = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC) | offsets)
blobs = st.builds(BlobRef, uri=names, size_bytes=counts, sha256=names)
payloads = st.builds(Payload, inline=values.map(encode_value)) | st.builds(Payload, blob=blobs)
errors = st.builds(ErrorInfo, code=names, message=text, type=st.none() | names, line=st.none() | counts)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any subset of keyword arguments."""
    return st.fixed_dictionaries({}, optional=fields)


headers = st.builds(
    lambda required, optional: Header(**required, **optional),
    st.fixed_dictionaries(
        {"lifetime_id": st.uuids().map(str), "exec_id": st.uuids().map(str), "name": names, "created_at": stamps}
        | {
            "status": st.sampled_from(
                ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "WAITING", "REJECTED", "CANCELLED", "SKIPPED", "UNKNOWN"]
            )
        }
    ),
    some(graph_id=names, session_id=names, attempt=counts, iteration_idx=counts, edge_taken=names, started_at=stamps, ended_at=stamps),
)
telemetries = st.builds(
    lambda fields: Telemetry(**fields),
    some(
        tokens_in=counts,
        tokens_out=counts,
        cost_usd=st.decimals(0, 10_000, places=9).map(str),
        unpriced=st.booleans(),
        latency_ms=st.floats(0, 1e12),
        queue_ms=st.floats(0, 1e12),
        model=names,
    ),
)
links = st.builds(
    lambda fields: Links(**fields),
    some(parent_plan_exec_id=names, parent_task_exec_ids=st.lists(names, max_size=3).map(tuple), parent_exec_id=names, block_no=counts),
)
shared = {
    "seq": st.integers(1, 2**31),
    "header": headers,
    "links": links,
    "telemetry": telemetries,
    "messages": st.lists(st.builds(Message, content=text), max_size=2).map(tuple),
}
calls = st.builds(ToolCall, tool=names, ordinal=counts, args=payloads, idempotency_key=names, result=st.none() | payloads, error=errors)
manifests = st.builds(Manifest, graph_id=names, graph_version=names, graph_hash=names, title=text, resources=values.map(encode_value))
blocks = st.builds(
    SandboxBlock,
    block_no=counts,
    code=text,
    status=st.sampled_from(["ok", "error", "interrupted"]),
    calls=st.lists(st.builds(RecordedCall, tool=names, args=payloads, result=payloads), max_size=2).map(tuple),
    digest=names,
)

KINDS: dict[str, st.SearchStrategy[AnyEntry]] = {
    "lifetime_event": st.builds(
        LifetimeEvent, **shared, manifest=st.none() | manifests, input=st.none() | payloads, output=st.none() | payloads
    ),
    "task_execution": st.builds(
        TaskExecution, **shared, result=st.none() | st.builds(TaskResult, output=payloads, error=st.none() | errors)
    ),
    "plan_execution": st.builds(
        PlanExecution,
        **shared,
        result=st.builds(
            PlanResult, next_tasks=st.lists(st.builds(NextTask, name=names, args=st.none() | payloads), max_size=3).map(tuple), reason=text
        ),
    ),
    "tool_call": st.builds(ToolCallEntry, **shared, call=calls),
    "hitl_event": st.builds(
        HitlEvent,
        **shared,
        request=st.none() | st.builds(HitlRequest, title=text, args=payloads),
        response=st.builds(HitlResponse, note=text),
    ),
    "guardrail_event": st.builds(GuardrailEvent, **shared, verdict=st.builds(Verdict, message=text, values=st.dictionaries(names, text))),
    "sandbox_event": st.builds(SandboxEvent, **shared, item=st.builds(SandboxItem, name=names, value=payloads, block=st.none() | blocks)),
}
entries = st.one_of(*KINDS.values())
