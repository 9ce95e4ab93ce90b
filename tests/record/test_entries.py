"""Entries ⇄ stored bytes, their columns, and the chain that shows every alteration."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from docs.schemas.example import example_run
from tests.record.strategies import KINDS, entries
from workbench.errors import RecordCorrupt, StoreTooNew
from workbench.record.codec import GENESIS, MAX_DEPTH, chain, decode_value, encode_value
from workbench.record.entries import COLUMNS, StoredEntry, columns_of, decode_entry, encode_entry, said_in, store_entry, verify_chain
from workbench.record.envelope import (
    AnyEntry,
    Header,
    LifetimeEvent,
    PlanExecution,
    SandboxEvent,
    TaskExecution,
    TaskResult,
    Telemetry,
    ToolCallEntry,
)
from workbench.record.sandbox_items import RecordedCall, SandboxBlock, SandboxItem
from workbench.record.values import ErrorInfo, Message, Payload, make_id, nano_dollars

LIFETIME = "00000000-0000-4000-8000-000000000001"


def header(**fields: Any) -> Header:
    return Header(**{"lifetime_id": LIFETIME, "exec_id": "e", "name": "n", "status": "SUCCEEDED", "created_at": datetime.now(UTC)} | fields)


def finished(value: Any = None, **fields: Any) -> TaskExecution:
    result = TaskResult(output=Payload(inline=encode_value(value)))
    return TaskExecution(**{"seq": 1, "header": header(), "phase": "finished", "result": result} | fields)


def forged(data: bytes, seq: int = 1) -> StoredEntry:
    return StoredEntry(lifetime_id=LIFETIME, seq=seq, prev_hash=GENESIS, hash=chain(GENESIS, data), data=data, columns=())


def stored_run() -> list[StoredEntry]:
    run: list[StoredEntry] = []
    for entry in example_run():
        run.append(store_entry(entry, run[-1].hash if run else GENESIS))
    return run


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_an_entry_of_every_kind_comes_back_equal(kind: str, data: st.DataObject) -> None:
    entry = data.draw(KINDS[kind])
    stored = store_entry(entry, GENESIS)
    assert (entry.kind, entry) == (kind, decode_entry(stored))
    assert encode_entry(decode_entry(stored)) == stored.data


@given(entries)
def test_columns_are_the_same_before_and_after_storing(entry: AnyEntry) -> None:
    stored = store_entry(entry, GENESIS)
    assert stored.columns == columns_of(decode_entry(stored))


@given(entries)
def test_columns_hold_only_what_every_database_can(entry: AnyEntry) -> None:
    assert {type(value) for value in columns_of(entry)} <= {str, int, float, type(None)}


def test_columns_are_named_and_read_from_the_entry() -> None:
    telemetry = Telemetry(cost_usd="0.000000001", tokens_in=3, unpriced=False, model="m")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    columns = dict(zip(COLUMNS, columns_of(finished(telemetry=telemetry, header=header(created_at=at))), strict=True))
    assert (columns["cost_nano"], columns["tokens_in"], columns["unpriced"], columns["model"]) == (1, 3, 0, "m")
    assert columns["created_at"] == "2026-01-01T00:00:00.000000+00:00"


def test_an_unknown_price_has_no_cost_rather_than_zero() -> None:
    columns = dict(zip(COLUMNS, columns_of(finished(telemetry=Telemetry(unpriced=True))), strict=True))
    assert (columns["cost_nano"], columns["unpriced"]) == (None, 1)


@pytest.mark.parametrize("value", [None, {"a": None}, [None], -0.0, 1e22, 2**63 - 1, {1: {2: (3,)}}])
def test_a_result_survives_the_entry_it_lies_in(value: Any) -> None:
    entry = decode_entry(store_entry(finished(value), GENESIS))
    assert isinstance(entry, TaskExecution)
    assert repr(decode_value(entry.result.output.inline)) == repr(value)  # type: ignore[union-attr]


def test_the_deepest_value_can_be_read_back_from_the_deepest_place() -> None:
    deepest: Any = None
    for _ in range(MAX_DEPTH):
        deepest = [deepest]
    call = RecordedCall(tool="t", args=Payload(inline=encode_value(deepest)))
    block = SandboxBlock(block_no=1, code="", engine="monty", status="ok", calls=(call,), digest="")
    entry = SandboxEvent(seq=1, header=header(), phase="block", item=SandboxItem(action="block", block=block))
    assert decode_entry(store_entry(entry, GENESIS)) == entry


@pytest.mark.parametrize("broken", ["\ud83d", "a\udfffb"])
def test_half_a_character_in_text_is_kept_as_its_escape(broken: str) -> None:
    entry = finished(
        messages=(Message(role="assistant", content=broken),),
        result=TaskResult(error=ErrorInfo(code="tool_failed", message=broken)),
    )
    assert decode_entry(store_entry(entry, GENESIS)).messages[0].content == broken.encode(errors="backslashreplace").decode()


def test_stamps_are_stored_in_utc() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert finished(header=header(created_at=noon)).header.created_at.isoformat() == "2026-01-01T10:00:00+00:00"


@pytest.mark.parametrize(
    "make",
    [
        lambda: header(created_at=datetime(2026, 1, 1)),
        lambda: Telemetry(latency_ms=float("nan")),
        lambda: Telemetry(cost_usd="a lot"),
        lambda: Telemetry(cost_usd="NaN"),
        lambda: finished(seq=0),
        lambda: finished(surprise=1),
        lambda: header(status="DONE"),
    ],
)
def test_an_entry_that_would_mislead_cannot_be_made(make: Callable[[], Any]) -> None:
    with pytest.raises(ValidationError):
        make()


def test_an_entry_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        finished().seq = 2  # type: ignore[misc]


def altered(**fields: Any) -> bytes:
    return json.dumps(json.loads(encode_entry(finished())) | fields).encode()


def test_an_entry_of_a_newer_version_asks_for_an_upgrade() -> None:
    with pytest.raises(StoreTooNew, match=r"workbench\.envelope/2.*upgrade"):
        decode_entry(forged(altered(schema="workbench.envelope/2", brand_new={"x": 1})))


JUNK = {
    "nothing": b"",
    "not json": b"not json",
    "half": encode_entry(finished())[:-9],
    "not utf-8": b'{"kind": "\xff"}',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "deep": b"[" * 100_000,
    "deep in a field": b'{"schema":"workbench.envelope/1","kind":' + b"[" * 100_000,
    "deep and complete": b'{"schema":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "unknown kind": altered(kind="wish"),
    "unknown field": altered(wish=1),
    "no header": altered(header=None),
    "another format": altered(schema="elsewhere/1"),
    "schema is no text": altered(schema=2),
}


@pytest.mark.parametrize("data", JUNK.values(), ids=JUNK)
def test_junk_is_refused_with_its_place(data: bytes) -> None:
    with pytest.raises(RecordCorrupt, match=rf"entry 7 of {LIFETIME} is not valid") as caught:
        decode_entry(forged(data, seq=7))
    assert (caught.value.lifetime_id, caught.value.seq) == (LIFETIME, 7)


@pytest.mark.parametrize("name", sorted(JUNK.keys() - {"unknown kind", "unknown field"}))
def test_what_junk_says_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(RecordCorrupt, match=rf"entry 7 of {LIFETIME} is not valid"):
        said_in(LIFETIME, 7, JUNK[name])
    with pytest.raises(StoreTooNew, match="upgrade"):
        said_in(LIFETIME, 7, altered(schema="workbench.envelope/2"))


@given(entries)
def test_what_an_entry_says_is_what_the_entry_has(entry: AnyEntry) -> None:
    said, whole = said_in(entry.header.lifetime_id, entry.seq, encode_entry(entry)), entry.model_dump()
    links, telemetry, result = said.get("links", {}), said.get("telemetry", {}), said.get("result") or {}
    for name in ("sandbox_id", "block_no", "parent_exec_id"):
        assert links.get(name) == whole["links"][name]
    assert (telemetry.get("cost_usd"), telemetry.get("tool_calls", 0)) == (entry.telemetry.cost_usd, entry.telemetry.tool_calls)
    if isinstance(entry, ToolCallEntry):
        assert said["call"] == entry.call
    if isinstance(entry, TaskExecution):
        assert (result.get("output"), result.get("error")) == ((entry.result.output, entry.result.error) if entry.result else (None, None))
    if isinstance(entry, PlanExecution):
        assert [task["name"] for task in result.get("next_tasks", ())] == list(entry.result.next_task_names)


@pytest.mark.parametrize("other", [{"seq": 2}, {"header": header(lifetime_id=LIFETIME[:-1] + "2")}])
def test_an_entry_stored_under_another_name_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(RecordCorrupt, match="says it is entry"):
        decode_entry(forged(encode_entry(finished(**other))))
    with pytest.raises(RecordCorrupt, match="says it is entry"):
        said_in(LIFETIME, 1, encode_entry(finished(**other)))


def test_a_whole_chain_verifies_and_gives_its_head() -> None:
    run = stored_run()
    assert verify_chain(iter(run), LIFETIME) == (len(run), run[-1].hash)


def test_a_chain_verifies_in_parts() -> None:
    run = stored_run()
    after, head = verify_chain(iter(run[:4]), LIFETIME)
    assert verify_chain(iter(run[4:]), LIFETIME, head, after) == (len(run), run[-1].hash)


def test_nothing_is_a_whole_chain() -> None:
    assert verify_chain(iter([]), LIFETIME) == (0, GENESIS)


def flipped(run: list[StoredEntry], at: int) -> list[StoredEntry]:
    data = bytearray(run[at].data)
    data[len(data) // 2] ^= 1
    return [*run[:at], replace(run[at], data=bytes(data)), *run[at + 1 :]]


def rehashed(run: list[StoredEntry], at: int) -> list[StoredEntry]:
    """The forger also computes the altered entry's own hash."""
    entry = flipped(run, at)[at]
    return [*run[:at], replace(entry, hash=chain(entry.prev_hash, entry.data)), *run[at + 1 :]]


