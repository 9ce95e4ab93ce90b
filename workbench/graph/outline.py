"""Outline: the structure of a graph as a text states it, each part with its line. Every format is read into one and written from one.

An outline has no code. `bind` gives it some, by name, and says of everything that is wrong on which line it stands.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.errors import GraphError, UserError
from workbench.graph.check import Fault, faults
from workbench.graph.durations import seconds
from workbench.graph.edges import START, Edge, Join
from workbench.graph.nodes import Node, Plan, RetryPolicy, Task, with_options
from workbench.record.envelope import END

if TYPE_CHECKING:
    from workbench.graph.graph import AgentGraph

MAX_TEXT = 300_000
"""Characters a text may have: a thousand nodes with their edges need half of it."""


@dataclass(frozen=True, kw_only=True)
class NodeOutline:
    """A node and what is stated of it."""

    name: str
    values: Mapping[str, Any]
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class EdgeOutline:
    """An edge and what is stated of it."""

    source: str
    target: str
    values: Mapping[str, Any]
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A graph without its code."""

    name: str
    values: Mapping[str, Any]
    """`version` and `final_policy`, where they are stated."""
    nodes: tuple[NodeOutline, ...]
    edges: tuple[EdgeOutline, ...]
    line: int = 0
    faults: tuple[tuple[int, str], ...] = ()
    """What could not be read, with its line, although the rest could."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An outline with code: what an AgentGraph is made of."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    version: str
    final_policy: str


def check_length(text: str) -> None:
    """Refuse a text that is too long to be a graph, before anything reads it.

    Raises:
        GraphError: it is.
    """
    if len(text) > MAX_TEXT:
        raise GraphError("?", [f"the text has {len(text)} characters; it may have {MAX_TEXT}"])


def bind(outline: Outline, nodes: Iterable[Node]) -> Bound:
    """Give an outline its code.

    Raises:
        GraphError: lists every fault with its line.
    """
    return _Binding(outline, nodes).bound()


def outline_of(graph: AgentGraph) -> Outline:
    """What a text has to state of a graph; what is as it would be anyway is left out."""
    values = {"version": graph.version, **({"final_policy": graph.final_policy} if graph.final_policy != "drain" else {})}
    return Outline(
        name=graph.name,
        values=values,
        nodes=tuple(NodeOutline(name=name, values=_node_values(node)) for name, node in graph.nodes.items()),
        edges=tuple(EdgeOutline(source=edge.source, target=edge.target, values=_edge_values(edge)) for edge in graph.edges),
    )


def _node_values(node: Node) -> dict[str, Any]:
    stated: dict[str, Any] = {"type": "task" if isinstance(node, Task) else "plan", "label": node.label, "timeout": node.timeout}
    if isinstance(node, Task):
        stated["heartbeat_timeout"] = node.heartbeat_timeout
        stated["idempotent"] = node.idempotent or None
        untouched = RetryPolicy()
        for option in _RETRY:
            value = getattr(node.retries, option)
            stated[option] = None if value == getattr(untouched, option) else value
    return {key: value for key, value in stated.items() if value is not None}


def _edge_values(edge: Edge) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "edge_type": None if edge.type in ("NORMAL", "FINAL") else edge.type,
        "label": edge.label,
        "condition": edge.condition,
        "priority": edge.priority or None,
        "on": None if edge.on == "success" else edge.on,
        "branch": edge.branch,
    }
    if edge.join is not None:
        untouched = Join()
        stated["join"] = edge.join.strategy
        stated |= {key: value for key in _JOIN if (value := getattr(edge.join, key)) != getattr(untouched, key)}
    return {key: value for key, value in stated.items() if value is not None}


class _Expected(ValueError):
    """What a value should have been."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Expected("text")
    return value


_LARGEST = 1e300


