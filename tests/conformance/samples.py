"""Entries to put into stores: small, valid, and different wherever a query can tell them apart."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from workbench.record.codec import GENESIS
from workbench.record.entries import StoredEntry, store_entry
from workbench.record.envelope import Header, Links, TaskExecution, TaskResult, Telemetry, ToolCallEntry
from workbench.record.values import Message, Payload, ToolCall, make_id

EPOCH = datetime(2026, 1, 31, 10, tzinfo=UTC)


def lifetime(number: int = 0) -> str:
    """The id of the lifetime with that number."""
    return str(uuid.UUID(int=number + 1, version=4))


def stamp(second: int) -> str:
    """The `created_at` column of an entry made at that second."""
    return (EPOCH + timedelta(seconds=second)).isoformat(timespec="microseconds")


def tasks(
    lifetime_id: str,
    count: int,
    *,
    after: int = 0,
    head: str = GENESIS,
    session_id: str | None = None,
    text: str = "ünï ✓",
    at: int | None = None,
) -> list[StoredEntry]:
    """`count` entries of a lifetime that continue `head`: Tasks that start (odd numbers) and finish (even ones), a second apart."""
    entries = []
    for seq in range(after + 1, after + count + 1):
        starts = seq % 2 == 1
        entry = TaskExecution(
            seq=seq,
            phase="started" if starts else "finished",
            header=Header(
                lifetime_id=lifetime_id,
                exec_id=make_id(lifetime_id, (seq - 1) // 2),
                name=f"task_{(seq - 1) // 2}",
                status="RUNNING" if starts else "SUCCEEDED",
                created_at=EPOCH + timedelta(seconds=seq if at is None else at),
                session_id=session_id,
            ),
            telemetry=Telemetry() if starts else Telemetry(tokens_in=10 * seq, cost_usd="0.000001500", latency_ms=1.25, model="scripted:x"),
            messages=() if starts else (Message(role="assistant", content=text),),
            result=None if starts else TaskResult(output=Payload(inline={"n": seq})),
        )
        entries.append(store_entry(entry, head))
        head = entries[-1].hash
    return entries


def tool_call(lifetime_id: str, *, after: int, head: str, at: int = 0) -> StoredEntry:
    """One intent of a tool call."""
    entry = ToolCallEntry(
        seq=after + 1,
        phase="intent",
        header=Header(
            lifetime_id=lifetime_id,
            exec_id=make_id(lifetime_id, "call", after),
            name="get_weather",
            status="RUNNING",
            created_at=EPOCH + timedelta(seconds=at),
        ),
        links=Links(parent_exec_id=make_id(lifetime_id, 0)),
        call=ToolCall(tool="get_weather", ordinal=0, args=Payload(inline={"city": "Wien"}), idempotency_key="k"),
    )
    return store_entry(entry, head)


def heads(entries: Sequence[StoredEntry]) -> tuple[int, str]:
    """The number and hash of the last of `entries`."""
    return entries[-1].seq, entries[-1].hash
