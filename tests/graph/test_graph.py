"""AgentGraph: what it accepts, what it refuses and how it says so."""

from __future__ import annotations

import dataclasses
import random

import pytest

import workbench as wb
from workbench.errors import GraphError, UserError
from workbench.graph.edges import Edge, Join


@wb.task
def fetch(value):
    return value


@wb.task
async def tidy(value, ctx):
    return value


@wb.plan
def review(given):
    return "End"


@wb.plan
def other(given):
    return "fetch"


GOOD = [("Start", "fetch"), ("fetch", "review"), ("review", "tidy"), ("tidy", "review"), ("review", "End")]


def graph(nodes=(fetch, tidy, review), edges=GOOD, **options):
    return wb.AgentGraph("g", nodes=nodes, edges=edges, **options)


def faults(nodes, edges, **options):
    with pytest.raises(GraphError) as caught:
        graph(nodes, edges, **options)
    return caught.value.faults


def named(name):
    return wb.task(name=name)(lambda value: value)


FAULTS = {
    "a version that is not semantic": ([fetch], [("Start", "fetch"), ("fetch", "End")], {"version": "1.0"}, "'1.0' is not semantic"),
    "two nodes of one name": ([fetch, named("fetch")], [("Start", "fetch"), ("fetch", "End")], {}, "'fetch' is used 2 times"),
    "a task and a plan of one name": ([fetch, wb.plan(name="fetch")(len)], [("Start", "fetch"), ("fetch", "End")], {}, "used 2 times"),
    "a node named Start": ([named("Start")], [("Start", "End")], {}, "pseudo-node"),
    "a node named End": ([fetch, named("End")], [("Start", "fetch"), ("fetch", "End")], {}, "pseudo-node"),
    "an unknown source": ([fetch], [("Start", "fetch"), ("fetch", "End"), ("ghost", "End")], {}, "there is no node 'ghost'"),
    "an unknown target": (
        [fetch, review],
        [("Start", "fetch"), ("fetch", "review"), ("review", "End"), ("review", "x")],
        {},
        "no node 'x'",
    ),
    "an edge out of End": ([fetch], [("Start", "fetch"), ("fetch", "End"), ("End", "fetch")], {}, "out of End"),
    "an edge into Start": ([fetch], [("Start", "fetch"), ("fetch", "End"), ("fetch", "Start")], {}, "into Start"),
    "an edge of no known type": ([fetch], [("Start", "fetch", "SIDEWAYS"), ("fetch", "End")], {}, "type 'SIDEWAYS'"),
    "a fork by a task": ([fetch, tidy], [("Start", "fetch"), ("fetch", "tidy", "PARALLEL"), ("tidy", "End")], {}, "a plan forks"),
    "a join without a fork": ([fetch, tidy, review], [GOOD[0], ("fetch", "review", "JOIN"), *GOOD[2:]], {}, "no PARALLEL edge leads there"),
    "a join out of a plan": ([fetch, tidy, review], [*GOOD[:2], ("review", "tidy", "JOIN"), *GOOD[3:]], {}, "tasks join at a plan"),
    "an n_of join without a number": (
        [fetch, tidy, review],
        [*GOOD[:2], ("review", "tidy", "PARALLEL"), Edge("tidy", "review", "JOIN", join=Join(strategy="n_of")), GOOD[4]],
        {},
        "say how many",
    ),
    "terms of joining elsewhere": ([fetch], [("Start", "fetch"), Edge("fetch", "End", join=Join())], {}, "only JOIN edges have"),
    "a branch elsewhere": ([fetch], [("Start", "fetch"), Edge("fetch", "End", branch="result")], {}, "once an item"),
    "a conditional beginning": ([fetch], [Edge("Start", "fetch", condition="result"), ("fetch", "End")], {}, "out of Start"),
    "an error edge out of a plan": ([fetch, tidy, review], [*GOOD[:4], Edge("review", "End", on="error")], {}, "only tasks fail"),
    "a NORMAL edge into End": ([fetch], [("Start", "fetch"), Edge("fetch", "End", "NORMAL")], {}, "edges into End are FINAL"),
    "a FINAL edge elsewhere": ([fetch], [Edge("Start", "fetch", "FINAL"), ("fetch", "End")], {}, "no others are"),
    "a plan after a plan": (
        [fetch, review, other],
        [("Start", "fetch"), ("fetch", "review"), ("review", "other"), ("other", "fetch"), ("review", "End")],
        {},
        "from a plan to a plan",
    ),
    "an edge given twice": ([fetch], [("Start", "fetch"), ("fetch", "End"), ("fetch", "End")], {}, "given 2 times"),
    "no way in": ([fetch], [("fetch", "End")], {}, "Start must lead to exactly one task"),
    "two ways in": ([fetch, tidy], [("Start", "fetch"), ("Start", "tidy"), ("fetch", "End"), ("tidy", "End")], {}, "exactly one task"),
    "a plan as the way in": ([review, fetch], [("Start", "review"), ("review", "fetch"), ("fetch", "End")], {}, "exactly one task"),
    "straight through": ([], [("Start", "End")], {}, "exactly one task"),
    "nothing at all": ([], [], {}, "leads to nothing"),
    "a task with two followers": (
        [fetch, tidy, review],
        [("Start", "fetch"), ("fetch", "tidy"), ("fetch", "review"), ("tidy", "End"), ("review", "End")],
        {},
        "without conditions",
    ),
    "an unreachable node": ([fetch, tidy], [("Start", "fetch"), ("fetch", "End"), ("tidy", "End")], {}, "'tidy' cannot be reached"),
    "a dead end": ([fetch, tidy, review], [*GOOD[:2], ("review", "tidy"), ("review", "End")], {}, "'tidy' cannot reach End"),
    "a cycle without a way out": ([fetch, tidy], [("Start", "fetch"), ("fetch", "tidy"), ("tidy", "fetch")], {}, "cannot reach End"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_graph_is_refused_that_has(case):
    nodes, edges, options, words = FAULTS[case]
    assert any(words in fault for fault in faults(nodes, edges, **options))


def test_every_fault_is_listed_at_once_and_in_the_message():
    found = faults([fetch, named("fetch"), tidy], [("Start", "fetch"), ("fetch", "nowhere")], version="one")
    assert len(found) >= 4
    with pytest.raises(GraphError) as caught:
        graph([fetch, named("fetch"), tidy], [("Start", "fetch"), ("fetch", "nowhere")], version="one")
    assert all(fault in str(caught.value) for fault in found)


@pytest.mark.parametrize("text", ["result.ok ==", "__import__('os')", "resul.ok", "result.__class__"])
def test_a_condition_that_is_no_expression_is_refused_with_its_edge(text):
    with pytest.raises(UserError, match="edge review->tidy"):
        Edge("review", "tidy", condition=text)


@pytest.mark.parametrize("version", ["1.0.0", "0.0.1", "10.20.30", "1.0.0-rc.1", "1.0.0+build.5"])
def test_semantic_versions_are_accepted(version):
    assert graph(version=version).version == version


@pytest.mark.parametrize("version", ["", "1", "1.0", "v1.0.0", "1.0.0\n", "1.0.0 ", "1.0.x", "\u0661.0.0"])
def test_other_versions_are_refused(version):
    assert "semantic" in faults([fetch, tidy, review], GOOD, version=version)[0]


def test_a_graph_with_a_cycle_is_accepted():
    assert [edge.target for edge in graph().choices("review")] == ["tidy", "End"]


def test_an_implicit_plan_stands_between_tasks_and_before_the_end():
    made = graph([fetch, tidy], [("Start", "fetch"), ("fetch", "tidy"), ("tidy", "End")])
    assert list(made.plans) == ["fetch->tidy", "tidy->End"]
    assert [[edge.target for edge in made.choices(plan)] for plan in made.plans] == [["tidy"], ["End"]]
    assert set(made.nodes) == {"fetch", "tidy"}


def test_the_edge_type_follows_from_the_target():
    assert [edge.type for edge in graph().edges] == ["NORMAL"] * 4 + ["FINAL"]


def test_the_hash_does_not_depend_on_the_order_of_nodes_and_edges():
    expected = graph().hash
    for seed in range(5):
        nodes, edges = [fetch, tidy, review], list(GOOD)
        random.Random(seed).shuffle(nodes)
        random.Random(seed).shuffle(edges)
        assert graph(nodes, edges).hash == expected


@pytest.mark.parametrize(
    "changed",
    [
        lambda: wb.AgentGraph("h", nodes=[fetch, tidy, review], edges=GOOD),
        lambda: graph(version="1.0.1"),
        lambda: graph([dataclasses.replace(fetch, timeout=1.0) if node is fetch else node for node in (fetch, tidy, review)]),
        lambda: graph([fetch, wb.task(idempotent=True)(tidy.run), review]),
        lambda: graph([fetch, tidy, wb.plan(timeout=2.0)(review.choose)]),
        lambda: graph(edges=[*GOOD, ("review", "fetch")]),
        lambda: graph(edges=[*GOOD[:4], Edge("review", "End", priority=1)]),
        lambda: graph(edges=[*GOOD[:4], Edge("review", "End", condition="result.ok")]),
        lambda: wb.AgentGraph("g", nodes=[fetch, tidy, review], edges=GOOD, final_policy="first"),
        lambda: graph([fetch, wb.task(retries=2)(tidy.run), review]),
    ],
)
def test_the_hash_changes_with_name_version_options_and_edges(changed):
    assert changed().hash != graph().hash


def test_a_graph_cannot_be_changed():
    made = graph()
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.version = "2.0.0"
    for mapping in (made.nodes, made.plans):
        with pytest.raises(TypeError):
            mapping["fetch"] = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.edges[0].target = "End"


def test_the_nodes_given_may_be_an_iterator_and_changing_the_list_later_changes_nothing():
    edges = list(GOOD)
    made = wb.AgentGraph("g", nodes=iter([fetch, tidy, review]), edges=edges)
    edges.clear()
    assert len(made.edges) == 5


def test_the_decorators_name_nodes_after_their_functions_and_take_options():
    named_task = wb.task(name="other_name", timeout=3, idempotent=True)(fetch.run)
    assert (fetch.name, fetch.timeout, fetch.idempotent, fetch.is_async, fetch.takes_context) == ("fetch", None, False, False, False)
    assert (named_task.name, named_task.timeout, named_task.idempotent) == ("other_name", 3, True)
    assert (tidy.is_async, tidy.takes_context) == (True, True)
    assert (wb.plan(name="p", timeout=1)(review.choose).name, review.is_async) == ("p", False)


@pytest.mark.parametrize("wrong", [lambda: None, lambda a, b, c: None])
def test_a_task_takes_a_value_or_a_value_and_a_context(wrong):
    with pytest.raises(UserError, match="arguments"):
        wb.task(wrong)


@pytest.mark.parametrize("wrong", [lambda: None, lambda a, b: None])
def test_a_plan_takes_its_input_alone(wrong):
    with pytest.raises(UserError, match="PlanInput"):
        wb.plan(wrong)


def test_a_node_needs_a_function():
    with pytest.raises(UserError, match="int"):
        wb.Task(name="t", run=3)


def test_source_hashes_tell_functions_apart_and_survive_builtins():
    hashes = graph([fetch, wb.task(name="tidy")(len), review]).source_hashes()
    assert len(set(hashes.values())) == 3


def test_a_callable_object_is_a_task():
    class Doubling:
        def __call__(self, value):
            return 2 * value

    class Waiting:
        async def __call__(self, value, ctx):
            return 2 * value

    doubling, waiting = wb.Task(name="double", run=Doubling()), wb.Task(name="wait", run=Waiting())
    assert (doubling.takes_context, doubling.is_async) == (False, False)
    assert (waiting.takes_context, waiting.is_async) == (True, True)


def test_a_bare_function_in_place_of_a_node_is_told_what_to_do() -> None:
    def fetch(url: str) -> str:
        return url

    with pytest.raises(GraphError, match=r"'fetch' is no node; decorate it with @wb\.task or @wb\.plan"):
        wb.AgentGraph("g", nodes=[fetch], edges=[("Start", "fetch"), ("fetch", "End")])  # type: ignore[list-item]


@pytest.mark.parametrize("make", [wb.task, wb.plan])
def test_a_name_in_place_of_a_nodes_function_is_refused(make) -> None:
    with pytest.raises(UserError, match="'fetch' needs a function; got str"):
        make("fetch")
