"""Small expressions that people write into graphs and policies: `result.accepted`, `sum(tokens_used) > 10 000`.

The grammar is Python's for literals, dotted names, literal subscripts, comparison, `and`/`or`/`not`, `in`, arithmetic on numbers, and
calls of functions the caller provides; everything else is refused when the text is read. Nothing is ever handed to `eval`. Groups of
digits may be parted by spaces. Numbers with a point are exact decimals, so money compares as it is written.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, DivisionByZero, InvalidOperation
from typing import Any

from workbench.errors import UserError

MAX_LENGTH = 2_000
MAX_NODES = 200

_GROUPED = re.compile(r"(?<![\w.])\d{1,3}(?:[ \u202f\u00a0]\d{3})+(?![\w])")

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


_SIGNS: dict[type[ast.cmpop], str] = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<="}


class ExpressionError(UserError):
    """An expression cannot be read, or cannot be evaluated with the values it was given."""

    code = "expression_error"


@dataclass(frozen=True)
class Expression:
    """An expression that has been read and found to be allowed."""

    text: str
    names: frozenset[str]
    """The dotted names it reads, such as `result.accepted`."""
    functions: frozenset[str]
    """The functions it calls."""
    aggregates: frozenset[tuple[str, str]]
    """The functions it calls of a name, with the name: `("sum", "tokens_used")`."""
    _tree: ast.expr

    def evaluate(self, read: Callable[[str], Any], functions: Mapping[str, Callable[..., Any]] | None = None) -> Any:
        """The expression's value; `read` gives the value of a dotted name.

        Raises:
            ExpressionError: a value is missing or of a type the operation is not for; the message shows the expression.
        """
        try:
            return _Evaluation(read, functions or {}, self.aggregates).value(self._tree)
        except ExpressionError:
            raise
        except (TypeError, KeyError, IndexError, ZeroDivisionError, DivisionByZero, InvalidOperation, OverflowError) as error:
            raise ExpressionError(f"{self.text!r} cannot be evaluated: {type(error).__name__}: {error}") from error

    @property
    def limit(self) -> int | Decimal | None:
        """The number on the right, where the expression is one comparison of size with a number."""
        match self._tree:
            case ast.Compare(ops=[ast.Gt() | ast.GtE() | ast.Lt() | ast.LtE()], comparators=[ast.Constant(value=limit)]):
                return limit if isinstance(limit, int | Decimal) and not isinstance(limit, bool) else None
        return None

    def with_limit(self, limit: int | Decimal) -> Expression:
        """The same comparison with another number.

        Raises:
            ExpressionError: the expression has no limit.
        """
        if self.limit is None or not isinstance(self._tree, ast.Compare):
            raise ExpressionError(f"{self.text!r} is not one comparison with a number, so it has no limit to change")
        tree = ast.Compare(self._tree.left, self._tree.ops, [ast.Constant(limit)])  # type: ignore[arg-type]
        return replace(self, text=ast.unparse(self._tree.left) + f" {_SIGNS[type(tree.ops[0])]} {limit}", _tree=tree)


def parse(
    text: str, *, names: Collection[str] | None = None, functions: Collection[str] = (), of_names: Collection[str] = ()
) -> Expression:
    """Read an expression.

    `names` are the names it may begin with (None: any); `functions` those it may call with values, `of_names` those it may call with one
    name, such as `sum(tokens_used)`: these are given the name itself.

    Raises:
        ExpressionError: says what is not allowed and what is.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression has {len(text)} characters; it may have {MAX_LENGTH}")
    source = _GROUPED.sub(lambda match: re.sub(r"\D", "", match[0]), text.strip())
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"{text!r} is not an expression: {error}") from None
    reading = _Reading(text, source, names, frozenset(functions), frozenset(of_names))
    found = frozenset(reading.found(tree))
    return Expression(text, found, frozenset(reading.called), frozenset(reading.aggregates), reading.exact(tree))


