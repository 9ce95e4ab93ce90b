"""Forks, joins, conditions, retries: the same record whatever the order in which branches finish."""

from __future__ import annotations

import asyncio
import random

import pytest

import workbench as wb
from tests.runtime.guarded import rule
from workbench.errors import RunFailed, RunStopped
from workbench.graph.edges import Edge, Join
from workbench.graph.nodes import RetryPolicy
from workbench.profiles import for_tests
from workbench.runtime.lifetime import RECENT


@pytest.fixture
def delays():
    """How long each `work` takes, by its argument; a test fills it."""
    return {}


@pytest.fixture
def nodes(delays):
    """begin → split, which forks into `work` once an item; every `work` joins at `gather`, which hands the list on to `last`."""

    @wb.task
    async def begin(items):
        return items

    @wb.plan
    async def split(given):
        return wb.PlanResult.each("work", given.value)

    @wb.task
    async def work(item):
        await asyncio.sleep(delays.get(str(item), 0))
        if item == "bad":
            raise ValueError("a bad item")
        return f"did {item}"

    @wb.plan
    async def gather(given):
        return wb.PlanResult.to("last", [value if not entry.result.error else entry.result.error.code for entry, value in pairs(given)])

    @wb.task
    async def last(values):
        return values

    return [begin, split, work, gather, last]


def pairs(given):
    return zip(given.executions, given.values, strict=True)


def fanned(nodes, join=None, **options):
    edges = [("Start", "begin"), ("begin", "split"), ("split", "work", "PARALLEL"), Edge("work", "gather", "JOIN", join=join)]
    return wb.AgentGraph("fan", nodes=nodes, edges=[*edges, ("gather", "last"), ("last", "End")], **options)


def finished(run, name):
    """The attempt and status of each execution of a task, in the order in which they finished."""
    entries = [entry for entry in run.entries() if entry.phase == "finished" and entry.header.name == name]
    return [(entry.header.attempt, entry.header.status) for entry in entries]


def names(run, kind="task_execution", phase="started"):
    return [entry.header.name for entry in run.entries() if entry.kind == kind and entry.phase == phase]


def test_a_fork_runs_one_branch_an_item_and_joins_once(bench, nodes):
    run = wb.start(fanned(nodes), ["a", "b", "c"], workbench=bench)
    assert run.result(5) == ["did a", "did b", "did c"]
    assert names(run) == ["begin", "work", "work", "work", "last"]
    assert names(run, "plan_execution", "finished").count("gather") == 1
    run.verify()


def test_branches_run_at_the_same_time(bench, nodes, delays):
    both = asyncio.Barrier(2)

    @wb.task
    async def work(item):
        async with asyncio.timeout(5):
            await both.wait()
        return item

    run = wb.start(fanned([work if node.name == "work" else node for node in nodes]), [1, 2], workbench=bench)
    assert run.result(5) == [1, 2]


def test_a_join_gets_its_inputs_in_the_order_of_the_branches_whatever_finishes_first(bench, nodes, delays):
    graph = fanned(nodes)
    for seed in range(1000):
        chance = random.Random(seed)
        delays.update({str(item): chance.choice([0, 0, 0.001, 0.002]) for item in range(4)})
        run = wb.start(graph, [0, 1, 2, 3], workbench=bench)
        assert run.result(5) == ["did 0", "did 1", "did 2", "did 3"]
        assert names(run, "plan_execution", "finished").count("gather") == 1


def test_a_fork_of_one_and_a_fork_of_none(bench, nodes):
    assert wb.start(fanned(nodes), ["a"], workbench=bench).result(5) == ["did a"]
    with pytest.raises(RunFailed, match="chose nothing"):
        wb.start(fanned(nodes), [], workbench=bench).result(5)