def _whole(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not abs(value) <= _LARGEST:
        raise _Expected("a whole number")
    return value


def _number(value: Any) -> float:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,300}", value, re.ASCII):
        value = int(value)
    elif isinstance(value, str) and re.fullmatch(r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", value, re.ASCII):
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _LARGEST:
        raise _Expected("a number")
    return value


def _seconds(value: Any) -> float:
    try:
        return _number(value)
    except _Expected:
        with contextlib.suppress(UserError):
            return seconds(str(value))
        raise _Expected("seconds, or a time such as '90 s' or '10m'") from None


def _flag(value: Any) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise _Expected("true or false")


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(word for word in re.split(r"[,\s]+", value) if word)
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise _Expected("a list of names")
    return tuple(value)


Reader = Callable[[Any], Any]

_GRAPH: dict[str, Reader] = {"version": _text, "final_policy": _text}
_PLAN: dict[str, Reader] = {"type": _text, "label": _text, "timeout": _seconds}
_RETRY: dict[str, Reader] = {
    "attempts": _whole,
    "first_wait": _seconds,
    "factor": _number,
    "longest_wait": _seconds,
    "jitter": _number,
    "retry_on": _words,
}
_TASK: dict[str, Reader] = {**_PLAN, "heartbeat_timeout": _seconds, "idempotent": _flag, **_RETRY}
_JOIN: dict[str, Reader] = {"count": _whole, "timeout": _seconds, "on_branch_failure": _text}
_EDGE: dict[str, Reader] = {
    "edge_type": _text,
    "label": _text,
    "condition": _text,
    "priority": _whole,
    "on": _text,
    "branch": _text,
    "join": _text,
    **_JOIN,
}
_MAY_BE_NONE = frozenset({"label", "timeout", "heartbeat_timeout", "condition", "branch"})


class _Binding:
    """Reads values, looks code up, and gathers faults on the way."""

    def __init__(self, outline: Outline, nodes: Iterable[Node]) -> None:
        self._outline = outline
        self._given = {node.name: node for node in nodes}
        self._faults: list[tuple[int, str]] = list(outline.faults)
        self._lines: dict[str | int, list[int]] = defaultdict(list)
        """Of nodes by name and of edges by identity."""

    def bound(self) -> Bound:
        """The outline with its code; any fault refuses it."""
        outline = self._outline
        stated = self._read("the graph", outline.values, _GRAPH, outline.line)
        version, final_policy = stated.get("version", "1.0.0"), stated.get("final_policy", "drain")
        nodes = [self._node(node) for node in outline.nodes if not self._is_pseudo(node)]
        edges = [self._edge(edge) for edge in outline.edges]
        found = [*self._faults, *(self._located(fault) for fault in faults(nodes, edges, version, final_policy))]
        if found:
            texts = [f"line {line}: {text}" if line else text for line, text in sorted(found, key=lambda each: each[0])]
            raise GraphError(outline.name, texts)
        return Bound(nodes=tuple(nodes), edges=tuple(edges), version=version, final_policy=final_policy)

    def _located(self, fault: Fault) -> tuple[int, str]:
        lines = sorted({line for about in fault.about for line in self._lines[about if isinstance(about, str) else id(about)]})
        if not lines:
            return self._outline.line, fault.text
        also = f" (also line {', '.join(map(str, lines[1:]))})" if lines[1:] else ""
        return lines[0], fault.text + also

    def _is_pseudo(self, node: NodeOutline) -> bool:
        return node.name in (START, END) and "type" not in node.values

    def _node(self, stated: NodeOutline) -> Node:
        where, type = f"node {stated.name!r}", stated.values.get("type")
        self._lines[stated.name].append(stated.line)
        code = self._given.get(stated.name)
        if type not in ("task", "plan"):
            self._faults.append((stated.line, f"{where} has type {type!r}; it is 'task' or 'plan'"))
            type = "plan" if isinstance(code, Plan) else "task"
        elif code is None:
            self._faults.append((stated.line, f"{where} has no code; give a {type} of that name among nodes="))
        elif isinstance(code, Task) != (type == "task"):
            self._faults.append((stated.line, f"{where} is a {type} here and a {'task' if type == 'plan' else 'plan'} in the code"))
            code = None
        values = self._read(where, stated.values, _TASK if type == "task" else _PLAN, stated.line)
        values.pop("type", None)
        if code is None:
            code = Task(name=stated.name, run=_no_code) if type == "task" else Plan(name=stated.name, choose=_no_code)
        if isinstance(code, Task):
            retries = {option: values.pop(option) for option in _RETRY if option in values}
            if retries:
                values["retries"] = replace(code.retries, **retries)
        return with_options(code, values) if any(getattr(code, key) != value for key, value in values.items()) else code

    def _edge(self, stated: EdgeOutline) -> Edge:
        ends = f"{stated.source}->{stated.target}"
        values = self._read(f"edge {ends}", stated.values, _EDGE, stated.line)
        terms = {"strategy": values.pop("join")} if "join" in values else {}
        terms |= {key: values.pop(key) for key in _JOIN if key in values}
        type = values.pop("edge_type", None)
        join = Join(**terms) if terms else None
        try:
            edge = Edge(stated.source, stated.target, type, join=join, **values)
        except UserError as error:
            self._faults.append((stated.line, str(error)))
            values = {key: value for key, value in values.items() if key not in ("condition", "branch")}
            edge = Edge(stated.source, stated.target, type, join=join, **values)
        self._lines[id(edge)].append(stated.line)
        return edge

    def _read(self, where: str, values: Mapping[str, Any], readers: Mapping[str, Reader], line: int) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for key, value in values.items():
            if key not in readers:
                self._faults.append((line, f"{where} has no {key!r}; it may have {', '.join(readers)}"))
            elif value is None and key in _MAY_BE_NONE:
                read[key] = None
            else:
                try:
                    read[key] = readers[key](value)
                except _Expected as expected:
                    self._faults.append((line, f"{where}: {key} is {str(value)[:60]!r}; give {expected}"))
        return read


def _no_code(value: Any) -> Any:
    """Stands in for code that is missing, so that the rest can be checked."""
    return value
