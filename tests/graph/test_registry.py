"""GraphRegistry: a version keeps its content, and new content has a version that says so."""

from __future__ import annotations

import pytest

import workbench as wb
from workbench.errors import GraphError
from workbench.graph.edges import Edge
from workbench.graph.registry import Version, compare


@wb.task
def fetch(value):
    return value


@wb.task
def tidy(value):
    return value


@wb.plan
def judge(given):
    return "End"


EDGES = [Edge("Start", "fetch"), Edge("fetch", "judge"), Edge("judge", "fetch"), Edge("judge", "End")]


def graph(version="1.0.0", *, nodes=(fetch, judge), edges=EDGES, **options):
    return wb.AgentGraph("g", version=version, nodes=nodes, edges=edges, **options)


def patched(version):
    return graph(version, nodes=[wb.task(name="fetch", timeout=5)(fetch.run), judge])


def grown(version):
    return graph(version, nodes=[fetch, judge, tidy], edges=[*EDGES, Edge("judge", "tidy"), Edge("tidy", "judge")])


def broken(version):
    return graph(version, edges=[*EDGES[:3], Edge("judge", "End", condition="result.ok")])


@pytest.fixture
def registry():
    registry = wb.GraphRegistry()
    registry.register(graph())
    return registry


def content(graph):
    registry = wb.GraphRegistry()
    registry.register(graph)
    return registry.content(graph.name, graph.version)


def refused(registry, graph):
    before = dict(registry.contents)
    with pytest.raises(GraphError) as caught:
        registry.register(graph)
    assert registry.contents == before
    return caught.value.faults


def test_the_same_graph_again_is_no_change(registry):
    assert not list(registry.register(graph()))
    assert registry.versions("g") == ["1.0.0"]


def test_the_same_version_with_other_content_is_refused_with_what_has_changed(registry):
    assert refused(registry, grown("1.0.0")) == (
        "version 1.0.0 is registered with other content",
        "node 'tidy' was added",
        "edge 'judge->tidy' was added",
        "edge 'tidy->judge' was added",
        "register it as 1.1.0",
    )


@pytest.mark.parametrize(
    ("change", "bump", "least"),
    [(patched, "patch", "1.0.1"), (grown, "minor", "1.1.0"), (broken, "major", "2.0.0")],
)
def test_a_version_must_say_how_much_has_changed(registry, change, bump, least):
    assert refused(registry, change("1.0.0"))[-1] == f"register it as {least}"
    assert registry.register(change(least)).bump == bump


@pytest.mark.parametrize(("change", "version"), [(grown, "1.0.1"), (broken, "1.0.1"), (broken, "1.9.0"), (broken, "2.0.0-rc.1")])
def test_a_version_that_says_less_is_refused(registry, change, version):
    assert f"version {version} says less than what has changed since 1.0.0" in refused(registry, change(version))[0]


def test_a_larger_step_than_needed_is_allowed(registry):
    assert registry.register(patched("3.0.0")).bump == "patch"


def test_before_the_first_release_a_minor_step_is_enough():
    registry = wb.GraphRegistry()
    registry.register(graph("0.1.0"))
    assert refused(registry, broken("0.1.1"))[-1] == "register it as 0.2.0"
    assert registry.register(broken("0.2.0")).bump == "major"


def test_until_it_is_released_a_version_may_change():
    registry = wb.GraphRegistry()
    for version, change in (("1.0.0-rc.1", graph), ("1.0.0-rc.2", broken), ("1.0.0", grown)):
        registry.register(change(version))
    assert registry.versions("g") == ["1.0.0-rc.1", "1.0.0-rc.2", "1.0.0"]


def test_a_maintained_older_version_is_compared_with_the_one_before_it(registry):
    registry.register(broken("2.0.0"))
    assert registry.register(patched("1.0.1")).bump == "patch"
    assert registry.versions("g") == ["1.0.0", "1.0.1", "2.0.0"]


def test_removed_and_changed_parts_are_named(registry):
    smaller = graph(nodes=[fetch], edges=[("Start", "fetch"), ("fetch", "End")])
    changes = compare(registry.content("g", "1.0.0"), content(smaller))
    assert changes.breaking == (
        "node 'judge' was removed",
        *(f"edge {edge!r} was removed" for edge in ("fetch->judge", "judge->fetch", "judge->End")),
    )
    assert changes.added == ("edge 'fetch->End' was added",)


def test_a_node_that_becomes_a_plan_and_another_final_policy_are_breaking(registry):
    found = compare(registry.content("g", "1.0.0"), content(graph(final_policy="first")))
    assert found.breaking == ("final_policy was 'drain' and is 'first'",)
    plan = {**registry.content("g", "1.0.0"), "nodes": {"fetch": ["plan", "fetch", None], "judge": ["plan", "judge", None]}}
    assert compare(registry.content("g", "1.0.0"), plan).breaking == ("node 'fetch' was changed",)


def test_labels_and_order_are_no_change(registry):
    again = graph(nodes=[judge, wb.task(label="Fetch!")(fetch.run)], edges=[*reversed(EDGES[:3]), Edge("judge", "End", label="done")])
    assert not list(registry.register(again))


def test_what_is_registered_survives_in_any_mapping():
    kept = {}
    wb.GraphRegistry(contents=kept).register(graph())
    assert "other content" in refused(wb.GraphRegistry(contents=dict(kept)), grown("1.0.0"))[0]


def test_graphs_of_different_names_do_not_meet():
    registry = wb.GraphRegistry()
    registry.register(graph())
    registry.register(wb.AgentGraph("g@2", nodes=[fetch], edges=[("Start", "fetch"), ("fetch", "End")]))
    assert (registry.versions("g"), registry.versions("g@2")) == (["1.0.0"], ["1.0.0"])


def test_an_unknown_version_is_refused_with_the_known_ones(registry):
    with pytest.raises(GraphError, match=r"version 9\.0\.0 is not registered; registered are: 1\.0\.0"):
        registry.content("g", "9.0.0")


def test_versions_are_ordered_as_numbers():
    versions = [Version.of(text) for text in ("0.9.0", "1.0.0-rc.1", "1.0.0", "1.0.10", "1.2.0", "10.0.0")]
    assert versions == sorted(versions)