def test_branches_of_unequal_length_join_once():
    @wb.task
    def begin(x):
        return x

    @wb.plan
    async def split(given):
        return ["short", "long_one"]

    @wb.task
    def short(x):
        return "short"

    @wb.task
    def long_one(x):
        return "long"

    @wb.task
    def long_two(x):
        return f"{x} indeed"

    @wb.plan
    async def gather(given):
        return wb.PlanResult.to("End", list(given.values))

    edges = [("Start", "begin"), ("begin", "split"), ("split", "short", "PARALLEL"), ("split", "long_one", "PARALLEL")]
    edges += [("short", "gather", "JOIN"), ("long_one", "long_two"), ("long_two", "gather", "JOIN"), ("gather", "End")]
    graph = wb.AgentGraph("unequal", nodes=[begin, split, short, long_one, long_two, gather], edges=edges)
    bench = for_tests(1)
    assert wb.start(graph, 0, workbench=bench).result(5) == ["short", "long indeed"]
    bench.close()


def test_forks_nest(bench):
    @wb.task
    async def begin(x):
        return x

    @wb.plan
    async def outer(given):
        return wb.PlanResult.each("row", given.value)

    @wb.task
    async def row(values):
        return values

    @wb.plan
    async def inner(given):
        return wb.PlanResult.each("cell", given.value)

    @wb.task
    async def cell(value):
        await asyncio.sleep(0.001 * (value % 3))
        return value * 10

    @wb.plan
    async def gather_cells(given):
        return wb.PlanResult.to("total", list(given.values))

    @wb.task
    async def total(values):
        return sum(values)

    @wb.plan
    async def gather_rows(given):
        return wb.PlanResult.to("End", list(given.values))

    edges = [("Start", "begin"), ("begin", "outer"), ("outer", "row", "PARALLEL"), ("row", "inner"), ("inner", "cell", "PARALLEL")]
    edges += [("cell", "gather_cells", "JOIN"), ("gather_cells", "total"), ("total", "gather_rows", "JOIN"), ("gather_rows", "End")]
    graph = wb.AgentGraph("nested", nodes=[begin, outer, row, inner, cell, gather_cells, total, gather_rows], edges=edges)
    assert wb.start(graph, [[1, 2, 3], [4], [5, 6]], workbench=bench).result(5) == [60, 40, 110]


def test_any_takes_the_first_and_cancels_the_others(bench, nodes, delays):
    delays.update({"slow": 60})
    run = wb.start(fanned(nodes, Join(strategy="any")), ["slow", "quick", "slow"], workbench=bench)
    assert run.result(5) == ["did quick"]
    cancelled = [entry for entry in run.entries() if entry.header.status == "CANCELLED"]
    assert [entry.result.error.code for entry in cancelled] == ["superseded", "superseded"]
    run.verify()


@pytest.mark.parametrize(("join", "count"), [(Join(strategy="majority"), 3), (Join(strategy="n_of", count=2), 2)])
def test_enough_branches_are_enough(bench, nodes, delays, join, count):
    delays.update({"slow": 60})
    items = ["a", "b", "c", "slow", "slow"]
    assert len(wb.start(fanned(nodes, join), items, workbench=bench).result(5)) >= count


def test_a_cycle_around_a_fork_counts_its_rounds_in_the_branches_too(bench):
    @wb.task
    async def begin(rounds):
        return {"rounds": rounds, "items": ["a", "b"]}

    @wb.plan
    async def split(given):
        return wb.PlanResult.each("work", given.value["items"])

    @wb.task
    async def work(item):
        return item

    @wb.plan
    async def gather(given):
        return "End" if given.dispatched["begin"] == 3 else "begin"

    edges = [("Start", "begin"), ("begin", "split"), ("split", "work", "PARALLEL"), Edge("work", "gather", "JOIN")]
    graph = wb.AgentGraph("rounds", nodes=[begin, split, work, gather], edges=[*edges, ("gather", "begin"), ("gather", "End")])
    run = wb.start(graph, 3, workbench=bench)
    run.result(10)
    rounds = [(e.header.name, e.header.iteration_idx) for e in run.entries() if e.kind == "plan_execution" or e.phase == "started"]
    assert [number for name, number in rounds if name == "work"] == [0, 0, 1, 1, 2, 2]
    assert [number for name, number in rounds if name == "gather"] == [0, 1, 2]


def test_branches_that_all_finish_in_one_moment_are_all_handed_on(bench, nodes):
    """More of them than a live run keeps entries, and none is stored yet when the Plan looks."""
    items = [str(number) for number in range(10 * RECENT)]
    assert wb.start(fanned(nodes), items, workbench=bench).result(20) == [f"did {item}" for item in items]


