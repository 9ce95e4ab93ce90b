"""Arguments and results are checked strictly: nothing is guessed."""

from __future__ import annotations

import enum
import pathlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, SecretStr
from typing_extensions import TypedDict

from workbench.errors import ToolInputInvalid, ToolOutputInvalid
from workbench.tools import Tool, ToolExecutor


class Unit(enum.Enum):
    C = "celsius"


class Place(BaseModel):
    name: str
    height: float = 0.0
    seen: date | None = None


@dataclass
class Point:
    x: int


class Row(TypedDict):
    n: int


def taking(hint: Any, received: list[Any]) -> Tool:
    """A tool with two arguments: a single model would be taken apart into its fields."""

    def f(x: Any, also: int = 0) -> Any:
        received.append(x)

    f.__annotations__["x"] = hint
    return Tool.of(f)


FITS: list[tuple[Any, Any, Any]] = [
    (int, 7, 7),
    (float, 7, 7.0),
    (float, 7.5, 7.5),
    (bool, True, True),
    (str, "7", "7"),
    (list[float], [1, 2.5], [1.0, 2.5]),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], (1, 2), (1, 2)),
    (set[int], [1, 2], {1, 2}),
    (date, "2026-01-31", date(2026, 1, 31)),
    (date, date(2026, 1, 31), date(2026, 1, 31)),
    (datetime, "2026-01-31T10:00:00", datetime(2026, 1, 31, 10)),
    (Decimal, "1.50", Decimal("1.50")),
    (Unit, "celsius", Unit.C),
    (Unit, Unit.C, Unit.C),
    (pathlib.PurePosixPath, "/tmp", pathlib.PurePosixPath("/tmp")),
    (uuid.UUID, "00000000-0000-0000-0000-000000000001", uuid.UUID(int=1)),
    (Place, {"name": "a", "height": 3}, Place(name="a", height=3.0)),
    (Place, {"name": "a", "seen": date(2026, 1, 31)}, Place(name="a", seen=date(2026, 1, 31))),
    (list[Place], [{"name": "a", "seen": "2026-01-31"}], [Place(name="a", seen=date(2026, 1, 31))]),
    (Point, {"x": 1}, Point(1)),
    (Row, {"n": 1}, {"n": 1}),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (int | None, None, None),
    (int | str, "7", "7"),
    (Literal["a", "b"], "a", "a"),
    (Any, (1, {2}), (1, {2})),
    (SecretStr, "s", SecretStr("s")),
]

REFUSED: list[tuple[Any, Any, str]] = [
    (int, "7", "x: Input should be a valid integer, got str"),
    (int, 7.0, "valid integer, got float"),
    (int, True, "valid integer, got bool"),
    (float, "7.5", "valid number, got str"),
    (bool, 1, "valid boolean, got int"),
    (str, 7, "valid string, got int"),
    (str, date(2026, 1, 31), "valid string, got date"),
    (str, None, "valid string, got NoneType"),
    (list[str], [date(2026, 1, 31)], "x.0: Input should be a valid string"),
    (list[int], ["7"], "x.0: Input should be a valid integer"),
    (tuple[int, str], [1], "x"),
    (set[int], ["7"], "x"),
    (date, "tomorrow", "x"),
    (date, 5, "valid date"),
    (Unit, "kelvin", "x"),
    (Place, {"name": 7}, "x.name: Input should be a valid string, got int"),
    (Place, {"height": 7.0}, "x.name: Field required"),
    (Point, {"x": "1"}, "x"),
    (Row, {"n": "1"}, "x.n"),
    (dict[str, int], {"a": "1"}, "x.a"),
    (Literal["a", "b"], "c", "x"),
]


@pytest.mark.parametrize(("hint", "given", "expected"), FITS, ids=lambda value: str(value)[:30])
async def test_what_needs_no_guess_fits(hint: Any, given: Any, expected: Any) -> None:
    received: list[Any] = []
    executor = ToolExecutor([taking(hint, received)], inline=True)
    await executor.call("f", {"x": given})
    assert received == [expected]
    assert type(received[0]) is type(expected)


@pytest.mark.parametrize(("hint", "given", "words"), REFUSED, ids=lambda value: str(value)[:30])
async def test_what_would_need_a_guess_is_refused(hint: Any, given: Any, words: str) -> None:
    executor = ToolExecutor([taking(hint, [])], inline=True)
    with pytest.raises(ToolInputInvalid, match=words):
        await executor.call("f", {"x": given})


async def test_the_message_names_types_and_never_values() -> None:
    executor = ToolExecutor([taking(int, [])], inline=True)
    with pytest.raises(ToolInputInvalid) as caught:
        await executor.call("f", {"x": "canary"})
    assert str(caught.value) == "f(x: int, also: int = 0) -> Any: x: Input should be a valid integer, got str"


def returning(hint: Any, value: Callable[[], Any]) -> Tool:
    def f() -> Any:
        return value()

    f.__annotations__["return"] = hint
    return Tool.of(f)


@pytest.mark.parametrize(
    ("hint", "value", "fits"),
    [
        (int, lambda: 7, True),
        (int, lambda: np.int64(7), True),
        (float, lambda: 7, True),
        (list[int], lambda: np.array([1, 2]), True),
        (Place, lambda: Place(name="a"), True),
        (Place, lambda: {"name": "a", "seen": date(2026, 1, 31)}, True),
        (list[Place], lambda: [{"name": "a"}], True),
        (dict, lambda: Place(name="a"), True),
        (pathlib.Path, lambda: pathlib.Path("/tmp"), True),
        (pd.DataFrame, lambda: pd.DataFrame({"a": [1]}), True),
        (None, lambda: None, True),
        (Any, lambda: 7, True),
        (int, lambda: "7", False),
        (str, lambda: None, False),
        (list[int], lambda: ["7"], False),
        (Place, lambda: {"title": "a"}, False),
        (None, lambda: 7, False),
    ],
)
async def test_a_result_is_checked_against_its_annotation(hint: Any, value: Callable[[], Any], fits: bool) -> None:
    executor = ToolExecutor([returning(hint, value)], inline=True)
    if fits:
        await executor.call("f", {})
    else:
        with pytest.raises(ToolOutputInvalid, match="declares"):
            await executor.call("f", {})