def swapped(run: list[StoredEntry], at: int) -> list[StoredEntry]:
    one, other = run[at], run[at + 1]
    return [*run[:at], replace(other, seq=one.seq), replace(one, seq=other.seq), *run[at + 2 :]]


def dropped(run: list[StoredEntry], at: int) -> list[StoredEntry]:
    return run[:at] + run[at + 1 :]


def renumbered(run: list[StoredEntry], at: int) -> list[StoredEntry]:
    return run[:at] + [replace(entry, seq=entry.seq - 1) for entry in run[at + 1 :]]


def repeated(run: list[StoredEntry], at: int) -> list[StoredEntry]:
    return [*run[:at], run[at - 1], *run[at:]]


def cheaper(run: list[StoredEntry], at: int) -> list[StoredEntry]:
    column = list(COLUMNS).index("name")
    columns = (*run[at].columns[:column], "other", *run[at].columns[column + 1 :])
    return [*run[:at], replace(run[at], columns=columns), *run[at + 1 :]]


@pytest.mark.parametrize("attack", [flipped, swapped, dropped, renumbered, repeated, cheaper])
@pytest.mark.parametrize("at", [1, 3, 5])
def test_an_alteration_is_found_where_it_was_made(attack: Callable[[list[StoredEntry], int], list[StoredEntry]], at: int) -> None:
    with pytest.raises(RecordCorrupt) as caught:
        verify_chain(iter(attack(stored_run(), at)), LIFETIME)
    assert (caught.value.lifetime_id, caught.value.seq) == (LIFETIME, at + 1)


