"""A drawing of a graph as an SVG document. No script, no reference to anything outside, no other program.

Every shape has a light fill and dark text of its own, and every line a middle tone, so the drawing reads on light and dark pages alike.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from html import escape
from math import sqrt
from typing import TYPE_CHECKING

from workbench.errors import UserError
from workbench.graph.edges import START, Edge
from workbench.graph.layout import Box, Layout, arrange, spread
from workbench.graph.mermaid import title, words
from workbench.graph.nodes import Node, Plan, Task
from workbench.record.envelope import END

if TYPE_CHECKING:
    from workbench.graph.graph import AgentGraph

MAX_DRAWN = 400
"""Edges a drawing may have."""

MARGIN = 12.0
LINE = 17.0
ROUND = 46.0
PORT_GAP = 18.0

_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1c2733; text-anchor: middle; }
.task { fill: #eaf2fb; stroke: #4a86c5; stroke-width: 1.4; }
.plan { fill: #fdf2d8; stroke: #c08a2a; stroke-width: 1.4; }
.pseudo { fill: #e8ecf0; stroke: #7c8894; stroke-width: 1.4; }
.edge { fill: none; stroke: #7c8894; stroke-width: 1.6; }
.parallel { stroke: #3f85c9; stroke-width: 3.2; }
.join { stroke: #8b6cc9; stroke-width: 2; stroke-dasharray: 8 4; }
.final { stroke: #2f9e6e; stroke-width: 2; }
.error { stroke: #d2564f; stroke-dasharray: 2 4; }
.head { fill: #7c8894; } .head.parallel { fill: #3f85c9; stroke: none; } .head.join { fill: #8b6cc9; stroke: none; }
.head.final { fill: #2f9e6e; stroke: none; } .head.error { fill: #d2564f; stroke: none; }
.words { fill: #f6f8fa; stroke: #b9c2cb; stroke-width: 0.7; }
.small { font-size: 11.5px; fill: #34414e; }
"""
_UNDRAWABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_svg(graph: AgentGraph) -> str:
    """The graph as an SVG document.

    Raises:
        UserError: it has more than `MAX_DRAWN` edges.
    """
    if len(graph.edges) > MAX_DRAWN:
        raise UserError(f"graph {graph.name!r} has {len(graph.edges)} edges; a drawing has at most {MAX_DRAWN}; use to_dot() and Graphviz")
    labels = {START: ["Start"], **{name: _wrapped(title(graph, name), 22) for name in graph.nodes}, END: ["End"]}
    said = [_wrapped(words(edge), 26) if words(edge) else [] for edge in graph.edges]
    sizes = {name: (ROUND, ROUND) if name in (START, END) else _size(lines, graph.nodes[name]) for name, lines in labels.items()}
    layout = arrange(
        sizes,
        [
            (edge.source, edge.target, _width(lines, 6.3) + 12 if lines else 6.0, len(lines) * 14.0 + 5 if lines else 0.0)
            for edge, lines in zip(graph.edges, said, strict=True)
        ],
    )
    body = [*_edges(graph.edges, layout), *_nodes(graph, labels, layout)]
    body += [part for (_, box), lines in zip(layout.edges, said, strict=True) if lines for part in _words(box, lines)]
    width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    tasks = sum(isinstance(node, Task) for node in graph.nodes.values())
    said_of = f"{tasks} tasks, {len(graph.nodes) - tasks} plans and {len(graph.edges)} edges, from Start to End"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" style="max-width:100%;height:auto">'
        f"<title>{_text(f'{graph.name} {graph.version}')}</title><desc>{said_of}</desc><style>{_STYLE}</style>"
        f'<g transform="translate({MARGIN:.0f} {MARGIN:.0f})">{"".join(body)}</g></svg>\n'
    )


def _nodes(graph: AgentGraph, labels: dict[str, list[str]], layout: Layout) -> Iterator[str]:
    for name, lines in labels.items():
        box, node = layout.nodes[name], graph.nodes.get(name)
        kind = "pseudo" if node is None else "plan" if isinstance(node, Plan) else "task"
        what = name if node is None else f"{kind} {name}"
        yield f'<g data-node="{_text(name)}"><title>{_text(what)}</title>{_shape(box, node, kind)}{_lines(box, lines, LINE, "")}</g>'


def _shape(box: Box, node: Node | None, kind: str) -> str:
    left, right, top, bottom = box.x - box.width / 2, box.x + box.width / 2, box.y - box.height / 2, box.y + box.height / 2
    if node is None:
        return f'<circle class="{kind}" cx="{box.x:.1f}" cy="{box.y:.1f}" r="{box.width / 2:.1f}"/>'
    if isinstance(node, Task):
        return f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="5"/>'
    cut = min(14.0, box.height / 2)
    corners = [(left, box.y), (left + cut, top), (right - cut, top), (right, box.y), (right - cut, bottom), (left + cut, bottom)]
    return f'<polygon class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}"/>'


