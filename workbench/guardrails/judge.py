"""`judge(policy, state, subject)`: what a policy says of one execution, dispatch or call. Pure: nothing is read but what is given.

Whatever goes wrong while a rule is judged, the rule counts as broken: a policy fails closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from workbench.guardrails.names import ACTIONS, FUNCTIONS, NOTHING, read
from workbench.guardrails.rules import Rule, Window, limited
from workbench.record.envelope import Action, Point, Scope
from workbench.record.refs import TaskRef
from workbench.record.state import RunState
from workbench.record.statistics import SPENT, Statistic, Statistics

MAX_VALUE = 300
"""Characters of a value that a verdict shows."""

BLOCKING: frozenset[Action] = frozenset({"reject_execution", "pause_lifetime", "abort_lifetime"})

Sums = Mapping[Window, Statistics]
"""What has been counted over each window that a policy looks at, the lifetime's own part included."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is judged."""

    point: Point
    exec_id: str
    node: str
    values: dict[str, Any]
    """What the names of a rule read; `workbench.guardrails.names` lists them."""
    counted: Mapping[str, int] = field(default_factory=dict)
    """What it will add to the measures, where it is not in the record yet."""
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A rule that holds."""

    rule_id: str
    scope: Scope
    action: Action
    message: str
    severity: str = "error"
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """Every rule that holds, and what is to be done."""

    violations: tuple[Violation, ...] = ()
    held: bool = False
    """Of a dispatch: it has to wait until something that is under way has finished, since both together might break a rule."""

    @property
    def action(self) -> Action | None:
        """The strictest action demanded."""
        return max((violation.action for violation in self.violations), key=ACTIONS.index, default=None)


class Rules(Protocol):
    """Something with rules: a Policy."""

    @property
    def rules(self) -> Sequence[Rule]: ...


def judge(policy: Rules, state: RunState, subject: Subject, sums: Sums | None = None) -> Judgement:
    """What the rules say; all of them are judged, and every one that holds is named."""
    violations: list[Violation] = []
    held = False
    for rule in policy.rules:
        silenced = rule.action == "warn" and rule.scope != "execution" and rule.id in state.warned
        if subject.point not in rule.on or rule.id in state.waived or silenced:
            continue
        case = _Case(rule, state, subject, sums or {})
        try:
            broken, waits = case.outcome()
        except Exception as error:  # noqa: BLE001 - a policy that cannot be judged must not let anything through
            text = f"the rule cannot be judged, so it counts as broken: {type(error).__name__}: {error}"
            violations.append(case.violation(text))
            continue
        if broken is not None:
            violations.append(case.violation(broken))
        held = held or waits
    return Judgement(tuple(violations), held and not violations)


class _Case:
    """One rule before one subject."""

    def __init__(self, rule: Rule, state: RunState, subject: Subject, sums: Sums) -> None:
        self._given = rule
        self._rule = rule
        self._state = state
        self._subject = subject
        self._sums = sums
        self._seen: dict[str, str] = {}

    def outcome(self) -> tuple[str | None, bool]:
        """Why the rule holds, or None; and whether the dispatch has to wait."""
        limit = self._state.limits.get(self._given.id)
        if limit is not None:
            self._rule = limited(self._given, limit)
        rule = self._rule
        if self._unpriced():
            why = "an execution used a model whose price is unknown, so a rule over money counts as broken (unpriced: ignore lets it pass)"
            return rule.message or why, False
        certain, flight = {}, self._flight()
        for name, amount in rule.reserve:
            certain[name] = amount if self._uses(name, self._subject.node) else Decimal(0)
        if self._holds(certain):
            return rule.message or f"{rule.when.text} holds ({self._values_text()})", False
        if self._subject.point != "dispatch" or rule.action not in BLOCKING or not flight:
            return None, False
        spent = [name for function, name in rule.when.aggregates if function == "sum" and name in SPENT]
        together: dict[str, Decimal] = {}
        for name in spent:
            estimates = [self._estimate(name, node) for node in (self._subject.node, *(ref.name for ref in flight))]
            if any(estimate is None for estimate in estimates):
                return None, True
            together[name] = sum((estimate for estimate in estimates if estimate is not None), Decimal(0))
        return None, bool(together) and self._holds(together)

    def violation(self, message: str) -> Violation:
        """The rule's verdict."""
        rule = self._given
        return Violation(
            rule_id=rule.id, scope=rule.scope, action=rule.action, message=message, severity=rule.severity, values=dict(self._seen)
        )

    def _holds(self, reserved: Mapping[str, Decimal]) -> bool:
        reserved = reserved if self._subject.point == "dispatch" else {}
        functions: dict[str, Any] = {**FUNCTIONS}
        for function in {function for function, _ in self._rule.when.aggregates}:
            functions[function] = lambda name, function=function: self._shown(
                f"{function}({name})", self._aggregate(function, name, reserved.get(name, Decimal(0)))
            )
        for name, amount in reserved.items():
            if amount:
                self._seen[f"reserved({name})"] = str(amount)
        return bool(self._rule.when.evaluate(lambda name: self._shown(name, read(self._subject.values, name)), functions))

    def _shown(self, name: str, value: Any) -> Any:
        text = str(value)
        self._seen[name] = text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"
        return value

    def _values_text(self) -> str:
        return ", ".join(f"{name} is {value}" for name, value in self._seen.items())

    def _statistics(self) -> Statistics:
        over = self._rule.over
        return self._state.statistics if over == Window("lifetime", None) else self._sums[over]

    def _statistic(self, name: str) -> Statistic:
        known = self._statistics().of(name)
        added = self._subject.counted.get(name)
        return known if added is None else known.including(added)

    def _aggregate(self, function: str, name: str, reserved: Decimal) -> Any:
        statistic = self._statistic(name)
        match function:
            case "count":
                return statistic.count
            case "sum":
                total = _amount(name, statistic.sum)
                return total + reserved if reserved else total
            case "rate":
                return Decimal(str(_amount(name, statistic.sum))) * 60 / self._seconds()
            case "avg":
                return NOTHING if not statistic.count else Decimal(str(_amount(name, statistic.sum))) / statistic.count
        value = getattr(statistic, function)
        return NOTHING if value is None else _amount(name, value)

    def _seconds(self) -> Decimal:
        """Over how long a rate is taken; at least a second."""
        if self._rule.window is not None:
            return Decimal(self._rule.window)
        began = self._state.created_at or self._subject.now
        return max(Decimal(1), Decimal(str((self._subject.now - began).total_seconds())))

    def _unpriced(self) -> bool:
        rule = self._rule
        if not rule.reads_money or rule.unpriced == "ignore":
            return False
        count = self._statistics().of("unpriced").sum if rule.when.aggregates else 0
        alone = "cost_usd" in rule.when.names and self._subject.values.get("unpriced") is True
        if count or alone:
            self._seen["unpriced"] = str(count or 1)
        return bool(count) or alone

    def _flight(self) -> list[TaskRef]:
        """What is under way and may still use something; one that waits for a person is not expected to."""
        running = list(self._state.running.values())
        return running[len(self._state.requests) :]

    def _uses(self, name: str, node: str) -> bool:
        """Whether a node is expected to use any of this: unless it has finished before and has not."""
        peaks = self._state.peaks.get(node)
        return peaks is None or bool(peaks.get(name))

    def _estimate(self, name: str, node: str) -> Decimal | None:
        """How much one more execution of a node may use: what the rule reserves, or the most it has used; None while that is unknown."""
        reserved = dict(self._rule.reserve).get(name)
        if reserved is not None:
            return reserved if self._uses(name, node) else Decimal(0)
        peaks = self._state.peaks.get(node)
        return None if peaks is None else Decimal(str(_amount(name, peaks.get(name, 0))))


def _amount(name: str, number: int | float) -> Any:
    """A measured number as rules compare it: money in dollars, exact."""
    return Decimal(number).scaleb(-9) if name == "cost_usd" else number
