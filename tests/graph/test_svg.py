"""The SVG drawing: well-formed, harmless, nothing on top of anything else."""

from __future__ import annotations

import time
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.graph.anygraph import choose, graphs, work
from tests.graph.coding_agent import Script, coding_agent
from workbench.errors import UserError
from workbench.graph.edges import Edge
from workbench.graph.layout import GAP, arrange, spread
from workbench.graph.nodes import Plan, Task
from workbench.graph.svg import MAX_DRAWN

SVG = "{http://www.w3.org/2000/svg}"


def parsed(graph):
    return ElementTree.fromstring(graph.to_svg())


def texts(drawing):
    return " ".join(text.text for text in drawing.iter(f"{SVG}text"))


def test_the_coding_agent_is_drawn_with_its_shapes_and_words():
    drawing = parsed(coding_agent(Script()))
    classes = [shape.get("class") for shape in drawing.iter()]
    assert (classes.count("task"), classes.count("plan"), classes.count("pseudo")) == (8, 6, 2)
    assert (classes.count("edge parallel"), classes.count("edge final"), classes.count("words")) == (2, 1, 19)
    assert "observe/refine" in texts(drawing)
    assert "accept, if result.accepted" in texts(drawing)


def test_it_says_what_it_shows():
    drawing = parsed(coding_agent(Script()))
    assert drawing.find(f"{SVG}title").text == "CodingAgent 1.0.0"
    assert drawing.find(f"{SVG}desc").text == "8 tasks, 6 plans and 20 edges, from Start to End"


@settings(max_examples=60)
@given(graph=graphs())
def test_any_graph_is_drawn_well_formed_and_with_nothing_that_acts(graph):
    drawing = parsed(graph)
    allowed = {"svg", "title", "desc", "style", "g", "rect", "circle", "polygon", "path", "text"}
    assert {element.tag.removeprefix(SVG) for element in drawing.iter()} <= allowed
    assert not any(name.startswith("on") or "href" in name for element in drawing.iter() for name in element.attrib)


def test_names_that_xml_would_take_for_its_own_are_escaped():
    name = '</text><script>alert("1")</script>&'
    graph = wb.AgentGraph("g", nodes=[Task(name=name, run=work, label="a\x00b\ud800")], edges=[("Start", name), (name, "End")])
    drawing = parsed(graph)
    assert f"task {name}" in {title.text for title in drawing.iter(f"{SVG}title")}
    assert texts(drawing) == "Start a\ufffdb\ufffd End"


@st.composite
def shapes(draw):
    count = draw(st.integers(1, 9))
    nodes = {f"n{number}": (draw(st.floats(20, 200)), draw(st.floats(20, 60))) for number in range(count)}
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    pairs = draw(st.lists(ends, max_size=20))
    return nodes, [(f"n{one}", f"n{other}", draw(st.floats(6, 150)), 16.0) for one, other in pairs]


@settings(max_examples=200)
@given(shapes())
def test_boxes_never_overlap_and_edges_reach_their_ends(shape):
    nodes, edges = shape
    layout = arrange(nodes, edges)
    boxes = {id(box): box for box in [*layout.nodes.values(), *(box for chain, _ in layout.edges for box in chain)]}
    for one, other in combinations(boxes.values(), 2):
        beside = abs(one.x - other.x) >= (one.width + other.width) / 2 + GAP - 0.01
        assert beside or abs(one.y - other.y) >= (one.height + other.height) / 2
    for (chain, words), (source, target, *_) in zip(layout.edges, edges, strict=True):
        assert (chain[0], chain[-1]) == (layout.nodes[source], layout.nodes[target])
        assert words in chain
        assert all(abs(one.layer - other.layer) == 1 for one, other in pairwise(chain) if source != target)
    assert all(box.x - box.width / 2 >= -0.01 and box.x + box.width / 2 <= layout.width + 0.01 for box in boxes.values())


def test_a_line_of_tasks_is_drawn_straight_down():
    layout = arrange(dict.fromkeys("abc", (60, 30)), [("a", "b", 6, 0), ("b", "c", 80, 16)])
    assert len({box.x for box in layout.nodes.values()}) == 1
    assert [layout.nodes[name].layer for name in "abc"] == [0, 2, 4]


def test_an_edge_that_leads_back_does_not_turn_the_drawing_round():
    layout = arrange(dict.fromkeys("abc", (60, 30)), [("a", "b", 6, 0), ("b", "c", 6, 0), ("c", "a", 6, 0), ("b", "b", 6, 0)])
    assert [layout.nodes[name].layer for name in "abc"] == [0, 2, 4]


@pytest.mark.parametrize(
    ("wished", "places"), [([0, 100], [0, 100]), ([5, 5], [0, 10]), ([3, 2, 1], [-8, 2, 12]), ([0, 0, 50], [-5, 5, 50]), ([], [])]
)
def test_ends_of_edges_are_spread(wished, places):
    assert spread(wished, 10) == places


def test_a_drawing_is_a_pure_function_of_its_graph():
    assert coding_agent(Script()).to_svg() == coding_agent(Script()).to_svg()


def wide(tasks):
    nodes = [Task(name=f"t{number}", run=work) for number in range(tasks)]
    edges = [
        Edge("Start", "t0"),
        Edge("t0", "p"),
        *(Edge("p", node.name) for node in nodes[1:]),
        *(Edge(node.name, "p") for node in nodes[1:]),
    ]
    return wb.AgentGraph("wide", nodes=[*nodes, Plan(name="p", choose=choose)], edges=[*edges, Edge("p", "End")])


def test_a_graph_as_large_as_may_be_is_drawn_soon():
    begun = time.monotonic()
    graph = wide((MAX_DRAWN - 3) // 2 + 1)
    assert "<svg" in graph.to_svg()
    assert time.monotonic() - begun < 20


def test_a_larger_one_is_refused_and_a_notebook_shows_its_text():
    graph = wide(MAX_DRAWN)
    with pytest.raises(UserError, match=f"a drawing has at most {MAX_DRAWN}"):
        graph.to_svg()
    assert set(graph._repr_mimebundle_()) == {"text/plain", "text/markdown"}
