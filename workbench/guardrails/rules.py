"""Rules: what a policy is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal, NamedTuple

from workbench.errors import UserError
from workbench.expressions import Expression
from workbench.record.envelope import Action, Point, Scope

Severity = Literal["info", "warning", "error", "critical"]


class Window(NamedTuple):
    """A scope, and how far back it is looked at in seconds; None for all of it."""

    scope: Scope
    seconds: int | None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule: when the condition holds for what is judged, the action is taken."""

    id: str
    when: Expression
    action: Action
    scope: Scope
    on: tuple[Point, ...]
    window: int | None = None
    """In seconds."""
    message: str | None = None
    severity: Severity = "error"
    unpriced: Literal["fire", "ignore"] = "fire"
    """What a rule over money does where a price is unknown."""
    reserve: tuple[tuple[str, Decimal], ...] = ()
    """How much of a field a dispatched Task is assumed to use until it has finished."""

    @property
    def over(self) -> Window:
        """What its aggregates are taken over."""
        return Window(self.scope, self.window)

    @property
    def reads_money(self) -> bool:
        """Whether a price that is unknown leaves it unknown whether the rule holds."""
        return "cost_usd" in self.when.names or any(name == "cost_usd" for _, name in self.when.aggregates)

    @property
    def terms(self) -> list[object]:
        """Everything that distinguishes the rule, JSON-ready."""
        reserve = sorted([name, str(amount)] for name, amount in self.reserve)
        return [
            self.id,
            self.when.text,
            self.action,
            self.scope,
            list(self.on),
            self.window,
            self.message,
            self.severity,
            self.unpriced,
            reserve,
        ]


@lru_cache(maxsize=1024)
def limited(rule: Rule, limit: str) -> Rule:
    """The rule with another limit.

    Raises:
        UserError: the limit is no number, or the rule has none to change.
    """
    try:
        number = Decimal(limit)
    except InvalidOperation:
        raise UserError(f"the limit of rule {rule.id!r} is a number; got {limit!r}") from None
    if not number.is_finite():
        raise UserError(f"the limit of rule {rule.id!r} is a finite number; got {limit!r}")
    return replace(rule, when=rule.when.with_limit(number))
