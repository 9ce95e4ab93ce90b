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
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, overload

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, RootModel, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from workbench.errors import ToolInputInvalid, UserError
from workbench.record import codec
from workbench.tools.annotations import default_text, holds_secret, type_text
from workbench.tools.docstrings import argument_texts

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

Approval = bool | Callable[[dict[str, Any]], bool]

ATTRIBUTE = "__workbench_tool__"
"""Where `@tool` leaves the Tool on the function."""

REQUIRED: Any = inspect.Parameter.empty
"""The default of a parameter that has none."""

Kind = Literal["positional", "either", "keyword"]

On = Literal["main"]
"""Where a synchronous tool can be asked to run: the main thread of the process."""

_KINDS: dict[Any, Kind] = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One argument of a tool, as a model sees it."""

    name: str
    annotation: str = ""
    """The type's text; empty where the function says nothing."""
    hint: Any = Any
    """The type itself."""
    default: Any = REQUIRED
    doc: str = ""
    kind: Kind = "either"

    @property
    def required(self) -> bool:
        """Whether a call must give it."""
        return self.default is REQUIRED


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
        name = name or str(getattr(_innermost(fn), "__name__", type(fn).__name__))
        description = inspect.getdoc(_innermost(fn)) or ""
        parameters, returns = _signature(fn, name, argument_texts(description))
        wrapped = parameters[0] if len(parameters) == 1 and _is_model(parameters[0].hint) else None
        return cls(
            name=name,
            fn=fn,
            description=description,
            parameters=_model_parameters(wrapped.hint) if wrapped else parameters,
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
            parts.append(_declaration(parameter))
        if self.parameters and self.parameters[-1].kind == "positional":
            parts.append("/")
        arrow = f" -> {type_text(self.returns)}" if type_text(self.returns) else ""
        return f"{self.name}({', '.join(parts)}){arrow}"

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return self.input_model.model_json_schema(schema_generator=_ArgumentSchema)

    @functools.cached_property
    def schema_hash(self) -> str:
        """Changes when the name, the description or the arguments change."""
        return codec.digest({"signature": self.signature, "description": self.description, "schema": self.schema})

    @functools.cached_property
    def source(self) -> str | None:
        """The function's source text, or None where Python cannot find it."""
        try:
            return textwrap.dedent(inspect.getsource(_innermost(self.fn)))
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


def build_input_model(name: str, parameters: tuple[Parameter, ...]) -> type[BaseModel]:
    """The model that a call's arguments are validated with: one field a parameter, nothing else allowed."""
    fields: dict[str, Any] = {}
    for index, parameter in enumerate(parameters):
        # pydantic reserves leading underscores and its own method names; such arguments get another field and keep their name as alias.
        plain_name = not parameter.name.startswith("_") and not hasattr(BaseModel, parameter.name)
        options: dict[str, Any] = {} if parameter.required else {"default": parameter.default}
        if parameter.doc:
            options["description"] = parameter.doc
        if not plain_name:
            options["alias"] = parameter.name
        fields[parameter.name if plain_name else f"argument_{index}"] = (parameter.hint, Field(**options))
    try:
        model: type[BaseModel] = create_model(name, __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields)
        model.model_json_schema(schema_generator=_ArgumentSchema)
    except PydanticUserError as error:
        types = ", ".join(f"{parameter.name}: {parameter.annotation}" for parameter in parameters)
        reason = str(error).splitlines()[0]
        raise UserError(
            f"tool {name}({types}) has an argument that a model cannot write ({reason}); use plain types or a pydantic model"
        ) from error
    return model


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await, as far as its definition says."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004 - its kind, not its presence


class _ArgumentSchema(GenerateJsonSchema):
    """Without a title a field, which only repeats its name, and without warnings for defaults that JSON cannot say."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic declares it so

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _signature(fn: Callable[..., Any], name: str, docs: Mapping[str, str]) -> tuple[tuple[Parameter, ...], Any]:
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        raise UserError(
            f"Python cannot say which arguments {name} takes; describe it with ToolInfo({name!r}, …) or wrap it in a def"
        ) from None
    hints = _type_hints(fn, name)
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.kind not in _KINDS:
            raise UserError(f"tool {name} takes {parameter}, which cannot be described to a model; name its arguments")
        hint = hints.get(parameter.name, parameter.annotation)
        parameters.append(
            Parameter(
                name=parameter.name,
                annotation=type_text(hint),
                hint=Any if hint is inspect.Parameter.empty else hint,
                default=parameter.default,
                doc=_annotated_doc(hint) or docs.get(parameter.name, ""),
                kind=_KINDS[parameter.kind],
            )
        )
    return tuple(parameters), hints.get("return", signature.return_annotation)


def _type_hints(fn: Callable[..., Any], name: str) -> dict[str, Any]:
    target = _innermost(fn)
    if inspect.isclass(target):
        target = target.__init__
    elif not inspect.isroutine(target):
        target = type(target).__call__
    try:
        return typing.get_type_hints(target, include_extras=True)
    except NameError as error:
        raise UserError(
            f"tool {name} has an annotation that cannot be looked up: {error}; define it at the top level of the module"
        ) from None
    except (AttributeError, TypeError):
        return {}


def _annotated_doc(hint: Any) -> str:
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, str):
            return extra
        if isinstance(extra, FieldInfo) and extra.description:
            return extra.description
    return ""


def _model_parameters(model: type[BaseModel]) -> tuple[Parameter, ...]:
    parameters: list[Parameter] = []
    kind: Kind = "either"
    for name, info in model.model_fields.items():
        if info.is_required() and any(not earlier.required for earlier in parameters):
            # Python allows a required argument behind an optional one only by name.
            kind = "keyword"
        parameters.append(
            Parameter(
                name=info.alias or name,
                annotation=type_text(info.annotation),
                hint=info.annotation,
                default=REQUIRED if info.is_required() else (... if info.default_factory else info.default),
                doc=info.description or "",
                kind=kind,
            )
        )
    return tuple(parameters)


def _is_model(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel) and not issubclass(hint, RootModel)


def _innermost(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return inspect.unwrap(fn) if hasattr(fn, "__wrapped__") else fn


def _declaration(parameter: Parameter) -> str:
    text = f"{parameter.name}: {parameter.annotation}" if parameter.annotation else parameter.name
    if parameter.required:
        return text
    return f"{text} = {default_text(parameter.default)}" if parameter.annotation else f"{text}={default_text(parameter.default)}"