def test_a_join_that_cannot_be_satisfied_fails_loudly(bench, nodes):
    join = Join(strategy="n_of", count=3, on_branch_failure="ignore")
    with pytest.raises(RunFailed, match=r"waits for 3 of 3 branches, and only 2") as caught:
        wb.start(fanned(nodes, join), ["a", "bad", "b"], workbench=bench).result(5)
    assert caught.value.error_code == "join_starved"


def test_a_failed_branch_fails_the_run_and_cancels_the_others(bench, nodes, delays):
    delays.update({"slow": 60})
    run = wb.start(fanned(nodes), ["slow", "bad"], workbench=bench)
    with pytest.raises(RunFailed, match="a bad item"):
        run.result(5)
    assert finished(run, "work") == [(1, "FAILED"), (1, "CANCELLED")]


def test_a_failed_branch_can_be_collected(bench, nodes):
    join = Join(on_branch_failure="collect")
    assert wb.start(fanned(nodes, join), ["a", "bad", "b"], workbench=bench).result(5) == ["did a", "node_failed", "did b"]


def test_a_failed_branch_can_be_ignored(bench, nodes):
    join = Join(on_branch_failure="ignore")
    assert wb.start(fanned(nodes, join), ["a", "bad", "b"], workbench=bench).result(5) == ["did a", "did b"]


def test_when_every_branch_has_failed_and_is_ignored_the_run_fails(bench, nodes):
    with pytest.raises(RunFailed, match="every branch has ended"):
        wb.start(fanned(nodes, Join(on_branch_failure="ignore")), ["bad", "bad"], workbench=bench).result(5)


def ending(policy):
    @wb.task
    async def begin(items):
        return items

    @wb.plan
    async def split(given):
        return wb.PlanResult.each("work", given.value)

    @wb.task
    async def work(seconds):
        await asyncio.sleep(seconds)
        return seconds

    edges = [("Start", "begin"), ("begin", "split"), ("split", "work", "PARALLEL"), ("work", "End")]
    return wb.AgentGraph("ending", nodes=[begin, split, work], edges=edges, final_policy=policy)


def test_without_a_join_the_run_drains_its_branches(bench):
    assert wb.start(ending("drain"), [0.02, 0, 0.01], workbench=bench).result(5) == [0.02, 0, 0.01]


def test_or_ends_with_the_first(bench):
    assert wb.start(ending("first"), [60, 0, 60], workbench=bench).result(5) == 0


def judged(value, **edge):
    @wb.task
    async def measure(x):
        return value

    @wb.task
    async def accept(x):
        return "accepted"

    @wb.task
    async def refuse(x):
        return "refused"

    edges = [("Start", "measure"), Edge("measure", "accept", condition="result.score >= 0.5", **edge), ("measure", "refuse")]
    return wb.AgentGraph("judged", nodes=[measure, accept, refuse], edges=[*edges, ("accept", "End"), ("refuse", "End")])


@pytest.mark.parametrize(("score", "outcome"), [(0.7, "accepted"), (0.2, "refused")])
def test_a_task_takes_the_first_edge_whose_condition_holds(bench, score, outcome):
    run = wb.start(judged({"score": score}), workbench=bench)
    assert run.result(5) == outcome
    taken = [entry.header.edge_taken for entry in run.entries() if entry.kind == "plan_execution"]
    assert taken[0] == ("measure->accept" if outcome == "accepted" else "measure->refuse")


def test_a_condition_that_cannot_be_evaluated_fails_the_run(bench):
    with pytest.raises(RunFailed, match=r"'result.score >= 0.5' cannot be evaluated"):
        wb.start(judged({"points": 3}), workbench=bench).result(5)


def test_a_plan_that_returns_none_leaves_the_choice_to_its_edges(bench):
    @wb.task
    async def begin(items):
        return {"items": items}

    @wb.plan
    async def by_edges(given):
        return None

    @wb.task
    async def work(item):
        return item * 2

    @wb.plan
    async def gather(given):
        return wb.PlanResult.to("End", list(given.values))

    edges = [("Start", "begin"), ("begin", "by_edges"), Edge("by_edges", "work", "PARALLEL", branch="result.items")]
    graph = wb.AgentGraph("mapped", nodes=[begin, by_edges, work, gather], edges=[*edges, ("work", "gather", "JOIN"), ("gather", "End")])
    assert wb.start(graph, [1, 2, 3], workbench=bench).result(5) == [2, 4, 6]


