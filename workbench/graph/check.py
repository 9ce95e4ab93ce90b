"""The rules of a graph. A graph that breaks some is refused with all of them, not only the first."""

from __future__ import annotations

import re
from collections.abc import Sequence

from workbench.graph.edges import START, Edge
from workbench.graph.nodes import Node, Plan, Task
from workbench.record.envelope import END

_VERSION = re.compile(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.-]+)?", re.ASCII)


def faults(nodes: Sequence[Node], edges: Sequence[Edge], version: str) -> list[str]:
    """Every rule the graph breaks, in one sentence each."""
    kinds = {node.name: node for node in nodes}
    found = _names(nodes, version)
    for edge in edges:
        found += _ends(edge, kinds)
        found += _type(edge, kinds)
    pairs = [(edge.id, edge.on) for edge in edges]
    found += [f"edge {pair[0]} is given {pairs.count(pair)} times" for pair in sorted({p for p in pairs if pairs.count(p) > 1})]
    entries = [edge.target for edge in edges if edge.source == START]
    if len(entries) != 1 or not isinstance(kinds.get(entries[0]), Task):
        found.append(f"Start must lead to exactly one task; it leads to {entries or 'nothing'}")
    for name, node in kinds.items():
        out = [edge for edge in edges if edge.source == name]
        found += _task_followers(name, out) if isinstance(node, Task) else _plan_choices(name, out)
    found += _joins(kinds, edges)
    found += [f"node {name!r} cannot be reached from Start" for name in kinds if name not in reach(START, edges)]
    backward = [Edge(edge.target, edge.source, "NORMAL") for edge in edges]
    found += [f"node {name!r} cannot reach End" for name in kinds if name not in reach(END, backward)]
    return found


def reach(origin: str, edges: Sequence[Edge]) -> set[str]:
    """The nodes that can be reached along edges."""
    seen, front = {origin}, [origin]
    while front:
        here = front.pop()
        fresh = {edge.target for edge in edges if edge.source == here} - seen
        seen |= fresh
        front.extend(fresh)
    return seen


def _names(nodes: Sequence[Node], version: str) -> list[str]:
    names = [node.name for node in nodes]
    found = [] if _VERSION.fullmatch(version) else [f"version {version!r} is not semantic; write for example '1.0.0'"]
    found += [f"the name {name!r} is used {names.count(name)} times" for name in sorted({n for n in names if names.count(n) > 1})]
    return found + [f"{name!r} is the name of a pseudo-node; choose another" for name in names if name in (START, END)]


def _ends(edge: Edge, kinds: dict[str, Node]) -> list[str]:
    found = [f"edge {edge.id}: there is no node {end!r}" for end in (edge.source, edge.target) if end not in {*kinds, START, END}]
    if edge.source == END or edge.target == START:
        found.append(f"edge {edge.id} leads out of End or into Start")
    if isinstance(kinds.get(edge.source), Plan) and isinstance(kinds.get(edge.target), Plan):
        found.append(f"edge {edge.id} leads from a plan to a plan; a plan chooses tasks")
    return found


def _type(edge: Edge, kinds: dict[str, Node]) -> list[str]:
    source, target = kinds.get(edge.source), kinds.get(edge.target)
    if edge.type not in ("NORMAL", "PARALLEL", "JOIN", "FINAL"):
        return [f"edge {edge.id} has type {edge.type!r}; the types are NORMAL, PARALLEL, JOIN and FINAL"]
    found = []
    if (edge.type == "FINAL") != (edge.target == END):
        found.append(f"edge {edge.id} is {edge.type}; edges into End are FINAL and no others are")
    if edge.type == "PARALLEL" and not (isinstance(source, Plan) and isinstance(target, Task)):
        found.append(f"edge {edge.id} is PARALLEL; a plan forks into tasks")
    if edge.type == "JOIN" and not (isinstance(source, Task) and isinstance(target, Plan)):
        found.append(f"edge {edge.id} is JOIN; tasks join at a plan")
    if edge.branch is not None and edge.type != "PARALLEL":
        found.append(f"edge {edge.id} has a branch; only PARALLEL edges are taken once an item")
    if edge.join is not None and edge.type != "JOIN":
        found.append(f"edge {edge.id} has terms of joining; only JOIN edges have")
    if edge.join is not None and edge.join.strategy == "n_of" and edge.join.count < 1:
        found.append(f"edge {edge.id} joins n_of with count {edge.join.count}; say how many branches are enough")
    if edge.on == "error" and not isinstance(source, Task):
        found.append(f"edge {edge.id} is for errors; only tasks fail towards a node")
    if edge.source == START and (edge.condition or edge.type != "NORMAL"):
        found.append(f"edge {edge.id} out of Start is NORMAL and has no condition")
    return found


def _task_followers(name: str, out: list[Edge]) -> list[str]:
    found = []
    success = [edge for edge in out if edge.on == "success"]
    if any(edge.type == "JOIN" for edge in success) and len(success) > 1:
        found.append(f"task {name!r} joins at a plan and leads elsewhere too; a task that joins has no other follower")
    open_ended = [edge for edge in success if edge.condition is None]
    if len(open_ended) > 1:
        found.append(f"task {name!r} leads to {[edge.target for edge in open_ended]} without conditions; only one edge may have none")
    return found


def _plan_choices(name: str, out: list[Edge]) -> list[str]:
    if out and any(edge.type == "JOIN" for edge in out):
        return [f"plan {name!r} leads out along a JOIN edge; tasks join at a plan"]
    return []


def _joins(kinds: dict[str, Node], edges: Sequence[Edge]) -> list[str]:
    found = []
    targets = sorted({edge.target for edge in edges if edge.type == "JOIN"})
    forked = {name for edge in edges if edge.type == "PARALLEL" for name in reach(edge.target, edges)}
    for target in targets:
        into = [edge for edge in edges if edge.target == target and isinstance(kinds.get(edge.source), Task)]
        if any(edge.type != "JOIN" for edge in into):
            found.append(f"plan {target!r} has JOIN and other edges into it; all of them must join")
        if len({edge.join for edge in into if edge.join}) > 1:
            found.append(f"the JOIN edges into {target!r} differ in their terms")
        if target not in forked:
            found.append(f"plan {target!r} joins branches, but no PARALLEL edge leads there")
    return found
