"""GraphRegistry: one version of a graph has one content, for ever; and a new content has a version that says how much has changed.

What a version number may follow from (semantic versioning): something removed or changed, major; something added, minor; options of nodes
alone, patch. Before 1.0.0 a minor step is enough for anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from workbench.errors import GraphError

if TYPE_CHECKING:
    from workbench.graph.graph import AgentGraph

Bump = Literal["major", "minor", "patch", "none"]


class Version(NamedTuple):
    """The numbers of a version, and whether it is released: `1.0.0-rc.1` comes before `1.0.0`."""

    major: int
    minor: int
    patch: int
    released: bool

    @classmethod
    def of(cls, text: str) -> Version:
        """The numbers of a semantic version."""
        numbers, _, before = text.partition("+")[0].partition("-")
        major, minor, patch = numbers.split(".")
        return cls(int(major), int(minor), int(patch), not before)

    def least(self, bump: Bump) -> Version:
        """The least version that such a change may have; while this one is not released, anything may still change in it."""
        if bump == "none" or not self.released:
            return self
        if bump == "major" and self.major:
            return Version(self.major + 1, 0, 0, True)
        if bump == "patch":
            return Version(self.major, self.minor, self.patch + 1, True)
        return Version(self.major, self.minor + 1, 0, True)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What differs between two contents of a graph, one sentence each."""

    breaking: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def bump(self) -> Bump:
        """Which step of the version they need."""
        return "major" if self.breaking else "minor" if self.added else "patch" if self.options else "none"

    def __iter__(self) -> Iterator[str]:
        yield from (*self.breaking, *self.added, *self.options)


@dataclass(frozen=True, kw_only=True)
class GraphRegistry:
    """The versions of graphs that are known, in any mapping from text to text: a dict, a shelf, a table."""

    contents: MutableMapping[str, str] = field(default_factory=dict)
    """`name@version` → the content, as JSON."""

    def register(self, graph: AgentGraph) -> Changes:
        """Pin the graph's version to its content, and return what has changed since the version before; the same again is no change.

        Raises:
            GraphError: the version has another content already, or says less than what has changed since the one before it. Lists the
                changes and names the version to use.
        """
        content = _content(graph)
        known = self.contents.get(_key(graph.name, graph.version))
        if known is not None:
            pinned = json.loads(known)
            if pinned["hash"] == graph.hash:
                return Changes()
            changes = compare(pinned, content)
            raise GraphError(
                graph.name, [f"version {graph.version} is registered with other content", *changes, *self._advice(graph, changes)]
            )
        before = self._before(graph)
        changes = compare(self.content(graph.name, before), content) if before else Changes()
        if before and Version.of(graph.version) < Version.of(before).least(changes.bump):
            message = f"version {graph.version} says less than what has changed since {before}: that is a {changes.bump} change"
            raise GraphError(graph.name, [message, *changes, *self._advice(graph, changes)])
        self.contents[_key(graph.name, graph.version)] = json.dumps(content, ensure_ascii=False)
        return changes

    def versions(self, name: str) -> list[str]:
        """The registered versions of a graph, the oldest first."""
        found = [key.rpartition("@") for key in self.contents]
        return sorted((version for graph, _, version in found if graph == name), key=lambda version: (Version.of(version), version))

    def content(self, name: str, version: str) -> dict[str, Any]:
        """What a version consists of: its hash, its nodes, its edges.

        Raises:
            GraphError: it is not registered.
        """
        known = self.contents.get(_key(name, version))
        if known is None:
            raise GraphError(name, [f"version {version} is not registered; registered are: {', '.join(self.versions(name)) or 'none'}"])
        content: dict[str, Any] = json.loads(known)
        return content

    def _before(self, graph: AgentGraph) -> str | None:
        """The highest registered version below the graph's own."""
        mine = Version.of(graph.version)
        return next((version for version in reversed(self.versions(graph.name)) if Version.of(version) <= mine), None)

    def _advice(self, graph: AgentGraph, changes: Changes) -> list[str]:
        newest = self.versions(graph.name)[-1]
        since = compare(self.content(graph.name, newest), _content(graph))
        return [f"register it as {Version.of(newest).least(since.bump if since.bump != 'none' else changes.bump)}"]


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    """What has changed from one content of a graph to another."""
    breaking, added, options = [], [], []
    for kind in ("node", "edge"):
        before, after = old[f"{kind}s"], new[f"{kind}s"]
        breaking += [f"{kind} {name!r} was removed" for name in before if name not in after]
        added += [f"{kind} {name!r} was added" for name in after if name not in before]
        for name in before:
            if name not in after or before[name] == after[name]:
                continue
            if kind == "node" and _types(before[name]) != _types(after[name]):
                breaking.append(f"node {name!r} takes or gives something else")
            elif kind == "node" and before[name][0] == after[name][0]:
                options.append(f"node {name!r} has other options")
            else:
                breaking.append(f"{kind} {name!r} was changed")
    if old["final_policy"] != new["final_policy"]:
        breaking.append(f"final_policy was {old['final_policy']!r} and is {new['final_policy']!r}")
    return Changes(breaking=tuple(breaking), added=tuple(added), options=tuple(options))


def _types(terms: list[Any]) -> dict[str, Any]:
    """Of a node's terms, the hashes of what it takes and gives."""
    said = terms[-1] if isinstance(terms[-1], dict) else {}
    return {which: said[which] for which in ("input", "output") if which in said}


def _key(name: str, version: str) -> str:
    return f"{name}@{version}"


def _content(graph: AgentGraph) -> dict[str, Any]:
    """The structure in the terms the hash covers, by name, so that two can be compared."""
    return {
        "hash": graph.hash,
        "final_policy": graph.final_policy,
        "nodes": {name: node.terms for name, node in graph.nodes.items()},
        "edges": {edge.id if edge.on == "success" else f"{edge.id} on {edge.on}": edge.terms for edge in graph.edges},
    }
