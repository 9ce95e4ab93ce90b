"""What a tool may return, and what becomes of it."""

from __future__ import annotations

import collections
import enum
import pathlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, RootModel, SecretStr

from workbench.errors import ToolOutputInvalid
from workbench.record import codec
from workbench.tools.values import plain


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Hit:
    title: str
    at: date


class Answer(BaseModel):
    hits: list[Hit]
    score: float


class Names(RootModel[list[str]]):
    pass


class Text(str):
    __slots__ = ()


class Labelled(pd.DataFrame):
    pass


STAMP = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)

KEPT = [
    *(
        None,
        True,
        0,
        2**70,
        1.5,
        float("inf"),
        "text",
        "\ud800",
        b"\x00",
        Decimal("1.50"),
        date(2026, 1, 31),
        STAMP,
        time(10),
        timedelta(1),
    ),
    *([1, [2]], (1, (2,)), {"b": 1, "a": 2}, {1: "int key", (1, 2): "tuple key"}, {1, 2}, frozenset({1}), [], {}, ()),
]

MAPPED = [
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Text("t"), "t"),
    (Point(1, 2), (1, 2)),
    (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    (MappingProxyType({"a": Level.HIGH}), {"a": 3}),
    (collections.deque([1, 2]), [1, 2]),
    (range(3), [0, 1, 2]),
    ({"a": 1}.keys(), ["a"]),
    ({"a": 1}.values(), [1]),
    ({"a": 1}.items(), [("a", 1)]),
    (bytearray(b"x"), b"x"),
    (memoryview(b"x"), b"x"),
    (pathlib.PurePosixPath("/tmp/x"), "/tmp/x"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Hit("a", date(2026, 1, 31)), {"title": "a", "at": date(2026, 1, 31)}),
    (Answer(hits=[Hit("a", date(2026, 1, 31))], score=1), {"hits": [{"title": "a", "at": date(2026, 1, 31)}], "score": 1.0}),
    (Names(["a"]), ["a"]),
    (np.int64(3), 3),
    (np.float64(1.5), 1.5),
    (np.float32(0.5), 0.5),
    (np.bool_(True), True),
    (np.str_("x"), "x"),
    (np.datetime64("2026-01-31T10:00:00"), datetime(2026, 1, 31, 10)),
    (np.datetime64("2026-01-31T10:00:00.000001000", "ns"), datetime(2026, 1, 31, 10, 0, 0, 1)),
    (np.timedelta64(5, "s"), timedelta(seconds=5)),
    (np.datetime64("NaT", "s"), None),
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    (np.array(7), 7),
    (np.array(["a", None, Decimal(1)], dtype=object), ["a", None, Decimal(1)]),
    (np.array(["2026-01-31", "NaT"], dtype="datetime64[ns]"), [datetime(2026, 1, 31), None]),
    (pd.Timestamp(STAMP), STAMP),
    (pd.Timedelta(seconds=5), timedelta(seconds=5)),
    (pd.NaT, None),
    (pd.NA, None),
    (pd.Index([1, 2]), [1, 2]),
    (pd.Categorical(["a", "b"]), ["a", "b"]),
    (pd.Series([1, 2]), [1, 2]),
    (pd.Series([1, 2], index=["a", "b"]), {"a": 1, "b": 2}),
    (pd.DataFrame({"a": [1, 2], "b": ["x", None]}, dtype=object), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
    (pd.DataFrame({"a": [1, 2, 3]})[lambda frame: frame.a > 1], [{"a": 2}, {"a": 3}]),
    (pd.DataFrame({"k": ["x", "x"], "n": [1, 2]}).groupby("k").sum(), [{"k": "x", "n": 3}]),
    (pd.DataFrame({"t": pd.to_datetime(["2026-01-31"])}), [{"t": datetime(2026, 1, 31)}]),
    (Labelled({"a": [1]}), [{"a": 1}]),
    ([np.int64(1), {"k": Hit("a", date(2026, 1, 31))}], [1, {"k": {"title": "a", "at": date(2026, 1, 31)}}]),
]


def numbers() -> Iterator[int]:
    yield 1


async def later() -> int:
    return 1


cyclic: list[Any] = []
cyclic.append(cyclic)

REFUSED = [
    (object, "builtins.object"),
    (numbers, "return a list of what it yields"),
    (lambda: map(str, [1]), "builtins.map"),
    (lambda: {"deep": [1, numbers()]}, r"the result\['deep'\]\[1\] is a builtins.generator"),
    (lambda: Hit("x", numbers()), r"the result.at is a"),  # type: ignore[arg-type]
    (lambda: numbers, "builtins.function"),
    (lambda: ValueError("x"), "raise it"),
    (lambda: 1 + 2j, "complex"),
    (lambda: np.complex128(1), "complex128"),
    (lambda: np.longdouble(1), "longdouble"),
    (lambda: np.datetime64(1, "ns"), "nanoseconds"),
    (lambda: pd.Timestamp(1), "nanoseconds"),
    (lambda: pd.Interval(0, 1), "Interval"),
    (lambda: SecretStr("canary"), "SecretStr"),
    (lambda: {"key": SecretStr("canary")}, "SecretStr"),
    (lambda: {Point(1, 2), object()}, "a member of the result"),
    (lambda: {frozenset([Colour.RED]): 1, object(): 2}, "a key of the result"),
    (lambda: {Colour.RED: 1, "red": 2}, "two keys"),
    (lambda: {MappingLike("a")}, "return a list"),
    (lambda: cyclic, "contains itself"),
    (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns of the same name"),
    (lambda: pd.Series([1, 2], index=["a", "a"]), "repeated labels"),
    (lambda: pd.DataFrame({"a": range(10_001)}), r"10,001 rows.*\.head\(n\)"),
    (lambda: pd.Series(range(10_001)), "10,001 rows"),
]


@dataclass(frozen=True)
class MappingLike:
    """Hashable itself, but recorded as a dict, which is not."""

    name: str


def same(left: Any, right: Any) -> bool:
    return bool(codec.digest(left) == codec.digest(right))


@pytest.mark.parametrize("value", KEPT, ids=lambda value: type(value).__name__)
def test_the_records_own_types_are_kept(value: Any) -> None:
    assert same(plain(value), value)
    assert type(plain(value)) is type(value)


@pytest.mark.parametrize(("value", "expected"), MAPPED, ids=[f"{i}-{type(value).__name__}" for i, (value, _) in enumerate(MAPPED)])
def test_common_types_are_mapped(value: Any, expected: Any) -> None:
    assert same(plain(value), expected)


@pytest.mark.parametrize(("make", "words"), REFUSED, ids=[words[:20] for _, words in REFUSED])
def test_everything_else_is_refused_by_name(make: Any, words: str) -> None:
    with pytest.raises(ToolOutputInvalid, match=words) as caught:
        plain(make())
    assert "canary" not in str(caught.value)


def test_a_coroutine_is_refused_with_the_cure() -> None:
    pending = later()
    with pytest.raises(ToolOutputInvalid, match="await it"):
        plain(pending)
    pending.close()


def test_a_frame_of_ten_thousand_rows_is_returned_whole() -> None:
    assert len(plain(pd.DataFrame({"a": range(10_000)}))) == 10_000


def test_missing_numbers_stay_nan_and_missing_dates_are_none() -> None:
    record = plain(pd.DataFrame({"n": [float("nan")], "t": pd.to_datetime([None])}))[0]
    assert record["n"] != record["n"]
    assert record["t"] is None


def test_the_copy_shares_nothing_with_the_original() -> None:
    original = {"a": [1, {"b": 2}]}
    copy = plain(original)
    original["a"].append(3)  # type: ignore[attr-defined]
    assert copy == {"a": [1, {"b": 2}]}


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals(allow_nan=False) | st.dates()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_whatever_is_made_of_the_records_types_comes_back_the_same(value: Any) -> None:
    assert same(plain(value), value)
