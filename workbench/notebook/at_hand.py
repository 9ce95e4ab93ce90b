"""What the notebook has, under its name, of what a run was made with: its tools and its model."""

from __future__ import annotations

import asyncio
import functools
import inspect
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FrameType
from typing import Any

from workbench import main_thread
from workbench.models.client import ModelClient
from workbench.runtime.run import Run
from workbench.tools.printed import surroundings
from workbench.tools.tool import Tool


def tools_of(run: Run, tools: Mapping[str, Tool], variables: Mapping[str, Any]) -> list[Tool]:
    """A run's tools that are `tools` of the notebook, or functions in its variables."""
    names = [tool["name"] for tool in _made_with(run).get("tools", [])]
    here = [tools.get(name, variables.get(name)) for name in names]
    return [Tool.of(tool) for tool in here if callable(tool) or isinstance(tool, Tool)]


def model_of(run: Run, client: ModelClient | None, variables: Mapping[str, Any]) -> ModelClient | None:
    """A run's model, where it is this `client` or in a variable, and cannot be taken for another: one of the same name may be a script with
    other replies, or a service at another address. None leaves it to the run, which has its own or makes it from its record."""
    recorded = _made_with(run).get("model")
    if run.live or recorded is None:
        return None
    # Asked of the class first: looking at any object of the notebook might run its code.
    clients = [value for value in (client, *variables.values()) if hasattr(type(value), "complete")]
    same = {id(each): each for each in clients if isinstance(each, ModelClient) and {"name": each.name, **each.spec()} == recorded}
    return next(iter(same.values())) if len(same) == 1 else None


def _made_with(run: Run) -> dict[str, Any]:
    return run.state.manifest.resources if run.state.manifest is not None else {}


def on_loop(tool: Tool, loop: asyncio.AbstractEventLoop | None) -> Tool:
    """An async tool of a notebook runs on the kernel's loop, where the objects it uses live. One with `on="main"` comes to that thread by
    itself; here it is made to end when the kernel is interrupted."""
    if loop is not None and tool.on == "main":
        return replace(tool, fn=_interruptible(tool.fn))
    if loop is None or not inspect.iscoroutinefunction(tool.fn):
        return tool
    original: Callable[..., Any] = tool.fn

    async def called(*args: Any, **kwargs: Any) -> Any:
        with surroundings():
            return await original(*args, **kwargs)

    @functools.wraps(original)
    async def on_kernel_loop(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(called(*args, **kwargs), loop))

    return replace(tool, fn=on_kernel_loop)


def _interruptible(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function that the kernel's interrupt ends. A cell that awaits would have it cancel the cell, in the next turn of the very loop that
    the function holds up."""

    @functools.wraps(fn)
    def interruptible(*args: Any, **kwargs: Any) -> Any:
        if not main_thread.here():
            return fn(*args, **kwargs)
        before = signal.getsignal(signal.SIGINT)
        if before is None:  # it was not set by Python, which could not put it back
            return fn(*args, **kwargs)

        def interrupt(number: int, frame: FrameType | None) -> None:
            if callable(before):
                before(number, frame)
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, interrupt)
        try:
            return fn(*args, **kwargs)
        finally:
            signal.signal(signal.SIGINT, before)

    return interruptible
