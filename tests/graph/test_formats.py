"""Graphs as text: what is written is read back the same, and what is wrong is refused with all its lines."""

from __future__ import annotations

import dataclasses
import json
import time
from itertools import pairwise

import pytest
import yaml
from hypothesis import given, settings

import workbench as wb
from tests.graph.anygraph import bare, choose, graphs, work
from workbench.errors import GraphError
from workbench.graph import outline
from workbench.graph.edges import Edge, Join
from workbench.graph.nodes import Plan, RetryPolicy, Task
from workbench.graph.outline import MAX_TEXT

FORMS = ("dot", "yaml", "json")
FETCH, JUDGE = Task(name="fetch", run=work), Plan(name="judge", choose=choose)


def write(graph, form):
    return getattr(graph, f"to_{form}")()


def read(text, form, nodes=(FETCH, JUDGE)):
    return getattr(wb.AgentGraph, f"from_{form}")(text, nodes=nodes)


def faults(text, form, nodes=(FETCH, JUDGE)):
    with pytest.raises(GraphError) as caught:
        read(text, form, nodes)
    return caught.value.faults


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60)
@given(graph=graphs())
def test_what_is_written_is_read_back_the_same(form, graph):
    for nodes in (list(graph.nodes.values()), bare(graph)):
        back = read(write(graph, form), form, nodes)
        assert (back, back.hash) == (graph, graph.hash)


@settings(max_examples=30)
@given(graph=graphs())
def test_any_chain_of_formats_ends_where_it_began(graph):
    nodes = list(graph.nodes.values())
    there = read(write(read(write(graph, "dot"), "dot", nodes), "yaml"), "yaml", nodes)
    assert write(read(write(there, "json"), "json", nodes), "dot") == write(graph, "dot")


@settings(max_examples=30)
@given(graph=graphs())
def test_any_reader_of_yaml_sees_what_any_reader_of_json_sees(graph):
    assert yaml.safe_load(write(graph, "yaml")) == json.loads(write(graph, "json"))


THE_SAME = {
    "dot": """
        digraph review {
          version="2.0.0"; final_policy=first
          fetch [type=task, timeout="30 s", attempts=3];  judge [type="plan" label="Good\\nenough?"]
          Start -> fetch -> judge -> fetch
          judge -> End [condition="result.accepted", priority=2]
        }""",
    "yaml": """
        name: review
        version: 2.0.0
        final_policy: first
        nodes:
        - {name: fetch, type: task, timeout: 30, attempts: 3}
        - name: judge
          type: plan
          label: "Good\\nenough?"
        edges:
        - {source: Start, target: fetch}
        - {source: fetch, target: judge}
        - {source: judge, target: fetch}
        - {source: judge, target: End, condition: result.accepted, priority: 2}
        """,
    "json": """
        {"name": "review", "version": "2.0.0", "final_policy": "first",
         "nodes": [{"name": "fetch", "type": "task", "timeout": 30, "attempts": 3},
                   {"name": "judge", "type": "plan", "label": "Good\\nenough?"}],
         "edges": [{"source": "Start", "target": "fetch"}, {"source": "fetch", "target": "judge"}, {"source": "judge", "target": "fetch"},
                   {"source": "judge", "target": "End", "condition": "result.accepted", "priority": 2}]}
        """,
}


def test_one_graph_has_one_hash_in_every_format_and_in_python():
    built = wb.AgentGraph(
        "review",
        version="2.0.0",
        final_policy="first",
        nodes=[
            dataclasses.replace(FETCH, timeout=30, retries=RetryPolicy(attempts=3)),
            dataclasses.replace(JUDGE, label="Good\nenough?"),
        ],
        edges=[("Start", "fetch"), ("fetch", "judge"), ("judge", "fetch"), Edge("judge", "End", condition="result.accepted", priority=2)],
    )
    graphs = [read(text, form) for form, text in THE_SAME.items()]
    assert {graph.hash for graph in graphs} == {built.hash}
    assert graphs == [built] * 3


def test_options_in_the_text_win_and_the_others_stay_as_in_the_code():
    code = [Task(name="fetch", run=work, timeout=5, idempotent=True, retries=RetryPolicy(attempts=2, jitter=0.5)), JUDGE]
    fetch = read(THE_SAME["yaml"], "yaml", code).task("fetch")
    assert (fetch.timeout, fetch.idempotent, fetch.retries) == (30, True, RetryPolicy(attempts=3, jitter=0.5))


def test_a_library_of_nodes_serves_a_text_that_names_some():
    assert set(read(THE_SAME["dot"], "dot", [FETCH, JUDGE, Task(name="other", run=work)]).nodes) == {"fetch", "judge"}


