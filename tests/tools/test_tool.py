"""Making tools of functions, and binding calls to them."""

from __future__ import annotations

import functools
import math
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from workbench.errors import ToolInputInvalid, UserError
from workbench.record import codec
from workbench.tools import Tool, tool


class SearchQuery(BaseModel):
    """Tool input for search."""

    query: str = Field(..., description="Search query string")
    max_results: int = Field(10, ge=1, le=100, description="Maximum number of results")
    filter_domain: str | None = Field(None, description="Domain to filter by")


class Weather:
    @tool(name="forecast", idempotent=True, on="main")
    def get(self, city: str, days: int = 3) -> str:
        """Forecast for a city."""
        return f"{city} {days}"


def get_weather(city: str, units: str = "celsius") -> dict[str, Any]:
    """Get current weather for a city.

    Measured at the nearest airport.
    """
    return {"city": city, "units": units}


def test_the_decorator_returns_the_function_itself() -> None:
    def plain(x: int) -> int:
        return x + 1

    assert tool(plain) is plain
    assert tool()(plain) is plain
    assert plain(1) == 2


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (Tool.of(tool(functools.partial(get_weather, units="kelvin"))), "get_weather"),
        (Tool.of(get_weather), "get_weather"),
        (Tool.of(Tool.from_function(get_weather, name="weather")), "weather"),
        (Tool.of(Weather().get), "forecast"),
    ],
)
def test_every_form_gives_a_tool(made: Tool, name: str) -> None:
    assert made.name == name


def test_options_reach_the_tool() -> None:
    @tool(name="send", timeout=math.inf, retries=2, idempotent=True, finish=True, on="main")
    def mail(to: str) -> str:
        return to

    made = Tool.of(mail)
    assert (made.name, made.timeout, made.retries, made.idempotent, made.finish) == ("send", math.inf, 2, True, True)
    assert (made.on, Tool.of(get_weather).on) == ("main", None)


def test_a_tool_runs_in_the_main_thread_or_where_it_always_does() -> None:
    with pytest.raises(UserError, match=r'tool get_weather has on=\'gui\'; give on="main" for the main thread, or leave it out'):
        Tool.from_function(get_weather, on="gui")  # type: ignore[arg-type]


def test_an_async_tool_is_refused_for_the_main_thread_with_what_to_do() -> None:
    with pytest.raises(UserError, match=r"tool fetch is async, so it runs on a loop and not on='main'; make it a def, or leave on= out"):

        @tool(on="main")
        async def fetch(url: str) -> str:
            return url


def test_where_a_tool_runs_is_no_part_of_what_is_recorded_of_it() -> None:
    assert Tool.from_function(get_weather, on="main").manifest() == Tool.of(get_weather).manifest()


def test_a_method_keeps_the_options_and_loses_self() -> None:
    made = Tool.of(Weather().get)
    assert made.signature == "forecast(city: str, days: int = 3) -> str"
    assert (made.idempotent, made.on) == (True, "main")
    assert made("Berlin") == "Berlin 3"


def test_a_wrapper_of_a_tool_is_the_one_that_is_called() -> None:
    @tool
    def inner(x: int) -> int:
        return x

    @functools.wraps(inner)
    def outer(x: int) -> int:
        return inner(x) * 10

    assert Tool.of(outer)(2) == 20


def test_the_whole_docstring_is_the_description() -> None:
    assert Tool.of(get_weather).description == "Get current weather for a city.\n\nMeasured at the nearest airport."


def test_a_function_without_docstring_or_annotations_is_a_tool() -> None:
    def bare(x, y=1):  # type: ignore[no-untyped-def]
        return x

    made = Tool.of(bare)
    assert (made.signature, made.description) == ("bare(x, y=1)", "")


def test_a_model_argument_becomes_the_tools_arguments() -> None:
    def search_tool(input: SearchQuery) -> list[str]:
        """Search the web."""
        return [input.query]

    made = Tool.of(search_tool)
    assert made.signature == "search_tool(query: str, max_results: int = 10, filter_domain: str | None = None) -> list[str]"
    assert made.wraps_model == "input"
    assert made.name == "search_tool", "the name is never changed: schema and registry agree"


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(UserError, match="name="):
        Tool.of(lambda x: x)


def test_unnamed_arguments_are_refused() -> None:
    def anything(*args: int, **kwargs: int) -> None: ...

    with pytest.raises(UserError, match="name its arguments"):
        Tool.of(anything)


def test_an_argument_no_model_could_write_is_refused() -> None:
    def draw(canvas: Weather) -> None: ...

    with pytest.raises(UserError, match="a model cannot write"):
        Tool.of(draw)


