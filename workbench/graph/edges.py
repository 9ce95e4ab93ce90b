"""Edges: which node may follow which, and on what terms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from workbench.errors import UserError
from workbench.expressions import Expression, ExpressionError, parse
from workbench.graph.durations import seconds
from workbench.record.envelope import END

START = "Start"

EdgeType = Literal["NORMAL", "PARALLEL", "JOIN", "FINAL"]
Strategy = Literal["all", "any", "majority", "n_of"]
OnBranchFailure = Literal["fail", "collect", "ignore"]

NAMES = ("result", "error", "attempt", "iteration_idx")
"""What a condition may read: the Task's output (a dict's keys by dots), its error code or None, and how often it has run."""


@dataclass(frozen=True, kw_only=True)
class Join:
    """When a Plan behind JOIN edges looks at the branches of a fork. It looks once, at what has arrived, in the order of the branches.

    A branch that ends elsewhere (at `End`, or by a failure) is counted as closed, so waiting for `all` always ends. Once the Plan has
    looked, branches that are still at work are cancelled.
    """

    strategy: Strategy = "all"
    count: int = 0
    """With `n_of`: how many branches are enough."""
    timeout: float | str | None = None
    """Seconds, or a text such as `"10m"`, from the fork on. Then a join that has not come about fails the lifetime (`join_timeout`), or
    with `collect` and `ignore` it looks at what has arrived. Kept as seconds."""
    on_branch_failure: OnBranchFailure = "fail"
    """`fail` ends the lifetime; `collect` hands the failed execution to the Plan among the others; `ignore` closes the branch."""

    def __post_init__(self) -> None:
        if self.timeout is not None:
            object.__setattr__(self, "timeout", float(seconds(self.timeout)))

    @property
    def terms(self) -> list[object]:
        """Everything of it that belongs to the structure of a graph, JSON-ready. What is as it always is, is left out."""
        return [self.strategy, self.count, self.on_branch_failure, *([self.timeout] if self.timeout is not None else [])]

    def needed(self, branches: int) -> int:
        """How many of `branches` must have arrived; all that are not closed, for `all`."""
        match self.strategy:
            case "all":
                return branches
            case "any":
                return 1
            case "majority":
                return branches // 2 + 1
            case "n_of":
                return self.count


@dataclass(frozen=True)
class Edge:
    """A permitted step from one node to another. Without a type it is FINAL into `End` and NORMAL elsewhere.

    `condition` is an expression over the result of the Task the edge follows from, such as `result.accepted`; of several edges the first
    whose condition holds is taken, those of higher `priority` first. An edge with `on="error"` is taken by a Task that has failed for
    good, one with `on="reject"` by a Task that a guardrail has rejected. A PARALLEL edge may be chosen together with others; with `branch`,
    an expression for a list, it is taken once an item.

    Raises:
        UserError: for a condition or branch that is not an expression.
    """

    source: str
    target: str
    type: EdgeType | None = None
    condition: str | None = None
    priority: int = 0
    on: Literal["success", "error", "reject"] = "success"
    branch: str | None = None
    join: Join | None = None
    label: str | None = None
    """What drawings write beside the edge."""

    def __post_init__(self) -> None:
        if self.type is None:
            object.__setattr__(self, "type", "FINAL" if self.target == END else "NORMAL")
        if self.type == "JOIN" and self.join is None:
            object.__setattr__(self, "join", Join())
        for text in (self.condition, self.branch):
            if text is not None:
                self._read(text)

    @property
    def id(self) -> str:
        """`source->target`, as records name it."""
        return f"{self.source}->{self.target}"

    @property
    def terms(self) -> list[object]:
        """Everything of it that belongs to the structure of a graph, JSON-ready."""
        join = self.join.terms if self.join else None
        return [self.source, self.target, self.type, self.condition, self.priority, self.on, self.branch, join]

    @cached_property
    def reads(self) -> frozenset[str]:
        """Which of `NAMES` its expressions read."""
        texts = [text for text in (self.condition, self.branch) if text is not None]
        return frozenset(name.split(".")[0] for text in texts for name in self._read(text).names)

    def holds(self, values: dict[str, object]) -> bool:
        """Whether the edge may be taken, given the values of `NAMES`; an edge without a condition always may."""
        return self.condition is None or bool(self._read(self.condition).evaluate(lambda name: value_at(values, name)))

    def items(self, values: dict[str, object]) -> list[object]:
        """The items of a `branch` expression."""
        assert self.branch is not None
        items = self._read(self.branch).evaluate(lambda name: value_at(values, name))
        if not isinstance(items, list | tuple):
            raise ExpressionError(f"edge {self.id}: branch {self.branch!r} is a {type(items).__name__}; a list has one branch an item")
        return list(items)

    def _read(self, text: str) -> Expression:
        try:
            return parse(text, names=NAMES)
        except ExpressionError as error:
            raise UserError(f"edge {self.id}: {error}") from error


def value_at(values: dict[str, object], name: str) -> object:
    """The value of a dotted name: keys of dicts, one after the other.

    Raises:
        KeyError: one of them is not there.
    """
    here: object = values
    for key in name.split("."):
        if not isinstance(here, dict):
            raise KeyError(name)
        here = here[key]
    return here
