"""A Python type as the model should read it: what it may pass and what it will get, not the host's class names.

Models, dataclasses and typed dicts are shown as `dict`, since that is what crosses the sandbox; `fields_text` lists their keys. Enums are
shown as the literals they accept, DataFrames as `list[dict]`, paths and UUIDs as `str`.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import math
import pathlib
import types
import typing
import uuid
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

SECRETS = (SecretStr, SecretBytes, Secret)
"""The types whose values never reach a record or a model."""

_SHOWN_AS: dict[type, str] = {
    type(None): "None",
    pathlib.PurePath: "str",
    uuid.UUID: "str",
    SecretStr: "str",
    SecretBytes: "bytes",
    BaseException: "str",
}
_FRAMES = {"DataFrame": "list[dict]", "Series": "list", "Index": "list", "ndarray": "list"}
_FRAME_PACKAGES = {"pandas", "numpy"}


def type_text(annotation: Any) -> str:
    """The text of an annotation in a stub; an empty string where nothing was annotated."""
    if annotation is inspect.Parameter.empty:
        return ""
    if annotation is None:
        return "None"
    if annotation is Any:
        return "Any"
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return type_text(args[0])
    if origin is Literal:
        return f"Literal[{', '.join(repr(arg) for arg in args)}]"
    if origin is Union or origin is types.UnionType:
        return " | ".join(dict.fromkeys(type_text(arg) for arg in args))
    if origin is not None and isinstance(origin, type):
        inner = ", ".join("..." if arg is Ellipsis else type_text(arg) for arg in args if not isinstance(arg, list))
        return f"{origin.__name__}[{inner}]"
    if isinstance(annotation, type):
        return _class_text(annotation)
    return inspect.formatannotation(annotation)


def _class_text(cls: type) -> str:
    if record_fields(cls) is not None:
        return "dict"
    if issubclass(cls, enum.Enum):
        return f"Literal[{', '.join(repr(member.value) for member in cls)}]"
    if cls.__module__.partition(".")[0] in _FRAME_PACKAGES and cls.__name__ in _FRAMES:
        return _FRAMES[cls.__name__]
    for known, text in _SHOWN_AS.items():
        if issubclass(cls, known):
            return text
    return cls.__name__


def record_fields(annotation: Any) -> dict[str, Any] | None:
    """The fields of a pydantic model, dataclass or typed dict, as name → annotation; None for every other type."""
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, BaseModel):
        return {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
    # By its attribute: Python 3.11 does not know a typed dict of typing_extensions, which pydantic asks for there.
    if dataclasses.is_dataclass(annotation) or hasattr(annotation, "__required_keys__"):
        return dict(typing.get_type_hints(annotation))
    return None


def holds_secret(annotation: Any, within: frozenset[Any] = frozenset()) -> bool:
    """Whether a value of this type is a secret or has one in it, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, SECRETS):
        return True
    fields = record_fields(annotation)
    if fields is not None and annotation in within:
        return False
    inner = [get_origin(annotation), *get_args(annotation), *(fields or {}).values()]
    deeper = within if fields is None else within | {annotation}
    return any(holds_secret(each, deeper) for each in inner if each is not None)


def fields_text(annotation: Any) -> str:
    """`dict with title: str, url: str` for a type with fields, or a container of one; otherwise an empty string."""
    if get_origin(annotation) is typing.Annotated:
        return fields_text(get_args(annotation)[0])
    fields = record_fields(annotation)
    if fields is not None:
        return "dict with " + ", ".join(f"{name}: {type_text(hint)}" for name, hint in fields.items()) if fields else ""
    return next((text for arg in get_args(annotation) if (text := fields_text(arg))), "")


def default_text(value: Any) -> str:
    """A default as Python source, with double quotes; `...` for what has no literal."""
    if type(value) is str:
        # repr chooses double quotes when the text holds a single one, and keeps every escape right.
        return '"' + repr("'" + value)[2:-1] + '"' if '"' not in value else repr(value)
    if isinstance(value, enum.Enum):
        return default_text(value.value)
    if isinstance(value, pathlib.PurePath):
        return default_text(str(value))
    if type(value) is float and not math.isfinite(value):
        return "..."
    if value is None or type(value) in (bool, int, float, bytes):
        return repr(value)
    if type(value) in (list, tuple):
        inner = ", ".join(default_text(item) for item in value)
        if type(value) is list:
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if type(value) is dict:
        return "{" + ", ".join(f"{default_text(key)}: {default_text(item)}" for key, item in value.items()) + "}"
    return "..."
