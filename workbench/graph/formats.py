"""YAML and JSON ⇄ outline of a graph. Both have the same keys; the names of attributes are those of DOT.

    name: review
    version: 1.0.0
    nodes:
    - {name: fetch, type: task, timeout: 30 s, attempts: 3}
    - {name: judge, type: plan}
    edges:
    - {source: Start, target: fetch}
    - {source: fetch, target: judge}
    - {source: judge, target: End, condition: result.accepted}

A scalar of YAML is a number, true, false, null or else text: `on`, `no` and `1.0.0` are text. Anchors and aliases are not read.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from json.decoder import JSONObject  # type: ignore[attr-defined]
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any, NoReturn

import yaml

from workbench.errors import GraphError
from workbench.graph.outline import EdgeOutline, NodeOutline, Outline, check_length

MAX_DEPTH = 10


class _Stated(dict[str, Any]):
    """A mapping and the line it begins on."""

    line = 1


def read_yaml(text: str) -> Outline:
    """The outline a YAML text states.

    Raises:
        GraphError: the text is no YAML, nested too deeply, or has anchors.
    """
    check_length(text)
    try:
        _refuse_tricks(text)
        loader = _Loader(text)
        try:
            return _outline(loader.get_single_data())
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        raise GraphError("?", [f"line {mark.line + 1 if mark else 1}: this is not YAML: {problem or error}"]) from None


def read_json(text: str) -> Outline:
    """The outline a JSON text states.

    Raises:
        GraphError: the text is no JSON.
    """
    check_length(text)
    try:
        return _outline(_Decoder(text).decode(text))
    except json.JSONDecodeError as error:
        raise GraphError("?", [f"line {error.lineno}: this is not JSON: {error.msg}"]) from None
    except (RecursionError, ValueError) as error:
        raise GraphError("?", [f"this is not the JSON of a graph: {error}"]) from None


def write_yaml(outline: Outline) -> str:
    """The outline as YAML; an entry has a line of its own."""
    rows = _rows(outline)
    lines = [f"{key}: {_scalar(value)}" for key, value in rows.items() if key not in ("nodes", "edges")]
    for key in ("nodes", "edges"):
        lines += [f"{key}:", *(f"- {_flow(row)}" for row in rows[key])]
    return "\n".join(lines) + "\n"


def write_json(outline: Outline) -> str:
    """The outline as JSON."""
    return json.dumps(_rows(outline), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _rows(outline: Outline) -> dict[str, Any]:
    return {
        "name": outline.name,
        **outline.values,
        "nodes": [{"name": node.name, **_plain(node.values)} for node in outline.nodes],
        "edges": [{"source": edge.source, "target": edge.target, **_plain(edge.values)} for edge in outline.edges],
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


_BARE = re.compile(r"[^\W\d_][\w./+-]*(?: [\w./+-]+)*|\d+\.\d+\.\d+", re.ASCII)
_WORDS_OF_YAML = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def _flow(row: Mapping[str, Any]) -> str:
    return f"{{{', '.join(f'{_scalar(key)}: {_scalar(value)}' for key, value in row.items())}}}"


def _scalar(value: Any) -> str:
    """A value as any YAML reads it: text is bare where no reader takes it for something else, and otherwise quoted as in JSON."""
    if isinstance(value, list):
        return f"[{', '.join(_scalar(item) for item in value)}]"
    if isinstance(value, str) and _BARE.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))  # YAML 1.1 takes 1e-07 for text
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False, allow_nan=False))


class _Trick(GraphError):
    """YAML that is more than the description of a graph needs."""

    def __init__(self, what: str, mark: Any) -> None:
        super().__init__("?", [f"line {mark.line + 1}: {what}"])


class _Loader(yaml.SafeLoader):
    """Safe; mappings know their line; a key may be given once; `on` and `1.0.0` are text, as in YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the loader's own registry, filled below

    def mapping(self, node: yaml.MappingNode) -> _Stated:
        """A mapping; every key is the text it is written as."""
        stated = _Stated()
        stated.line = node.start_mark.line + 1
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Trick("a key is a word", key.start_mark)
            if key.value in stated:
                raise _Trick(f"{key.value!r} is given twice", key.start_mark)
            stated[key.value] = self.construct_object(value, deep=True)
        return stated


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,300})", "-+0123456789"),
    ("float", r"[-+]?[0-9]{1,300}\.[0-9]*(?:[eE][-+][0-9]{1,3})?", "-+0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), [*_first.replace("\0", ""), ""])


def _refuse_tricks(text: str) -> None:
    """Look at the text's events, before anything is built from them."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _Trick("anchors and aliases are not read", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _Trick(f"nested more than {MAX_DEPTH} deep", event.start_mark)


class _Decoder(json.JSONDecoder):
    """Objects know their line; a key may be given once; no NaN."""

    def __init__(self, text: str) -> None:
        super().__init__(object_pairs_hook=_once, parse_constant=_no_constant)
        self._breaks = [index for index, character in enumerate(text) if character == "\n"]
        self.parse_object: Callable[..., Any] = self._object
        self.scan_once = py_make_scanner(self)  # the one written in C does not ask parse_object

    def _object(self, start: tuple[str, int], *others: Any) -> tuple[_Stated, int]:
        stated, end = JSONObject(start, *others)
        stated.line = bisect_left(self._breaks, start[1] - 1) + 1
        return stated, end


def _once(pairs: list[tuple[str, Any]]) -> _Stated:
    stated = _Stated()
    for key, value in pairs:
        if key in stated:
            raise ValueError(f"{key!r} is given twice")
        stated[key] = value
    return stated


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _outline(data: Any) -> Outline:
    if not isinstance(data, _Stated):
        raise GraphError("?", ["line 1: a graph is a mapping with name, version, nodes and edges"])
    found: list[tuple[int, str]] = []
    name = data.pop("name", None)
    if not isinstance(name, str) or not name:
        found.append((data.line, "the graph has no name; write `name: …`"))
    nodes = _parts(data, "nodes", ("name",), found)
    edges = _parts(data, "edges", ("source", "target"), found)
    return Outline(
        name=str(name or "?"),
        values=data,
        line=data.line,
        nodes=tuple(NodeOutline(name=node.pop("name"), values=node, line=node.line) for node in nodes),
        edges=tuple(EdgeOutline(source=edge.pop("source"), target=edge.pop("target"), values=edge, line=edge.line) for edge in edges),
        faults=tuple(found),
    )


def _parts(data: _Stated, key: str, named: tuple[str, ...], found: list[tuple[int, str]]) -> list[_Stated]:
    """The list under a key: mappings that have the texts `named`."""
    parts = data.pop(key, [])
    if not isinstance(parts, list):
        found.append((data.line, f"{key} is a list of mappings"))
        return []
    good = []
    for number, part in enumerate(parts, start=1):
        if not isinstance(part, _Stated):
            found.append((data.line, f"{key}: entry {number} is {str(part)[:60]!r}; it is a mapping with {' and '.join(named)}"))
        elif not all(isinstance(part.get(name), str) for name in named):
            found.append((part.line, f"{key}: entry {number} needs {' and '.join(named)}, and both are text"))
        else:
            good.append(part)
    return good
