"""An agent's resources, and the binding of a run with them."""

from __future__ import annotations

from dataclasses import replace

from workbench.agents.codeact import CODEACT, CodeActResources
from workbench.agents.handlers import Delivery, Handlers
from workbench.runtime.binding import Binding, unchanged
from workbench.runtime.lifetime import Lifetime
from workbench.runtime.workbench import Workbench
from workbench.tools.executor import ToolExecutor
from workbench.tools.tool import Tool


def unasked(tool: Tool) -> Tool:
    """The tool, of whose calls nobody is asked."""
    return replace(tool, approval=False) if tool.approval else tool


def agent_binding(
    resources: CodeActResources, *, title: str, max_iterations: int, engine: str, bench: Workbench, handlers: Handlers
) -> Binding:
    """A run of the CodeAct graph with these resources."""
    lives: list[Lifetime] = []

    async def on_open(life: Lifetime) -> None:
        lives.append(life)
        await resources.stream.attach(life)
        await resources.stream.write_given(life)

    def interrupt() -> None:
        for life in lives:
            life.stop("a handler was interrupted")

    delivery = Delivery(handlers, interrupt)
    first_line = next((line.strip() for line in title.splitlines() if line.strip()), "")
    described = {
        "model": {"name": resources.client.name, **resources.client.spec()},
        "tools": [tool.manifest() for tool in resources.tools.values()],
        "system": resources.system,
        "schema": resources.schema.json_schema if resources.schema else None,
        "max_iterations": max_iterations,
        "temperature": resources.temperature,
        "max_tokens": resources.max_tokens,
        "thinking_tag": resources.thinking_tag,
        "engine": engine,
        "sandbox_id": resources.stream.sandbox_id,
        "approve": resources.approve,
        "sandbox": resources.box.described() if resources.box is not None else None,
    }
    return Binding(
        graph=CODEACT,
        title=first_line[:200],
        kind="agent",
        resources=resources,
        described=described,
        tools=ToolExecutor(resources.tools.values(), inline=bench.inline),
        convert=resources.schema.convert if resources.schema else unchanged,
        on_open=on_open,
        on_entries=(delivery.feed,),
        on_end=delivery.drain,
    )