def _edges(edges: Sequence[Edge], layout: Layout) -> Iterator[str]:
    ports = _ports(layout)
    for number, (edge, (chain, _)) in enumerate(zip(edges, layout.edges, strict=True)):
        kind = str(edge.type).lower() if edge.on == "success" else "error"
        start, end = ports[number]
        points = [start, *_through(chain), end]
        x, y = end
        inward = -1 if points[-2][1] < y else 1  # the arrow comes from above or from below
        points[-1] = (x, y + inward * 7)
        yield f'<path class="edge {kind}" data-edge="{_text(edge.id)}" d="{_path(points)}"/>'
        if kind == "final":
            yield f'<circle class="head {kind}" cx="{x:.1f}" cy="{y + inward * 5:.1f}" r="5"/>'
        else:
            back = y + inward * 10
            yield f'<polygon class="head {kind}" points="{x:.1f},{y:.1f} {x - 5:.1f},{back:.1f} {x + 5:.1f},{back:.1f}"/>'


def _ports(layout: Layout) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Where each edge leaves and arrives: side by side along the top or bottom of a node, in the order of where they lead."""
    sides: dict[tuple[int, bool], list[tuple[float, int, bool]]] = {}
    boxes: dict[int, Box] = {}
    for number, (chain, _) in enumerate(layout.edges):
        for is_end, (here, beside) in enumerate(((chain[0], chain[1]), (chain[-1], chain[-2]))):
            boxes[id(here)] = here
            below = beside.y > here.y or (chain[0] is chain[-1] and not is_end)
            sides.setdefault((id(here), below), []).append((beside.x, number, bool(is_end)))
    found: dict[tuple[int, bool], tuple[float, float]] = {}
    round_ones = {id(layout.nodes[START]), id(layout.nodes[END])}
    for (here_id, below), ends in sides.items():
        here, in_order = boxes[here_id], sorted(ends)
        reach = 0.0 if here_id in round_ones else here.width / 2 - 18
        gap = min(PORT_GAP, 2 * max(reach, ROUND / 3) / max(1, len(ends) - 1))
        wished = [min(max(x, here.x - reach), here.x + reach) for x, _, _ in in_order]
        for x, (_, number, is_end) in zip(spread(wished, gap), in_order, strict=True):
            height = sqrt((here.height / 2) ** 2 - (x - here.x) ** 2) if here_id in round_ones else here.height / 2
            found[number, is_end] = (x, here.y + (height if below else -height))
    return [(found[number, False], found[number, True]) for number in range(len(layout.edges))]


def _through(chain: Sequence[Box]) -> Iterator[tuple[float, float]]:
    """The points between an edge's ends: straight through every layer it passes."""
    falls = chain[-1].y >= chain[0].y
    for box in chain[1:-1]:
        half = box.span / 2 if falls else -box.span / 2
        yield box.x, box.y - half
        yield box.x, box.y + half


def _path(points: Sequence[tuple[float, float]]) -> str:
    x, y = points[0]
    parts = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in points[1:]:
        middle = (y + to_y) / 2
        straight = abs(to_x - x) < 0.5
        parts.append(f"L{to_x:.1f} {to_y:.1f}" if straight else f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return " ".join(parts)


def _words(box: Box, lines: list[str]) -> Iterator[str]:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    yield f'<rect class="words" x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="7"/>'
    yield _lines(box, lines, 14.0, ' class="small"')


def _lines(box: Box, lines: list[str], height: float, attributes: str) -> str:
    first = box.y - (len(lines) - 1) * height / 2 + height * 0.27
    spans = (
        f'<text{attributes} x="{box.x:.1f}" y="{first + number * height:.1f}">{_text(line)}</text>' for number, line in enumerate(lines)
    )
    return "".join(spans)


def _size(lines: list[str], node: Node) -> tuple[float, float]:
    return max(70.0, _width(lines, 7.3) + (40 if isinstance(node, Plan) else 24)), len(lines) * LINE + 20


def _width(lines: list[str], character: float) -> float:
    return max(sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line) for line in lines) * character


def _wrapped(text: str, width: int) -> list[str]:
    """At most four lines; what does not fit is cut."""
    return textwrap.wrap(text, width, max_lines=4, placeholder=" …") or [" "]


def _text(text: str) -> str:
    return escape(_UNDRAWABLE.sub("\ufffd", text))
