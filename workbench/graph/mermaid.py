"""A drawing of a graph as Mermaid text, and the words that every drawing writes beside an edge.

Tasks are rectangles, Plans hexagons, Start and End circles. PARALLEL edges are thick, JOIN edges dotted, FINAL edges end in a dot, and
edges taken on an error or a rejection in a cross.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workbench.graph.edges import START, Edge
from workbench.graph.nodes import Plan
from workbench.record.envelope import END

if TYPE_CHECKING:
    from workbench.graph.graph import AgentGraph

_ARROWS = {"NORMAL": "-->", "PARALLEL": "==>", "JOIN": "-.->", "FINAL": "--o"}
_PLAIN = re.compile(r"[^\w .,:;!?()/='+*-]")


def write_mermaid(graph: AgentGraph) -> str:
    """The graph as a Mermaid flowchart."""
    ids = {START: "Start", END: "End"} | {name: f"n{number}" for number, name in enumerate(graph.nodes, start=1)}
    lines = ["graph TD", "  Start((Start))"]
    for name, node in graph.nodes.items():
        left, right = ("{{", "}}") if isinstance(node, Plan) else ("[", "]")
        lines.append(f"  {ids[name]}{left}{_quoted(title(graph, name))}{right}")
    lines.append("  End((End))")
    for edge in graph.edges:
        arrow = _ARROWS[str(edge.type)] if edge.on == "success" else "--x"
        said = words(edge)
        lines.append(f"  {ids[edge.source]} {arrow}{f'|{_quoted(said)}|' if said else ''} {ids[edge.target]}")
    return "\n".join(lines) + "\n"


def title(graph: AgentGraph, name: str) -> str:
    """What is written on a node."""
    node = graph.nodes.get(name)
    return name if node is None or node.label is None else node.label


def words(edge: Edge) -> str:
    """What is written beside an edge: its label, and on what terms it is taken."""
    parts = [edge.label or ""]
    if edge.on != "success":
        parts.append(f"on {edge.on}")
    if edge.branch is not None:
        parts.append(f"each of {edge.branch}")
    if edge.join is not None:
        parts.append(f"join {edge.join.strategy}{f' {edge.join.count}' if edge.join.strategy == 'n_of' else ''}")
    if edge.condition is not None:
        parts.append(f"if {edge.condition}")
    return ", ".join(part for part in parts if part)


def _quoted(text: str) -> str:
    """Text as Mermaid takes it: whatever might mean something to it, or to HTML, is written as a character code."""
    return '"' + _PLAIN.sub(lambda match: f"#{ord(match[0])};", text.replace("\n", " ")) + '"'
