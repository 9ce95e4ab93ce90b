"""What the notebook has, under its name, of what a run was made with: its tools and its model."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from workbench.models.client import ModelClient
from workbench.runtime.run import Run
from workbench.tools.tool import Tool


def tools_of(run: Run, tools: Mapping[str, Tool], variables: Mapping[str, Any]) -> list[Tool]:
    """A run's tools that are `tools` of the notebook, or functions in its variables."""
    names = [tool["name"] for tool in _made_with(run).get("tools", [])]
    here = [tools.get(name, variables.get(name)) for name in names]
    return [Tool.of(tool) for tool in here if callable(tool) or isinstance(tool, Tool)]


def model_of(run: Run, client: ModelClient | None, variables: Mapping[str, Any]) -> ModelClient | None:
    """A run's model, if it is this `client` or in a variable. One that is no service cannot be made anew from its name."""
    name = (_made_with(run).get("model") or {}).get("name")
    # Asked of the class first: looking at any object of the notebook might run its code.
    clients = [value for value in (client, *variables.values()) if hasattr(type(value), "complete")]
    return next((each for each in clients if isinstance(each, ModelClient) and each.name == name), None)


def _made_with(run: Run) -> dict[str, Any]:
    return run.state.manifest.resources if run.state.manifest is not None else {}


def on_loop(tool: Tool, loop: asyncio.AbstractEventLoop | None) -> Tool:
    """An async tool of a notebook runs on the kernel's loop, where the objects it uses live."""
    if loop is None or not inspect.iscoroutinefunction(tool.fn):
        return tool
    original: Callable[..., Any] = tool.fn

    @functools.wraps(original)
    async def on_kernel_loop(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(original(*args, **kwargs), loop))

    return replace(tool, fn=on_kernel_loop)
