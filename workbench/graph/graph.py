"""AgentGraph: an immutable template of what may happen.

Nodes are Tasks and Plans; edges say which may follow which. `Start` and `End` are pseudo-nodes. A Task's result goes to a Plan; where an
edge leads from a Task to a Task or to `End`, an implicit pass-through Plan stands on it, so every record alternates between the two.
Cycles are allowed. A Plan forks along PARALLEL edges, branches come together at a Plan behind JOIN edges, and an edge into `End` is FINAL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, Self, cast

from workbench.errors import GraphError
from workbench.graph.check import faults
from workbench.graph.dot import read_dot, write_dot
from workbench.graph.edges import START, Edge, Join, OnBranchFailure
from workbench.graph.formats import read_json, read_yaml, write_json, write_yaml
from workbench.graph.mermaid import write_mermaid
from workbench.graph.nodes import Node, Plan, Task, pass_through, source_hash
from workbench.graph.outline import Outline, bind, outline_of
from workbench.graph.svg import MAX_DRAWN, write_svg
from workbench.record.codec import sha256, to_json

FinalPolicy = Literal["first", "drain"]


@dataclass(frozen=True, init=False, repr=False)
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
    nodes: Mapping[str, Node] = field(hash=False)
    edges: tuple[Edge, ...]
    hash: str
    """Of the structure: name, version, nodes with their options, edges. The order in which they were given does not matter."""
    final_policy: FinalPolicy
    """With branches still at work when one has reached `End`: end at once (`first`), or let them finish (`drain`)."""
    entry: str = field(repr=False, compare=False)
    """The first Task."""
    plans: Mapping[str, Plan] = field(repr=False, compare=False)
    """Plan name → Plan, the implicit ones included."""
    _joins_after: Mapping[str, str | None] = field(repr=False, compare=False)
    """Plan name → where the branches of its fork come together."""
    _out: Mapping[str, tuple[Edge, ...]] = field(repr=False, compare=False)
    """Node name → its edges, those of higher priority first; an implicit Plan has the one it stands on."""

    def __init__(
        self,
        name: str,
        *,
        nodes: Iterable[Node] = (),
        edges: Iterable[Edge | tuple[Any, ...]] = (),
        version: str = "1.0.0",
        final_policy: FinalPolicy = "drain",
    ) -> None:
        given = list(nodes)
        arrows = tuple(edge if isinstance(edge, Edge) else Edge(*edge) for edge in edges)
        found = faults(given, arrows, version, final_policy)
        if found:
            raise GraphError(name, [fault.text for fault in found])
        by_name = {node.name: node for node in given}
        implicit = {
            plan.name: (plan, edge)
            for edge in arrows
            if isinstance(by_name.get(edge.source), Task) and not isinstance(by_name.get(edge.target), Plan)
            for plan in [pass_through(edge.source, edge.target)]
        }
        out = {node: tuple(sorted((e for e in arrows if e.source == node), key=lambda e: -e.priority)) for node in by_name}
        out |= {plan.name: (Edge(plan.name, edge.target),) for plan, edge in implicit.values()}
        plans = {node.name: node for node in given if isinstance(node, Plan)} | {plan.name: plan for plan, _ in implicit.values()}
        values = {
            "name": name,
            "version": version,
            "nodes": MappingProxyType(by_name),
            "edges": arrows,
            "hash": _content_hash(name, version, final_policy, given, arrows),
            "final_policy": final_policy,
            "entry": next(edge.target for edge in arrows if edge.source == START),
            "plans": MappingProxyType(plans),
            "_out": MappingProxyType(out),
        }
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)
        joins_after = {plan: _join_after(plan, out) for plan in plans}
        object.__setattr__(self, "_joins_after", MappingProxyType(joins_after))

    @classmethod
    def from_dot(cls, text: str, *, nodes: Iterable[Node]) -> Self:
        """The graph that a DOT text describes, with the code of `nodes` bound to it by name.

        Options stated in the text win over those of the code; nodes the text does not name are left out.

        Raises:
            GraphError: lists every fault with its line in the text.
        """
        return cls._bound(read_dot(text), nodes)

    @classmethod
    def from_yaml(cls, text: str, *, nodes: Iterable[Node]) -> Self:
        """The same as `from_dot`, for YAML."""
        return cls._bound(read_yaml(text), nodes)

    @classmethod
    def from_json(cls, text: str, *, nodes: Iterable[Node]) -> Self:
        """The same as `from_dot`, for JSON."""
        return cls._bound(read_json(text), nodes)

    @classmethod
    def _bound(cls, outline: Outline, nodes: Iterable[Node]) -> Self:
        bound = bind(outline, nodes)
        return cls(
            outline.name, nodes=bound.nodes, edges=bound.edges, version=bound.version, final_policy=cast(FinalPolicy, bound.final_policy)
        )

    def to_dot(self) -> str:
        """The structure as DOT; Graphviz draws it, and `from_dot` reads it."""
        return write_dot(outline_of(self))

    def to_yaml(self) -> str:
        """The structure as YAML."""
        return write_yaml(outline_of(self))

    def to_json(self) -> str:
        """The structure as JSON."""
        return write_json(outline_of(self))

    def to_mermaid(self) -> str:
        """A drawing as Mermaid text, which GitHub and JupyterLab draw."""
        return write_mermaid(self)

    def to_svg(self) -> str:
        """A drawing as an SVG document, made without other programs.

        Raises:
            UserError: the graph is too large to be drawn.
        """
        return write_svg(self)

    def __repr__(self) -> str:
        return f"<AgentGraph {self.name} {self.version}: {len(self.nodes)} nodes, {len(self.edges)} edges, {self.hash[:8]}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """How notebooks show a graph."""
        bundle = {"text/plain": repr(self), "text/markdown": f"```mermaid\n{self.to_mermaid()}```\n"}
        return bundle if len(self.edges) > MAX_DRAWN else {**bundle, "image/svg+xml": self.to_svg()}

    def task(self, name: str) -> Task:
        """The Task of that name."""
        node = self.nodes[name]
        assert isinstance(node, Task)
        return node

    def followers(self, task: str, *, failed: bool = False) -> tuple[Edge, ...]:
        """The edges that a Task which succeeded, or failed for good, may take; those of higher priority first."""
        return tuple(edge for edge in self._out[task] if edge.on == ("error" if failed else "success"))

    def followers_after(self, task: str, status: str) -> tuple[Edge, ...]:
        """The edges that a Task may take with this status; those of higher priority first."""
        on = {"SUCCEEDED": "success", "REJECTED": "reject"}.get(status, "error")
        return tuple(edge for edge in self._out[task] if edge.on == on)

    def choices(self, plan: str) -> tuple[Edge, ...]:
        """The edges a Plan may choose; those of higher priority first."""
        return self._out[plan]

    def plan_on(self, edge: Edge) -> Plan:
        """The Plan that looks at a Task's result along this edge."""
        target = self.plans.get(edge.target)
        return target if target is not None else self.plans[edge.id]

    def join_edge(self, task: str) -> Edge | None:
        """The JOIN edge out of a Task, if it has one."""
        return next((edge for edge in self.followers(task) if edge.type == "JOIN"), None)

    def join(self, plan: str) -> Join:
        """On what terms branches join at a Plan."""
        return next(edge.join for edge in self.edges if edge.target == plan and edge.join is not None)

    def join_after(self, plan: str) -> str | None:
        """The Plan at which the branches of a fork come together: the first one behind a JOIN edge on the way from it."""
        return self._joins_after[plan]

    def join_timeout(self, plan: str) -> float | None:
        """How many seconds after a fork its branches have to have come together; None for as long as they take."""
        join = self.join_after(plan)
        timeout = None if join is None else self.join(join).timeout
        return None if timeout is None else float(timeout)

    def on_branch_failure(self, plan: str) -> OnBranchFailure:
        """What a failed branch of a fork means."""
        join = self.join_after(plan)
        return "fail" if join is None else self.join(join).on_branch_failure

    def source_hashes(self) -> dict[str, str]:
        """Node name → hash of its source text, as it was when it was first asked for: what a resume compares."""
        return dict(self._source_hashes)

    @cached_property
    def _source_hashes(self) -> dict[str, str]:
        return {name: source_hash(node) for name, node in self.nodes.items()}


def _join_after(plan: str, out: Mapping[str, tuple[Edge, ...]]) -> str | None:
    """The first Plan behind a JOIN edge on the way from a fork; forks inside it have joins of their own, which are passed."""
    front = [(edge.target, 0) for edge in out[plan] if edge.type == "PARALLEL"]
    seen = set(front)
    for here, depth in front:
        for edge in out.get(here, ()):
            if edge.type == "JOIN" and depth == 0:
                return edge.target
            step = (edge.target, depth + (edge.type == "PARALLEL") - (edge.type == "JOIN"))
            if step not in seen and step[1] <= len(out):
                seen.add(step)
                front.append(step)
    return None


def _content_hash(name: str, version: str, final_policy: str, nodes: Iterable[Node], edges: Iterable[Edge]) -> str:
    described = sorted(to_json(node.terms) for node in nodes)
    return sha256(b"\n".join([to_json([name, version, final_policy]), *described, *sorted(to_json(edge.terms) for edge in edges)]))
