"""JSON Schema → the fields a person fills in, and what of some arguments they have changed.

An object's properties become a field each: text, number, yes or no, one of a few, or JSON for what is none of these. Whatever else there is
becomes one field of JSON. The page only reads the fields; what comes of them is checked where it is decided.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, Literal

from workbench.notebook import shown
from workbench.notebook.wire import Change, Field, Reads
from workbench.visible import visible

FIELDS = 24
"""A form has at most so many fields; an object with more is written as JSON."""

_READS: dict[str, Reads] = {"string": "text", "integer": "integer", "number": "number", "boolean": "choice"}
_PLAIN: dict[Reads, tuple[type, ...]] = {"text": (str,), "integer": (int,), "number": (int, float)}


def value_field(
    label: str,
    *,
    key: str = "",
    reads: Reads = "json",
    start: str = "",
    needed: bool = False,
    options: list[tuple[str, str]] | None = None,
) -> Field:
    """One field for the whole value, or for its only property."""
    return _field("value", label, key=key, reads=reads, start=start, needed=needed, options=options)


def note_field(label: str) -> Field:
    """A field for a note."""
    return _field("note", label, reads="text")


def form(schema: Mapping[str, Any] | None, start: Mapping[str, Any] | None = None) -> list[Field] | None:
    """A field for each property of an object, in the schema's order; None where the schema describes no such object."""
    properties = schema.get("properties") if schema is not None and schema.get("type") == "object" else None
    if schema is None or not isinstance(properties, dict) or not 0 < len(properties) <= FIELDS:
        return None
    given, needed = start or {}, schema.get("required") or []
    extra: dict[str, Any] = {name: {} for name in given if name not in properties}
    fields = []
    for name, described in (properties | extra).items():
        if not isinstance(name, str) or not isinstance(described, dict):
            return None
        fields.append(_property(name, _resolved(described, schema), given, needed=name in needed))
    return fields


def changes(before: Any, after: Any) -> list[Change]:
    """What a person changed: arguments by name, or code by line."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return []
    if set(before) == set(after) == {"code"}:
        old, new = str(before["code"]).splitlines(), str(after["code"]).splitlines()
    else:
        names = [name for name in {**before, **after} if before.get(name, _ABSENT) != after.get(name, _ABSENT)]
        old = [f"{name}={shown.value_text(before[name])}" for name in names if name in before]
        new = [f"{name}={shown.value_text(after[name])}" for name in names if name in after]
    lines = [line for line in difflib.unified_diff(old, new, lineterm="", n=1) if not line.startswith(("---", "+++", "@@"))]
    return [{"sign": line[0], "text": visible(line[1:])[:400]} for line in lines[:80]]


_ABSENT = object()


def _property(name: str, schema: Mapping[str, Any], given: Mapping[str, Any], *, needed: bool) -> Field:
    options = options_of(schema)
    kind = schema.get("type")
    reads: Reads = "choice" if options else _READS.get(kind, "json") if isinstance(kind, str) else "json"
    there = name in given or "default" in schema
    value = given.get(name, schema.get("default"))
    start = json.dumps(value, ensure_ascii=False, indent=None if reads == "choice" else 2) if there else ""
    if there and reads in _PLAIN:
        if isinstance(value, _PLAIN[reads]) and not isinstance(value, bool):
            start = str(value) if reads == "text" else start
        else:
            reads = "json"
    elif there and reads == "choice" and start not in [each for _, each in options]:
        reads, options = "json", []
    help_text = visible(str(schema.get("description") or ""))[:200]
    return _field("value", name, key=name, reads=reads, start=start, needed=needed, options=options, help=help_text, given=name in given)


def options_of(schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The values that a schema allows, each in words and as JSON; none where it does not list them."""
    if schema.get("type") == "boolean":
        return [("yes", "true"), ("no", "false")]
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(allowed, list):
        return []
    return [(visible(each if isinstance(each, str) else json.dumps(each))[:60] or "(empty)", json.dumps(each)) for each in allowed]


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference in the same document names; of something that may be null, what it is otherwise."""
    ref = schema.get("$ref")
    if isinstance(ref, str) and ref.startswith("#/$defs/"):
        named = (root.get("$defs") or {}).get(ref.removeprefix("#/$defs/"))
        return {**named, **{key: value for key, value in schema.items() if key != "$ref"}} if isinstance(named, dict) else schema
    return schema


def _field(
    name: Literal["value", "note"],
    label: str,
    *,
    key: str = "",
    reads: Reads = "json",
    start: str = "",
    needed: bool = False,
    options: list[tuple[str, str]] | None = None,
    help: str = "",
    given: bool = True,
) -> Field:
    return {
        "name": name,
        "key": key,
        "label": visible(label)[:120],
        "help": help,
        "reads": reads,
        "start": start,
        "given": given,
        "needed": needed,
        "options": options or [],
    }
