"""The gate's expressions: which of them littrs evaluates as CPython does.

What depends on a value that only the running program has, a tool's result say, is accepted with a `Guard`: the worker looks at the value
before littrs uses it, and where it is of another type or size than the proof needs, the block stops there and goes on in monty.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Sequence
from dataclasses import replace

from workbench.sandbox.kinds import (
    ANY,
    BOOL,
    COUNT,
    EXACT,
    FACTOR,
    FLOAT,
    INT64,
    NEW_DICT,
    NEW_LIST,
    NONE,
    STR,
    Kind,
    Scope,
    holds,
    interval,
    join,
    whole,
)
from workbench.sandbox.proof import Guard, Refused, constant, described, index, is_call_of, is_exact, require, targets

MAX_DEPTH = 40
MAX_STEPS = 200_000
"""Loops are walked until nothing new is learned, and so, nested, many times."""
RESERVED = frozenset(dir(builtins))

_CALLS = "call a tool, print, str, len, list, sorted, sum, min, max, any, all, int, float or abs"
_NUMBERS = frozenset({"int", "float", "number", "any"})


class Expressions:
    """Walks the expressions of one block. `guards` is what has to hold when it runs."""

    def __init__(self, tools: frozenset[str]) -> None:
        self.tools = tools
        self.guards: dict[ast.AST, Guard] = {}
        self.augmented: set[ast.AST] = set()
        """The additions that were written `+=`: they change a list in place."""
        self.shared: set[str] = set()
        """Names whose list or dict has become reachable in another way."""
        self._steps = 0

    def look(self, node: ast.expr, scope: Scope, depth: int) -> Kind:
        """The kind of a value that is only looked at: nothing keeps it."""
        if isinstance(node, ast.Name):
            return replace(self._name(node, scope), fresh=False)
        return self.keep(node, scope, depth)

    def keep(self, node: ast.expr, scope: Scope, depth: int) -> Kind:
        """The kind of a value that a name or a container may keep."""
        depth += 1
        self._steps += 1
        require(depth <= MAX_DEPTH and self._steps <= MAX_STEPS, node, "it is nested too deeply or too long", "write it in smaller steps")
        match node:
            case ast.Constant():
                return constant(node)
            case ast.Name(id=name):
                kind = self._name(node, scope)
                if kind.fresh:
                    self.shared.add(name)
                return replace(kind, fresh=False)
            case ast.UnaryOp(op=ast.Not()):
                self.look(node.operand, scope, depth)
                return BOOL
            case ast.UnaryOp() | ast.BinOp():
                return self._arithmetic(node, scope, depth)
            case ast.Compare():
                return self._comparison(node, scope, depth)
            case ast.BoolOp(values=values):
                kinds = [self.keep(value, scope, depth) for value in values]
                return kinds[0] if all(kind == kinds[0] for kind in kinds) else ANY
            case ast.IfExp():
                self.look(node.test, scope, depth)
                return join(self.keep(node.body, scope, depth), self.keep(node.orelse, scope, depth))
            case ast.List(elts=items) | ast.Tuple(elts=items):
                for item in items:
                    self.keep(item, scope, depth)
                return NEW_LIST if isinstance(node, ast.List) else ANY
            case ast.Dict():
                return self._dict(node, scope, depth)
            case ast.Subscript():
                return self._subscript(node, scope, depth)
            case ast.JoinedStr():
                return self._fstring(node, scope, depth)
            case ast.GeneratorExp():
                raise Refused(node, "a generator that is not read at once", "write a list comprehension")
            case ast.ListComp(generators=[generator]):
                self.keep(node.elt, self._inside(generator, scope, depth), depth)
                return NEW_LIST
            case ast.DictComp(generators=[generator]):
                inner = self._inside(generator, scope, depth)
                self.text(node.key, inner, depth)
                self.keep(node.value, inner, depth)
                return NEW_DICT
            case ast.Call(func=ast.Name(id=name)):
                return self._call(node, name, scope, depth)
            case ast.Call(func=ast.Attribute() as method):
                return self._method(node, method, scope, depth)
        raise Refused(node, f"{described(node)} is not proven on littrs", "pass values on to tools, print or finish as they are")

    def _name(self, node: ast.Name, scope: Scope) -> Kind:
        require(node.id in scope, node, f"`{node.id}` is not known to be defined here", "assign it first")
        require(node.id not in RESERVED | self.tools, node, f"`{node.id}` hides a builtin or a tool", "use another name")
        return scope[node.id]

    # What a value must be

    def guard(self, node: ast.expr, what: str, low: int = 0, high: int = 0) -> None:
        self.guards[node] = Guard(what, low, high)

    def text(self, node: ast.expr, scope: Scope, depth: int) -> None:
        """`node` must be a str."""
        kind = self.look(node, scope, depth)
        require(kind in (STR, ANY), node, "a value that is no text", "use text here")
        if kind == ANY:
            self.guard(node, "text")

    def _number(self, node: ast.expr, kind: Kind, low: int, high: int, *, floats: bool = True, zero: bool = True) -> Kind:
        """`node` must be a number: a whole one between the bounds, or, with `floats`, any float."""
        doubt = Refused(node, "arithmetic on a value whose type or size is not known", "compute it in a tool")
        within = (kind.name == "int" or (kind.name == "number" and floats)) and low <= kind.low and kind.high <= high
        if (within and (zero or kind.low > 0 or kind.high < 0)) or (kind == FLOAT and floats and zero):
            return kind
        outside = kind.name == "int" and (kind.high < low or kind.low > high)
        if kind.name not in _NUMBERS or outside or (kind == FLOAT and not floats) or (kind == Kind("int") and not zero):
            raise doubt
        self.guard(node, ("number" if floats else "int") if zero else "divisor", low, high)
        if kind == FLOAT:
            return FLOAT
        if kind.name == "int":
            return Kind("int", max(low, kind.low), min(high, kind.high))
        return Kind("number" if floats else "int", low, high)

    def _arithmetic(self, node: ast.UnaryOp | ast.BinOp, scope: Scope, depth: int) -> Kind:
        doubt = Refused(node, "arithmetic on a value whose type or size is not known", "compute it in a tool")
        if isinstance(node, ast.UnaryOp):
            if not isinstance(node.op, ast.USub):
                raise doubt
            kind = self.look(node.operand, scope, depth)
            if kind.name == "int" and (result := whole(-kind.high, -kind.low)):
                return result
            kind = self._number(node.operand, kind, -EXACT, EXACT)
            return replace(kind, low=-kind.high, high=-kind.low)
        left, right = self.look(node.left, scope, depth), self.look(node.right, scope, depth)
        if isinstance(node.op, ast.Add):
            if STR in (left, right) and {left, right} <= {STR, ANY}:
                return STR
            if left.name == right.name == "list":
                name = node.left.id if isinstance(node.left, ast.Name) else None
                own = name is None or (scope[name].fresh and name not in self.shared)
                require(own or node not in self.augmented, node, "`+=` on a list that other names may hold", "build a new list")
                return NEW_LIST
        match node.op:
            case ast.Add() | ast.Sub() | ast.Mult():
                if left.name == right.name == "int" and (result := interval(node.op, left, right)):
                    return result
                bound = FACTOR if isinstance(node.op, ast.Mult) else EXACT
                left = self._number(node.left, left, -bound, bound)
                right = self._number(node.right, right, -bound, bound)
                if FLOAT in (left, right):
                    return FLOAT
                result = interval(node.op, left, right)
                assert result is not None
                return result if left.name == right.name == "int" else replace(result, name="number")
            case ast.Div():
                self._number(node.left, left, -EXACT, EXACT)
                self._number(node.right, right, -EXACT, EXACT, zero=False)
                return FLOAT
            case ast.FloorDiv() | ast.Mod():
                left = self._number(node.left, left, 0, EXACT, floats=False)
                right = self._number(node.right, right, 1, EXACT, floats=False)
                if result := interval(node.op, left, right):
                    return result
        raise doubt

    # Comparison

    def _comparison(self, node: ast.Compare, scope: Scope, depth: int) -> Kind:
        operands = [node.left, *node.comparators]
        kinds = [self.look(operand, scope, depth) for operand in operands]
        chained = len(operands) > 2
        calls = chained and any(isinstance(part, (ast.Call, ast.JoinedStr)) for operand in operands[1:-1] for part in ast.walk(operand))
        require(not calls, node, "a call inside a chain of comparisons", "assign its result to a name first")
        for place, operator in enumerate(node.ops):
            pair = operands[place], kinds[place], operands[place + 1], kinds[place + 1]
            if isinstance(operator, (ast.Is, ast.IsNot)):
                fits = isinstance(pair[2], ast.Constant) and pair[2].value is None
            elif chained:  # an operand in the middle can have one guard only
                orders = isinstance(operator, (ast.Lt, ast.LtE, ast.Gt, ast.GtE))
                fits = orders and {kind.name for kind in (pair[1], pair[3])} <= _NUMBERS
                for operand, kind in (pair[:2], pair[2:]) if fits else ():
                    self._number(operand, kind, -EXACT, EXACT)
            elif isinstance(operator, (ast.Eq, ast.NotEq)):
                fits = self._equality(*pair)
            elif isinstance(operator, (ast.In, ast.NotIn)):
                fits = self._membership(*pair)
            else:
                fits = self._order(*pair)
            require(fits, node, "a comparison of values whose types are not known", "compare in a tool")
        return BOOL

    def _equality(self, left: ast.expr, one: Kind, right: ast.expr, two: Kind) -> bool:
        """littrs never finds an int, a float and a bool equal, and compares dicts in order; the rest is right."""
        if STR in (one, two) or NONE in (one, two):
            return True
        if one.name == two.name:
            if one == ANY:
                self.guard(left, "atom")
                self.guard(right, "atom")
            return one.name in ("int", "float", "bool", "any")
        for node, kind, other in ((left, one, two), (right, two, one)):
            if kind.name in ("any", "number") and other.name in ("int", "float", "bool"):
                self.guard(node, f"like {other.name}")
                return True
        return False

    def _membership(self, left: ast.expr, one: Kind, right: ast.expr, two: Kind) -> bool:
        if isinstance(right, (ast.List, ast.Tuple)) and right.elts:
            return all(isinstance(item, ast.Constant) and type(item.value) is str for item in right.elts)
        if two.name not in ("any", "list", "dict", "str") or one not in (STR, ANY):
            return False
        if one == ANY and two != STR:
            self.guard(left, "text")
        return True

    def _order(self, left: ast.expr, one: Kind, right: ast.expr, two: Kind) -> bool:
        if STR in (one, two):
            return {one, two} <= {STR, ANY}
        if not {one.name, two.name} <= _NUMBERS:
            return False
        if one.name == two.name == "int" or one == two == FLOAT or is_exact(left, one) or is_exact(right, two):
            return True  # any whole number beside a small one compares as its float does
        self._number(left, one, -EXACT, EXACT)
        self._number(right, two, -EXACT, EXACT)
        return True

    # Containers and text

    def _dict(self, node: ast.Dict, scope: Scope, depth: int) -> Kind:
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant) and type(key.value) is str]
        plain = len(keys) == len(node.keys) == len(set(keys))
        if len(node.keys) == 1 and node.keys[0] is not None:
            self.text(node.keys[0], scope, depth)
        else:
            require(plain, node, "a dict whose keys are not distinct literal strings", "use literal string keys")
        for key in node.keys:
            constant(key) if isinstance(key, ast.Constant) else None
        for value in node.values:
            self.keep(value, scope, depth)
        return NEW_DICT

    def _subscript(self, node: ast.Subscript, scope: Scope, depth: int) -> Kind:
        owner = self.look(node.value, scope, depth)
        if isinstance(node.slice, ast.Slice):
            require(owner.name in ("any", "list", "str"), node, "this value has no slices", "slice a list or text")
            bounds = [bound for bound in (node.slice.lower, node.slice.upper) if bound is not None]
            kinds = [index(self.look(bound, scope, depth)) for bound in bounds]
            require(node.slice.step is None and ANY not in kinds, node, "a slice with a step or an unknown bound", "write the bounds out")
            if any(kind.low < 0 for kind in kinds) and owner.name != "list":
                self.guard(node.value, "sized")
            return NEW_LIST if owner.name == "list" else owner
        kind = self.look(node.slice, scope, depth)
        require(owner.name in ("any", "list", "dict", "str"), node, "this value has no items", "index a dict, a list or text")
        if kind == STR:
            require(owner.name in ("any", "dict"), node, "this value has no string keys", "index a dict")
            return ANY
        if kind == ANY and owner.name in ("any", "dict", "list"):
            self.guard(node.slice, "key")
            return ANY
        kind = index(kind)
        require(kind != ANY and owner.name != "dict", node, "an index whose type is not known", "use a number or text")
        if kind.low < 0 and owner.name != "list":
            self.guard(node.value, "sized")
        return STR if owner == STR else ANY

    def _fstring(self, node: ast.JoinedStr, scope: Scope, depth: int) -> Kind:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                spec = part.format_spec
                literal = spec is None or not any(isinstance(piece, ast.FormattedValue) for piece in ast.walk(spec))
                require(literal, node, "a format that is computed", "write the format out")
                self.look(part.value, scope, depth)
            elif isinstance(part, ast.Constant):
                constant(part)
        return STR

    # Iteration

    def items(self, node: ast.expr, scope: Scope, depth: int) -> tuple[int | None, Kind]:
        """What iterating over `node` gives: how many turns, if that is known, and the kind of each item."""
        match node:
            case ast.Call(func=ast.Name(id="range"), keywords=[]) if "range" not in scope and "range" not in self.tools:
                return self._range(node, scope, depth)
            case ast.Call(func=ast.Name(id="enumerate" | "zip" as name), keywords=[]) if name not in scope and name not in self.tools:
                require(len(node.args) == (1 if name == "enumerate" else 2), node, f"`{name}` in this form", "count or pair in a tool")
                for arg in node.args:
                    turns, _ = self.items(arg, scope, depth + 1)
                return (turns if name == "enumerate" else None), ANY
            case ast.Call(func=ast.Attribute(attr="items" | "keys" | "values") as method, args=[], keywords=[]):
                owner = self.keep(method.value, scope, depth)
                require(owner.name in ("any", "dict"), node, "this value has no items", "use a dict")
                return None, ANY
            case ast.List(elts=items) | ast.Tuple(elts=items) if items:
                kinds = [self.keep(item, scope, depth) for item in items]
                kind = kinds[0]
                for other in kinds[1:]:
                    kind = join(kind, other)
                return len(items), kind
        kind = self.keep(node, scope, depth)
        require(kind.name in ("any", "list", "dict", "str"), node, "a loop over something that is no list", "loop over a list")
        return None, STR if kind == STR else ANY

    def _range(self, node: ast.Call, scope: Scope, depth: int) -> tuple[int, Kind]:
        bounds = [self.look(arg, scope, depth) for arg in node.args]
        exact = all(bound.name == "int" and bound.low == bound.high for bound in bounds)
        require(exact and 1 <= len(bounds) <= 3, node, "a range whose bounds are not known", "write the bounds as numbers")
        require(len(bounds) < 3 or bounds[2].low != 0, node, "a range of step 0", "use another step")
        span = range(*(bound.low for bound in bounds))
        if not span or span[-1] not in INT64 or abs(span.step) > FACTOR:
            raise Refused(node, "an empty or extreme range", "use a range of at least one turn")
        size = (span[-1] - span[0]) // span.step + 1
        return size, Kind("int", min(span[0], span[-1]), max(span[0], span[-1]))

    def _inside(self, generator: ast.comprehension, scope: Scope, depth: int) -> Scope:
        """The scope inside a comprehension. littrs leaks its variables, which must therefore be nobody else's."""
        require(not generator.is_async, generator.target, "an async comprehension", "write a loop")
        turns, item = self.items(generator.iter, scope, depth)
        require(turns is None or turns <= 10_000, generator.target, f"{turns} turns", "keep loops below 10000 turns")
        names = targets(generator.target)
        for name in names:
            free = name not in scope and name not in RESERVED and name not in self.tools and not name.startswith("__")
            require(free, generator.target, f"`{name}` is also used outside the comprehension", "use another name")
        inner = {**scope, **dict.fromkeys(names, item if isinstance(generator.target, ast.Name) else ANY)}
        for test in generator.ifs:
            self.look(test, inner, depth)
        return inner

    # Calls

    def _call(self, node: ast.Call, name: str, scope: Scope, depth: int) -> Kind:
        require(name not in scope, node, f"a call of the variable `{name}`", _CALLS)
        if name in self.tools:
            require(name not in RESERVED, node, f"the tool `{name}` has a builtin's name", "rename the tool")
            for keyword in node.keywords:
                require(keyword.arg is not None, node, "`**` in a call", "write the arguments out")
            for arg in [*node.args, *(keyword.value for keyword in node.keywords)]:
                self.look(arg, scope, depth)  # a starred argument is refused there: it is no accepted expression
            return ANY
        if name == "print":
            for arg in node.args:
                self.look(arg, scope, depth)
            for keyword in node.keywords:
                text = isinstance(keyword.value, ast.Constant) and type(keyword.value.value) is str and holds(keyword.value.value)
                plain = keyword.arg in ("sep", "end") and text
                require(plain, node, "print with an option other than a literal sep or end", "leave it out")
            return NONE
        known = name in _BUILTINS and len(node.args) == 1 and not node.keywords
        require(known, node, f"a call of `{name}`", _CALLS)
        return _BUILTINS[name](self, node.args[0], scope, depth)

    def _len(self, arg: ast.expr, scope: Scope, depth: int) -> Kind:
        kind = self.look(arg, scope, depth)
        require(kind.name in ("any", "str", "list", "dict"), arg, "this value has no length", "use a list, a dict or text")
        if kind.name in ("any", "str"):
            self.guard(arg, "sized")
        return COUNT

    def _listed(self, arg: ast.expr, scope: Scope, depth: int) -> Kind:
        self.items(arg, scope, depth)
        require(not isinstance(arg, ast.Call) or not is_call_of(arg, "enumerate", "zip"), arg, "a list of pairs", "write a loop")
        return NEW_LIST

    def _list(self, arg: ast.expr, scope: Scope, depth: int) -> None:
        """`arg` must be a list. A generator is read at once, and is the same as a list unless what it calls has effects."""
        if isinstance(arg, ast.GeneratorExp) and len(arg.generators) == 1:
            each_turn = [arg.elt, *arg.generators[0].ifs]  # what is gone over is evaluated before anything else
            parts = [part for expression in each_turn for part in ast.walk(expression)]
            effects = any(isinstance(part, ast.Call) and is_call_of(part, "print", *self.tools) for part in parts)
            require(not effects, arg, "a call inside a generator", "write a list comprehension")
            self.look(arg.elt, self._inside(arg.generators[0], scope, depth), depth)
            return
        kind = self.look(arg, scope, depth)
        require(kind.name in ("any", "list"), arg, "a value that is no list", "use a list")

    def _sum(self, arg: ast.expr, scope: Scope, depth: int) -> Kind:
        self._list(arg, scope, depth)
        self.guard(arg, "ints")
        return Kind("int", -EXACT, EXACT)

    def _sorted(self, arg: ast.expr, scope: Scope, depth: int) -> Kind:
        self._list(arg, scope, depth)
        self.guard(arg, "alike")
        return NEW_LIST

    def _extreme(self, arg: ast.expr, scope: Scope, depth: int) -> Kind:
        self._list(arg, scope, depth)
        self.guard(arg, "some alike")
        return ANY

    def _holds_true(self, arg: ast.expr, scope: Scope, depth: int) -> Kind:
        self._list(arg, scope, depth)
        return BOOL

    def _as_int(self, arg: ast.expr, scope: Scope, depth: int) -> Kind:
        return self._number(arg, self.look(arg, scope, depth), -EXACT, EXACT, floats=False)

    def _as_float(self, arg: ast.expr, scope: Scope, depth: int) -> Kind:
        self._number(arg, self.look(arg, scope, depth), -EXACT, EXACT)
        return FLOAT

    def _abs(self, arg: ast.expr, scope: Scope, depth: int) -> Kind:
        kind = self._number(arg, self.look(arg, scope, depth), -EXACT, EXACT)
        return kind if kind == FLOAT else replace(kind, low=0, high=EXACT)

    def _str(self, arg: ast.expr, scope: Scope, depth: int) -> Kind:
        self.look(arg, scope, depth)
        return STR

    def _method(self, node: ast.Call, method: ast.Attribute, scope: Scope, depth: int) -> Kind:
        unknown = Refused(node, f"the method `{method.attr}` in this form", "compute it in a tool")
        if node.keywords or any(isinstance(arg, ast.Starred) for arg in node.args):
            raise unknown
        owner = self.look(method.value, scope, depth)
        # CPython looks the method up first, and makes no call where there is none; littrs and monty evaluate the arguments first.
        require(
            owner.name != "any" or not self._calls_tool(node.args),
            node,
            "a call among the arguments of this method",
            "give it a line of its own",
        )
        textual = owner in (STR, ANY)
        match method.attr, node.args:
            case "get", [key] | [key, _] if owner.name in ("any", "dict"):
                self.text(key, scope, depth)
                for default in node.args[1:]:
                    self.keep(default, scope, depth)
                return ANY
            case "join", [parts] if owner == STR:
                self._list(parts, scope, depth)
                return STR
            case "split" | "startswith" | "endswith", [ast.Constant(value=str(part)) as literal] if textual and part:
                constant(literal)
                return NEW_LIST if method.attr == "split" else BOOL
            case "replace", [ast.Constant(value=str(part)) as literal, new] if textual and part:
                constant(literal)
                self.text(new, scope, depth)
                return STR
            case "lower" | "upper" | "strip", [] if textual:
                self.guard(method.value, "plain")
                return STR
        raise unknown

    def _calls_tool(self, nodes: Sequence[ast.expr]) -> bool:
        parts = (part.func for node in nodes for part in ast.walk(node) if isinstance(part, ast.Call))
        return any(isinstance(called, ast.Name) and called.id in self.tools for called in parts)


_BUILTINS: dict[str, Callable[[Expressions, ast.expr, Scope, int], Kind]] = {
    "str": Expressions._str,
    "len": Expressions._len,
    "list": Expressions._listed,
    "sum": Expressions._sum,
    "sorted": Expressions._sorted,
    "min": Expressions._extreme,
    "max": Expressions._extreme,
    "any": Expressions._holds_true,
    "all": Expressions._holds_true,
    "int": Expressions._as_int,
    "float": Expressions._as_float,
    "abs": Expressions._abs,
}


NATIVE = (frozenset(_BUILTINS) - {"str"}) | {"range", "enumerate", "zip"}
"""Builtins that littrs calls itself."""
