"""ToolInfo: a tool described by hand, for a callable whose signature does not say what a model needs to know."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from workbench.errors import UserError
from workbench.tools.annotations import type_text
from workbench.tools.parameters import REQUIRED, Parameter, build_input_model
from workbench.tools.tool import Approval, On, Tool

_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "list": list,
    "dict": dict,
    "tuple": tuple,
    "set": set,
    "bytes": bytes,
    "any": Any,
    "None": None,
}


@dataclass(frozen=True)
class ToolInfo:
    """A description to build step by step; every step returns a new one.

        ToolInfo("search", "Search the web").arg("query", "str", "The query").arg_opt("limit", "int", "Max results").returns("list")

    Types are names (`str int float bool list dict tuple set bytes any`) or Python types such as `list[str]`.
    """

    name: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    returned: Any = REQUIRED

    def arg(self, name: str, type: str | Any, doc: str = "") -> ToolInfo:
        """Add an argument that every call must give."""
        if any(not parameter.required for parameter in self.parameters):
            raise UserError(f"ToolInfo {self.name}: the required argument {name} comes after an optional one; add it before")
        return self._with(name, type, doc, REQUIRED)

    def arg_opt(self, name: str, type: str | Any, doc: str = "") -> ToolInfo:
        """Add an argument that a call may leave out; the function's own default then holds, or None where it has none."""
        return self._with(name, type, doc, None)

    def returns(self, type: str | Any) -> ToolInfo:
        """Say what the tool returns."""
        return replace(self, returned=self._hint(type))

    def tool(
        self,
        fn: Callable[..., Any],
        *,
        timeout: float | None = None,
        retries: int = 0,
        idempotent: bool = False,
        finish: bool = False,
        approval: Approval = False,
        on: On | None = None,
    ) -> Tool:
        """The Tool that calls `fn` with these arguments, by name."""
        defaults = _defaults(fn)
        parameters = tuple(
            parameter if parameter.required else _optional(parameter, defaults.get(parameter.name)) for parameter in self.parameters
        )
        return Tool(
            name=self.name,
            fn=fn,
            description=self.description,
            parameters=parameters,
            returns=self.returned,
            input_model=build_input_model(self.name, parameters),
            timeout=timeout,
            retries=retries,
            idempotent=idempotent,
            finish=finish,
            approval=approval,
            on=on,
        )

    def _with(self, name: str, type: str | Any, doc: str, default: Any) -> ToolInfo:
        if any(parameter.name == name for parameter in self.parameters):
            raise UserError(f"ToolInfo {self.name} has two arguments named {name}")
        hint = self._hint(type)
        return replace(
            self, parameters=(*self.parameters, Parameter(name=name, annotation=type_text(hint), hint=hint, default=default, doc=doc))
        )

    def _hint(self, type: str | Any) -> Any:
        if not isinstance(type, str):
            return type
        if type not in _TYPES:
            raise UserError(f"ToolInfo {self.name}: unknown type {type!r}; use {', '.join(_TYPES)}, or a Python type such as list[str]")
        return _TYPES[type]


def _optional(parameter: Parameter, default: Any) -> Parameter:
    if default is not None:
        return replace(parameter, default=default)
    hint = Any if parameter.hint is Any else parameter.hint | None
    return replace(parameter, hint=hint, annotation=type_text(hint))


def _defaults(fn: Callable[..., Any]) -> dict[str, Any]:
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return {}
    return {name: parameter.default for name, parameter in signature.parameters.items() if parameter.default is not REQUIRED}