class _Reading:
    """Checks every node against the grammar."""

    def __init__(self, text: str, source: str, names: Collection[str] | None, functions: frozenset[str], of_names: frozenset[str]) -> None:
        self.text = text
        self.called: set[str] = set()
        self.aggregates: set[tuple[str, str]] = set()
        self._source = source
        self._names = names
        self._functions = functions
        self._of_names = of_names
        self._nodes = 0

    def found(self, node: ast.expr) -> set[str]:
        """The dotted names below a node that is allowed."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ExpressionError(f"{self.text[:60]!r}… has more than {MAX_NODES} parts")
        match node:
            case ast.Constant(value=None | bool() | int() | float() | str()):
                return set()
            case ast.Name() | ast.Attribute():
                return {self._dotted(node)}
            case ast.Subscript(value=value, slice=ast.Constant(value=int() | str())):
                return self.found(value)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return self._all(items)
            case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
                return self.found(operand)
            case ast.BoolOp(values=values):
                return self._all(values)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._all([left, right])
            case ast.Compare(left=left, comparators=comparators):
                return self._all([left, *comparators])
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in self._functions:
                self.called.add(name)
                return self._all(args)
            case ast.Call(func=ast.Name(id=name), args=[ast.Name(id=of)], keywords=[]) if name in self._of_names:
                self.called.add(name)
                self.aggregates.add((name, of))
                return set()
            case ast.Call(func=ast.Name(id=name)) if name in self._of_names:
                raise self._refused(f"{name}() is of one name, as in {name}(tokens_used)")
            case ast.Call(func=ast.Name(id=name)):
                known = ", ".join(sorted(self._functions | self._of_names)) or "none"
                raise self._refused(f"there is no function {name!r}; the functions are {known}")
        raise self._refused(f"{type(node).__name__} is not part of the language")

    def exact(self, tree: ast.expr) -> ast.expr:
        """The tree with decimals in place of floats, read from the text itself."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                literal = ast.get_source_segment(self._source, node) or repr(node.value)
                node.value = Decimal(literal.replace("_", ""))  # type: ignore[assignment]
        return tree

    def _all(self, nodes: list[ast.expr]) -> set[str]:
        return {name for node in nodes for name in self.found(node)}

    def _dotted(self, node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            if node.attr.startswith("_"):
                raise self._refused(f"names do not begin with an underscore: {node.attr!r}")
            return f"{self._dotted(node.value)}.{node.attr}"
        if not isinstance(node, ast.Name):
            raise self._refused("a dot may only follow a name")
        if self._names is not None and node.id not in self._names:
            raise self._refused(f"there is no {node.id!r}; the names are {', '.join(sorted(self._names))}")
        return node.id

    def _refused(self, why: str) -> ExpressionError:
        return ExpressionError(f"{self.text!r}: {why}")


@dataclass(frozen=True)
class _Evaluation:
    read: Callable[[str], Any]
    functions: Mapping[str, Callable[..., Any]]
    aggregates: frozenset[tuple[str, str]]

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name() | ast.Attribute():
                return self.read(ast.unparse(node))
            case ast.Subscript(value=owner, slice=ast.Constant(value=key)):
                return self.value(owner)[key]
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.value(item) for item in items]
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self.value(operand)
            case ast.UnaryOp(operand=operand):
                return -_number(self.value(operand))
            case ast.BoolOp(op=ast.And(), values=values):
                return all(self.value(part) for part in values)
            case ast.BoolOp(values=values):
                return any(self.value(part) for part in values)
            case ast.BinOp(left=left, op=op, right=right):
                return _ARITHMETIC[type(op)](*_alike(_number(self.value(left)), _number(self.value(right))))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                return self._compare(left, ops, comparators)
            case ast.Call(func=ast.Name(id=name), args=args):
                if args and isinstance(args[0], ast.Name) and (name, args[0].id) in self.aggregates:
                    return self.functions[name](args[0].id)
                return self.functions[name](*(self.value(arg) for arg in args))
        raise AssertionError(f"{type(node).__name__} was let through")

    def _compare(self, left: ast.expr, ops: list[ast.cmpop], comparators: list[ast.expr]) -> bool:
        here = self.value(left)
        for op, right in zip(ops, comparators, strict=True):
            there = self.value(right)
            if not _COMPARE[type(op)](here, there):
                return False
            here = there
        return True


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError(f"arithmetic is for numbers, not for {type(value).__name__}")
    return value


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Two numbers that can be combined: a float beside a decimal is taken as it prints."""
    if isinstance(left, Decimal) and isinstance(right, float):
        return left, Decimal(repr(right))
    if isinstance(left, float) and isinstance(right, Decimal):
        return Decimal(repr(left)), right
    return left, right
