"""Shapes: what a node may be given and what it may return, as annotations that pydantic understands.

A value is read strictly: text for a number, or a number for text, does not fit. What JSON cannot say fits in its standard notation (text
for a date, a UUID or an enum; a list for a tuple or set), since that is how the record and the outside world write it.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from workbench.errors import NodeInputInvalid, NodeOutputInvalid, UserError
from workbench.record.codec import sha256

MAX_PROBLEMS = 10
"""How many faults of a value are told."""


class Shape:
    """A type that values are held to.

    Raises:
        UserError: pydantic does not understand the annotation.
    """

    def __init__(self, annotation: Any, where: str) -> None:
        self.annotation = annotation
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)
            schema = self._adapter.json_schema()
        except PydanticUserError as error:
            told = str(error).splitlines()[0]
            raise UserError(f"{where} is {annotation!r}, of which no schema can be made: {told}. Write a pydantic class") from None
        self.hash = sha256(json.dumps(_without_words(schema), sort_keys=True).encode())
        """Of what the schema lets pass; titles and descriptions do not count."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shape) and self.hash == other.hash and self.annotation == other.annotation

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        return str(getattr(self.annotation, "__name__", self.annotation))

    def given_to(self, node: str, value: Any) -> Any:
        """What a node's code gets for a recorded value.

        Raises:
            NodeInputInvalid: the value does not fit.
        """
        try:
            return self._read(value)
        except ValidationError as error:
            raise NodeInputInvalid(f"{node!r} takes a {self}, and was given something else: {_problems(error)}") from None

    def returned_by(self, node: str, value: Any) -> Any:
        """What a node has returned, as the shape has it.

        Raises:
            NodeOutputInvalid: the value does not fit.
        """
        try:
            return self._read(value)
        except ValidationError as error:
            raise NodeOutputInvalid(f"{node!r} must return a {self}, and returned something else: {_problems(error)}") from None

    def _read(self, value: Any) -> Any:
        try:
            return self._adapter.validate_python(value, strict=True, by_alias=True, by_name=True)
        except ValidationError:
            text = _json_text(value)
            if text is None:
                raise
            return self._adapter.validate_json(text, strict=True, by_alias=True, by_name=True)


def hint_of(function: Callable[..., Any], which: str | int) -> Any:
    """The annotation of a function's parameter, by its place, or of `return`; `inspect.Parameter.empty` where there is none.

    Raises:
        NameError: it is text, and names what cannot be found.
    """
    signature = inspect.signature(function)
    hint = signature.return_annotation if which == "return" else list(signature.parameters.values())[int(which)].annotation
    if isinstance(hint, str):
        # One annotation alone: others may name what is imported for type checkers only.
        one = types.SimpleNamespace(__annotations__={"it": hint})
        code = inspect.unwrap(getattr(function, "__func__", function))
        return typing.get_type_hints(one, globalns=getattr(code, "__globals__", {}), include_extras=True)["it"]
    return hint


def is_model(hint: Any) -> bool:
    """Whether an annotation is a pydantic class."""
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def _json_text(value: Any) -> str | None:
    """A value in JSON's notation; None for one that has none."""
    try:
        return json.dumps(to_jsonable_python(value))
    except (PydanticSerializationError, ValueError, RecursionError):
        return None


def _problems(error: ValidationError) -> str:
    """Each fault with its place and the type that was there; never the value itself, which may be a secret."""
    return "; ".join(_problem(fault) for fault in error.errors(include_url=False, include_context=False)[:MAX_PROBLEMS])


def _problem(fault: Any) -> str:
    given = "" if fault["type"] in ("missing", "extra_forbidden") else f", got {type(fault['input']).__name__}"
    place = "/".join(map(str, fault["loc"]))
    return f"{place}: {fault['msg']}{given}" if place else f"{fault['msg']}{given}"


def _without_words(schema: Any) -> Any:
    """A schema without what only people read; a property may be called `title`, and then its value is no text."""
    if isinstance(schema, dict):
        return {key: _without_words(value) for key, value in _lasting(schema)}
    return [_without_words(item) for item in schema] if isinstance(schema, list) else schema


def _lasting(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in schema.items() if not (key in ("title", "description") and isinstance(value, str)))
