"""From the manifest of a recorded agent run back to live objects, in a process that has only the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from workbench.agents.bound import agent_binding, unasked
from workbench.agents.codeact import FINISH, CodeActResources
from workbench.agents.handlers import Handlers
from workbench.agents.stream import SandboxStream, read_stream
from workbench.errors import ConfigurationError, ToolBindingError
from workbench.models.client import ModelClient
from workbench.models.resolve import resolve
from workbench.record.envelope import Manifest
from workbench.record.sandbox_items import SandboxItem
from workbench.runtime.binding import Binding
from workbench.runtime.workbench import Workbench
from workbench.sandbox.box import Sandbox
from workbench.sandbox.session import Session
from workbench.schemas import AnswerSchema
from workbench.tools.tool import Tool


async def rebind(
    manifest: Manifest,
    *,
    workbench: Workbench,
    accept_changes: bool = False,
    tools: Iterable[Tool | Callable[..., Any]] = (),
    model: str | ModelClient | Callable[..., str] | None = None,
    schema: Any = None,
    unattended: bool | None = None,
    items: Sequence[SandboxItem] | None = None,
) -> Binding:
    """Bind tools by name, the model by its recorded name unless one is given, and the sandbox by its stream.

    `schema` gives back a pydantic class; without it the answer comes as data, checked against the recorded JSON Schema. Whether nobody can
    be asked (`unattended`) is as it was when the run began, unless it is said anew. `items` is the stream where it is not stored yet. Event
    handlers are not recorded.

    Raises:
        ToolBindingError: names every tool that is missing or has changed, with the source of the missing ones.
        ConfigurationError: the recorded model cannot be made from its name alone, so it must be given.
    """
    settings = manifest.resources
    bound = _bound_tools(settings["tools"], [Tool.of(tool) for tool in tools], accept_changes)
    if settings.get("approve") == "none":
        bound = {name: unasked(tool) for name, tool in bound.items()}
    items = await read_stream(workbench.plane, settings["sandbox_id"]) if items is None else items
    box, session = _sandbox(settings, items)
    wanted = schema if schema is not None else settings["schema"]
    resources = CodeActResources(
        client=_client(settings["model"]) if model is None else resolve(model),
        system=settings["system"],
        tools=bound,
        stream=SandboxStream(session, settings["sandbox_id"]),
        schema=None if wanted is None else AnswerSchema(wanted),
        temperature=settings["temperature"],
        max_tokens=settings["max_tokens"],
        thinking_tag=settings["thinking_tag"],
        approve=settings.get("approve", "tools"),
        box=box,
    )
    binding = agent_binding(
        resources,
        title=manifest.title,
        max_iterations=settings["max_iterations"],
        engine=settings["engine"],
        bench=workbench,
        handlers=Handlers(),
    )
    return replace(binding, unattended=settings.get("unattended", False) if unattended is None else unattended)


def _client(recorded: Mapping[str, Any]) -> ModelClient:
    """The model of the record, made from its name. What that gives must be what was used: a conversation, and the key that goes with it,
    are not sent anywhere else.

    Raises:
        ConfigurationError: it is not; then the model has to be given.
    """
    client = resolve(recorded["name"])
    if {"name": client.name, **client.spec()} != dict(recorded):
        raise ConfigurationError(f"the run used {dict(recorded)}, and its name alone gives {client.spec()}; give model=… to resume it")
    return client


def _sandbox(settings: Mapping[str, Any], items: Sequence[SandboxItem]) -> tuple[Sandbox | None, Session]:
    """The session of a recorded stream, with the person's sandbox around it where there was one."""
    described = settings.get("sandbox")
    if described is None:
        return None, Session(settings["sandbox_id"], engine=settings["engine"], items=items)
    limits = Sandbox.limits_of(described)
    session = Session(settings["sandbox_id"], engine=described["engine"], items=items, limits=limits, builtins=described["builtins"])
    return Sandbox.rebuilt(session, described), session


def _bound_tools(recorded: list[dict[str, Any]], given: list[Tool], accept_changes: bool) -> dict[str, Tool]:
    by_name = {tool.name: tool for tool in [FINISH, *given]}
    missing = [tool for tool in recorded if tool["name"] not in by_name]
    changed = [tool["name"] for tool in recorded if tool["name"] in by_name and _differs(tool, by_name[tool["name"]])]
    faults = []
    if missing:
        sources = "\n\n".join(tool["source"] or f"# the source of {tool['name']} was not recorded" for tool in missing)
        names = ", ".join(tool["name"] for tool in missing)
        faults.append(f"missing: {names}. Run this and give them as tools=[{names}]:\n\n{sources}")
    if changed and not accept_changes:
        faults.append(f"changed since the run began: {', '.join(changed)}. Give accept_changes=True to go on with them as they are now")
    if faults:
        raise ToolBindingError("the run cannot be resumed with these tools; " + "; ".join(faults))
    return {tool["name"]: _still_asking(tool, by_name[tool["name"]]) for tool in recorded}


def _still_asking(recorded: dict[str, Any], tool: Tool) -> Tool:
    """The tool, asking for an approval if it did when the run began: a bare function given for it does not say so any more."""
    return replace(tool, approval=True) if recorded.get("approval") and not tool.approval else tool


def _differs(recorded: dict[str, Any], tool: Tool) -> bool:
    if recorded["schema_hash"] != tool.schema_hash:
        return True
    return recorded["source_hash"] is not None and tool.source_hash is not None and recorded["source_hash"] != tool.source_hash
