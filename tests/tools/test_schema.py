"""The three wire forms of a tool."""

from __future__ import annotations

import ast
import enum
import pathlib
import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from workbench.tools import Tool, ToolInfo
from workbench.tools.schema import anthropic_schema, openai_schema, stub


class Unit(enum.Enum):
    C = "celsius"
    F = "fahrenheit"


class Place(BaseModel):
    name: str
    height: float = 0.0


@dataclass
class Report:
    title: str
    places: list[Place]


def get_weather(city: str, units: str = "celsius") -> dict:  # type: ignore[type-arg]
    """Get current weather for a city."""
    return {}


def rich(
    places: list[Place],
    when: date,
    unit: Unit = Unit.C,
    mode: Literal["now", "later"] = "now",
    limit: Annotated[int, Field(ge=1, le=100, description="At most this many")] = 5,
    into: pathlib.Path | None = None,
) -> Report:
    """Report on places.

    Args:
        places: Where to look.
        when: The day,
            in local time.

    Returns:
        A report.
    """
    raise NotImplementedError


def odd(text: str = 'say "hi"\n', quote: str = "it's", table: dict[str, int] = {"a": 1}, missing: Any = object()) -> None:  # noqa: B006, B008
    '''Matches \\d and says """quoted"""'''


TOOLS = [Tool.of(fn) for fn in (get_weather, rich, odd)] + [
    ToolInfo("search", "Search the web")
    .arg("query", "str", "The query")
    .arg_opt("limit", "int", "Max results")
    .returns("list")
    .tool(lambda query, limit=5: [query] * limit)
]


def test_the_stub_is_the_signature_with_its_docstring() -> None:
    expected = 'def get_weather(city: str, units: str = "celsius") -> dict:\n    """Get current weather for a city."""'
    assert stub(Tool.of(get_weather)) == expected


def test_the_stub_keeps_the_docstring_and_adds_what_it_lacks() -> None:
    assert stub(Tool.of(rich)) == (
        "def rich(places: list[dict], when: date, unit: Literal['celsius', 'fahrenheit'] = \"celsius\", "
        "mode: Literal['now', 'later'] = \"now\", limit: int = 5, into: str | None = None) -> dict:\n"
        '    """Report on places.\n'
        "\n"
        "    Args:\n"
        "        places: Where to look.\n"
        "        when: The day,\n"
        "            in local time.\n"
        "\n"
        "    Returns:\n"
        "        A report.\n"
        "\n"
        "    More on the arguments:\n"
        "        places: dict with name: str, height: float\n"
        "        limit: At most this many\n"
        "\n"
        "    Returned: dict with title: str, places: list[dict]\n"
        '    """'
    )


def test_a_hand_described_tool_has_its_texts_and_the_functions_default() -> None:
    assert stub(TOOLS[-1]) == (
        'def search(query: str, limit: int = 5) -> list:\n    """Search the web\n\n'
        '    Args:\n        query: The query\n        limit: Max results\n    """'
    )


@pytest.mark.parametrize("made", TOOLS, ids=lambda made: made.name)
def test_every_stub_is_python_with_the_same_docstring(made: Tool) -> None:
    function = ast.parse(stub(made)).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert (ast.get_docstring(function) or "").startswith(made.description)


def test_a_tool_with_nothing_to_say_has_a_bare_stub() -> None:
    def bare(x, y=1.5):  # type: ignore[no-untyped-def]
        return x

    assert stub(Tool.of(bare)) == "def bare(x, y=1.5): ..."


def test_defaults_are_shown_as_python_and_objects_as_dots() -> None:
    assert Tool.of(odd).signature == (
        'odd(text: str = \'say "hi"\\n\', quote: str = "it\'s", table: dict[str, int] = {"a": 1}, missing: Any = ...) -> None'
    )


def test_the_anthropic_schema_is_name_description_and_input_schema() -> None:
    assert anthropic_schema(Tool.of(get_weather)) == {
        "name": "get_weather",
        "description": "Get current weather for a city.",
        "input_schema": {
            "additionalProperties": False,
            "properties": {"city": {"type": "string"}, "units": {"default": "celsius", "type": "string"}},
            "required": ["city"],
            "title": "get_weather",
            "type": "object",
        },
    }


def test_the_openai_schema_wraps_the_same_parameters() -> None:
    made = Tool.of(rich)
    function = openai_schema(made)["function"]
    assert function == {"name": "rich", "description": made.description, "parameters": anthropic_schema(made)["input_schema"]}
    assert function["parameters"]["properties"]["when"] == {"description": "The day, in local time.", "format": "date", "type": "string"}
    assert function["parameters"]["properties"]["limit"]["description"] == "At most this many"


def test_the_strict_variant_closes_every_object() -> None:
    strict = anthropic_schema(Tool.of(rich), strict=True)["input_schema"]
    assert strict["additionalProperties"] is False
    assert strict["$defs"]["Place"]["additionalProperties"] is False
    assert "additionalProperties" not in anthropic_schema(Tool.of(rich))["input_schema"]["$defs"]["Place"]


def test_openais_strict_flag_is_set_only_where_all_is_required() -> None:
    def all_required(a: int, b: list[str]) -> None: ...

    assert openai_schema(Tool.of(all_required), strict=True)["function"]["strict"] is True
    assert "strict" not in openai_schema(Tool.of(get_weather), strict=True)["function"]


@pytest.mark.parametrize("made", TOOLS, ids=lambda made: made.name)
def test_the_schemas_are_valid_json_schema_under_the_registered_name(made: Tool) -> None:
    for strict in (False, True):
        anthropic = anthropic_schema(made, strict=strict)
        openai = openai_schema(made, strict=strict)["function"]
        jsonschema.Draft202012Validator.check_schema(anthropic["input_schema"])
        assert anthropic["name"] == openai["name"] == made.name
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", made.name)


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"city": "Berlin"}, True),
        ({"city": "Berlin", "units": "kelvin"}, True),
        ({"city": 7}, False),
        ({}, False),
        ({"city": "Berlin", "unit": "kelvin"}, False),
    ],
)
def test_the_schema_accepts_what_the_tool_accepts(arguments: dict[str, Any], fits: bool) -> None:
    validator = jsonschema.Draft202012Validator(anthropic_schema(Tool.of(get_weather))["input_schema"])
    assert validator.is_valid(arguments) is fits