def flaky(failures, **options):
    left = iter(failures)

    @wb.task(**options)
    async def work(x, ctx):
        for failure in left:
            raise failure
        return ctx.attempt

    return work


def retried(work, repair=None):
    edges = [("Start", "work"), ("work", "End")]
    if repair is not None:
        edges += [Edge("work", "repair", on="error"), ("repair", "End")]
    return wb.AgentGraph("retried", nodes=[work, *([repair] if repair else [])], edges=edges)


def test_a_failed_task_is_tried_again_each_attempt_a_record_of_its_own(bench):
    run = wb.start(retried(flaky([OSError("one"), OSError("two")], retries=RetryPolicy(attempts=3, first_wait=0.01))), workbench=bench)
    assert run.result(5) == 3
    assert finished(run, "work") == [(1, "FAILED"), (2, "FAILED"), (3, "SUCCEEDED")]
    assert len({entry.header.exec_id for entry in run.entries() if entry.header.name == "work"}) == 3
    run.verify()


def test_retries_end(bench):
    with pytest.raises(RunFailed, match="two"):
        wb.start(retried(flaky([OSError("one"), OSError("two")], retries=RetryPolicy(attempts=2, first_wait=0))), workbench=bench).result(5)


def test_only_the_named_errors_are_tried_again(bench):
    policy = RetryPolicy(attempts=5, first_wait=0, retry_on=("OSError",))
    with pytest.raises(RunFailed, match="ValueError"):
        wb.start(retried(flaky([OSError("one"), ValueError("two")], retries=policy)), workbench=bench).result(5)


def test_backoff_waits_on_the_injected_clock():
    bench = for_tests(1)
    policy = RetryPolicy(attempts=4, first_wait=100, factor=10, longest_wait=5000, jitter=0)
    run = wb.start(retried(flaky([OSError()] * 3, retries=policy)), workbench=bench)
    assert run.result(5) == 4
    stamps = [entry.header.created_at for entry in run.entries() if entry.header.name == "work"]
    assert 6100 < (stamps[-1] - stamps[0]).total_seconds() < 6101
    bench.close()


def test_the_variation_of_a_wait_follows_from_the_execution():
    policy = RetryPolicy(attempts=9, jitter=0.5)
    waits = [policy.wait(3, f"execution {number}") for number in range(50)]
    assert waits == [policy.wait(3, f"execution {number}") for number in range(50)]
    assert all(2 <= wait <= 6 for wait in waits)
    assert len(set(waits)) > 40


def test_a_task_that_failed_for_good_takes_its_error_edge(bench):
    @wb.task
    async def repair(x):
        return "repaired"

    run = wb.start(retried(flaky([OSError("one")] * 9, retries=RetryPolicy(attempts=2, first_wait=0)), repair), workbench=bench)
    assert run.result(5) == "repaired"
    assert names(run) == ["work", "work", "repair"]


@pytest.mark.parametrize(("cap", "rounds"), [(10, 3), (2, 2)])
def test_a_loop_counts_its_rounds_and_ends_where_a_policy_caps_it(bench, cap, rounds):
    refine = wb.task(name="refine")(lambda value: value + 1)
    enough = wb.plan(name="enough")(lambda given: "End" if given.value == 3 else "refine")
    edges = [("Start", "refine"), ("refine", "enough"), ("enough", "refine"), ("enough", "End")]
    graph = wb.AgentGraph("loop", nodes=[refine, enough], edges=edges)
    run = wb.start(graph, 0, policy=rule(f"max(iteration_idx) >= {cap}", "abort_lifetime", on=["dispatch"]), workbench=bench)
    if cap == 2:
        with pytest.raises(RunStopped, match="guardrail 'r'"):
            run.result(5)
        assert names(run, "guardrail_event", "judged")
    else:
        assert run.result(5) == 3
    counts = [entry.header.iteration_idx for entry in run.entries() if entry.kind == "task_execution" and entry.phase == "started"]
    assert counts == list(range(rounds))
    run.verify()
