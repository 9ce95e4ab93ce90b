"""Arguments and results against their types, strictly: what would need a guess is refused.

"7" for an int, 1 for a bool, 7.0 for an int, a date for a str     refused
an int for a float                                                 fits
a list for a tuple or set, a dict for a model or dataclass         fits, since sandbox code has no other way to write them
text for a date, Decimal, enum, path or UUID                       fits, in its standard notation
"""

from __future__ import annotations

import json
import weakref
from typing import Any, NamedTuple

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from workbench.errors import ToolInputInvalid, ToolOutputInvalid
from workbench.tools.annotations import type_text
from workbench.tools.parameters import REQUIRED
from workbench.tools.tool import Tool


def validate_arguments(tool: Tool, given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and keyword arguments to call the tool's function with.

    Raises:
        ToolInputInvalid: with the signature and, for each fault, the argument, what was expected and the type that was given.
    """
    try:
        model = tool.input_model.model_validate(_fitted(tool, given), strict=True)
    except ValidationError as error:
        raise ToolInputInvalid(f"{tool.signature}: {_faults(error)}") from None
    except Exception as error:
        # A validator of the user's model raised something other than ValueError.
        raise ToolInputInvalid(f"{tool.signature}: the arguments could not be checked, {type(error).__name__}") from error
    if tool.wraps_model is not None:
        return [], {tool.wraps_model: model}
    fields = type(model).model_fields
    values = {info.alias or name: getattr(model, name) for name, info in fields.items()}
    positional = [values[parameter.name] for parameter in tool.parameters if parameter.kind == "positional"]
    named = {parameter.name: values[parameter.name] for parameter in tool.parameters if parameter.kind != "positional"}
    return positional, named


def _fitted(tool: Tool, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments, each already of its type where only the notation differed; one that does not fit is left for the model to name."""
    adapters = _checks(tool).fields
    fitted = dict(given)
    for name, value in given.items():
        adapter = adapters[name]
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError:
            as_json = _json_text(value)
            if as_json is not None:
                fitted[name] = _parsed(adapter, as_json, value)
    return fitted


def _parsed(adapter: TypeAdapter[Any], text: str, otherwise: Any) -> Any:
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError:
        return otherwise


def _json_text(value: Any) -> str | None:
    """JSON of a container or string that holds nothing else than JSON can say; None for everything that would lose its type."""
    if type(value) not in (str, list, dict) or not _is_json(value):
        return None
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        return None


def _is_json(value: Any) -> bool:
    if type(value) is list:
        return all(_is_json(item) for item in value)
    if type(value) is dict:
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    return value is None or type(value) in (str, int, float, bool)


class _Checks(NamedTuple):
    """The validators of a tool, built at its first call."""

    fields: dict[str, TypeAdapter[Any]]
    result: TypeAdapter[Any] | None


_built: weakref.WeakKeyDictionary[Tool, _Checks] = weakref.WeakKeyDictionary()


def _checks(tool: Tool) -> _Checks:
    if tool not in _built:
        fields = tool.input_model.model_fields
        adapters = {info.alias or name: TypeAdapter(info.rebuild_annotation()) for name, info in fields.items()}
        _built[tool] = _Checks(fields=adapters, result=_result_adapter(tool))
    return _built[tool]


def _result_adapter(tool: Tool) -> TypeAdapter[Any] | None:
    if tool.returns is REQUIRED:
        return None
    try:
        return TypeAdapter(tool.returns)
    except PydanticUserError:
        # A class that pydantic knows nothing of, such as a DataFrame: `plain` alone says what it becomes.
        return None


def check_result(tool: Tool, value: Any, recorded: Any) -> None:
    """Check a tool's value, as returned or as recorded, against its return annotation, where it has one that pydantic understands.

    Raises:
        ToolOutputInvalid: when neither fits.
    """
    adapter = _checks(tool).result
    if adapter is None or _fits(adapter, value) or _fits(adapter, recorded):
        return
    raise ToolOutputInvalid(f"the result is a {type(value).__qualname__}, but {tool.signature} declares {type_text(tool.returns)}")


def _fits(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        as_json = _json_text(value)
        missing = object()
        return as_json is not None and _parsed(adapter, as_json, missing) is not missing
    return True


def _faults(error: ValidationError) -> str:
    """Every fault as `argument: what was expected, got type`; never the value itself, which may be a secret."""
    faults = []
    for fault in error.errors(include_url=False, include_context=False):
        place = ".".join(str(part) for part in fault["loc"])
        given = "" if fault["type"] in ("missing", "extra_forbidden") else f", got {type(fault['input']).__name__}"
        faults.append(f"{place}: {fault['msg']}{given}" if place else f"{fault['msg']}{given}")
    return "; ".join(faults)
