"""A Tool: a typed function an agent may call, its options, and the model its arguments are checked against.

`@tool` hands the function back unchanged: decorating never changes what the notebook's own code sees. The Tool hangs on the function as
`__workbench_tool__`; there is no registry. `Tool.of` accepts a Tool, a decorated function or any plain callable.
"""

from __future__ import annotations

import functools
import inspect
import keyword
import logging
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, overload

from pydantic import BaseModel

from workbench.errors import ToolInputInvalid, UserError
from workbench.record import codec
from workbench.tools.annotations import holds_secret, type_text
from workbench.tools.docstrings import argument_texts
from workbench.tools.parameters import (
    REQUIRED,
    ArgumentSchema,
    Parameter,
    build_input_model,
    declaration,
    innermost,
    is_async,
    is_model,
    model_parameters,
    signature_of,
)

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

Approval = bool | Callable[[dict[str, Any]], bool]

ATTRIBUTE = "__workbench_tool__"
"""Where `@tool` leaves the Tool on the function."""

On = Literal["main"]
"""Where a synchronous tool can be asked to run: the main thread of the process."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tool:
    """A function, how it is described, and how it is run. Calling a Tool calls the function."""

    name: str
    fn: Callable[..., Any]
    description: str = ""
    """The whole docstring."""
    parameters: tuple[Parameter, ...] = ()
    returns: Any = REQUIRED
    """The return annotation; `REQUIRED` where there is none."""
    input_model: type[BaseModel] = field(repr=False)
    wraps_model: str | None = None
    """The name of the function's one argument, when that is a pydantic model whose fields are the parameters."""
    timeout: float | None = None
    """Seconds a call may take; None means the executor's limit (30 s), `math.inf` none at all."""
    retries: int = 0
    """How often a transient failure is tried again; only failures that are safe to repeat are (see `ToolExecutor`)."""
    idempotent: bool = False
    """Whether repeating a call is harmless: what may happen to a call whose outcome nobody knows hangs on it."""
    finish: bool = False
    """Whether its value ends the run."""
    approval: Approval = False
    """Whether a person has to approve a call: always, never, or by a predicate over the arguments by name."""
    on: On | None = None
    """`main` runs it in the main thread, where whoever waits there lets it; None in the executor's own."""

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.isidentifier()) or keyword.iskeyword(self.name) or len(self.name) > 64:
            raise UserError(
                f"a tool cannot be named {self.name!r}: use a Python name of at most 64 ASCII letters, digits and _; give name=…"
            )
        if self.timeout is not None and not (self.timeout > 0):
            raise UserError(f"tool {self.name} has timeout={self.timeout!r}; give seconds above 0, or math.inf for no limit")
        if self.retries < 0:
            raise UserError(f"tool {self.name} has retries={self.retries!r}; give 0 or more")
        if self.on not in (None, "main"):
            raise UserError(f'tool {self.name} has on={self.on!r}; give on="main" for the main thread, or leave it out')
        if self.on is not None and is_async(self.fn):
            raise UserError(
                f"tool {self.name} is async, so it runs on a loop and not on={self.on!r}; make it a def, or leave on= out. In a notebook "
                "async tools run in the main thread anyway, on the kernel's loop"
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    @classmethod
    def from_function(
        cls,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        timeout: float | None = None,
        retries: int = 0,
        idempotent: bool = False,
        finish: bool = False,
        approval: Approval = False,
        on: On | None = None,
    ) -> Tool:
        """Describe `fn` by its signature, annotations and docstring.

        A function whose one argument is a pydantic model takes that model's fields as its arguments.

        Raises:
            UserError: for a name that is no Python name, `*args` or `**kwargs`, an annotation that no model could fill, or options that
                do not go together.
        """
        name = name or str(getattr(innermost(fn), "__name__", type(fn).__name__))
        description = inspect.getdoc(innermost(fn)) or ""
        parameters, returns = signature_of(fn, name, argument_texts(description))
        wrapped = parameters[0] if len(parameters) == 1 and is_model(parameters[0].hint) else None
        return cls(
            name=name,
            fn=fn,
            description=description,
            parameters=model_parameters(wrapped.hint) if wrapped else parameters,
            returns=returns,
            input_model=wrapped.hint if wrapped else build_input_model(name, parameters),
            wraps_model=wrapped.name if wrapped else None,
            timeout=timeout,
            retries=retries,
            idempotent=idempotent,
            finish=finish,
            approval=approval,
            on=on,
        )

    @classmethod
    def of(cls, obj: Tool | Callable[..., Any]) -> Tool:
        """The Tool itself, the one that `@tool` made, or a new one for a plain callable."""
        if isinstance(obj, Tool):
            return obj
        if not callable(obj):
            raise UserError(f"{obj!r} is not a tool; give a function, a function decorated with @wb.tool, or a Tool")
        made = getattr(obj, ATTRIBUTE, None)
        if not isinstance(made, Tool):
            return cls.from_function(obj)
        if made.fn is obj:
            return made
        # A bound method, or a wrapper that copied the attribute: the options are the decorator's, the signature is this callable's.
        return cls.from_function(
            obj,
            name=made.name,
            timeout=made.timeout,
            retries=made.retries,
            idempotent=made.idempotent,
            finish=made.finish,
            approval=made.approval,
            on=made.on,
        )

    @functools.cached_property
    def secrets(self) -> frozenset[str]:
        """The names of the parameters that take secrets."""
        return frozenset(parameter.name for parameter in self.parameters if holds_secret(parameter.hint))

    def asks(self, args: Mapping[str, Any]) -> bool:
        """Whether a person has to approve a call with these arguments. A predicate that fails has not said no: then somebody is asked."""
        if not callable(self.approval):
            return self.approval
        try:
            return bool(self.approval(dict(args)))
        except Exception:
            logger.exception("the approval predicate of tool %s failed; a person is asked", self.name)
            return True

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given arguments by name, in the order of the signature; defaults that were not given are left out.

        Raises:
            ToolInputInvalid: for an unknown, missing or repeated argument; the message shows the signature.
        """
        positional = [parameter.name for parameter in self.parameters if parameter.kind != "keyword"]
        if len(args) > len(positional):
            raise ToolInputInvalid(f"{self.signature} takes {len(positional)} positional argument(s), but {len(args)} were given")
        given = dict(zip(positional, args, strict=False))
        if repeated := [name for name in kwargs if name in given]:
            raise ToolInputInvalid(f"{self.signature} got {', '.join(repeated)} twice, by position and by name")
        given |= kwargs
        known = [parameter.name for parameter in self.parameters]
        if unknown := [str(name) for name in given if name not in known]:
            raise ToolInputInvalid(f"{self.signature} has no argument {', '.join(unknown)}")
        if missing := [parameter.name for parameter in self.parameters if parameter.required and parameter.name not in given]:
            raise ToolInputInvalid(f"{self.signature} needs {', '.join(missing)}")
        return {name: given[name] for name in known if name in given}

    @functools.cached_property
    def signature(self) -> str:
        """The call as Python would declare it, `get_weather(city: str, units: str = "celsius") -> dict`."""
        parts: list[str] = []
        for index, parameter in enumerate(self.parameters):
            before = self.parameters[index - 1].kind if index else "either"
            if before == "positional" and parameter.kind != "positional":
                parts.append("/")
            if parameter.kind == "keyword" and before != "keyword":
                parts.append("*")
            parts.append(declaration(parameter))
        if self.parameters and self.parameters[-1].kind == "positional":
            parts.append("/")
        arrow = f" -> {type_text(self.returns)}" if type_text(self.returns) else ""
        return f"{self.name}({', '.join(parts)}){arrow}"

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return self.input_model.model_json_schema(schema_generator=ArgumentSchema)

    @functools.cached_property
    def schema_hash(self) -> str:
        """Changes when the name, the description or the arguments change."""
        return codec.digest({"signature": self.signature, "description": self.description, "schema": self.schema})

    @functools.cached_property
    def source(self) -> str | None:
        """The function's source text, or None where Python cannot find it."""
        try:
            return textwrap.dedent(inspect.getsource(innermost(self.fn)))
        except (OSError, TypeError):
            return None

    @property
    def source_hash(self) -> str | None:
        """The SHA-256 of the source text, or None without one."""
        return None if self.source is None else codec.sha256(self.source.encode("utf-8", "surrogatepass"))

    def manifest(self) -> dict[str, Any]:
        """What the record keeps of a tool, enough to say what changed and to show the cell that would bring it back."""
        return {
            "name": self.name,
            "description": self.description,
            "schema": self.schema,
            "schema_hash": self.schema_hash,
            "source": self.source,
            "source_hash": self.source_hash,
            "idempotent": self.idempotent,
            "finish": self.finish,
            "approval": bool(self.approval),
        }


@overload
def tool(fn: F, /) -> F: ...
@overload
def tool(
    *,
    name: str | None = None,
    timeout: float | None = None,
    retries: int = 0,
    idempotent: bool = False,
    finish: bool = False,
    approval: Approval = False,
    on: On | None = None,
) -> Callable[[F], F]: ...
def tool(
    fn: F | None = None,
    /,
    *,
    name: str | None = None,
    timeout: float | None = None,
    retries: int = 0,
    idempotent: bool = False,
    finish: bool = False,
    approval: Approval = False,
    on: On | None = None,
) -> F | Callable[[F], F]:
    """Make a function a tool; it is returned unchanged and works as before.

    `timeout` is in seconds; `retries` repeats transient failures; `idempotent=True` says that repeating a call is harmless; `finish=True`
    makes its value the run's answer; `approval=True`, or a predicate over the arguments, has a person approve each call before it is made;
    `on="main"` runs it in the main thread, for libraries that work nowhere else, as soon as that thread waits for a run or is idle.
    """

    def mark(function: F) -> F:
        made = Tool.from_function(
            function, name=name, timeout=timeout, retries=retries, idempotent=idempotent, finish=finish, approval=approval, on=on
        )
        try:
            setattr(function, ATTRIBUTE, made)
        except (AttributeError, TypeError):
            raise UserError(f"{function!r} cannot be decorated; use Tool.from_function({made.name}) or wrap it in a def") from None
        return function

    if fn is not None and not callable(fn):
        raise UserError(f"@tool was given {fn!r}, which is no function; a name is given as @tool(name=…)")
    return mark if fn is None else mark(fn)
