"""What a function or a pydantic model takes → the parameters of a tool, and the model that a call's arguments are validated with."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, RootModel, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from workbench.errors import UserError
from workbench.tools.annotations import default_text, type_text

REQUIRED: Any = inspect.Parameter.empty
"""The default of a parameter that has none."""

Kind = Literal["positional", "either", "keyword"]

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
        model.model_json_schema(schema_generator=ArgumentSchema)
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


class ArgumentSchema(GenerateJsonSchema):
    """Without a title a field, which only repeats its name, and without warnings for defaults that JSON cannot say."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic declares it so

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def signature_of(fn: Callable[..., Any], name: str, docs: Mapping[str, str]) -> tuple[tuple[Parameter, ...], Any]:
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
    target = innermost(fn)
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


def model_parameters(model: type[BaseModel]) -> tuple[Parameter, ...]:
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


def is_model(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel) and not issubclass(hint, RootModel)


def innermost(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return inspect.unwrap(fn) if hasattr(fn, "__wrapped__") else fn


def declaration(parameter: Parameter) -> str:
    text = f"{parameter.name}: {parameter.annotation}" if parameter.annotation else parameter.name
    if parameter.required:
        return text
    return f"{text} = {default_text(parameter.default)}" if parameter.annotation else f"{text}={default_text(parameter.default)}"
