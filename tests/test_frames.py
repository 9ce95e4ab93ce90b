"""The frames: typed also when empty, joined by run and execution, filtered in the store, and in agreement with the fold."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from datetime import timedelta
from decimal import Decimal

import pandas as pd
import pytest

import workbench as wb
from workbench import frames
from workbench.current import set_current
from workbench.frames import reading
from workbench.loop import run_sync
from workbench.profiles import for_tests, local
from workbench.record.state import fold
from workbench.record.values import Usage
from workbench.runtime.clock import TickingClock

DECLARED = {
    "runs": frames.RUNS,
    "executions": frames.EXECUTIONS,
    "events": frames.EVENTS,
    "tool_calls": frames.TOOL_CALLS,
    "messages": frames.MESSAGES,
    "approvals": frames.APPROVALS,
    "verdicts": frames.VERDICTS,
    "costs": (frames.Column("run_id", frames.TEXT), *frames.COSTS),
}

FILLED = [name for name in DECLARED if name != "approvals"]
"""Nobody is asked in the runs of these tests; `test_frames_asked` has those."""


@pytest.fixture
def empty(current_bench):
    return current_bench


@wb.tool
def add(a: int, b: int = 1) -> int:
    return a + b


@wb.tool
def bad(a: int) -> int:
    raise ValueError("no")


@wb.task
async def priced(value, ctx):
    ctx.usage(Usage(tokens_in=10, tokens_out=5, cached_tokens=3, reasoning_tokens=2), model="m", cost_usd="0.000001500")
    await ctx.call_tool("add", {"a": 1})
    with contextlib.suppress(wb.ToolError):
        await ctx.call_tool("bad", {"a": 2})
    return "x" * 1_200_000 if value == "big" else value


@wb.task
async def unpriced(value, ctx):
    ctx.usage(Usage(tokens_in=1), model="m2", cost_usd=None)
    if value == "fail":
        raise ValueError("on purpose")
    return value


GRAPH = wb.AgentGraph("g", nodes=[priced, unpriced], edges=[("Start", "priced"), ("priced", "unpriced"), ("unpriced", "End")])


@pytest.fixture(scope="module")
def runs_of_all_kinds():
    """Runs that complete, fail, hold a big value and are an agent's own."""
    bench = for_tests(1)
    first, *_ = [wb.start(GRAPH, value, tools=[add, bad], workbench=bench) for value in ("one", "fail", "big")]
    for run in bench.runs():
        run_sync(ended(run))
    script = wb.models.Scripted(["```python\nadd(1)\nprint(2)\n```", "done"], usage=Usage(tokens_in=7, tokens_out=2))
    agent = wb.Agent(script, tools=[add], engine="monty", policy="tokens_used > 8 -> warn", workbench=bench)
    agent.run("Add.")
    agent.close()
    first.fork(3, confirm=True).result(5)
    yield bench
    bench.close()


@pytest.fixture
def filled(runs_of_all_kinds):
    set_current(runs_of_all_kinds)
    yield runs_of_all_kinds
    set_current(None)


async def ended(run):
    await run.wait()


@pytest.mark.parametrize("name", DECLARED)
def test_a_frame_of_an_empty_store_has_its_typed_columns(empty, name):
    frame = getattr(wb.frames, name)()
    assert len(frame) == 0
    assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == {c.name: c.dtype for c in DECLARED[name]}


@pytest.mark.parametrize("name", FILLED)
def test_a_frame_has_the_same_types_when_it_is_filled(filled, name):
    frame = getattr(wb.frames, name)()
    assert len(frame) > 0
    assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == {c.name: c.dtype for c in DECLARED[name]}


@pytest.mark.parametrize("name", FILLED)
def test_every_column_is_filled_by_some_run(filled, name):
    frame = getattr(wb.frames, name)()
    assert [column for column in frame if frame[column].isna().all()] == []


def test_the_frames_join_on_run_and_execution(filled):
    calls = wb.frames.tool_calls().merge(wb.frames.executions(), on=["run_id", "exec_id"], suffixes=("", "_execution"))
    calls = calls.merge(wb.frames.runs(), on="run_id", suffixes=("", "_run"))
    assert len(calls) == len(wb.frames.tool_calls()) == 9
    assert set(calls.kind) == {"task"}
    assert set(wb.frames.messages().run_id) < set(wb.frames.runs().run_id)


COUNTED = [
    "tokens_in",
    "tokens_out",
    "cached_tokens",
    "reasoning_tokens",
    "unpriced",
    "tasks",
    "plans",
    "tool_calls",
    "tool_errors",
]


def test_totals_are_what_the_fold_says(filled):
    runs = wb.frames.runs().set_index("run_id")
    for run in wb.runs():
        state, row = fold(run.entries()), runs.loc[run.id]
        for name in (
            "tokens_in",
            "tokens_out",
            "cached_tokens",
            "reasoning_tokens",
            "unpriced",
            "tasks",
            "plans",
            "tool_calls",
            "tool_errors",
        ):
            assert row[name] == getattr(state.totals, name), name
        assert row["status"] == state.status
        assert row["cost_usd"] == Decimal(state.totals.cost_nano).scaleb(-9)
        assert row["entries"] == state.seq
        assert row["duration_s"] == (state.ended_at - state.created_at).total_seconds()


