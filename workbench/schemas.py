"""The shape an answer must have: a JSON Schema, or a pydantic class, and what is said of an answer that does not have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from workbench.errors import UserError

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MAX_PROBLEMS = 10
"""How many violations are listed to the model."""


@dataclass(frozen=True)
class Checked:
    """An answer and what is wrong with it; with no problems, `value` is in its recorded form."""

    value: Any
    problems: tuple[str, ...] = ()


class AnswerSchema:
    """Checks answers and converts the recorded one for the caller: to an instance for a pydantic class, unchanged for a JSON Schema."""

    def __init__(self, schema: dict[str, Any] | type[BaseModel]) -> None:
        self.model = schema if isinstance(schema, type) and issubclass(schema, BaseModel) else None
        self.json_schema: dict[str, Any] = self.model.model_json_schema() if self.model else schema  # type: ignore[assignment]
        self._validator: Validator | None = None
        if not isinstance(self.json_schema, dict):
            raise UserError(f"a schema is a JSON Schema as a dict, or a pydantic class; got {schema!r}")
        if self.model is None:
            self._validator = _validator(self.json_schema)

    def check(self, value: Any) -> Checked:
        """Check an answer against the schema."""
        if self.model is not None:
            return self._check_model(value)
        assert self._validator is not None
        plain = as_json(value)
        errors = sorted(self._validator.iter_errors(plain), key=lambda error: list(map(str, error.absolute_path)))
        return Checked(plain, tuple(f"{_place(error.absolute_path)}: {error.message}" for error in errors[:MAX_PROBLEMS]))

    def convert(self, value: Any) -> Any:
        """The recorded answer as the caller gets it."""
        return value if self.model is None else self.model.model_validate(value)

    def _check_model(self, value: Any) -> Checked:
        assert self.model is not None
        try:
            answer = self.model.model_validate(as_json(value))
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)[:MAX_PROBLEMS]
            return Checked(value, tuple(f"{_place(item['loc'])}: {item['msg']}" for item in found))
        return Checked(answer.model_dump(mode="json"))


def _validator(schema: dict[str, Any]) -> Validator:
    # jsonschema takes up to a second to import where its format extras are installed; runs without a schema do not pay for it.
    import jsonschema  # noqa: PLC0415

    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise UserError(f"the schema is not a valid JSON Schema: {_place(error.absolute_path)}: {error.message}") from error
    return kind(schema)


def as_json(value: Any) -> Any:
    """What JSON makes of a value: tuples are arrays and keys are strings, as a schema expects."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return value


def _place(path: Any) -> str:
    return "/" + "/".join(map(str, path))