def test_yaml_takes_on_and_no_and_versions_as_text():
    text = "name: no\nversion: 1.0.0\nnodes: [{name: on, type: task}]\n"
    text += "edges: [{source: Start, target: on}, {source: on, target: End, on: success}]"
    graph = read(text, "yaml", [Task(name="on", run=work)])
    assert (graph.name, list(graph.nodes)) == ("no", ["on"])


@pytest.mark.parametrize(("stated", "seconds"), [("90 s", 90), ("10m", 600), ("250ms", 0.25), ("2 h", 7200), ("1.5d", 129600), (7, 7)])
def test_times_may_have_a_unit(stated, seconds):
    text = json.dumps({"name": "g", "nodes": [{"name": "fetch", "type": "task", "timeout": stated}], "edges": LINE})
    assert read(text, "json").task("fetch").timeout == pytest.approx(seconds)


LINE = [{"source": "Start", "target": "fetch"}, {"source": "fetch", "target": "End"}]

WRONG = {
    "dot": """digraph g {
  version = one
  final_policy = never
  fetch [type="task", timeout=soon, atempts=3]
  judge [type="plan", idempotent=true]
  ghost [type="task"]
  thing
  fetch [type="task"]
  Start -> fetch
  fetch -> judge [priority=high]
  judge -> nowhere [edge_type=SIDEWAYS]
  judge -> End [condition="result.ok =="]
  judge -> End
}""",
    "yaml": """name: g
version: one
final_policy: never
nodes:
- {name: fetch, type: task, timeout: soon, atempts: 3}
- {name: judge, type: plan, idempotent: true}
- {name: ghost, type: task}
- {name: thing}
- {name: fetch, type: task}
edges:
- {source: Start, target: fetch}
- {source: fetch, target: judge, priority: high}
- {source: judge, target: nowhere, edge_type: SIDEWAYS}
- {source: judge, target: End, condition: result.ok ==}
- {source: judge, target: End}
""",
}
WRONG["json"] = """{"name": "g", "version": "one",
"final_policy": "never", "nodes": [

{"name": "fetch", "type": "task", "timeout": "soon", "atempts": 3},
{"name": "judge", "type": "plan", "idempotent": true},
{"name": "ghost", "type": "task"},
{"name": "thing"},
{"name": "fetch", "type": "task"}], "edges": [

{"source": "Start", "target": "fetch"},
{"source": "fetch", "target": "judge", "priority": "high"},
{"source": "judge", "target": "nowhere", "edge_type": "SIDEWAYS"},
{"source": "judge", "target": "End", "condition": "result.ok =="},
{"source": "judge", "target": "End"}]}"""

