"""Accepted Python → what the littrs worker runs.

Only three things are lowered, because littrs cannot do them faithfully itself: calls of tools (keywords by name), prints, and text made by
f-strings and `str`. Each becomes `__w(site, value, ..)`; the worker carries it out in CPython. Everything else runs as it was written.

A host call can end the program or fail, and littrs has no way to stop half-way. So the code is cut into chunks that the worker runs one
by one, and inside a compound statement every call is followed by a check that leaves the loop.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

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
    """JSON-ready, one for each kind of work: `op` is tool, print or text; `line` is where it stands in the block."""


@dataclass
class _Sites:
    found: list[dict[str, Any]] = field(default_factory=list)

    def call(self, site: dict[str, Any], values: list[ast.expr]) -> ast.expr:
        self.found.append(site)
        return ast.Call(func=_name(WORK), args=[ast.Constant(len(self.found) - 1), *values], keywords=[])


class _Expressions(ast.NodeTransformer):
    """Replaces the calls and f-strings of an accepted expression."""

    def __init__(self, sites: _Sites) -> None:
        self.sites = sites

    def visit_Call(self, node: ast.Call) -> ast.expr:
        assert isinstance(node.func, ast.Name)
        positional = [self.visit(arg) for arg in node.args]
        if node.func.id == "range":
            return ast.Call(func=node.func, args=positional, keywords=[])
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


def lower(tree: ast.Module) -> Program:
    """Lower a block that `faithful` has accepted."""
    sites = _Sites()
    chunks: list[Chunk] = []
    expressions = _Expressions(sites)
    for place, statement in enumerate(tree.body):
        line = statement.lineno
        last = place == len(tree.body) - 1
        if isinstance(statement, ast.Expr):
            chunks.append(Chunk(source=_source(expressions.visit(statement.value)), line=line, is_value=last))
        elif isinstance(statement, ast.Assign) and _calls(statement):
            chunks.append(Chunk(source=_source(_assign("__v", expressions.visit(statement.value))), line=line))
            chunks.append(Chunk(source=_source(ast.Assign(targets=statement.targets, value=_name("__v"))), line=line))
        elif isinstance(statement, ast.If) and _calls(statement):
            # outside a loop there is nothing for a stop to leave, so the statement becomes a loop of one turn
            body = [*_suite([statement], expressions), ast.Pass()]
            once = ast.For(target=_name("__o"), iter=ast.List(elts=[ast.Constant(0)]), body=body, orelse=[])
            chunks.append(Chunk(source=_source(once), line=line))
        else:
            lowered = _suite([statement], expressions, outermost=True)
            chunks.append(Chunk(source="\n".join(_source(part) for part in lowered), line=line))
    return Program(chunks=tuple(chunks), sites=tuple(sites.found))


def _suite(body: list[ast.stmt], expressions: _Expressions, *, outermost: bool = False) -> list[ast.stmt]:
    lowered: list[ast.stmt] = []
    stop = ast.If(test=ast.Call(func=_name(STOPPED), args=[], keywords=[]), body=[ast.Break()], orelse=[])
    for statement in body:
        match statement:
            case ast.Expr():
                lowered.append(ast.Expr(expressions.visit(statement.value)))
            case ast.Assign() if _calls(statement):
                lowered += [_assign("__v", expressions.visit(statement.value)), stop, ast.Assign(statement.targets, _name("__v"))]
            case ast.If():
                test = statement.test
                if _calls(test):
                    lowered += [_assign("__v", expressions.visit(test)), stop]
                    test = _name("__v")
                lowered.append(ast.If(test, _suite(statement.body, expressions), _suite(statement.orelse, expressions)))
            case ast.For():
                lowered.append(ast.For(statement.target, expressions.visit(statement.iter), _suite(statement.body, expressions), []))
            case _:
                lowered.append(statement)
        if _calls(statement) and not outermost:
            lowered.append(stop)
    return lowered


def _calls(node: ast.AST) -> bool:
    return any(isinstance(child, (ast.Call, ast.JoinedStr)) for child in ast.walk(node))


def _spec(part: ast.FormattedValue) -> str:
    pieces = part.format_spec.values if isinstance(part.format_spec, ast.JoinedStr) else []
    return "".join(str(piece.value) for piece in pieces if isinstance(piece, ast.Constant))


def _name(name: str) -> ast.Name:
    return ast.Name(id=name)


def _assign(name: str, value: ast.expr) -> ast.Assign:
    return ast.Assign(targets=[_name(name)], value=value)


def _source(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node))
