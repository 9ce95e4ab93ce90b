"""The gate: does littrs give CPython's answer for this block?

littrs is silently wrong about much of Python, so this is an allowlist. A block is accepted only if every node in it is of a form listed
here and in `expressions`, on types that are known or that a guard makes sure of; everything else is refused with its line, the reason and
what to write instead. It may be narrow; it is never wrong. littrs copies every value: only a list or dict that a single name reaches is
ever changed in an accepted block, so that the copying cannot be seen.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass

from workbench.sandbox import source
from workbench.sandbox.expressions import RESERVED, Expressions
from workbench.sandbox.kinds import ANY, DICT, LIST, Kind, Scope, holds, join, kind_of
from workbench.sandbox.lowering import Program, lower
from workbench.sandbox.proof import Refused, described, require, targets

__all__ = ["Accepted", "Kind", "Refused", "Scope", "check", "holds", "kind_of"]

MAX_TURNS = 10_000
"""Of all nested loops together, where they can be counted: littrs builds a range in memory."""
MAX_DEPTH = 40


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A proven block: its program, the scope after it has run to its end, and the names it may have bound or changed if it did not."""

    program: Program
    scope: Scope
    assigned: frozenset[str]


def check(code: str, scope: Scope, tools: Collection[str], finishers: Collection[str]) -> Accepted:
    """Accept `code` as proven to run on littrs as on CPython, or raise `Refused`."""
    tree = source.parse(code)
    if tree is None:
        raise Refused(None, "it has a syntax error or is nested deeply", "write it in smaller steps")
    gate = _Gate(frozenset(tools), frozenset(finishers))
    tree = gate.plain(tree)
    after = gate.suite(tree.body, dict(scope), turns=1, top=True)
    return Accepted(program=lower(tree, gate.expressions.guards), scope=after, assigned=frozenset(gate.assigned))


