"""What the gate may know of a value, and what it can conclude from that. Nothing here looks at code."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INT64 = range(-(2**63), 2**63)
EXACT = 2**53
"""Whole numbers up to here are the same number as a float, which is what littrs divides and compares."""
FACTOR = 2**31
"""Whole numbers up to here can be multiplied without leaving 64 bits."""


@dataclass(frozen=True)
class Kind:
    """What is known of a value: its type, and for numbers the bounds.

    `number` is an int within the bounds or any float. `any` is whatever plain data a host may give. A `fresh` list or dict was made in
    the sandbox and is reachable by one name only, so that changing it can be seen through no other.
    """

    name: str
    low: int = 0
    high: int = 0
    fresh: bool = False


ANY, BOOL, STR, NONE, FLOAT = Kind("any"), Kind("bool"), Kind("str"), Kind("none"), Kind("float")
LIST, DICT = Kind("list"), Kind("dict")
NEW_LIST, NEW_DICT = Kind("list", fresh=True), Kind("dict", fresh=True)
COUNT = Kind("int", 0, 2**31)
"""A length or an index of something that exists."""

Scope = Mapping[str, Kind]
"""The variables that are certainly defined, with what is known of them."""


def kind_of(value: Any) -> Kind:
    """What the gate may know of a value that the host puts into the sandbox."""
    if type(value) is int:
        return Kind("int", value, value)
    if type(value) is str:
        return STR
    return BOOL if type(value) is bool else NONE if value is None else ANY


def holds(value: Any) -> bool:
    """Whether littrs keeps this host value as it is: plain data, no integer beyond 64 bits, no lone surrogate, no bytes, set or date."""
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return True
    if kind is int:
        return value in INT64
    if kind is str:
        return value.isascii() or _is_unicode(value)
    if kind is list or kind is tuple:
        return all(holds(item) for item in value)
    if kind is dict:
        return all(type(key) in (str, int, type(None)) and holds(key) and holds(item) for key, item in value.items())
    return False


def join(one: Kind, two: Kind) -> Kind:
    """What is known of a value that is one or the other."""
    if one == two:
        return one
    if one.name == two.name == "int":
        return Kind("int", min(one.low, two.low), max(one.high, two.high))
    if one.name == two.name and one.name in ("list", "dict"):
        return LIST if one.name == "list" else DICT
    return ANY


def whole(low: int, high: int) -> Kind | None:
    """A whole number between two bounds, or None where it may not fit into 64 bits."""
    return Kind("int", low, high) if low in INT64 and high in INT64 else None


def interval(operator: ast.operator, left: Kind, right: Kind) -> Kind | None:
    """The bounds of a result of two whole numbers, or None where littrs may compute another one than CPython."""
    corners = [(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    match operator:
        case ast.Add():
            results = [a + b for a, b in corners]
        case ast.Sub():
            results = [a - b for a, b in corners]
        case ast.Mult():
            results = [a * b for a, b in corners]
        case ast.FloorDiv() if left.low >= 0 and left.high <= EXACT and right.low > 0:
            results = [a // b for a, b in corners]
        case ast.Mod() if left.low >= 0 and left.high <= EXACT and right.low > 0:
            results = [0, min(left.high, right.high - 1)]
        case _:
            return None
    return whole(min(results), max(results))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