def test_an_annotation_that_cannot_be_looked_up_is_named() -> None:
    def draw(canvas: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(UserError, match="Nowhere"):
        Tool.of(draw)


@pytest.mark.parametrize("name", ["my tool", "get-weather", "class", "a" * 65, "größe"])
def test_a_name_that_is_no_python_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be named"):
        Tool.from_function(get_weather, name=name)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1}, {"timeout": math.nan}, {"retries": -1}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Tool.from_function(get_weather, **options)


def test_something_not_callable_is_no_tool() -> None:
    with pytest.raises(UserError, match="not a tool"):
        Tool.of("get_weather")  # type: ignore[arg-type]


def test_arguments_may_have_the_names_of_pydantic_methods() -> None:
    def save(json: str, schema: int, _hidden: bool = False, model_config: int = 0) -> None: ...

    made = Tool.of(save)
    assert list(made.schema["properties"]) == ["json", "schema", "_hidden", "model_config"]


def test_positional_and_keyword_arguments_are_bound_by_name() -> None:
    assert Tool.of(get_weather).bind(("Berlin",), {"units": "kelvin"}) == {"city": "Berlin", "units": "kelvin"}


def test_defaults_that_were_not_given_are_left_out() -> None:
    assert Tool.of(get_weather).bind(("Berlin",), {}) == {"city": "Berlin"}


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "needs city"),
        (("a", "b", "c"), {}, "takes 2 positional"),
        (("a",), {"city": "b"}, "got city twice"),
        (("a",), {"unit": "b"}, "no argument unit"),
    ],
)
def test_a_wrong_call_is_answered_with_the_signature(args: tuple[Any, ...], kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(ToolInputInvalid, match=words) as caught:
        Tool.of(get_weather).bind(args, kwargs)
    assert 'get_weather(city: str, units: str = "celsius") -> dict[str, Any]' in str(caught.value)


def test_keyword_only_arguments_are_not_bound_by_position() -> None:
    def f(a: int, /, b: int, *, c: int = 0) -> None: ...

    made = Tool.of(f)
    assert made.signature == "f(a: int, /, b: int, *, c: int = 0) -> None"
    assert made.bind((1, 2), {"c": 3}) == {"a": 1, "b": 2, "c": 3}
    with pytest.raises(ToolInputInvalid, match="takes 2 positional"):
        made.bind((1, 2, 3), {})


@given(st.permutations(["a", "b", "c", "d"]), st.integers(0, 4), st.integers(0, 4))
def test_the_order_of_keywords_never_matters(order: list[str], positional: int, left_out: int) -> None:
    def f(a: int, b: int = 10, c: int = 20, d: int = 30) -> tuple[int, ...]:
        return (a, b, c, d)

    values = {"a": 1, "b": 2, "c": 3, "d": 4}
    args = tuple(values[name] for name in "abcd"[:positional])
    kwargs = {name: values[name] for name in order if name not in "abcd"[:positional] and (name == "a" or order.index(name) >= left_out)}
    bound = Tool.of(f).bind(args, kwargs)
    assert list(bound) == [name for name in "abcd" if name in bound], "always in the order of the signature"
    assert f(**bound) == f(*args, **kwargs)


def test_the_schema_hash_follows_the_schema_and_the_source_hash_the_source() -> None:
    def first(x: int) -> int:
        return x

    def other(x: int) -> int:
        return x + 1

    def wider(x: float) -> int:
        return int(x)

    one, two, three = (Tool.from_function(fn, name="f") for fn in (first, other, wider))
    assert one.schema_hash == two.schema_hash
    assert one.source_hash != two.source_hash
    assert one.schema_hash != three.schema_hash


def test_a_tool_without_source_says_so() -> None:
    made = Tool.from_function(len)
    assert (made.source, made.source_hash) == (None, None)


def test_the_manifest_goes_into_the_record() -> None:
    def documented(count: Annotated[int, Field(ge=1, description="How many")] = 5) -> int:
        """Count."""
        return count

    manifest = Tool.of(documented).manifest()
    assert codec.roundtrip(manifest) == manifest
    assert list(manifest) == ["name", "description", "schema", "schema_hash", "source", "source_hash", "idempotent", "finish", "approval"]
    assert manifest["schema"]["properties"]["count"] == {"default": 5, "description": "How many", "minimum": 1, "type": "integer"}
    assert "def documented" in manifest["source"]


def test_a_name_given_in_place_of_the_function_is_told_where_it_goes() -> None:
    with pytest.raises(UserError, match=r"'search'.*name="):
        tool("search")  # type: ignore[call-overload]