EXPECTED = [
    ("fetch", "timeout is 'soon'; give seconds"),
    ("fetch", "no 'atempts'; it may have"),
    ("judge", "no 'idempotent'"),
    ("ghost", "no code; give a task"),
    ("thing", "has type None"),
    ("fetch->judge", "priority is 'high'; give a whole number"),
    ("nowhere", "there is no node"),
    ("SIDEWAYS", "the types are"),
    ("result.ok ==", "is not an expression"),
    ("ghost", "cannot be reached"),
    ("thing", "cannot reach End"),
]
"""Words of each fault; the line is that on which the first of them stands first."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("words", EXPECTED, ids=lambda words: words[1])
def test_every_fault_is_listed_with_its_line(form, words):
    subject, says = words
    lines = WRONG[form].splitlines()
    place = subject.replace("->", {"dot": " -> ", "yaml": ", target: ", "json": '", "target": "'}[form])
    possible = [number for number, line in enumerate(lines, start=1) if place in line]
    (fault,) = [fault for fault in faults(WRONG[form], form) if subject in fault and says in fault]
    assert any(fault.startswith(f"line {number}: ") for number in possible), (fault, possible)


@pytest.mark.parametrize("form", FORMS)
def test_the_rest_is_listed_too(form):
    found = "\n".join(faults(WRONG[form], form))
    for words in ("'one' is not semantic", "final_policy 'never'", "edge judge->End is given 2 times"):
        assert words in found


def test_a_fault_of_several_edges_names_every_line():
    (fault,) = [fault for fault in faults(WRONG["yaml"], "yaml") if "given 2 times" in fault]
    assert fault == "line 14: edge judge->End is given 2 times (also line 15)"


def test_a_kind_that_differs_from_the_code_is_a_fault():
    text = "digraph g { fetch [type=plan]; Start -> fetch -> End }"
    assert "line 1: node 'fetch' is a plan here and a task in the code" in faults(text, "dot")


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        ("yaml", "", "a graph is a mapping"),
        ("yaml", "- 1", "a graph is a mapping"),
        ("yaml", "name: g\nnodes: 3\nedges: [x, {source: a}]", "nodes is a list of mappings"),
        ("yaml", "name: g\nnodes:\n- 7", "entry 1 is '7'"),
        ("yaml", "name: g\nedges:\n- {source: a}", "line 3: edges: entry 1 needs source and target"),
        ("yaml", "nodes: []\nedges: []", "has no name"),
        ("yaml", "name: g\nname: h", "line 2: 'name' is given twice"),
        ("yaml", "name: g\n? [a]\n: 3", "line 2: a key is a word"),
        ("yaml", "name: [", "line 1: this is not YAML"),
        ("yaml", "name: g\n---\nname: h", "this is not YAML"),
        ("yaml", "name: g\nnodes: !!python/object/apply:os.system ['true']", "line 2: this is not YAML"),
        ("yaml", "name: g\nnodes: &a [*a]", "line 2: anchors and aliases"),
        ("yaml", "name: g\nn: {x: &a 1}", "line 2: anchors and aliases"),
        ("yaml", "name: " + "[" * 50, "nested more than 10 deep"),
        ("yaml", "name: \x00", "this is not YAML"),
        ("json", "", "line 1: this is not JSON"),
        ("json", '{"name": "g",\n "nodes": ]}', "line 2: this is not JSON"),
        ("json", '{"name": "g", "name": "h"}', "'name' is given twice"),
        ("json", '{"name": "g", "version": NaN}', "NaN is no number"),
        ("json", "[" * 100_000, "not the JSON of a graph"),
        ("json", '{"name": "g", "x": ' + "9" * 10_000 + "}", "not the JSON of a graph"),
        ("json", "[]", "a graph is a mapping"),
    ],
)
def test_a_text_that_is_no_graph_is_refused(form, text, words):
    assert any(words in fault for fault in faults(text, form)), faults(text, form)


@pytest.mark.parametrize("form", FORMS)
def test_a_text_that_is_too_long_is_refused_before_it_is_read(form):
    assert f"may have {MAX_TEXT}" in faults("{" * (MAX_TEXT + 1), form)[0]


@pytest.mark.parametrize(
    "unit", ["[", "{", "{a: ", "[[],", "- ", "? ", "&a ", '"', "'", "a: b\n ", "# \n", "*a ", "!x ", "\\", "{};", "-> "]
)
@pytest.mark.parametrize("form", FORMS)
def test_hostile_text_is_refused_and_soon(form, unit):
    begun = time.monotonic()
    assert faults((unit * 60_000)[:60_000], form)
    assert time.monotonic() - begun < 20


def test_a_large_graph_is_read_and_checked_without_growing_slow():
    nodes = [Task(name=f"t{number}", run=work) for number in range(1500)]
    names = ["Start", *(node.name for node in nodes), "End"]
    graph = wb.AgentGraph("large", nodes=nodes, edges=list(pairwise(names)))
    begun = time.monotonic()
    assert read(write(graph, "dot"), "dot", nodes).hash == graph.hash
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("form", FORMS)
def test_a_text_states_every_option_there_is(form):
    """A new option of nodes, retries or joins must find its way into the formats."""
    policy = RetryPolicy(attempts=2, first_wait=3, factor=4, longest_wait=5, jitter=0.6, retry_on=("OSError",))
    join = Join(strategy="n_of", count=2, timeout="10m", on_branch_failure="collect")
    for value, default in ((policy, RetryPolicy()), (join, Join())):
        assert all(getattr(value, field.name) != getattr(default, field.name) for field in dataclasses.fields(value))
    fetch = Task(name="fetch", run=work, timeout=1, heartbeat_timeout=2, idempotent=True, retries=policy, label="F")
    split = Plan(name="split", choose=choose)
    edges = [
        ("Start", "fetch"),
        ("fetch", "split"),
        Edge("split", "each", "PARALLEL"),
        Edge("each", "judge", "JOIN", join=join),
        ("judge", "End"),
    ]
    graph = wb.AgentGraph("g", nodes=[fetch, split, Task(name="each", run=work), JUDGE], edges=edges)
    assert read(write(graph, form), form, bare(graph)) == graph


def test_no_option_of_nodes_and_edges_is_left_out_of_the_formats():
    stated = {
        # The code states its types, and whether it may be begun anew while it waits.
        Task: {"name", "run", "retries", "input", "output", "parks", *outline._TASK},
        Plan: {"name", "choose", "input", *outline._PLAN},
        Edge: {"source", "target", "type", *outline._EDGE},
    }
    for kind, known in stated.items():
        assert {field.name for field in dataclasses.fields(kind) if field.init} <= known