def test_executions_agree_with_the_entries(filled):
    frame = wb.frames.executions()
    for run in wb.runs():
        mine = frame[frame.run_id == run.id]
        finished = [e for e in run.entries() if e.kind in ("task_execution", "plan_execution") and e.phase == "finished"]
        assert sorted(mine.exec_id) == sorted(e.header.exec_id for e in finished)
        assert sorted(mine.status) == sorted(e.header.status for e in finished)


def test_a_value_that_lies_in_a_blob_is_shown_as_a_reference(filled):
    big = [value for value in wb.frames.runs().value if isinstance(value, dict) and "blob" in value]
    assert [value["size_bytes"] for value in big] == [1_200_002]
    outputs = [value for value in wb.frames.executions().output if isinstance(value, dict) and "blob" in value]
    assert len(outputs) == 2


def test_a_failed_run_says_why_and_a_failed_call_too(filled):
    (failed,) = wb.frames.runs().query("status == 'failed'").itertuples()
    assert failed.error_code == "node_failed"
    assert "on purpose" in failed.error
    calls = wb.frames.tool_calls().query("status == 'FAILED'")
    assert set(calls.error_type) == {"ValueError"}
    assert set(calls.tool) == {"bad"}


@pytest.mark.parametrize("name", DECLARED)
def test_filtering_by_run_takes_a_run_or_its_id(filled, name):
    frame, run = getattr(wb.frames, name), wb.runs()[0]
    whole = frame()
    expected = whole[whole.run_id == run.id].reset_index(drop=True)
    pd.testing.assert_frame_equal(frame(run=run), expected)
    pd.testing.assert_frame_equal(frame(run=run.id), expected)
    assert len(frame(run="nothing")) == 0


def test_filtering_by_time_includes_its_beginning_and_not_its_end(filled):
    runs = wb.frames.runs()
    second, third = runs.started_at[1], runs.started_at[2]
    assert list(wb.frames.runs(since=second).run_id) == list(runs.run_id[1:])
    assert list(wb.frames.runs(until=third).run_id) == list(runs.run_id[:2])
    assert list(wb.frames.runs(since=second, until=third).run_id) == [runs.run_id[1]]
    assert list(wb.frames.runs(since=second.tz_localize(None)).run_id) == list(runs.run_id[1:])
    assert list(wb.frames.runs(since=second.tz_convert("Asia/Tokyo").isoformat()).run_id) == list(runs.run_id[1:])
    events = wb.frames.events(since=second)
    assert (events["at"] >= second).all()
    assert len(wb.frames.runs(since=runs.started_at.max() + timedelta(days=1))) == 0


def test_a_run_selected_by_its_beginning_is_counted_whole(filled):
    runs = wb.frames.runs()
    (row,) = wb.frames.runs(until=runs.started_at[1]).itertuples()
    assert row.tool_calls == 2


@pytest.mark.parametrize("name", DECLARED)
def test_filtering_by_session(filled, name):
    frame = getattr(wb.frames, name)
    assert len(frame(session=filled.session_id)) == len(frame())
    assert len(frame(session="another")) == 0


def test_a_run_that_goes_on_has_no_end_and_its_execution_runs(tmp_path):
    bench = local(home=tmp_path)
    set_current(bench)

    @wb.task
    async def wait(value):
        await asyncio.sleep(60)

    run = wb.start(wb.AgentGraph("w", nodes=[wait], edges=[("Start", "wait"), ("wait", "End")]))
    (row,) = wb.frames.runs().itertuples()
    assert (row.status, pd.isna(row.ended_at), pd.isna(row.duration_s)) == ("running", True, True)
    assert list(wb.frames.executions().status) == ["RUNNING"]
    run.stop()
    run_sync(run.wait())
    assert list(wb.frames.executions().status) == ["CANCELLED"]
    assert list(wb.frames.runs().status) == ["aborted"]
    set_current(None)
    bench.close()


def test_a_frame_longer_than_a_batch_is_whole(empty, monkeypatch):
    monkeypatch.setattr(reading, "BATCH", 3)
    wb.start(GRAPH, "one", tools=[add, bad]).result(5)
    assert list(wb.frames.events().seq) == list(range(1, len(wb.runs()[0].entries()) + 1))


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_after_a_frame_as_it_was_before_even_if_it_fails(filled, enabled):
    if not enabled:
        gc.disable()
    try:
        wb.frames.executions()
        with pytest.raises(ValueError, match="when"):
            wb.frames.events(since="when")
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_messages_are_counted_from_0_in_each_conversation(filled):
    frame = wb.frames.messages()
    assert list(frame["index"]) == list(range(len(frame)))
    assert list(frame.role) == ["system", "user", "assistant", "user", "assistant"]


def test_the_clock_of_the_test_profile_gives_distinct_times(filled):
    assert isinstance(filled.clock, TickingClock)
    assert wb.frames.runs().started_at.is_unique
