"""The rules of a graph. A graph that breaks some is refused with all of them, not only the first."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, get_args

from workbench.graph.edges import START, Edge, EdgeType, OnBranchFailure, Strategy
from workbench.graph.nodes import Node, Plan, RetryPolicy, Task
from workbench.record.envelope import END

_VERSION = re.compile(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.-]+)?", re.ASCII)
_ERROR_NAME = re.compile(r"[\w.:-]+")
MAX_NAME = 200
LARGEST = 1e12
"""Of seconds and factors; more than a lifetime needs."""


class Fault(NamedTuple):
    """A rule that is broken, and where."""

    text: str
    about: tuple[str | Edge, ...] = ()
    """The nodes, by name, and the edges that break it."""


def faults(nodes: Sequence[Node], edges: Sequence[Edge], version: str, final_policy: str = "drain") -> list[Fault]:
    """Every rule the graph breaks, in one sentence each."""
    if strays := [node for node in nodes if not isinstance(node, Task | Plan)]:
        return [Fault(f"{getattr(stray, '__name__', stray)!r} is no node; decorate it with @wb.task or @wb.plan") for stray in strays]
    kinds = {node.name: node for node in nodes}
    found = [*_terms(version, final_policy), *_names(nodes)]
    for node in nodes:
        found += _options(node)
    for edge in edges:
        found += [Fault(text, (edge,)) for text in (*_ends(edge, kinds), *_type(edge, kinds))]
    found += _twice(edges)
    out: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        out[edge.source].append(edge)
    entries = [edge.target for edge in out[START]]
    if len(entries) != 1 or not isinstance(kinds.get(entries[0]), Task):
        found.append(Fault(f"Start must lead to exactly one task; it leads to {entries or 'nothing'}", tuple(out[START])))
    for name, node in kinds.items():
        found += _task_followers(name, out[name]) if isinstance(node, Task) else _plan_choices(name, out[name])
    found += _joins(kinds, edges)
    reached, ending = reach([START], edges), reach([END], [Edge(edge.target, edge.source, "NORMAL") for edge in edges])
    found += [Fault(f"node {name!r} cannot be reached from Start", (name,)) for name in kinds if name not in reached]
    return found + [Fault(f"node {name!r} cannot reach End", (name,)) for name in kinds if name not in ending]


def reach(origins: Iterable[str], edges: Sequence[Edge]) -> set[str]:
    """The nodes that can be reached along edges, the origins included."""
    targets: dict[str, set[str]] = defaultdict(set)
    for edge in edges:
        targets[edge.source].add(edge.target)
    front = list(origins)
    seen = set(front)
    while front:
        fresh = targets[front.pop()] - seen
        seen |= fresh
        front.extend(fresh)
    return seen


def _terms(version: str, final_policy: str) -> Iterable[Fault]:
    if not _VERSION.fullmatch(version):
        yield Fault(f"version {version!r} is not semantic; write for example '1.0.0'")
    if final_policy not in ("first", "drain"):
        yield Fault(f"final_policy {final_policy!r} is unknown; the policies are first and drain")


def _names(nodes: Sequence[Node]) -> Iterable[Fault]:
    counts = Counter(node.name for node in nodes)
    yield from (Fault(f"the name {name!r} is used {count} times", (name,)) for name, count in sorted(counts.items()) if count > 1)
    for name in counts:
        if name in (START, END):
            yield Fault(f"{name!r} is the name of a pseudo-node; choose another", (name,))
        if not name.isprintable() or name != name.strip() or not 0 < len(name) <= MAX_NAME or "->" in name:
            message = f"the name {name[:MAX_NAME]!r} is no name; names have 1 to {MAX_NAME} printable characters, and no '->' in them"
            yield Fault(message, (name,))


def _options(node: Node) -> Iterable[Fault]:
    if node.timeout is not None and not 0 <= node.timeout <= LARGEST:
        yield Fault(f"node {node.name!r} has timeout {node.timeout}; give seconds, or None for no limit", (node.name,))
    if isinstance(node, Task):
        if node.heartbeat_timeout is not None and not 0 < node.heartbeat_timeout <= LARGEST:
            yield Fault(f"node {node.name!r} has heartbeat_timeout {node.heartbeat_timeout}; give seconds, or None for none", (node.name,))
        yield from (Fault(f"node {node.name!r} has {wrong}", (node.name,)) for wrong in _retries(node.retries))


def _retries(policy: RetryPolicy) -> Iterable[str]:
    if policy.attempts < 1:
        yield f"attempts {policy.attempts}; the first is one of them"
    for option in ("first_wait", "factor", "longest_wait", "jitter"):
        if not 0 <= getattr(policy, option) <= LARGEST:
            yield f"{option} {getattr(policy, option)}; it is a number from 0 to {LARGEST:g}"
    for name in policy.retry_on:
        if not _ERROR_NAME.fullmatch(name):
            yield f"{name!r} in retry_on; name error codes and exception classes"


def _ends(edge: Edge, kinds: dict[str, Node]) -> Iterable[str]:
    yield from (f"edge {edge.id}: there is no node {end!r}" for end in (edge.source, edge.target) if end not in {*kinds, START, END})
    if edge.source == END or edge.target == START:
        yield f"edge {edge.id} leads out of End or into Start"
    if isinstance(kinds.get(edge.source), Plan) and isinstance(kinds.get(edge.target), Plan):
        yield f"edge {edge.id} leads from a plan to a plan; a plan chooses tasks"


def _type(edge: Edge, kinds: dict[str, Node]) -> Iterable[str]:
    source, target = kinds.get(edge.source), kinds.get(edge.target)
    if edge.type not in get_args(EdgeType):
        yield f"edge {edge.id} has type {edge.type!r}; the types are {', '.join(get_args(EdgeType))}"
        return
    if (edge.type == "FINAL") != (edge.target == END):
        yield f"edge {edge.id} is {edge.type}; edges into End are FINAL and no others are"
    if edge.type == "PARALLEL" and not (isinstance(source, Plan) and isinstance(target, Task)):
        yield f"edge {edge.id} is PARALLEL; a plan forks into tasks"
    if edge.type == "JOIN" and not (isinstance(source, Task) and isinstance(target, Plan)):
        yield f"edge {edge.id} is JOIN; tasks join at a plan"
    if edge.branch is not None and edge.type != "PARALLEL":
        yield f"edge {edge.id} has a branch; only PARALLEL edges are taken once an item"
    yield from _join_terms(edge)
    if edge.on not in ("success", "error", "reject"):
        yield f"edge {edge.id} is taken on {edge.on!r}; edges are taken on success, on error or on reject"
    if edge.on in ("error", "reject") and not isinstance(source, Task):
        yield f"edge {edge.id} is taken on {edge.on}; only tasks fail or are rejected towards a node"
    if edge.source == START and (edge.condition or edge.type != "NORMAL"):
        yield f"edge {edge.id} out of Start is NORMAL and has no condition"


def _join_terms(edge: Edge) -> Iterable[str]:
    if edge.join is None:
        return
    if edge.type != "JOIN":
        yield f"edge {edge.id} has terms of joining; only JOIN edges have"
    if edge.join.strategy not in get_args(Strategy):
        yield f"edge {edge.id} joins {edge.join.strategy!r}; the strategies are {', '.join(get_args(Strategy))}"
    if edge.join.strategy == "n_of" and edge.join.count < 1:
        yield f"edge {edge.id} joins n_of with count {edge.join.count}; say how many branches are enough"
    if edge.join.timeout is not None and not 0 <= float(edge.join.timeout) <= LARGEST:
        yield f"edge {edge.id} joins with timeout {edge.join.timeout}; give seconds, or a time such as '10m'"
    if edge.join.on_branch_failure not in get_args(OnBranchFailure):
        known = ", ".join(get_args(OnBranchFailure))
        yield f"edge {edge.id} has on_branch_failure {edge.join.on_branch_failure!r}; it may be {known}"


def _twice(edges: Sequence[Edge]) -> Iterable[Fault]:
    same: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in edges:
        same[edge.id, edge.on].append(edge)
    for (name, _), group in sorted(same.items()):
        if len(group) > 1:
            yield Fault(f"edge {name} is given {len(group)} times", tuple(group))


def _task_followers(name: str, out: list[Edge]) -> Iterable[Fault]:
    success = [edge for edge in out if edge.on == "success"]
    if any(edge.type == "JOIN" for edge in success) and len(success) > 1:
        yield Fault(f"task {name!r} joins at a plan and leads elsewhere too; a task that joins has no other follower", (name,))
    open_ended = [edge for edge in success if edge.condition is None]
    if len(open_ended) > 1:
        targets = [edge.target for edge in open_ended]
        yield Fault(f"task {name!r} leads to {targets} without conditions; only one edge may have none", (name, *open_ended))


def _plan_choices(name: str, out: list[Edge]) -> Iterable[Fault]:
    joining = tuple(edge for edge in out if edge.type == "JOIN")
    if joining:
        yield Fault(f"plan {name!r} leads out along a JOIN edge; tasks join at a plan", joining)


def _joins(kinds: dict[str, Node], edges: Sequence[Edge]) -> Iterable[Fault]:
    forked = reach((edge.target for edge in edges if edge.type == "PARALLEL"), edges)
    into: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        if isinstance(kinds.get(edge.source), Task):
            into[edge.target].append(edge)
    for target in sorted({edge.target for edge in edges if edge.type == "JOIN"}):
        if any(edge.type != "JOIN" for edge in into[target]):
            yield Fault(f"plan {target!r} has JOIN and other edges into it; all of them must join", (target, *into[target]))
        if len({edge.join for edge in into[target] if edge.join}) > 1:
            yield Fault(f"the JOIN edges into {target!r} differ in their terms", tuple(into[target]))
        if target not in forked:
            yield Fault(f"plan {target!r} joins branches, but no PARALLEL edge leads there", (target,))