class _Gate:
    def __init__(self, tools: frozenset[str], finishers: frozenset[str]) -> None:
        self.tools = tools
        self.finishers = finishers
        self.expressions = Expressions(tools)
        self.assigned: set[str] = set()

    def plain(self, tree: ast.Module) -> ast.Module:
        """`x += y` as `x = x + y`; which of them were is remembered."""
        augmented = self.expressions.augmented

        class Plain(ast.NodeTransformer):
            def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
                if not isinstance(node.target, ast.Name):
                    return node
                value = ast.BinOp(left=ast.Name(id=node.target.id, ctx=ast.Load()), op=node.op, right=node.value)
                augmented.add(value)
                assigned = ast.Assign(targets=[node.target], value=value)
                return ast.fix_missing_locations(ast.copy_location(assigned, node))

        plain = Plain().visit(tree)
        assert isinstance(plain, ast.Module)
        return plain

    def suite(
        self, body: list[ast.stmt], scope: dict[str, Kind], *, turns: int, top: bool = False, looped: bool = False, depth: int = 0
    ) -> dict[str, Kind]:
        for place, statement in enumerate(body):
            ends = top and place == len(body) - 1
            if top:
                self._finish_only_at_the_end(statement, ends)
            scope = self._without_shared(self.statement(statement, scope, turns, looped, depth + 1))
        return scope

    def _finish_only_at_the_end(self, statement: ast.stmt, ends: bool) -> None:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.finishers & self.tools:
                alone = ends and isinstance(statement, ast.Expr) and statement.value is node
                require(alone, node, f"{node.func.id}() is not the last statement", "end the block with it")

    def _without_shared(self, scope: dict[str, Kind]) -> dict[str, Kind]:
        """The scope, where a list or dict that has become reachable in another way is no longer fresh."""
        shared = self.expressions.shared
        self.assigned |= shared
        changed = {name: LIST if scope[name].name == "list" else DICT for name in shared if name in scope and scope[name].fresh}
        shared.clear()
        return {**scope, **changed} if changed else scope

    def statement(self, node: ast.stmt, scope: dict[str, Kind], turns: int, looped: bool, depth: int) -> dict[str, Kind]:
        require(depth <= MAX_DEPTH, node, "it is nested too deeply", "write it in smaller steps")
        match node:
            case ast.Pass():
                return scope
            case ast.Break() | ast.Continue() if looped:
                return scope
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[item], keywords=[])):
                return self._change(node, name, LIST, item, scope, depth=depth)
            case ast.Expr():
                self.expressions.look(node.value, scope, depth)
                return scope
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name), slice=key)]):
                self.expressions.text(key, scope, depth)
                return self._change(node, name, DICT, node.value, scope, depth=depth)
            case ast.Assign(targets=[ast.Name(id=name)]):
                kind = self.expressions.keep(node.value, scope, depth)
                self._bindable(node, name)
                return {**self._without_shared(scope), name: kind}
            case ast.Assign(targets=[ast.Tuple() as several]):
                names = targets(several)
                kind = self.expressions.keep(node.value, scope, depth)
                require(kind.name in ("any", "list"), node, "unpacking something that is no list", "unpack a list")
                for name in names:
                    self._bindable(node, name)
                return {**self._without_shared(scope), **dict.fromkeys(names, ANY)}
            case ast.If():
                self.expressions.look(node.test, scope, depth)
                scope = self._without_shared(scope)
                yes = self.suite(node.body, dict(scope), turns=turns, looped=looped, depth=depth)
                no = self.suite(node.orelse, dict(scope), turns=turns, looped=looped, depth=depth)
                return {name: join(yes[name], no[name]) for name in yes if name in no}
            case ast.For(orelse=[]):
                return self._for(node, scope, turns, depth)
        instead = "write plain assignments, calls, `if` and `for`"
        raise Refused(node, f"{described(node)} is not proven on littrs", instead)

    def _change(self, node: ast.stmt, name: str, what: Kind, value: ast.expr, scope: dict[str, Kind], *, depth: int) -> dict[str, Kind]:
        """Append to a list or store into a dict: only where no other name can see it."""
        self.expressions.keep(value, scope, depth)
        scope = self._without_shared(scope)
        known = name in scope and name not in self.tools and scope[name].name == what.name and scope[name].fresh
        require(known, node, f"changing `{name}`, which may be held elsewhere too", f"start from an empty {what.name} in this name")
        self.assigned.add(name)
        return scope

    def _for(self, node: ast.For, scope: dict[str, Kind], turns: int, depth: int) -> dict[str, Kind]:
        count, item = self.expressions.items(node.iter, scope, depth)
        certain = count is not None
        count = count or 1
        require(count * turns <= MAX_TURNS, node, f"the loop runs {count} times", f"keep loops below {MAX_TURNS} turns")
        names = targets(node.target)
        for name in names:
            self._bindable(node, name)
        bound = dict.fromkeys(names, item if isinstance(node.target, ast.Name) else ANY)
        before = self._without_shared(scope)
        if _leaves(node.body):  # a turn may end anywhere, so of what it binds nothing is known
            certain = False
            for part in ast.walk(node):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store) and part.id in before:
                    before = {**before, part.id: ANY}
        for _ in range(8):
            after = self.suite(node.body, {**before, **bound}, turns=turns * count, looped=True, depth=depth)
            # what a later turn starts from: a value that changes from turn to turn is known no better than `any`
            again = {key: kind if after.get(key) == kind else _same_container(kind, after.get(key)) for key, kind in before.items()}
            if again == before:
                return after if certain else {key: join(kind, after[key]) if key in after else ANY for key, kind in before.items()}
            before = again
        raise Refused(node, "the loop's variables are too entangled", "write it in smaller steps")

    def _bindable(self, node: ast.AST, name: str) -> None:
        taken = name in RESERVED or name in self.tools or name.startswith("__")
        require(not taken, node, f"`{name}` hides a builtin or a tool", "use another name")
        self.assigned.add(name)


def _same_container(before: Kind, after: Kind | None) -> Kind:
    if after is not None and before.name == after.name and before.name in ("list", "dict"):
        return join(before, after)
    return ANY


def _leaves(body: list[ast.stmt]) -> bool:
    """Whether a `break` or `continue` of this loop, or of one inside it, stands in `body`."""
    return any(isinstance(part, (ast.Break, ast.Continue)) for statement in body for part in ast.walk(statement))
