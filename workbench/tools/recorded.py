"""What the record keeps of a call's arguments: all of them but secrets, which stand there by name and never as text.

A secret is what goes to a parameter whose annotation holds a SecretStr, SecretBytes or Secret anywhere, and any such value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Secret, SecretBytes, SecretStr

from workbench.errors import ToolInputInvalid
from workbench.tools.annotations import SECRETS
from workbench.tools.tool import Tool


def recorded_args(tool: Tool | None, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name, each secret as `{"secret": name}`. What is no secret is left as it is."""
    return {name: _recorded(name, value, tool is not None and name in tool.secrets) for name, value in args.items()}


def recorded_call(tool: Tool | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same of a call as code writes it. Of one that fits no signature nobody knows what was meant, so all of it is secret."""
    if tool is None or not tool.secrets:
        return args, kwargs
    try:
        tool.bind(args, kwargs)
        secret = tool.secrets
    except ToolInputInvalid:
        secret = frozenset([*tool.secrets, *(parameter.name for parameter in tool.parameters), *kwargs])
    names = [parameter.name for parameter in tool.parameters if parameter.kind != "keyword"]
    names += [f"argument {index + 1}" for index in range(len(names), len(args))]
    positional = tuple(_recorded(name, value, name in secret or " " in name) for name, value in zip(names, args, strict=False))
    return positional, {name: _recorded(name, value, name in secret) for name, value in kwargs.items()}


def with_secrets(decided: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that a person has looked at, and maybe changed, with the secrets that were not shown."""
    return {name: given[name] if name in given and value == _reference(name) else value for name, value in decided.items()}


def secret_texts(values: Iterable[Any], *, bare: bool = False) -> tuple[str, ...]:
    """The texts of all secrets in some values, the longest first so that none hides a part of another. `bare` says that the values have not
    been read yet, so that any text in them may be one."""
    found: set[str] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and bare:
            found.add(value)
        elif isinstance(value, SecretStr):
            found.add(value.get_secret_value())
        elif isinstance(value, SecretBytes):
            found.add(value.get_secret_value().decode("utf-8", "replace"))
        elif isinstance(value, Secret):
            found.add(str(value.get_secret_value()))
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
        elif hasattr(type(value), "model_fields"):
            waiting.extend(vars(value).values())
    return tuple(sorted(found - {""}, key=len, reverse=True))


def _recorded(name: str, value: Any, secret: bool) -> Any:
    return _reference(name) if isinstance(value, SECRETS) or (secret and value is not None) else value


def _reference(name: str) -> dict[str, str]:
    return {"secret": name}
