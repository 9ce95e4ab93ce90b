"""Values ⇄ bytes: what goes in comes out, or is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given

from tests.record.strategies import hashable, identical, values
from workbench.errors import UnencodableValue
from workbench.record.codec import MAX_DEPTH, chain, decode_value, digest, encode_value, roundtrip, sha256, to_json

KEPT = {
    "none": None,
    "true is not one": [True, 1, False, 0],
    "one is not 1.0": [1, 1.0, Decimal(1)],
    "tuple": (1, (2, ()), []),
    "set": {1, "a", (2, 3)},
    "empty set": set(),
    "frozenset": frozenset({frozenset({1}), frozenset()}),
    "bytes": b"\x00\xff not text",
    "decimal keeps its zeros": Decimal("1.500"),
    "decimal nan": Decimal("sNaN123"),
    "decimal infinity": Decimal("-Infinity"),
    "date": date(2026, 1, 31),
    "datetime": datetime(2026, 1, 31, 10, 0, 0, 1),
    "datetime aware": datetime(1, 1, 1, tzinfo=UTC),
    "datetime odd offset": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-5, seconds=7))),
    "time": time(23, 59, 59, 999999, tzinfo=UTC),
    "timedelta": timedelta(days=-1, microseconds=1),
    "keys of every type": {1: "int", True + 1: "two", None: "none", (1, 2): "tuple", 1.5: "float", b"b": "bytes", "s": "str"},
    "key order": {"b": 1, "a": 2},
    "odd key order": {2: 1, 1: 2},
    "nan": float("nan"),
    "nan as a key": {float("nan"): 1},
    "infinities": [float("inf"), float("-inf")],
    "negative zero": -0.0,
    "smallest float": 5e-324,
    "2**63 - 1": 2**63 - 1,
    "2**63": 2**63,
    "-2**63 - 1": -(2**63) - 1,
    "2**70": 2**70,
    "an int longer than Python will print": -(10**5000),
    "lone surrogate": "a\ud800b",
    "two halves that must not be joined": "\ud83d\ude00",
    "surrogate key": {"\udfff": 1},
    "nul and newline": "\x00\n\u2028",
    "a dict that looks like a tag": {"$tuple": [1]},
    "a dict that looks like an unknown tag": {"$nope": 1},
    "a dollar among other keys": {"a": 1, "$b": 2},
    "a dollar key alone": {"$": None},
    "nested": [{"a": ({"x": {1, 2}},), 3: [b"", None]}],
}


@pytest.mark.parametrize("value", KEPT.values(), ids=KEPT)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    stored = to_json(encode_value(value))
    assert identical(value, decode_value(json.loads(stored)))


@given(values)
def test_any_value_comes_back_with_its_types_and_order(value: Any) -> None:
    assert identical(value, decode_value(json.loads(to_json(encode_value(value)))))


@given(values)
def test_encoding_a_copy_gives_the_same_bytes(value: Any) -> None:
    assert digest(roundtrip(value)) == digest(value)


def test_a_copy_shares_nothing_with_the_original() -> None:
    original = {"a": [1]}
    roundtrip(original)["a"].append(2)
    assert original == {"a": [1]}


def test_a_zone_is_kept_as_its_offset() -> None:
    summer = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    assert identical(roundtrip(summer), summer.astimezone(timezone(timedelta(hours=2))))


class _Dict(dict[str, int]):
    pass


class _Colour(IntEnum):
    RED = 1


def _cycle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def _nested(levels: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = None
    for _ in range(levels):
        value = wrap(value)
    return value


REFUSED = {
    "object": (object(), "builtins.object"),
    "numpy integer": (np.int64(1), "numpy.int64"),
    "numpy float": (np.float64(1), "numpy.float64"),
    "numpy array": (np.zeros(2), "numpy.ndarray"),
    "dict subclass": (_Dict(a=1), "_Dict"),
    "ordered dict": (OrderedDict(a=1), "collections.OrderedDict"),
    "named tuple": (namedtuple("Point", "x")(1), "Point"),
    "enum": (_Colour.RED, "_Colour"),
    "generator": ((n for n in ()), "builtins.generator"),
    "complex": (1j, "builtins.complex"),
    "bytearray": (bytearray(b""), "builtins.bytearray"),
    "class": (int, "builtins.type"),
    "range": (range(3), "builtins.range"),
    "offset of half a second": (datetime(2026, 1, 1, tzinfo=timezone(timedelta(milliseconds=500))), "time zone"),
}


@pytest.mark.parametrize(("value", "name"), REFUSED.values(), ids=REFUSED)
def test_a_foreign_value_is_refused_by_name(value: Any, name: str) -> None:
    with pytest.raises(UnencodableValue, match=name):
        encode_value(value)


@pytest.mark.parametrize("holder", [lambda bad: [0, bad], lambda bad: {"k": bad}, lambda bad: (0, bad), lambda bad: {(1, bad): 0}])
def test_a_foreign_value_is_found_wherever_it_hides(holder: Callable[[Any], Any]) -> None:
    with pytest.raises(UnencodableValue, match="ellipsis"):
        encode_value(holder(...))


def test_the_refusal_says_where_the_value_is() -> None:
    with pytest.raises(UnencodableValue, match=r"value\['rows'\]\[1\] is a builtins.object"):
        encode_value({"rows": [1, object()]})


def test_a_list_that_contains_itself_is_refused() -> None:
    with pytest.raises(UnencodableValue, match="contains itself"):
        encode_value(_cycle())


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}, lambda v: {1: v}, lambda v: frozenset([v])])
def test_deep_nesting_is_refused(wrap: Callable[[Any], Any]) -> None:
    with pytest.raises(UnencodableValue, match="nested more than"):
        encode_value(_nested(201, wrap))


def test_the_deepest_accepted_nesting_comes_back() -> None:
    deepest = _nested(MAX_DEPTH, lambda v: [v])
    assert identical(roundtrip(deepest), deepest)


FORGED = [
    {"$nope": 1},
    {"$": 1},
    {"$int": "zz"},
    {"$int": None},
    {"$tuple": 5},
    {"$set": [[1]]},
    {"$dict": [[1]]},
    {"$dict": [[[], 1]]},
    {"$bytes": "?"},
    {"$bytes": "é"},
    {"$str": "/w=="},
    {"$decimal": "one"},
    {"$date": "2026-13-01"},
    {"$time": 5},
    {"$timedelta": [10**12, 0, 0]},
    {"$float": "x"},
    [{"deep": {"$nope": 1}}],
]


@pytest.mark.parametrize("data", FORGED, ids=repr)
def test_a_forged_tag_is_refused(data: Any) -> None:
    with pytest.raises(UnencodableValue, match=r"unknown type tag|malformed"):
        decode_value(data)


def test_the_bytes_of_a_set_do_not_depend_on_the_hash_seed() -> None:
    program = "from workbench.record.codec import *; print(digest([{str(n) for n in range(50)}, frozenset({('a', 'b'), 'c', b'd'})]))"
    seen = {
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


@given(hashable, hashable)
def test_different_values_have_different_digests(left: Any, right: Any) -> None:
    assert (digest(left) == digest(right)) == identical(left, right)


@pytest.mark.parametrize(("left", "right"), [(1, 1.0), (1, True), ((1,), [1]), (0.0, -0.0), ("1", 1), ({"a": 1, "b": 2}, {"b": 2, "a": 1})])
def test_a_digest_tells_types_and_order_apart(left: Any, right: Any) -> None:
    assert digest(left) != digest(right)


def test_a_chain_depends_on_everything_before() -> None:
    assert len({chain(prev, data) for prev in ("0" * 64, "1" * 64) for data in (b"a", b"b")}) == 4
    assert chain("ab", b"c") == sha256(b"abc")


def test_json_never_holds_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(float("nan"))
