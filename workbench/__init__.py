"""A workbench for agents that act by writing Python, inside Jupyter.

Every public name is listed in one table and loaded when it is first used, so importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.current import current as current
from workbench.current import set_default as _set_default
from workbench.current import set_frames as _set_frames

if TYPE_CHECKING:  # what type checkers know of the names below
    from workbench import errors as errors
    from workbench import frames as frames
    from workbench import models as models
    from workbench import profiles as profiles
    from workbench.agents.agent import Agent as Agent
    from workbench.agents.many import Outcome as Outcome
    from workbench.errors import PolicyError as PolicyError
    from workbench.errors import SandboxError as SandboxError
    from workbench.errors import ToolError as ToolError
    from workbench.graph.edges import Edge as Edge
    from workbench.graph.edges import Join as Join
    from workbench.graph.graph import AgentGraph as AgentGraph
    from workbench.graph.nodes import Plan as Plan
    from workbench.graph.nodes import PlanInput as PlanInput
    from workbench.graph.nodes import RetryPolicy as RetryPolicy
    from workbench.graph.nodes import Task as Task
    from workbench.graph.nodes import human as human
    from workbench.graph.nodes import plan as plan
    from workbench.graph.nodes import task as task
    from workbench.graph.registry import GraphRegistry as GraphRegistry
    from workbench.guardrails.policy import Policy as Policy
    from workbench.profiles import connect as connect
    from workbench.record.envelope import PlanResult as PlanResult
    from workbench.record.envelope import TaskResult as TaskResult
    from workbench.record.values import Message as Message
    from workbench.runtime.context import TaskContext as TaskContext
    from workbench.runtime.run import Run as Run
    from workbench.runtime.shorthands import aopen as aopen
    from workbench.runtime.shorthands import aresume as aresume
    from workbench.runtime.shorthands import aruns as aruns
    from workbench.runtime.shorthands import astart as astart
    from workbench.runtime.shorthands import open as open  # noqa: A004 - `wb.open` reads like `gzip.open`
    from workbench.runtime.shorthands import resume as resume
    from workbench.runtime.shorthands import runs as runs
    from workbench.runtime.shorthands import start as start
    from workbench.runtime.workbench import Workbench as Workbench
    from workbench.sandbox.box import Sandbox as Sandbox
    from workbench.tools.executor import ToolExecutor as ToolExecutor
    from workbench.tools.info import ToolInfo as ToolInfo
    from workbench.tools.tool import Tool as Tool
    from workbench.tools.tool import tool as tool

__version__ = "0.1.0"

_PUBLIC = {
    "Agent": "workbench.agents.agent",
    "AgentGraph": "workbench.graph.graph",
    "Edge": "workbench.graph.edges",
    "GraphRegistry": "workbench.graph.registry",
    "Join": "workbench.graph.edges",
    "Message": "workbench.record.values",
    "Outcome": "workbench.agents.many",
    "Plan": "workbench.graph.nodes",
    "PlanInput": "workbench.graph.nodes",
    "PlanResult": "workbench.record.envelope",
    "Policy": "workbench.guardrails.policy",
    "PolicyError": "workbench.errors",
    "RetryPolicy": "workbench.graph.nodes",
    "Run": "workbench.runtime.run",
    "Sandbox": "workbench.sandbox.box",
    "SandboxError": "workbench.errors",
    "Task": "workbench.graph.nodes",
    "TaskContext": "workbench.runtime.context",
    "TaskResult": "workbench.record.envelope",
    "Tool": "workbench.tools.tool",
    "ToolError": "workbench.errors",
    "ToolExecutor": "workbench.tools.executor",
    "ToolInfo": "workbench.tools.info",
    "Workbench": "workbench.runtime.workbench",
    "aopen": "workbench.runtime.shorthands",
    "aresume": "workbench.runtime.shorthands",
    "aruns": "workbench.runtime.shorthands",
    "astart": "workbench.runtime.shorthands",
    "connect": "workbench.profiles",
    "current": "workbench.current",
    "errors": "",
    "frames": "",
    "human": "workbench.graph.nodes",
    "models": "",
    "open": "workbench.runtime.shorthands",
    "plan": "workbench.graph.nodes",
    "profiles": "",
    "resume": "workbench.runtime.shorthands",
    "runs": "workbench.runtime.shorthands",
    "start": "workbench.runtime.shorthands",
    "task": "workbench.graph.nodes",
    "tool": "workbench.tools.tool",
}
"""Public name → the module that has it; a name without a module is itself a module of the package."""


def __getattr__(name: str) -> Any:
    if name == "last":
        return current().last
    if name not in _PUBLIC:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}; it has {', '.join(__dir__())}")
    module = _PUBLIC[name]
    value = getattr(import_module(module), name) if module else import_module(f"workbench.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_PUBLIC, "__version__", "last", "load_ipython_extension", "unload_ipython_extension"])


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext workbench`: the magics, the live view, and how runs are displayed."""
    from workbench.notebook.extension import load  # noqa: PLC0415 - the notebook is loaded by notebooks only

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext workbench`: IPython as it was."""
    from workbench.notebook.extension import unload  # noqa: PLC0415

    unload(ipython)


def _default_workbench() -> Workbench:
    from workbench.profiles import local  # noqa: PLC0415 - only a process that runs something needs its stores

    return local()


_set_default(_default_workbench)
_set_frames(lambda: import_module("workbench.frames"))
