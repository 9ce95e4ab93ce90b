"""What a run needs besides its graph: the objects its nodes use, and how they are described in the record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import UserError
from workbench.graph.graph import AgentGraph
from workbench.guardrails.policy import Language, Policy, policy_of
from workbench.record.envelope import AnyEntry, Manifest
from workbench.tools.executor import ToolExecutor
from workbench.tools.tool import Tool

if TYPE_CHECKING:
    from workbench.runtime.lifetime import Lifetime


def unchanged(value: Any) -> Any:
    """The output as it is recorded."""
    return value


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A graph together with live objects. The record keeps `described`; a resume in a new process makes a new binding from it."""

    graph: AgentGraph
    title: str
    """The task in one line, for lists."""
    kind: str = "graph"
    """Which binder makes a binding of this kind from a manifest."""
    resources: Any = None
    """What nodes reach as `ctx.resources`."""
    described: Mapping[str, Any] = field(default_factory=dict)
    """The resources as JSON-ready data without keys."""
    tools: ToolExecutor = field(default_factory=ToolExecutor)
    policy: Language | None = None
    """What the run is judged by."""
    timeout: float | None = None
    """How many seconds the lifetime may last."""
    unattended: bool = False
    """Nobody is there to ask: approvals are refused at once. Decided when the run begins."""
    convert: Callable[[Any], Any] = unchanged
    """From the recorded output to what the caller gets, for example a pydantic instance."""
    on_open: Callable[[Lifetime], Awaitable[None]] | None = None
    """Awaited once, when this process has taken the lifetime and before anything runs."""
    on_entries: tuple[Callable[[list[AnyEntry]], None], ...] = ()
    """Called on the runtime's loop with entries that have just been stored."""
    on_end: Callable[[], Awaitable[None]] | None = None
    """Awaited after the last entry is stored and before the run counts as ended."""

    def manifest(self, package: str) -> Manifest:
        """The form that the record keeps."""
        return Manifest(
            graph_id=self.graph.name,
            graph_version=self.graph.version,
            graph_hash=self.graph.hash,
            title=self.title,
            kind=self.kind,
            resources={**self.described, "nodes": self.graph.source_hashes(), "unattended": self.unattended},
            package=package,
            policy=self.policy.recorded if self.policy is not None else None,
            timeout=self.timeout,
        )


Binder = Callable[..., Awaitable[Binding]]
"""`await binder(manifest, workbench=…, accept_changes=…, **objects)`: a binding from a manifest, in a process that has only the record.
It raises ToolBindingError, listing everything that is missing or has changed, with the source to run."""


def graph_binding(
    graph: AgentGraph,
    *,
    title: str,
    inline: bool,
    tools: Iterable[Tool | Callable[..., Any]] = (),
    resources: Any = None,
    policy: str | Path | Policy | None = None,
    timeout: float | None = None,
) -> Binding:
    """The binding of a plain graph."""
    if timeout is not None and not timeout > 0:
        raise UserError(f"a run's timeout is a positive number of seconds; got {timeout!r}")
    executor = ToolExecutor(tools, inline=inline)
    described = {"tools": [tool.manifest() for tool in executor.tools.values()]}
    judged_by = policy_of(policy)
    return Binding(graph=graph, title=title, resources=resources, described=described, tools=executor, policy=judged_by, timeout=timeout)
