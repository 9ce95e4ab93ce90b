"""What a tool returned → the exact types the record can hold. Nothing is guessed and nothing becomes None that was not.

    kept        None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, Decimal, date, time, datetime, timedelta
    mapped      subclasses of those to their own type · dataclass, pydantic model, other mappings → dict · enum → its value ·
                path, UUID → str · bytearray, memoryview → bytes · range, dict views, deque → list · numpy scalar → Python scalar,
                array → nested list · DataFrame → list of records, Series → dict or list (10,000 rows at most)
    missing     pandas' NaT and NA → None, their meaning; NaN stays NaN
    refused     everything else, by type and place: generators and iterators (they may not end, and reading one uses it up), coroutines,
                functions, open files, exceptions, secrets, complex numbers

An index says something when it is named or not made of whole numbers; then a frame's records carry it and a Series becomes a dict.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import inspect
import pathlib
import uuid
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from workbench.errors import ToolOutputInvalid
from workbench.record.codec import MAX_DEPTH

MAX_ROWS = 10_000
"""A DataFrame or Series longer than this is refused: nobody reads it, and every reader of the record pays for it."""

_SCALARS = frozenset({type(None), bool, int, float, str, bytes, Decimal, date, time, datetime, timedelta})


def plain(value: Any) -> Any:
    """Return a copy of `value` made only of types the record holds.

    Raises:
        ToolOutputInvalid: for anything that has no such form; the message names its type and where in the value it lies.
    """
    return _plain(value, "the result", 0)


def _plain(value: Any, where: str, depth: int) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth >= MAX_DEPTH:
        raise ToolOutputInvalid(f"{where[:60]}… is nested more than {MAX_DEPTH} levels deep, or contains itself; return a flatter value")
    if kind is list or kind is tuple:
        return kind(_plain(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value))
    if kind is dict:
        return _dict(value, where, depth)
    package = kind.__module__.partition(".")[0]
    if package in _PACKAGES:
        return _PACKAGES[package](value, where, depth)
    if isinstance(value, enum.Enum):
        return _plain(value.value, where, depth + 1)
    for types, mapped in _MAPPED:
        if isinstance(value, types):
            return mapped(value, where, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name), f"{where}.{field.name}", depth + 1) for field in dataclasses.fields(value)}
    # A subclass defined elsewhere of a frame or array: its class comes from another package, its behaviour from this one.
    for base in kind.__mro__:
        if (package := base.__module__.partition(".")[0]) in _PACKAGES:
            return _PACKAGES[package](value, where, depth)
    raise _refusal(value, where)


def _refusal(value: Any, where: str) -> ToolOutputInvalid:
    kind = type(value)
    if inspect.isawaitable(value):
        advice = "await it in the tool"
    elif isinstance(value, Iterator) or inspect.isasyncgen(value):
        advice = "return a list of what it yields"
    elif isinstance(value, (SecretStr, SecretBytes)):
        advice = "a tool's result is stored and shown to the model; return something else"
    elif isinstance(value, BaseException):
        advice = "raise it, or return its text"
    else:
        advice = "return a dict, list, string or number instead"
    return ToolOutputInvalid(f"{where} is a {kind.__module__}.{kind.__qualname__}, which cannot be recorded; {advice}")


def _items(value: Any, where: str, depth: int) -> list[Any]:
    return [_plain(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]


def _dict(value: Mapping[Any, Any], where: str, depth: int) -> dict[Any, Any]:
    mapped: dict[Any, Any] = {}
    for key, item in value.items():
        place = f"{where}[{key!r}]" if type(key) in (str, int) else f"{where}[…]"
        name = _hashable(_plain(key, f"a key of {where}", depth + 1), key, where)
        if name in mapped:
            raise ToolOutputInvalid(f"{where} has two keys that are both recorded as {name!r}; make them different")
        mapped[name] = _plain(item, place, depth + 1)
    return mapped


def _set(value: set[Any] | frozenset[Any], where: str, depth: int) -> set[Any] | frozenset[Any]:
    members = [_hashable(_plain(item, f"a member of {where}", depth + 1), item, where) for item in value]
    return frozenset(members) if isinstance(value, frozenset) else set(members)


def _hashable(mapped: Any, original: Any, where: str) -> Any:
    try:
        hash(mapped)
    except TypeError:
        raise ToolOutputInvalid(
            f"{where} has a {type(original).__qualname__} as a key or member, which is recorded as a {type(mapped).__name__}; return a list"
        ) from None
    return mapped


def _model(value: BaseModel, where: str, depth: int) -> Any:
    return _plain(value.model_dump(mode="python", warnings=False), where, depth + 1)


def _datetime(value: datetime, *_: Any) -> datetime:
    parts = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
    return datetime(*parts, tzinfo=value.tzinfo, fold=value.fold)


def _numpy(value: Any, where: str, depth: int) -> Any:
    if not (hasattr(value, "dtype") and hasattr(value, "item")):
        raise _refusal(value, where)
    if value.dtype.kind in "Mm":
        # Python's dates hold microseconds; a finer numpy date would come out of item() as a bare number.
        rounded = value.astype(f"{'datetime64' if value.dtype.kind == 'M' else 'timedelta64'}[us]")
        if (rounded != value).any() and not _all_missing_equal(rounded, value):
            raise ToolOutputInvalid(f"{where} holds nanoseconds, which the record cannot; round it to microseconds")
        value = rounded
    if value.ndim:
        return _plain(value.tolist(), where, depth)
    scalar = value.item()
    if type(scalar).__module__.partition(".")[0] == "numpy" or isinstance(scalar, complex):
        raise _refusal(value, where)
    return _plain(scalar, where, depth)


def _all_missing_equal(rounded: Any, value: Any) -> bool:
    """Whether the only places that differ are missing ones: NaT is not equal to itself."""
    return bool(((rounded == value) | ((value != value) & (rounded != rounded))).all())  # noqa: PLR0124 - the test for a missing date


def _pandas(value: Any, where: str, depth: int) -> Any:
    names = {base.__name__ for base in type(value).__mro__}
    if "DataFrame" in names:
        return _frame(value, where, depth)
    if "Series" in names:
        return _series(value, where, depth)
    if names & {"NaTType", "NAType"}:
        return None
    if names & {"Timestamp", "Timedelta"}:
        if value.nanosecond if "Timestamp" in names else value.nanoseconds:
            raise ToolOutputInvalid(f'{where} holds nanoseconds, which the record cannot; use .floor("us")')
        return value.to_pydatetime() if "Timestamp" in names else value.to_pytimedelta()
    if names & {"Index", "ExtensionArray"}:
        return _items(_limited(value, where).tolist(), where, depth)
    raise _refusal(value, where)


def _frame(value: Any, where: str, depth: int) -> list[Any]:
    _limited(value, where)
    frame = value.reset_index() if _index_speaks(value.index) else value
    if not frame.columns.is_unique:
        raise ToolOutputInvalid(f"{where} has two columns of the same name; rename them")
    return _items(frame.to_dict("records"), where, depth)


def _series(value: Any, where: str, depth: int) -> Any:
    _limited(value, where)
    if not _index_speaks(value.index):
        return _items(value.tolist(), where, depth)
    if not value.index.is_unique:
        raise ToolOutputInvalid(f"{where} has an index with repeated labels; return .reset_index()")
    return _dict(value.to_dict(), where, depth)


def _index_speaks(index: Any) -> bool:
    return any(name is not None for name in index.names) or index.nlevels > 1 or index.dtype.kind not in "iu"


def _limited(value: Any, where: str) -> Any:
    if len(value) > MAX_ROWS:
        raise ToolOutputInvalid(
            f"{where} is a {type(value).__name__} of {len(value):,} rows, and at most {MAX_ROWS:,} are returned; "
            "return .head(n), .sample(n), an aggregate such as .groupby(…).agg(…), or write it to a file and return the path"
        )
    return value


_PACKAGES: dict[str, Callable[[Any, str, int], Any]] = {"numpy": _numpy, "pandas": _pandas}

_MAPPED: tuple[tuple[Any, Callable[[Any, str, int], Any]], ...] = (
    (BaseModel, _model),
    (str, lambda value, where, depth: str.__str__(value)),
    (int, lambda value, where, depth: int.__int__(value)),
    (float, lambda value, where, depth: float.__float__(value)),
    ((bytes, bytearray, memoryview), lambda value, where, depth: bytes(value)),
    (Decimal, lambda value, where, depth: Decimal(value)),
    (datetime, _datetime),
    (date, lambda value, where, depth: date(value.year, value.month, value.day)),
    (time, lambda value, where, depth: time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold)),
    (timedelta, lambda value, where, depth: timedelta(value.days, value.seconds, value.microseconds)),
    ((pathlib.PurePath, uuid.UUID), lambda value, where, depth: str(value)),
    (Mapping, _dict),
    (tuple, lambda value, where, depth: tuple(_items(value, where, depth))),
    ((list, range, collections.deque, KeysView, ValuesView, ItemsView), _items),
    ((set, frozenset), _set),
)
