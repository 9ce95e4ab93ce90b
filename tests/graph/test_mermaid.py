"""The Mermaid drawing: shapes by kind, arrows by type, and nothing in a name that Mermaid or HTML could take for its own."""

from __future__ import annotations

import re

from hypothesis import given, settings

import workbench as wb
from tests.graph.anygraph import choose, graphs, work
from workbench.graph.edges import Edge, Join
from workbench.graph.nodes import Plan, Task


def drawn(name="work", **edge):
    fetch, split, each, gather = (
        Task(name="fetch", run=work),
        Plan(name="split", choose=choose),
        Task(name=name, run=work),
        Plan(name="gather", choose=choose),
    )
    edges = [
        Edge("Start", "fetch"),
        Edge("fetch", "split"),
        Edge("fetch", "End", on="error"),
        Edge("split", name, "PARALLEL", branch="result.items"),
        Edge(name, "gather", "JOIN", join=Join(strategy="n_of", count=2)),
        Edge("gather", "End", condition="result.ok", label="done"),
    ]
    return wb.AgentGraph("g", nodes=[fetch, split, each, gather], edges=edges).to_mermaid()


def test_every_kind_of_node_and_edge_looks_its_own():
    assert (
        drawn()
        == """graph TD
  Start((Start))
  n1["fetch"]
  n2{{"split"}}
  n3["work"]
  n4{{"gather"}}
  End((End))
  Start --> n1
  n1 --> n2
  n1 --x|"on error"| End
  n2 ==>|"each of result.items"| n3
  n3 -.->|"join n_of 2"| n4
  n4 --o|"done, if result.ok"| End
"""
    )


def test_names_are_escaped():
    text = drawn('end"]; click n1 "javascript:alert(1)" <img src=x>')
    assert "<" not in text
    assert 'n3["end#34;#93;; click n1 #34;javascript:alert(1)#34; #60;img src=x#62;"]' in text


@settings(max_examples=60)
@given(graph=graphs())
def test_any_graph_has_one_line_a_node_and_an_edge_and_no_foreign_marks(graph):
    lines = graph.to_mermaid().splitlines()
    assert len(lines) == 3 + len(graph.nodes) + len(graph.edges)
    texts = [found for line in lines for found in re.findall(r'"(.*)"', line)]
    assert all(re.fullmatch(r"(?:[\w .,:;!?()/='+*-]|#\d+;)*", text) for text in texts)


def test_a_notebook_shows_the_drawing_the_text_or_the_words():
    fetch = Task(name="fetch", run=work)
    graph = wb.AgentGraph("g", nodes=[fetch], edges=[("Start", "fetch"), ("fetch", "End")])
    bundle = graph._repr_mimebundle_()
    assert bundle["image/svg+xml"] == graph.to_svg()
    assert bundle["text/markdown"] == f"```mermaid\n{graph.to_mermaid()}```\n"
    assert bundle["text/plain"].startswith("<AgentGraph g 1.0.0")
