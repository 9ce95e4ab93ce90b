"""`decide`: pure, and consistent with every record: what follows a prefix is what was decided on it."""

from __future__ import annotations

import contextlib
import copy
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from workbench.graph.graph import AgentGraph
from workbench.profiles import for_tests
from workbench.record.entries import ENTRY
from workbench.record.envelope import AnyEntry, LifetimeEvent, PlanExecution, TaskExecution
from workbench.record.state import RunState, apply, fold
from workbench.runtime.decide import Complete, Fail, Retry, RunPlan, StartTask, decide, illegal_route


@wb.task
async def count(value):
    return value - 1


@wb.task
async def fail(value):
    raise ValueError("on purpose")


@wb.task
async def call(value, ctx):
    return await ctx.call_tool("add", {"a": value})


@wb.plan
async def again(given):
    if given.value > 0:
        return "count"
    return "fail" if given.settings["nodes"] and given.value < 0 else "call"


@wb.tool
def add(a: int) -> int:
    return a + 1


GRAPH = wb.AgentGraph(
    "looping",
    nodes=[count, again, call, fail],
    edges=[
        ("Start", "count"),
        ("count", "again"),
        ("again", "count"),
        ("again", "call"),
        ("again", "fail"),
        ("fail", "End"),
        ("call", "End"),
    ],
)


@wb.plan
async def split(given):
    return wb.PlanResult.each("half", [1, 2, 3])


@wb.task(retries=1)
async def half(value, ctx):
    if ctx.attempt == 1 and value == 2:
        raise ValueError("not yet")
    return value / 2


@wb.plan
async def gather(given):
    return wb.PlanResult.to("End", sum(given.values))


FAN = wb.AgentGraph(
    "fan",
    nodes=[count, split, half, gather],
    edges=[("Start", "count"), ("count", "split"), ("split", "half", "PARALLEL"), ("half", "gather", "JOIN"), ("gather", "End")],
)


@cache
def records() -> list[tuple[AgentGraph, tuple[AnyEntry, ...]]]:
    """Whole records: completed, failed, an agent's, and a stopped one."""
    bench = for_tests(3)
    runs = [wb.start(GRAPH, value, tools=[add], workbench=bench) for value in (1, 4, 0)]
    runs.append(wb.start(FAN, 1, workbench=bench))
    agent = wb.Agent(
        wb.models.Scripted(["```python\nadd(1)\n```", "```\nfinish(add(2))\n```"]), tools=[add], engine="monty", workbench=bench
    )
    runs.append(agent.start("Add."))
    graphs = [run._life.graph for run in runs]
    for run in runs:
        with contextlib.suppress(wb.errors.RunFailed):
            run.result(20)
    agent.close()
    found = [(graph, tuple(run.entries())) for graph, run in zip(graphs, runs, strict=True)]
    bench.close()
    return found


@st.composite
def prefixes_of_records(draw) -> tuple[AgentGraph, list[AnyEntry], list[AnyEntry]]:
    """A graph, a beginning of one of its records, and what followed."""
    graph, entries = draw(st.sampled_from(records()))
    cut = draw(st.integers(1, len(entries)))
    return graph, list(entries[:cut]), list(entries[cut:])


prefixes = prefixes_of_records()


def carrying_out(command, future):
    """The entry with which a retry is dispatched: it has to wait, and other branches go on meanwhile."""
    return next(entry for entry in future if entry.header.exec_id == command.exec_id)


@given(prefixes)
def test_the_next_entry_is_what_was_decided(prefix):
    graph, past, future = prefix
    commands = decide(graph, fold(past))
    if not commands:
        assert not future or (not isinstance(future[0], PlanExecution) and future[0].phase in ("finished", "intent", "outcome"))
        return
    command = commands[0]
    entry = future[0] if not isinstance(command, Retry) else carrying_out(command, future)
    match command:
        case RunPlan():
            assert isinstance(entry, PlanExecution)
            assert (entry.header.name, entry.header.exec_id) == (command.plan, command.exec_id)
            assert entry.links.parent_task_exec_ids == tuple(task.exec_id for task in command.tasks)
            assert (entry.header.branch_path, entry.links.joins) == (command.branch, command.joins)
        case StartTask():
            assert isinstance(entry, TaskExecution)
            header = entry.header
            assert (header.name, header.exec_id, header.edge_taken) == (command.name, command.exec_id, command.edge)
            assert (header.input_id, header.iteration_idx) == (command.input_id, command.iteration_idx)
            assert header.branch_path == command.branch
        case Retry():
            assert (entry.header.exec_id, entry.header.attempt) == (command.exec_id, command.task.attempt + 1)
            assert entry.links.supersedes == command.task.exec_id
        case Complete():
            assert isinstance(entry, LifetimeEvent)
            assert entry.to_status == "completed"
        case Fail():
            assert isinstance(entry, LifetimeEvent)
            assert entry.to_status == "failed"


@given(prefixes)
def test_deciding_changes_nothing_and_twice_is_the_same(prefix):
    graph, past, _ = prefix
    state = fold(past)
    before = copy.deepcopy(state)
    assert decide(graph, state) == decide(graph, state)
    assert state == before


@given(prefixes)
def test_what_is_decided_does_not_depend_on_how_the_record_was_read(prefix):
    graph, past, _ = prefix
    stepwise = RunState()
    for entry in past:
        apply(stepwise, ENTRY.validate_json(entry.model_dump_json(by_alias=True, exclude_none=True)))
    assert decide(graph, stepwise) == decide(graph, fold(past))


@given(prefixes)
def test_carrying_a_decision_out_takes_it_out_of_the_next_one(prefix):
    graph, past, future = prefix
    decided = [command for command in decide(graph, fold(past)) if not isinstance(command, Retry)]
    if decided:
        assert not set(map(repr, decided)) & set(map(repr, decide(graph, fold([*past, *future[: len(decided)]]))))


@pytest.mark.parametrize("which", range(5))
def test_tasks_and_plans_alternate_along_parent_links(which):
    _, entries = records()[which]
    kind_of = {entry.header.exec_id: type(entry) for entry in entries if isinstance(entry, TaskExecution | PlanExecution)}
    for entry in entries:
        if isinstance(entry, PlanExecution):
            assert {kind_of[parent] for parent in entry.links.parent_task_exec_ids} == {TaskExecution}
        elif isinstance(entry, TaskExecution) and entry.phase == "started" and entry.links.parent_plan_exec_id:
            assert kind_of[entry.links.parent_plan_exec_id] is PlanExecution


def test_an_empty_record_calls_for_the_first_task_and_an_ended_one_for_nothing():
    graph, entries = records()[0]
    (command,) = decide(graph, fold(entries[:1]))
    assert (command.name, command.choice, command.iteration_idx) == (graph.entry, None, 0)
    assert decide(graph, fold(entries)) == []


def test_ids_differ_between_lifetimes_and_between_rounds_of_a_cycle():
    seen = [entry.header.exec_id for _, entries in records() for entry in entries if entry.phase == "started"]
    assert len(seen) == len(set(seen))


def test_implicit_plans_are_entries_like_any_other():
    _, entries = records()[0]
    (plan,) = [entry for entry in entries if isinstance(entry, PlanExecution) and entry.header.name == "call->End"]
    assert plan.result.next_task_names == ("End",)


def test_a_route_is_legal_if_an_edge_leads_there():
    assert illegal_route(GRAPH, "again", ("count",)) is None
    assert illegal_route(GRAPH, "again", ("End",)).code == "illegal_route"
    assert "only PARALLEL edges" in illegal_route(GRAPH, "again", ("count", "call")).message