@pytest.mark.parametrize("at", [1, 3, 5])
def test_an_alteration_with_a_matching_hash_breaks_the_chain_at_the_latest_one_further(at: int) -> None:
    with pytest.raises(RecordCorrupt) as caught:
        verify_chain(iter(rehashed(stored_run(), at)), LIFETIME)
    assert caught.value.seq in (at + 1, at + 2)


@given(st.data())
def test_no_flipped_bit_goes_unseen(data: st.DataObject) -> None:
    run = stored_run()
    at = data.draw(st.integers(0, len(run) - 1))
    byte, bit = data.draw(st.integers(0, len(run[at].data) - 1)), data.draw(st.integers(0, 7))
    altered = bytearray(run[at].data)
    altered[byte] ^= 1 << bit
    with pytest.raises(RecordCorrupt, match=f"entry {at + 1} .* altered"):
        verify_chain(iter([*run[:at], replace(run[at], data=bytes(altered)), *run[at + 1 :]]), LIFETIME)


@pytest.mark.parametrize(("one", "other"), [(("a", "b"), ("a|b",)), (("a", 1), ("a1",)), (("", "a"), ("a", ""))])
def test_ids_of_different_causes_differ(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert make_id(LIFETIME, *one) != make_id(LIFETIME, *other)


def test_an_id_depends_on_its_cause_and_scope_only() -> None:
    assert make_id(LIFETIME, "task", 1) == make_id(LIFETIME, "task", 1)
    assert make_id(LIFETIME, "task", 1) != make_id(make_id(LIFETIME, "fork"), "task", 1)


@pytest.mark.parametrize(
    ("dollars", "nano"), [("1", 10**9), ("0.0000000005", 0), ("0.0000000015", 2), ("-2.5", -2_500_000_000), ("1E-9", 1)]
)
def test_dollars_become_whole_nano_dollars(dollars: str, nano: int) -> None:
    assert nano_dollars(dollars) == nano


def test_an_unused_field_is_left_out_of_the_bytes() -> None:
    created = LifetimeEvent(seq=1, header=header(), phase="created", to_status="running")
    assert b"null" not in encode_entry(created)


@given(st.uuids(), st.lists(st.one_of(st.text(), st.integers())))
def test_an_id_is_the_uuid5_of_its_cause(scope: uuid.UUID, cause: list[object]) -> None:
    assert make_id(str(scope), *cause) == str(uuid.uuid5(scope, json.dumps([str(part) for part in cause])))
