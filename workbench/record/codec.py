"""Values ⇄ JSON that keeps their meaning, digests, and the hash that chains entries.

Values keep their meaning. What JSON cannot say carries a tag, an object with one key that starts with `$`:

    tuple        {"$tuple": [..]}            Decimal      {"$decimal": "1.50"}
    set          {"$set": [..]}              date         {"$date": "2026-01-31"}
    frozenset    {"$frozenset": [..]}        datetime     {"$datetime": "2026-01-31T10:00:00+00:00"}
    bytes        {"$bytes": base64}          time         {"$time": "10:00:00"}
    other keys   {"$dict": [[k, v], ..]}     timedelta    {"$timedelta": [days, seconds, microseconds]}
    NaN, inf     {"$float": "nan"}           int > 64 bit {"$int": "0x.."}
    lone surrogates in a string              {"$str": base64 of UTF-8 with them}

A date with a time zone keeps its offset, not the zone's name.

Lists, dicts with plain string keys, strings, numbers, booleans and None stand for themselves and dicts keep their order. A set has no
order, so its members are written in the order of their encoding: the bytes do not depend on a process's hash seed.

Only exact types are accepted. Subclasses and foreign objects (numpy, dataclasses, pydantic models, DataFrames) are mapped to these
types where they enter, in `workbench.tools`; here they are refused by name, never guessed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from workbench.errors import UnencodableValue

MAX_DEPTH = 150
"""Nesting of the encoded form beyond this is refused: what is written must be readable, and JSON parsers stop at 200 with the envelope's
own levels included. A list or plain dict is one level, a tuple or set two, a dict with other keys three."""

_INT64 = range(-(2**63), 2**63)


def encode_value(value: Any) -> Any:
    """Return the JSON-ready form of `value`, which `decode_value` turns back into an equal value of the same types.

    Raises:
        UnencodableValue: for a type outside the list above, or for nesting (or a cycle) deeper than `MAX_DEPTH`.
    """
    return _encode(value, (), 0)


_Where = tuple[Any, ...]
"""The way to a part of a value: (the way to what holds it, its key or index). Put into words only when it has to be told."""

_KEY, _MEMBER = object(), object()


def _encode(value: Any, where: _Where, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return value if value.isascii() or _is_utf8(value) else {"$str": _b64(value.encode(errors="surrogatepass"))}
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if value in _INT64 else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if depth >= MAX_DEPTH:
        told = _told(where)[:200]
        raise UnencodableValue(f"{told} is nested more than {MAX_DEPTH} levels deep, or contains itself; return a flatter value")
    if kind is list:
        return [_encode(item, (where, i), depth + 1) for i, item in enumerate(value)]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") and (key.isascii() or _is_utf8(key)) for key in value):
            return {key: _encode(item, (where, key), depth + 1) for key, item in value.items()}
        return {"$dict": [[_encode(k, (where, _KEY), depth + 3), _encode(v, (where, k), depth + 3)] for k, v in value.items()]}
    if kind is tuple:
        return {"$tuple": [_encode(item, (where, i), depth + 2) for i, item in enumerate(value)]}
    if kind is set or kind is frozenset:
        members = [_encode(item, (where, _MEMBER), depth + 2) for item in value]
        return {f"${kind.__name__}": sorted(members, key=lambda member: json.dumps(member, sort_keys=True))}
    if kind is bytes:
        return {"$bytes": _b64(value)}
    if kind is Decimal:
        return {"$decimal": str(value)}
    if kind is datetime or kind is date or kind is time:
        if kind is not date and (offset := value.utcoffset()) and offset.microseconds:
            raise UnencodableValue(
                f"{_told(where)} has a time zone whose offset, {offset}, is no whole number of seconds; no ISO 8601 reader keeps it"
            )
        return {f"${kind.__name__}": value.isoformat()}
    if kind is timedelta:
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    raise UnencodableValue(
        f"{_told(where)} is a {kind.__module__}.{kind.__qualname__}, which the record cannot hold; use None, bool, int, float, str, bytes, "
        "list, tuple, dict, set, Decimal, date, time, datetime or timedelta"
    )


def _told(where: _Where) -> str:
    steps = []
    while where:
        where, step = where
        steps.append(" key" if step is _KEY else " member" if step is _MEMBER else f"[{step!r}]")
    return "value" + "".join(reversed(steps))


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "$tuple": lambda body: tuple(decode_value(item) for item in body),
    "$set": lambda body: {decode_value(item) for item in body},
    "$frozenset": lambda body: frozenset(decode_value(item) for item in body),
    "$dict": lambda body: {decode_value(key): decode_value(item) for key, item in body},
    "$bytes": lambda body: base64.b64decode(body, validate=True),
    "$decimal": Decimal,
    "$date": date.fromisoformat,
    "$datetime": datetime.fromisoformat,
    "$time": time.fromisoformat,
    "$timedelta": lambda body: timedelta(*body),
    "$float": float,
    "$int": lambda body: int(body, 16),
    "$str": lambda body: base64.b64decode(body, validate=True).decode(errors="surrogatepass"),
}


def decode_value(data: Any) -> Any:
    """The inverse of `encode_value`.

    Raises:
        UnencodableValue: for an object with an unknown `$` tag or a malformed body, which a newer version or a forger has written.
    """
    if type(data) is list:
        return [decode_value(item) for item in data]
    if type(data) is dict:
        if len(data) == 1:
            (tag, body), *_ = data.items()
            if tag.startswith("$"):
                if tag not in _DECODERS:
                    raise UnencodableValue(f"unknown type tag {tag!r} in the record; known tags are {', '.join(_DECODERS)}")
                try:
                    return _DECODERS[tag](body)
                except (TypeError, ValueError, ArithmeticError) as error:
                    raise UnencodableValue(f"the record holds a malformed {tag}: {error}") from error
        return {key: decode_value(item) for key, item in data.items()}
    return data


def roundtrip(value: Any) -> Any:
    """`decode_value(encode_value(value))`: the copy of a value that sandbox, model and caller receive, live and in replay alike."""
    return decode_value(encode_value(value))


def to_json(data: Any) -> bytes:
    """Compact UTF-8 JSON of JSON-ready data, in the order given."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def sha256(data: bytes) -> str:
    """The lower-case hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """The SHA-256 of a value's encoded form. Values that differ in type, precision or order of keys have different digests."""
    return sha256(to_json(encode_value(value)))


def chain(prev_hash: str, entry: bytes) -> str:
    """The hash of an entry: SHA-256 over the previous entry's hash and this entry's stored bytes."""
    return hashlib.sha256(prev_hash.encode() + entry).hexdigest()


GENESIS = "0" * 64
"""`prev_hash` of the first entry of a lifetime."""


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
