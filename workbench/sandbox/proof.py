"""The words of the gate: a refusal, a guard, and what is read off a single node."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from typing import Any

from workbench.sandbox.kinds import ANY, EXACT, FACTOR, FLOAT, Kind, holds, kind_of


class Refused(Exception):
    """The block is not proven; `line`, the reason and the remedy."""

    def __init__(self, node: ast.AST | None, reason: str, instead: str) -> None:
        self.line: int | None = getattr(node, "lineno", None)
        self.reason = reason
        self.instead = instead
        where = f"line {self.line}: " if self.line is not None else ""
        super().__init__(f"{where}{reason}; {instead}")


@dataclass(frozen=True)
class Guard:
    """What a value must be when the program runs; `what` is a word that the worker knows."""

    what: str
    low: int = 0
    high: int = 0


def require(holds_true: bool, node: ast.AST, reason: str, instead: str) -> None:
    """Raise `Refused` unless it holds."""
    if not holds_true:
        raise Refused(node, reason, instead)


def targets(node: ast.expr) -> list[str]:
    """The names that a loop or an assignment binds: one, or several distinct ones side by side."""
    names = [part.id for part in (node.elts if isinstance(node, ast.Tuple) else [node]) if isinstance(part, ast.Name)]
    whole_target = len(names) == (len(node.elts) if isinstance(node, ast.Tuple) else 1) and len(set(names)) == len(names) and names
    require(bool(whole_target), node, "a target that is not a plain name or several of them", "bind names")
    return names


def constant(node: ast.Constant) -> Kind:
    """The kind of a literal."""
    value: Any = node.value
    if type(value) is float:
        require(math.isfinite(value), node, "an infinite number", "leave it out")
        return FLOAT
    require(value is None or type(value) in (bool, int, str), node, f"{type(value).__name__} literals", "use text or numbers")
    require(holds(value), node, "a number beyond 64 bits or text that is not Unicode", "leave it out")
    return kind_of(value)


def described(node: ast.AST) -> str:
    """A node as the message of a refusal names it."""
    return f"`{type(node).__name__}`" if not isinstance(node, ast.Call) else "a call of a computed function"


def index(kind: Kind) -> Kind:
    """The kind of a number that may stand in brackets: never negative, or a negative literal. Others are `any`."""
    fits = kind.name == "int" and (kind.low >= 0 or (kind.low == kind.high and kind.low > -FACTOR)) and kind.high <= EXACT
    return kind if fits else ANY


def is_exact(node: ast.expr, kind: Kind) -> bool:
    """Whether a number is so small that it is the same as a float."""
    if isinstance(node, ast.Constant) and type(node.value) is float:
        return abs(node.value) < EXACT
    return kind.name == "int" and kind.low >= -EXACT and kind.high <= EXACT


def is_call_of(node: ast.Call, *names: str) -> bool:
    """Whether it is a call of a function with one of these names."""
    return isinstance(node.func, ast.Name) and node.func.id in names
