"""DOT ⇄ outline of a graph: the part of Graphviz's language that says what a graph is, with our attributes.

    digraph review {
      version="1.0.0";
      fetch [type="task", timeout="30 s"];
      judge [type="plan"];
      Start -> fetch -> judge;
      judge -> End [condition="result.accepted"];
    }

Attributes that only tell Graphviz how to draw are passed over; subgraphs and ports are refused. The parser is our own because those on
PyPI keep no line numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn

from workbench.errors import GraphError
from workbench.graph.edges import START
from workbench.graph.outline import EdgeOutline, NodeOutline, Outline, check_length
from workbench.record.envelope import END

_DRAWING = """
    arrowhead arrowsize arrowtail bgcolor class color colorscheme constraint decorate dir fillcolor fixedsize fontcolor fontname fontsize
    height labeldistance labelfloat labeljust labelloc len margin minlen nodesep ordering orientation pad penwidth peripheries pos rank
    rankdir ranksep ratio regular samehead sametail shape size splines style tooltip URL weight width xlabel
"""
DRAWING = frozenset(_DRAWING.split())
"""What Graphviz draws by, and says nothing of the graph."""

_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+|//[^\n]*|/\*.*?\*/|\#[^\n]*)
      | (?P<text>"(?:[^"\\]|\\.)*")
      | (?P<word>[^\W\d]\w*|-?(?:\.\d+|\d+(?:\.\d*)?))
      | (?P<mark>->|--|[{}\[\];,=:])""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d+)?", re.ASCII)
_RESERVED = frozenset({"strict", "graph", "digraph", "node", "edge", "subgraph"})
_ESCAPE = re.compile(r'\\(["\\n]|\n)')
_ESCAPED = {'"': '"', "\\": "\\", "n": "\n", "\n": ""}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    value: str
    line: int


def read_dot(text: str) -> Outline:
    """The outline a DOT text states.

    Raises:
        GraphError: the text is not of the part of DOT that is read; says on which line.
    """
    check_length(text)
    return _Parser(text).outline()


def write_dot(outline: Outline) -> str:
    """The outline as DOT. Graphviz draws Plans as hexagons; nothing else of the drawing is stated."""
    lines = [f"digraph {_quoted(outline.name)} {{"]
    lines += [f"  {key}={_quoted(value)};" for key, value in outline.values.items()]
    for node in outline.nodes:
        shape = {"shape": "hexagon" if node.values["type"] == "plan" else "box"}
        lines.append(f"  {_quoted(node.name)}{_attributes({**node.values, **shape})};")
    lines += [f"  {_quoted(edge.source)} -> {_quoted(edge.target)}{_attributes(dict(edge.values))};" for edge in outline.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _attributes(values: dict[str, Any]) -> str:
    return f" [{', '.join(f'{key}={_quoted(value)}' for key, value in values.items())}]" if values else ""


def _quoted(value: Any) -> str:
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, tuple):
        value = ", ".join(value)
    if _PLAIN.fullmatch(str(value)) and str(value).lower() not in _RESERVED:
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _Parser:
    """Reads statements one after the other, without recursion. What cannot be read ends it; all else is left to `bind`."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._values: dict[str, Any] = {}
        self._nodes: list[NodeOutline] = []
        self._edges: list[EdgeOutline] = []
        self._faults: list[tuple[int, str]] = []
        self._defaults: dict[str, dict[str, str]] = {"node": {}, "edge": {}}

    def outline(self) -> Outline:
        """Everything the text states."""
        first = self._next()
        if first.kind == "word" and first.value.lower() == "strict":
            first = self._next()
        if first.kind != "word" or first.value.lower() != "digraph":
            _refuse(first, "a graph begins with `digraph name {`")
        name = self._next()
        if name.kind not in ("text", "word"):
            _refuse(name, "the graph needs a name: `digraph name {`")
        self._expect("{")
        while not self._takes("}"):
            self._statement()
        if self._peek().kind != "end":
            _refuse(self._peek(), "nothing may follow the graph's closing brace")
        return Outline(
            name=name.value,
            line=name.line,
            values=self._values,
            nodes=tuple(self._nodes),
            edges=tuple(self._edges),
            faults=tuple(self._faults),
        )

    def _statement(self) -> None:
        if self._takes(";"):
            return
        first = self._next()
        if first.kind not in ("text", "word"):
            _refuse(first, f"a statement begins with a name, not with {first.value!r}")
        word = first.value.lower() if first.kind == "word" else ""
        if word == "subgraph":
            _refuse(first, "subgraphs are not read")
        if word in ("graph", "node", "edge"):
            stated = self._stated(first.line, needed=True)
            if word == "graph":
                self._values |= stated
            else:
                self._defaults[word] |= stated
        elif self._takes("="):
            self._values |= self._kept({first.value: self._id().value})
        elif self._peek().value == "->" and self._peek().kind == "mark":
            self._chain(first)
        else:
            self._node(first)

    def _node(self, name: _Token) -> None:
        stated = self._stated(name.line)
        if name.value not in (START, END):
            stated = {**self._defaults["node"], **stated}
        self._nodes.append(NodeOutline(name=name.value, values=stated, line=name.line))

    def _chain(self, first: _Token) -> None:
        names = [first]
        while self._takes("->"):
            names.append(self._id())
        stated = {**self._defaults["edge"], **self._stated(first.line)}
        for source, target in pairwise(names):
            self._edges.append(EdgeOutline(source=source.value, target=target.value, values=stated, line=target.line))

    def _stated(self, line: int, *, needed: bool = False) -> dict[str, str]:
        """The attributes in brackets, any number of times, without those for drawing."""
        stated: dict[str, str] = {}
        if needed and not self._is("["):
            _refuse(self._peek(), "attributes stand in brackets")
        while self._takes("["):
            while not self._takes("]"):
                key = self._id()
                self._expect("=")
                if key.value in stated:
                    self._faults.append((key.line, f"{key.value!r} is given twice"))
                stated[key.value] = self._id().value
                _ = self._takes(",") or self._takes(";")
        return self._kept(stated)

    def _kept(self, stated: dict[str, str]) -> dict[str, str]:
        return {key: value for key, value in stated.items() if key not in DRAWING}

    def _id(self) -> _Token:
        token = self._next()
        if token.kind not in ("text", "word"):
            _refuse(token, f"a name or a text in quotes is expected here, not {token.value!r}")
        return token

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._peek()
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _is(self, mark: str) -> bool:
        return self._peek().kind == "mark" and self._peek().value == mark

    def _takes(self, mark: str) -> bool:
        found = self._is(mark)
        if found:
            self._next()
        return found

    def _expect(self, mark: str) -> None:
        if not self._takes(mark):
            _refuse(self._peek(), f"{mark!r} is expected here, not {self._peek().value!r}")


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            what = "a text in quotes that does not end" if text[at] == '"' else f"{text[at]!r}"
            raise GraphError("?", [f"line {line}: {what} is not part of the DOT that is read"])
        kind, value = str(match.lastgroup), match[0]
        if kind == "text":
            yield _Token(kind, _ESCAPE.sub(lambda found: _ESCAPED[found[1]], value[1:-1]), line)
        elif kind != "space":
            yield _Token(kind, value, line)
        line += value.count("\n")
        at = match.end()
    yield _Token("end", "the end of the text", line)


def _refuse(token: _Token, why: str) -> NoReturn:
    raise GraphError("?", [f"line {token.line}: {why}"])
