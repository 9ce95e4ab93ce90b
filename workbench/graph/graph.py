"""AgentGraph: an immutable template of what may happen.

Nodes are Tasks and Plans; edges say which may follow which. `Start` and `End` are pseudo-nodes. A Task's result goes to one Plan; where an
edge leads from a Task to a Task or to `End`, an implicit pass-through Plan stands on it, so every record alternates between the two.
Cycles are allowed. An edge into `End` is FINAL: taking it completes the lifetime.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from workbench.errors import GraphError
from workbench.graph.nodes import Node, Plan, Task, pass_through, source_hash
from workbench.record.codec import sha256, to_json

START = "Start"
END = "End"

EdgeType = Literal["NORMAL", "FINAL"]


@dataclass(frozen=True)
class Edge:
    """A permitted step from one node to another. Without a type it is FINAL into `End` and NORMAL elsewhere."""

    source: str
    target: str
    type: EdgeType | None = None

    def __post_init__(self) -> None:
        if self.type is None:
            object.__setattr__(self, "type", "FINAL" if self.target == END else "NORMAL")

    @property
    def id(self) -> str:
        """`source->target`, as records name it."""
        return f"{self.source}->{self.target}"


@dataclass(frozen=True, init=False)
class AgentGraph:
    """Nodes and edges under a name and a semantic version.

    >>> import workbench as wb
    >>> @wb.task
    ... def double(x): return 2 * x
    >>> wb.AgentGraph("doubling", nodes=[double], edges=[("Start", "double"), ("double", "End")]).version
    '1.0.0'

    Raises:
        GraphError: lists every fault, not only the first.
    """

    name: str
    version: str
    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    hash: str
    """Of the structure: name, version, nodes with their options, edges. The order in which they were given does not matter."""
    entry: str = field(repr=False)
    """The first Task."""
    plans: Mapping[str, Plan] = field(repr=False)
    """Task name → the Plan that looks at its result, implicit ones included."""
    routes: Mapping[str, tuple[str, ...]] = field(repr=False)
    """Plan name → what it may choose."""

    def __init__(
        self, name: str, *, nodes: Iterable[Node] = (), edges: Iterable[Edge | tuple[str, ...]] = (), version: str = "1.0.0"
    ) -> None:
        given = list(nodes)
        arrows = tuple(edge if isinstance(edge, Edge) else Edge(*edge) for edge in edges)  # type: ignore[arg-type]
        faults = _faults(given, arrows, version)
        if faults:
            raise GraphError(name, faults)
        by_name = {node.name: node for node in given}
        plans, routes = _wire(by_name, arrows)
        values = {
            "name": name,
            "version": version,
            "nodes": MappingProxyType(by_name),
            "edges": arrows,
            "hash": _content_hash(name, version, by_name, arrows),
            "entry": next(edge.target for edge in arrows if edge.source == START),
            "plans": MappingProxyType(plans),
            "routes": MappingProxyType(routes),
        }
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)

    def task(self, name: str) -> Task:
        """The Task of that name."""
        node = self.nodes[name]
        assert isinstance(node, Task)
        return node

    def source_hashes(self) -> dict[str, str]:
        """Node name → hash of its source text: what a resume compares."""
        return {name: source_hash(node) for name, node in self.nodes.items()}


def _wire(nodes: Mapping[str, Node], edges: tuple[Edge, ...]) -> tuple[dict[str, Plan], dict[str, tuple[str, ...]]]:
    plans: dict[str, Plan] = {}
    routes: dict[str, tuple[str, ...]] = {}
    for name, node in nodes.items():
        targets = tuple(edge.target for edge in edges if edge.source == name)
        if isinstance(node, Plan):
            routes[name] = targets
            continue
        (target,) = targets
        follower = nodes.get(target)
        plans[name] = follower if isinstance(follower, Plan) else pass_through(name, target)
        if not isinstance(follower, Plan):
            routes[plans[name].name] = (target,)
    return plans, routes


def _content_hash(name: str, version: str, nodes: Mapping[str, Node], edges: tuple[Edge, ...]) -> str:
    described = sorted(
        [node.name, "task", node.timeout, node.idempotent] if isinstance(node, Task) else [node.name, "plan", node.timeout]
        for node in nodes.values()
    )
    return sha256(to_json([name, version, described, sorted([edge.source, edge.target, edge.type] for edge in edges)]))


def _faults(nodes: list[Node], edges: tuple[Edge, ...], version: str) -> list[str]:
    """Every rule the graph breaks, in one sentence each."""
    faults = []
    names = [node.name for node in nodes]
    kinds = {node.name: node for node in nodes}
    if not re.fullmatch(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.-]+)?", version, re.ASCII):
        faults.append(f"version {version!r} is not semantic; write for example '1.0.0'")
    faults += [f"the name {name!r} is used {names.count(name)} times" for name in sorted({n for n in names if names.count(n) > 1})]
    faults += [f"{name!r} is the name of a pseudo-node; choose another" for name in names if name in (START, END)]
    for edge in edges:
        faults += [f"edge {edge.id}: there is no node {end!r}" for end in (edge.source, edge.target) if end not in {*kinds, START, END}]
        if edge.source == END or edge.target == START:
            faults.append(f"edge {edge.id} leads out of End or into Start")
        if edge.type not in ("NORMAL", "FINAL"):
            faults.append(f"edge {edge.id} has type {edge.type!r}; this version knows NORMAL and FINAL")
        elif (edge.type == "FINAL") != (edge.target == END):
            faults.append(f"edge {edge.id} is {edge.type}; edges into End are FINAL and no others are")
        if isinstance(kinds.get(edge.source), Plan) and isinstance(kinds.get(edge.target), Plan):
            faults.append(f"edge {edge.id} leads from a plan to a plan; a plan chooses tasks")
    pairs = [edge.id for edge in edges]
    faults += [f"edge {pair} is given {pairs.count(pair)} times" for pair in sorted({p for p in pairs if pairs.count(p) > 1})]
    entries = [edge.target for edge in edges if edge.source == START]
    if len(entries) != 1 or not isinstance(kinds.get(entries[0]), Task):
        faults.append(f"Start must lead to exactly one task; it leads to {entries or 'nothing'}")
    for name, node in kinds.items():
        targets = [edge.target for edge in edges if edge.source == name]
        if isinstance(node, Task) and len(targets) > 1:
            faults.append(f"task {name!r} leads to {targets}; a task has one follower, and choosing among several is a plan's work")
    faults += [f"node {name!r} cannot be reached from Start" for name in names if name not in _reach(START, edges)]
    backward = tuple(Edge(edge.target, edge.source, "NORMAL") for edge in edges)
    faults += [f"node {name!r} cannot reach End" for name in names if name not in _reach(END, backward)]
    return faults


def _reach(origin: str, edges: tuple[Edge, ...]) -> set[str]:
    seen, front = {origin}, [origin]
    while front:
        here = front.pop()
        fresh = {edge.target for edge in edges if edge.source == here} - seen
        seen |= fresh
        front.extend(fresh)
    return seen
