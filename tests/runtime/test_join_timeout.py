"""Joins with a timeout: what has not arrived in time is decided by the record alone, in this process or in the one that goes on with it."""

from __future__ import annotations

import asyncio
import time

import pytest

import workbench as wb
from workbench.adapters.memory import MemoryStateStore
from workbench.errors import RunFailed
from workbench.runtime.clock import ManualClock
from workbench.runtime.decide import RunPlan, decide


@wb.task(idempotent=True)
async def begin(value):
    return value


@wb.plan
async def split(given):
    return wb.PlanResult.each("work", given.value)


@wb.task(idempotent=True)
async def work(value):
    if value == "never":
        await asyncio.Event().wait()
    return value


@wb.plan
async def gather(given):
    return wb.PlanResult.to("End", list(given.values))


def fan(**terms) -> wb.AgentGraph:
    join = wb.Join(timeout="10m", **terms)
    edges = [
        ("Start", "begin"),
        ("begin", "split"),
        ("split", "work", "PARALLEL"),
        wb.Edge("work", "gather", "JOIN", join=join),
        ("gather", "End"),
    ]
    return wb.AgentGraph("fan", nodes=[begin, split, work, gather], edges=edges)


def until(condition) -> None:
    """Wait for another thread."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen")


def out_of_time(bench, clock, graph, value):
    """A run whose branches have done what they can when ten minutes pass."""
    run = wb.start(graph, value, workbench=bench)
    done = sum(item != "never" for item in value) + 1
    until(lambda: clock.asleep and run.state.totals.tasks == done)
    clock.advance(599)
    assert not run.state.terminal
    clock.advance(1)
    return run


@pytest.fixture
def clock():
    return ManualClock()


@pytest.mark.parametrize("failure", ["collect", "ignore"])
def test_the_plan_looks_at_what_has_arrived_in_time(benches, clock, failure):
    run = out_of_time(benches(clock=clock), clock, fan(on_branch_failure=failure), ["a", "never", "c"])
    assert run.result(5) == ["a", "c"]
    assert [entry.reason for entry in run.entries() if entry.phase == "expired"] == ["600 s are over"]
    run.verify()


def test_without_leave_to_do_with_less_the_run_fails(benches, clock):
    run = out_of_time(benches(clock=clock), clock, fan(), ["a", "never"])
    with pytest.raises(RunFailed, match="1 of the 2 branches of plan 'split'"):
        run.result(5)
    assert run.state.error.code == "join_timeout"
    run.verify()


@pytest.mark.parametrize("failure", ["fail", "collect", "ignore"])
def test_a_join_at_which_nothing_has_arrived_fails_the_run(benches, clock, failure):
    run = out_of_time(benches(clock=clock), clock, fan(on_branch_failure=failure), ["never", "never"])
    with pytest.raises(RunFailed, match="0 of the 2"):
        run.result(5)


def test_fewer_than_asked_for_are_enough_when_the_time_is_over(benches, clock):
    run = out_of_time(benches(clock=clock), clock, fan(strategy="n_of", count=3, on_branch_failure="collect"), ["a", "never", "never"])
    assert run.result(5) == ["a"]


def test_a_join_that_comes_about_in_time_has_no_timer_in_its_record(benches, clock):
    run = wb.start(fan(), ["a", "b"], workbench=benches(clock=clock))
    assert run.result(5) == ["a", "b"]
    assert not [entry for entry in run.entries() if entry.phase == "expired"]
    assert clock.asleep == []


def test_a_process_that_goes_on_with_the_run_has_what_is_left_of_the_time(benches, clock):
    graph, state = fan(on_branch_failure="ignore"), MemoryStateStore()
    first = benches(clock=clock, state=state)
    run = wb.start(graph, ["a", "never"], workbench=first)
    until(lambda: clock.asleep and run.state.totals.tasks == 2)
    clock.advance(400)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "close", first.bus.close)
        first.close()
    again = wb.resume(run.id, graph=graph, workbench=benches(clock=clock, state=state))
    until(lambda: clock.asleep)
    assert clock.asleep[0] == 200
    clock.advance(200)
    assert again.result(5) == ["a"]
    again.verify()


def test_every_prefix_of_the_record_decides_what_followed(benches, clock):
    graph = fan(on_branch_failure="collect")
    run = out_of_time(benches(clock=clock), clock, graph, ["a", "never", "c"])
    run.result(5)
    entries = run.entries()
    for entry in entries:
        if entry.kind != "plan_execution":
            continue
        decided = decide(graph, run.at(entry.seq - 1))
        assert [command.exec_id for command in decided if isinstance(command, RunPlan)] == [entry.header.exec_id]
    expired = next(entry.seq for entry in entries if entry.phase == "expired")
    assert decide(graph, run.at(expired - 1)) == []


def test_a_fork_after_the_time_was_over_is_a_record_that_holds(benches, clock):
    run = out_of_time(benches(clock=clock), clock, fan(on_branch_failure="collect"), ["a", "never"])
    run.result(5)
    fork = run.fork(at=run.entries()[-1].seq - 1)
    assert fork.result(5) == ["a"]
    fork.verify()


def test_terms_of_time_are_checked_where_they_stand():
    with pytest.raises(wb.errors.UserError, match="'soon' is no length of time; give seconds, or a text such as '90 s'"):
        wb.Join(timeout="soon")
    with pytest.raises(wb.errors.GraphError, match=r"edge work->gather joins with timeout -1\.0"):
        wb.AgentGraph(
            "g",
            nodes=[begin, split, work, gather],
            edges=[*fan().edges[:3], wb.Edge("work", "gather", "JOIN", join=wb.Join(timeout=-1)), ("gather", "End")],
        )


def test_a_join_belongs_to_its_own_fork_and_not_to_one_inside_it():
    @wb.plan
    async def inner(given):
        return "leaf"

    @wb.plan
    async def inner_gather(given):
        return "work"

    leaf = wb.task(name="leaf")(lambda value: value)
    branch = wb.task(name="branch")(lambda value: value)
    edges = [
        ("Start", "begin"),
        ("begin", "split"),
        ("split", "branch", "PARALLEL"),
        ("branch", "inner"),
        ("inner", "leaf", "PARALLEL"),
        wb.Edge("leaf", "inner_gather", "JOIN", join=wb.Join(timeout=1)),
        ("inner_gather", "work"),
        wb.Edge("work", "gather", "JOIN", join=wb.Join(timeout=2)),
        ("gather", "End"),
    ]
    graph = wb.AgentGraph("nested", nodes=[begin, split, branch, inner, leaf, inner_gather, work, gather], edges=edges)
    assert (graph.join_after("split"), graph.join_after("inner")) == ("gather", "inner_gather")
    assert (graph.join_timeout("split"), graph.join_timeout("inner")) == (2, 1)
