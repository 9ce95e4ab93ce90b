"""The gate: does littrs give CPython's answer for this block?

littrs is silently wrong about much of Python, so this is an allowlist. A block is accepted only if every node in it is of a form listed
here, on types that are known here; everything else is refused with its line, the reason and what to write instead. It may be narrow; it
is never wrong. Nothing mutable is ever changed in an accepted block, so littrs' copying of every value cannot be seen.
"""

from __future__ import annotations

import ast
import builtins
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.sandbox import source
from workbench.sandbox.lowering import Program, lower

MAX_TURNS = 10_000
"""Of all nested loops together: littrs builds a range in memory."""
MAX_DEPTH = 40

_RESERVED = frozenset(dir(builtins))
_INT64 = range(-(2**63), 2**63)
_EXACT = 2**53
"""littrs divides whole numbers as floats."""


@dataclass(frozen=True)
class Kind:
    """What is known of a value. `any` may be passed on, printed and indexed with a string key, and nothing else."""

    name: str
    low: int = 0
    high: int = 0


ANY, BOOL, STR, NONE, DICT = Kind("any"), Kind("bool"), Kind("str"), Kind("none"), Kind("dict")

Scope = Mapping[str, Kind]
"""The variables that are certainly defined, with what is known of them."""


class Refused(Exception):
    """The block is not proven; `line`, the reason and the remedy."""

    def __init__(self, node: ast.AST | None, reason: str, instead: str) -> None:
        self.line: int | None = getattr(node, "lineno", None)
        self.reason = reason
        self.instead = instead
        where = f"line {self.line}: " if self.line is not None else ""
        super().__init__(f"{where}{reason}; {instead}")


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A proven block: its program, the scope after it has run to its end, and the names it may have bound if it did not."""

    program: Program
    scope: Scope
    assigned: frozenset[str]


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
        return value in _INT64
    if kind is str:
        return value.isascii() or _is_unicode(value)
    if kind is list or kind is tuple:
        return all(holds(item) for item in value)
    if kind is dict:
        return all(type(key) in (str, int, type(None)) and holds(key) and holds(item) for key, item in value.items())
    return False


def check(code: str, scope: Scope, tools: Collection[str], finishers: Collection[str]) -> Accepted:
    """Accept `code` as proven to run on littrs as on CPython, or raise `Refused`."""
    tree = source.parse(code)
    if tree is None:
        raise Refused(None, "it has a syntax error or is nested deeply", "write it in smaller steps")
    gate = _Gate(frozenset(tools), frozenset(finishers))
    after = gate.suite(tree.body, dict(scope), turns=1, top=True)
    return Accepted(program=lower(tree), scope=after, assigned=frozenset(gate.assigned))


class _Gate:
    def __init__(self, tools: frozenset[str], finishers: frozenset[str]) -> None:
        self.tools = tools
        self.finishers = finishers
        self.assigned: set[str] = set()

    # Statements

    def suite(self, body: list[ast.stmt], scope: dict[str, Kind], *, turns: int, top: bool = False, depth: int = 0) -> dict[str, Kind]:
        for place, statement in enumerate(body):
            ends = top and place == len(body) - 1
            self._finish_only_at_the_end(statement, ends)
            scope = self.statement(statement, scope, turns, depth + 1)
        return scope

    def _finish_only_at_the_end(self, statement: ast.stmt, ends: bool) -> None:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.finishers & self.tools:
                alone = ends and isinstance(statement, ast.Expr) and statement.value is node
                _require(alone, node, f"{node.func.id}() is not the last statement", "end the block with it")

    def statement(self, node: ast.stmt, scope: dict[str, Kind], turns: int, depth: int) -> dict[str, Kind]:
        _require(depth <= MAX_DEPTH, node, "it is nested too deeply", "write it in smaller steps")
        match node:
            case ast.Pass():
                return scope
            case ast.Expr():
                self.expression(node.value, scope, depth)
                return scope
            case ast.Assign(targets=[ast.Name(id=name)]):
                kind = self.expression(node.value, scope, depth)
                self._bindable(node, name)
                return {**scope, name: kind}
            case ast.If():
                self._is(node.test, BOOL, scope, depth, "an `if` on something that is not known to be True or False")
                yes = self.suite(node.body, dict(scope), turns=turns, depth=depth)
                no = self.suite(node.orelse, dict(scope), turns=turns, depth=depth)
                return {name: _join(yes[name], no[name]) for name in yes if name in no}
            case ast.For(target=ast.Name(id=name), orelse=[]):
                return self._for(node, name, scope, turns, depth)
        raise Refused(node, f"{_described(node)} is not proven on littrs", "write plain assignments, calls and `for` loops over literals")

    def _for(self, node: ast.For, name: str, scope: dict[str, Kind], turns: int, depth: int) -> dict[str, Kind]:
        count, item = self._turns(node.iter, scope, depth)
        _require(count * turns <= MAX_TURNS, node, f"the loop runs {count} times", f"keep loops below {MAX_TURNS} turns")
        self._bindable(node, name)
        before = dict(scope)
        for _ in range(8):
            after = self.suite(node.body, {**before, name: item}, turns=turns * count, depth=depth)
            # what a later turn starts from: a value that changes from turn to turn is known no better than `any`
            again = {key: kind if after.get(key) == kind else ANY for key, kind in before.items()}
            if again == before:
                return after
            before = again
        raise Refused(node, "the loop's variables are too entangled", "write it in smaller steps")

    def _turns(self, node: ast.expr, scope: Scope, depth: int) -> tuple[int, Kind]:
        match node:
            case ast.Call(func=ast.Name(id="range"), keywords=[]) if "range" not in scope and "range" not in self.tools:
                bounds = [self.expression(arg, scope, depth) for arg in node.args]
                exact = all(bound.name == "int" and bound.low == bound.high for bound in bounds)
                _require(exact and 1 <= len(bounds) <= 3, node, "a range whose bounds are not known", "write the bounds as numbers")
                _require(len(bounds) < 3 or bounds[2].low != 0, node, "a range of step 0", "use another step")
                span = range(*(bound.low for bound in bounds))
                if not span or span[-1] not in _INT64 or abs(span.step) > 2**31:
                    raise Refused(node, "an empty or extreme range", "use a range of at least one turn")
                size = (span[-1] - span[0]) // span.step + 1
                return size, Kind("int", min(span[0], span[-1]), max(span[0], span[-1]))
            case ast.List(elts=items) | ast.Tuple(elts=items) if items:
                calls = any(isinstance(part, (ast.Call, ast.JoinedStr)) for item in items for part in ast.walk(item))
                _require(not calls, node, "a call inside the list of a loop", "assign its result to a name first")
                kinds = [self.expression(item, scope, depth) for item in items]
                kind = kinds[0]
                for other in kinds[1:]:
                    kind = _join(kind, other)
                return len(items), kind
        raise Refused(node, "a loop over something that is not a literal list or range", "loop over a list written out in the code")

    def _bindable(self, node: ast.AST, name: str) -> None:
        taken = name in _RESERVED or name in self.tools or name.startswith("__")
        _require(not taken, node, f"`{name}` hides a builtin or a tool", "use another name")
        self.assigned.add(name)

    # Expressions

    def expression(self, node: ast.expr, scope: Scope, depth: int) -> Kind:
        depth += 1
        _require(depth <= MAX_DEPTH, node, "it is nested too deeply", "write it in smaller steps")
        match node:
            case ast.Constant():
                return _constant(node)
            case ast.Name(id=name):
                _require(name in scope, node, f"`{name}` is not known to be defined here", "assign it first")
                _require(name not in _RESERVED | self.tools, node, f"`{name}` hides a builtin or a tool", "use another name")
                return scope[name]
            case ast.UnaryOp() | ast.BinOp():
                return self._arithmetic(node, scope, depth)
            case ast.Compare(ops=[operator], comparators=[right]):
                return self._comparison(node, operator, right, scope, depth)
            case ast.BoolOp(values=values):
                for value in values:
                    self._is(value, BOOL, scope, depth, "`and`/`or` of something that is not known to be True or False")
                return BOOL
            case ast.IfExp():
                self._is(node.test, BOOL, scope, depth, "a condition that is not known to be True or False")
                return _join(self.expression(node.body, scope, depth), self.expression(node.orelse, scope, depth))
            case ast.List(elts=items) | ast.Tuple(elts=items):
                for item in items:
                    self.expression(item, scope, depth)
                return ANY
            case ast.Dict():
                return self._dict(node, scope, depth)
            case ast.Subscript(slice=ast.Constant(value=str())):
                owner = self.expression(node.value, scope, depth)
                _require(owner in (ANY, DICT), node, "this value has no string keys", "index a dict")
                _constant(node.slice) if isinstance(node.slice, ast.Constant) else None
                return ANY
            case ast.JoinedStr():
                return self._fstring(node, scope, depth)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(node, name, scope, depth)
        raise Refused(node, f"{_described(node)} is not proven on littrs", "pass values on to tools, print or finish as they are")

    def _is(self, node: ast.expr, kind: Kind, scope: Scope, depth: int, reason: str) -> None:
        _require(self.expression(node, scope, depth) == kind, node, reason, "compare numbers or strings that are written in the code")

    def _arithmetic(self, node: ast.UnaryOp | ast.BinOp, scope: Scope, depth: int) -> Kind:
        doubt = Refused(node, "arithmetic on a value whose type or size is not known", "compute it in a tool")
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                self._is(node.operand, BOOL, scope, depth, "`not` of something that is not known to be True or False")
                return BOOL
            kind = self.expression(node.operand, scope, depth)
            if isinstance(node.op, ast.USub) and kind.name == "int":
                return _int(doubt, -kind.high, -kind.low)
            if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant) and type(node.operand.value) is float:
                return ANY
            raise doubt
        left, right = self.expression(node.left, scope, depth), self.expression(node.right, scope, depth)
        if left == right == STR and isinstance(node.op, ast.Add):
            return STR
        if left.name != "int" or right.name != "int":
            raise doubt
        return _interval(node.op, left, right, doubt)

    def _comparison(self, node: ast.Compare, operator: ast.cmpop, right: ast.expr, scope: Scope, depth: int) -> Kind:
        one, two = self.expression(node.left, scope, depth), self.expression(right, scope, depth)
        if isinstance(operator, (ast.Is, ast.IsNot)):
            fits = isinstance(right, ast.Constant) and right.value is None
        elif isinstance(operator, (ast.Eq, ast.NotEq)):
            fits = one == two == STR or one.name == two.name == "int"
        else:
            fits = isinstance(operator, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) and one.name == two.name == "int"
        _require(fits, node, "a comparison of values whose types are not known", "compare in a tool")
        return BOOL

    def _dict(self, node: ast.Dict, scope: Scope, depth: int) -> Kind:
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant) and type(key.value) is str]
        plain = len(keys) == len(node.keys) == len(set(keys))
        _require(plain, node, "a dict whose keys are not distinct literal strings", "use literal string keys")
        for key in node.keys:
            assert isinstance(key, ast.Constant)
            _constant(key)
        for value in node.values:
            self.expression(value, scope, depth)
        return DICT

    def _fstring(self, node: ast.JoinedStr, scope: Scope, depth: int) -> Kind:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                spec = part.format_spec
                literal = spec is None or not any(isinstance(piece, ast.FormattedValue) for piece in ast.walk(spec))
                _require(literal, node, "a format that is computed", "write the format out")
                self.expression(part.value, scope, depth)
            elif isinstance(part, ast.Constant):
                _constant(part)
        return STR

    def _call(self, node: ast.Call, name: str, scope: Scope, depth: int) -> Kind:
        for arg in node.args:
            self.expression(arg, scope, depth)  # a starred argument is refused there: it is no accepted expression
        _require(name not in scope, node, f"a call of the variable `{name}`", "call a tool, print or str")
        if name in self.tools:
            _require(name not in _RESERVED, node, f"the tool `{name}` has a builtin's name", "rename the tool")
            for keyword in node.keywords:
                _require(keyword.arg is not None, node, "`**` in a call", "write the arguments out")
                self.expression(keyword.value, scope, depth)
            return ANY
        if name == "print":
            for keyword in node.keywords:
                text = isinstance(keyword.value, ast.Constant) and type(keyword.value.value) is str and holds(keyword.value.value)
                plain = keyword.arg in ("sep", "end") and text
                _require(plain, node, "print with an option other than a literal sep or end", "leave it out")
            return NONE
        _require(name == "str" and len(node.args) == 1 and not node.keywords, node, f"a call of `{name}`", "call a tool, print or str")
        return STR


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _constant(node: ast.Constant) -> Kind:
    value = node.value
    if type(value) is float:
        _require(math.isfinite(value), node, "an infinite number", "leave it out")
        return ANY
    _require(value is None or type(value) in (bool, int, str), node, f"{type(value).__name__} literals", "use text or numbers")
    _require(holds(value), node, "a number beyond 64 bits or text that is not Unicode", "leave it out")
    return kind_of(value)


def _int(doubt: Refused, low: int, high: int) -> Kind:
    if low not in _INT64 or high not in _INT64:
        raise doubt
    return Kind("int", low, high)


def _interval(operator: ast.operator, left: Kind, right: Kind, doubt: Refused) -> Kind:
    corners = [(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    match operator:
        case ast.Add():
            results = [a + b for a, b in corners]
        case ast.Sub():
            results = [a - b for a, b in corners]
        case ast.Mult():
            results = [a * b for a, b in corners]
        case ast.FloorDiv() if left.low >= 0 and left.high <= _EXACT and right.low > 0:
            results = [a // b for a, b in corners]
        case ast.Mod() if left.low >= 0 and left.high <= _EXACT and right.low > 0:
            results = [0, min(left.high, right.high - 1)]
        case _:
            raise doubt
    return _int(doubt, min(results), max(results))


def _join(one: Kind, two: Kind) -> Kind:
    if one.name == two.name == "int":
        return Kind("int", min(one.low, two.low), max(one.high, two.high))
    return one if one == two else ANY


def _require(holds_true: bool, node: ast.AST, reason: str, instead: str) -> None:
    if not holds_true:
        raise Refused(node, reason, instead)


def _described(node: ast.AST) -> str:
    return f"`{type(node).__name__}`" if not isinstance(node, ast.Call) else "a call of a method or of a computed function"
