"""The part of DOT that is read, and what is refused of the rest."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.graph.anygraph import graphs
from workbench.errors import GraphError
from workbench.graph.dot import read_dot


def edges(text):
    return [(edge.source, edge.target, dict(edge.values), edge.line) for edge in read_dot(text).edges]


def refusal(text):
    with pytest.raises(GraphError) as caught:
        read_dot(text)
    (fault,) = caught.value.faults
    return fault


def test_a_graph_written_for_the_agent_specification_is_read_and_its_drawing_passed_over():
    outline = read_dot("""
        digraph Example {
            // how it looks
            rankdir=TB;  node [shape=box, style=filled];
            /* what
               it is */
            collect [label="Collect", type="plan"];
            # a line for the preprocessor
            fetch [label="Fetch", type="task", fillcolor="#eeeeee"];
            collect -> fetch [color=red, penwidth=2.0];
        }""")
    assert [(node.name, dict(node.values)) for node in outline.nodes] == [
        ("collect", {"label": "Collect", "type": "plan"}),
        ("fetch", {"label": "Fetch", "type": "task"}),
    ]
    assert [(edge.source, edge.target, edge.values, edge.line) for edge in outline.edges] == [("collect", "fetch", {}, 10)]


def test_a_chain_is_several_edges_with_the_same_attributes():
    assert edges("digraph g { a -> b\n -> c [priority=1] }") == [("a", "b", {"priority": "1"}, 1), ("b", "c", {"priority": "1"}, 2)]


def test_defaults_hold_for_what_follows():
    outline = read_dot("digraph g { a; node [type=task]; b; c [type=plan]; Start; edge [priority=3] a -> b; a -> c [priority=4] }")
    assert [dict(node.values) for node in outline.nodes] == [{}, {"type": "task"}, {"type": "plan"}, {}]
    assert [edge.values["priority"] for edge in outline.edges] == ["3", "4"]


def test_graph_attributes_are_stated_in_either_form():
    assert read_dot('digraph g { version="1.2.3"; graph [final_policy=first] }').values == {"version": "1.2.3", "final_policy": "first"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("plain", "plain"),
        ("änderung_2", "änderung_2"),
        ("-1.5", "-1.5"),
        ('"two words"', "two words"),
        (r'"say \"hi\""', 'say "hi"'),
        (r'"back\\slash"', "back\\slash"),
        (r'"two\nlines"', "two\nlines"),
        ('"two\nlines"', "two\nlines"),
        ('"one\\\nline"', "oneline"),
        (r'"\left"', r"\left"),
        ('"// no comment"', "// no comment"),
    ],
)
def test_names_and_texts(written, read):
    assert read_dot(f"digraph g {{ {written} }}").nodes[0].name == read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: a graph begins with `digraph name {`"),
        ("graph g { a -- b }", "line 1: a graph begins with `digraph name {`"),
        ("digraph {}", "line 1: the graph needs a name"),
        ("digraph g", "'{' is expected here"),
        ("digraph g {\n a -> b", "line 2: a statement begins with a name, not with 'the end of the text'"),
        ("digraph g { a -- b }", "not with '--'"),
        ("digraph g {\n\n subgraph s { a } }", "line 3: subgraphs are not read"),
        ("digraph g { a -> { b c } }", "a name or a text in quotes is expected here, not '{'"),
        ("digraph g { a:port -> b }", "not with ':'"),
        ("digraph g { a [type] }", "'=' is expected here"),
        ("digraph g { a [type=task }", "a name or a text in quotes is expected here, not '}'"),
        ("digraph g { node }", "attributes stand in brackets"),
        ('digraph g {\n "a }', "line 2: a text in quotes that does not end"),
        ("digraph g {\n <b>a</b> }", "line 2: '<' is not part of the DOT that is read"),
        ("digraph g {} digraph h {}", "nothing may follow"),
    ],
)
def test_other_text_is_refused_with_its_line(text, words):
    assert words in refusal(text)


def test_an_attribute_given_twice_is_a_fault():
    assert read_dot("digraph g {\n a [type=task, type=plan] }").faults == ((2, "'type' is given twice"),)


@settings(max_examples=200)
@given(st.text(alphabet='digraph g{}[]->="a\\;,\n/*#', max_size=60))
def test_any_text_is_read_or_refused(text):
    for attempt in (text, f"digraph g {{{text}}}"):
        with contextlib.suppress(GraphError):
            read_dot(attempt)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@settings(max_examples=10)
@given(graph=graphs())
def test_graphviz_reads_what_is_written(graph):
    text = graph.to_dot()
    assume("\0" not in text)  # Graphviz is written in C, where a text ends there; our own reader goes on
    done = subprocess.run(["dot", "-Tcanon"], input=text.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_join_example_of_the_runtime_document_is_read():
    @wb.task
    def begin(value):
        return value

    @wb.task
    def code_llm(value):
        return value

    @wb.plan
    def plan_refine(given):
        return None

    @wb.plan
    def plan_accept(given):
        return None

    text = """digraph example {
        begin [type=task]; code_llm [type=task]; plan_refine [type=plan]; plan_accept [type=plan]
        Start -> begin -> plan_refine;
        plan_refine -> code_llm [edge_type="PARALLEL", branch="result.items"];  // one branch per item
        code_llm -> plan_accept [edge_type="JOIN", join="all", on_branch_failure="collect"];
        plan_accept -> plan_refine_again;
        plan_refine_again [type=task]; plan_refine_again -> plan_refine
        plan_accept -> End [edge_type="FINAL", condition="result.accepted"];
    }"""
    again = wb.task(name="plan_refine_again")(begin.run)
    graph = wb.AgentGraph.from_dot(text, nodes=[begin, code_llm, plan_refine, plan_accept, again])
    assert graph.join("plan_accept") == wb.Join(on_branch_failure="collect")
    assert graph.choices("plan_refine")[0].branch == "result.items"
