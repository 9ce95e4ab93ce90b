"""A workbench for agents that act by writing Python, inside Jupyter.

Every public name is listed in one table and loaded when it is first used, so importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.current import current
from workbench.current import set_default as _set_default

if TYPE_CHECKING:
    from workbench.runtime.workbench import Workbench

__version__ = "0.1.0"

_PUBLIC = {
    "Agent": "workbench.agents.agent",
    "AgentGraph": "workbench.graph.graph",
    "Edge": "workbench.graph.graph",
    "Message": "workbench.record.values",
    "Plan": "workbench.graph.nodes",
    "PlanInput": "workbench.graph.nodes",
    "PlanResult": "workbench.record.envelope",
    "Run": "workbench.runtime.run",
    "Sandbox": "workbench.sandbox.box",
    "SandboxError": "workbench.errors",
    "Task": "workbench.graph.nodes",
    "TaskResult": "workbench.record.envelope",
    "Tool": "workbench.tools.tool",
    "ToolError": "workbench.errors",
    "ToolExecutor": "workbench.tools.executor",
    "ToolInfo": "workbench.tools.info",
    "Workbench": "workbench.runtime.workbench",
    "connect": "workbench.profiles",
    "current": "workbench.current",
    "errors": "",
    "frames": "",
    "human": "workbench.graph.nodes",
    "models": "",
    "open": "workbench.runtime.workbench",
    "plan": "workbench.graph.nodes",
    "profiles": "",
    "resume": "workbench.runtime.workbench",
    "runs": "workbench.runtime.workbench",
    "start": "workbench.runtime.workbench",
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
