"""Accepted Python → what the littrs worker runs.

Only what littrs cannot do faithfully itself is lowered: calls of tools (keywords by name), prints, text made by f-strings and `str`, and
the guards, which look at a value before littrs uses it. Each becomes `__w(site, value, ..)`; the worker carries it out in CPython.
Everything else runs as it was written.

A host call can end the program or fail, and littrs has no way to stop half-way. So the code is cut into chunks that the worker runs one
by one, and inside a compound statement every call is followed by a check that leaves the loop.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from workbench.sandbox.expressions import NATIVE
from workbench.sandbox.proof import Guard

WORK = "__w"
STOPPED = "__s"


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Code for littrs, the line it came from, and whether its value is the block's."""

    source: str
    line: int
    is_value: bool = False


@dataclass(frozen=True, kw_only=True)
class Program:
    """A lowered block: chunks in order, and the sites their calls refer to."""

    chunks: tuple[Chunk, ...]
    sites: tuple[dict[str, Any], ...]
    """JSON-ready, one for each kind of work: `op` is tool, print, text or guard; `line` is where it stands in the block."""


@dataclass
class _Sites:
    found: list[dict[str, Any]] = field(default_factory=list)

    def call(self, site: dict[str, Any], values: list[ast.expr]) -> ast.expr:
        self.found.append(site)
        return ast.Call(func=_name(WORK), args=[ast.Constant(len(self.found) - 1), *values], keywords=[])


class _Expressions(ast.NodeTransformer):
    """Replaces the calls and f-strings of an accepted expression, and puts the guards around what they guard."""

    def __init__(self, sites: _Sites, guards: Mapping[ast.AST, Guard]) -> None:
        self.sites = sites
        self.guards = guards

    def lowered(self, node: ast.expr) -> ast.expr:
        """An expression of littrs."""
        result = self.visit(node)
        assert isinstance(result, ast.expr)
        return result

    def calls(self, node: ast.AST) -> bool:
        """Whether evaluating `node` may stop the program."""
        return any(isinstance(child, (ast.Call, ast.JoinedStr)) or child in self.guards for child in ast.walk(node))

    def visit(self, node: ast.AST) -> Any:
        lowered = super().visit(node)
        if guard := self.guards.get(node):
            return self.sites.call({"op": "guard", **asdict(guard), "line": getattr(node, "lineno", 1)}, [lowered])
        return lowered

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        self.generic_visit(node)
        return ast.ListComp(elt=node.elt, generators=node.generators)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if not isinstance(node.func, ast.Name) or node.func.id in NATIVE:
            self.generic_visit(node)
            return node
        positional = [self.visit(arg) for arg in node.args]
        if node.func.id == "str":
            return self.sites.call({"op": "text", "parts": [["s", ""]], "line": node.lineno}, positional)
        if node.func.id == "print":
            options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}
            site = {"op": "print", "sep": options.get("sep", " "), "end": options.get("end", "\n"), "line": node.lineno}
            return self.sites.call(site, positional)
        site = {
            "op": "tool",
            "name": node.func.id,
            "positional": len(positional),
            "keywords": [keyword.arg for keyword in node.keywords],
            "line": node.lineno,
        }
        return self.sites.call(site, [*positional, *(self.visit(keyword.value) for keyword in node.keywords)])

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        parts: list[Any] = []
        values: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                parts.append([chr(part.conversion) if part.conversion > 0 else "", _spec(part)])
                values.append(self.visit(part.value))
            else:
                assert isinstance(part, ast.Constant)
                parts.append(part.value)
        return self.sites.call({"op": "text", "parts": parts, "line": node.lineno}, values)


def lower(tree: ast.Module, guards: Mapping[ast.AST, Guard]) -> Program:
    """Lower a block that `faithful` has accepted."""
    sites = _Sites()
    chunks: list[Chunk] = []
    expressions = _Expressions(sites, guards)
    for place, statement in enumerate(tree.body):
        line = statement.lineno
        last = place == len(tree.body) - 1
        if isinstance(statement, ast.Expr):
            chunks.append(Chunk(source=_source(expressions.lowered(statement.value)), line=line, is_value=last))
        elif isinstance(statement, ast.If) and expressions.calls(statement):
            # outside a loop there is nothing for a stop to leave, so the statement becomes a loop of one turn
            body = [*_suite([statement], expressions), ast.Pass()]
            once = ast.For(target=_name("__o"), iter=ast.List(elts=[ast.Constant(0)]), body=body, orelse=[])
            chunks.append(Chunk(source=_source(once), line=line))
        else:
            for part in _steps(statement, expressions):
                chunks.append(Chunk(source=_source(part), line=line))
    return Program(chunks=tuple(chunks), sites=tuple(sites.found))


def _suite(body: list[ast.stmt], expressions: _Expressions) -> list[ast.stmt]:
    """The statements of a loop, each followed by a way out where it may have stopped the program."""
    stop = ast.If(test=ast.Call(func=_name(STOPPED), args=[], keywords=[]), body=[ast.Break()], orelse=[])
    lowered: list[ast.stmt] = []
    for statement in body:
        stops = expressions.calls(statement)
        for step in _steps(statement, expressions):
            lowered += [step, stop] if stops else [step]
    return lowered


def _steps(statement: ast.stmt, expressions: _Expressions) -> list[ast.stmt]:
    """One statement as several, such that none has an effect after the program may have stopped within it."""
    match statement:
        case ast.Expr():
            return [ast.Expr(expressions.lowered(statement.value))]
        case ast.Assign() if expressions.calls(statement):
            value = _assign("__v", expressions.lowered(statement.value))
            target = statement.targets[0]
            if isinstance(target, ast.Subscript):
                key = _assign("__k", expressions.lowered(target.slice))
                stored = ast.Subscript(value=target.value, slice=_name("__k"), ctx=ast.Store())
                return [value, key, ast.Assign(targets=[stored], value=_name("__v"))]
            return [value, ast.Assign(targets=[target], value=_name("__v"))]
        case ast.If():
            before: list[ast.stmt] = []
            test = statement.test
            if expressions.calls(test):
                before, test = [_assign("__v", expressions.lowered(test))], _name("__v")
            return [*before, ast.If(test, _suite(statement.body, expressions), _suite(statement.orelse, expressions))]
        case ast.For():
            ahead: list[ast.stmt] = []
            items = statement.iter
            if expressions.calls(items):
                ahead, items = [_assign("__v", expressions.lowered(items))], _name("__v")
            return [*ahead, ast.For(statement.target, items, _suite(statement.body, expressions), [])]
    return [statement]


def _spec(part: ast.FormattedValue) -> str:
    pieces = part.format_spec.values if isinstance(part.format_spec, ast.JoinedStr) else []
    return "".join(str(piece.value) for piece in pieces if isinstance(piece, ast.Constant))


def _name(name: str) -> ast.Name:
    return ast.Name(id=name)


def _assign(name: str, value: ast.expr) -> ast.Assign:
    return ast.Assign(targets=[_name(name)], value=value)


def _source(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node))
