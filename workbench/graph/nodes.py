"""Tasks, which do, and Plans, which choose.

A Task is any function of one value: `def fetch(url): …`, or of a value and a `TaskContext`. Its effects are its own; the runtime records
that it started and what it returned. A Plan is a pure function from what the Tasks before it produced to what comes next: a name, several
names, a `PlanResult`, or None, which leaves the choice to the conditions of its edges. Plans must not have effects, so replay can run every
one of them again and compare.

`async def` nodes run on the runtime's loop; plain functions run in a thread of their run, where they can be timed out. An async Plan is
stored in one transaction with the result it looked at, so it should choose and not wait.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from workbench.errors import UserError
from workbench.record.codec import sha256
from workbench.record.envelope import ABSENT, PlanResult, TaskExecution

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class PlanInput:
    """What a Plan is given: all of it comes from the record, so the same record always gives the same choice."""

    executions: Sequence[TaskExecution]
    """The executions it follows."""
    values: Sequence[Any]
    """Their outputs, in the same order."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How the run was set up: the manifest's `resources`."""
    dispatched: Mapping[str, int] = field(default_factory=dict)
    """How many times each node has been dispatched in this lifetime."""

    @property
    def value(self) -> Any:
        """The value of the only execution; a Plan behind a JOIN has several and reads `values`."""
        (value,) = self.values
        return value


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Whether and when a failed Task runs again. Each attempt is an execution of its own in the record.

    The wait before attempt n + 1 is `first_wait * factor ** (n - 1)` seconds, at most `longest_wait`, and varied by up to `jitter` of
    itself; the variation follows from the execution's id, so it is the same after a crash.
    """

    attempts: int = 1
    """In all, the first one included."""
    first_wait: float = 1.0
    factor: float = 2.0
    longest_wait: float = 60.0
    jitter: float = 0.1
    retry_on: tuple[str, ...] = ()
    """Error codes and exception class names that are tried again; empty means all but cancellation."""

    @property
    def terms(self) -> list[object]:
        """Everything of it that belongs to the structure of a graph, JSON-ready; 1 and 1.0 are the same."""
        waits = [float(self.first_wait), float(self.factor), float(self.longest_wait), float(self.jitter)]
        return [self.attempts, *waits, list(self.retry_on)]

    def wait(self, attempt: int, seed: str) -> float:
        """Seconds between the failure of `attempt` (from 1) and the next one."""
        wait = min(self.longest_wait, self.first_wait * self.factor ** (attempt - 1))
        share = int(sha256(f"{seed}|{attempt}".encode())[:8], 16) / 0xFFFFFFFF
        return wait * (1 + self.jitter * (2 * share - 1))

    def retries(self, attempt: int, code: str, type: str | None) -> bool:
        """Whether a failure of `attempt` with this error is followed by another attempt."""
        return attempt < self.attempts and (not self.retry_on or code in self.retry_on or type in self.retry_on)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A node that does something.

    `timeout` is in seconds of running time (time spent waiting for a person is not counted); None means no limit. A Task that was cut off
    by a crash is run again on resume only if it is `idempotent`; otherwise a person is asked whether its effect happened. `retries` says
    whether a Task that has failed runs again; it is for its author to know that this is harmless.
    """

    name: str
    run: Callable[..., Any]
    timeout: float | None = None
    idempotent: bool = False
    retries: RetryPolicy = RetryPolicy()
    label: str | None = None
    """What drawings show instead of the name."""
    takes_context: bool = field(init=False)
    is_async: bool = field(init=False)

    def __post_init__(self) -> None:
        count = _positional(self.run, self.name)
        if count not in (1, 2):
            raise UserError(f"task {self.name!r} takes {count} arguments; write `def {self.name}(value)` or `def {self.name}(value, ctx)`")
        object.__setattr__(self, "takes_context", count == 2)
        object.__setattr__(self, "is_async", _is_async(self.run))

    @property
    def terms(self) -> list[object]:
        """Everything of it that belongs to the structure of a graph, JSON-ready."""
        return ["task", self.name, _limit(self.timeout), self.idempotent, self.retries.terms]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A node that chooses what comes next."""

    name: str
    choose: Callable[..., Any]
    timeout: float | None = None
    label: str | None = None
    """What drawings show instead of the name."""
    is_async: bool = field(init=False)

    def __post_init__(self) -> None:
        if _positional(self.choose, self.name) != 1:
            raise UserError(f"plan {self.name!r} must take one argument, the PlanInput: `def {self.name}(plan_input)`")
        object.__setattr__(self, "is_async", _is_async(self.choose))

    @property
    def terms(self) -> list[object]:
        """Everything of it that belongs to the structure of a graph, JSON-ready."""
        return ["plan", self.name, _limit(self.timeout)]


Node = Task | Plan


@overload
def task(run: F, /) -> Task: ...
@overload
def task(
    *,
    name: str | None = None,
    timeout: float | None = None,
    idempotent: bool = False,
    retries: RetryPolicy | int = ...,
    label: str | None = None,
) -> Callable[[F], Task]: ...
def task(
    run: F | None = None,
    /,
    *,
    name: str | None = None,
    timeout: float | None = None,
    idempotent: bool = False,
    retries: RetryPolicy | int = 0,
    label: str | None = None,
) -> Task | Callable[[F], Task]:
    """Make a Task of a function; bare, or with options. The Task's name is the function's; `retries` may be a number."""
    policy = RetryPolicy(attempts=retries + 1) if isinstance(retries, int) else retries

    def make(function: F) -> Task:
        return Task(
            name=name or str(getattr(function, "__name__", function)),
            run=function,
            timeout=timeout,
            idempotent=idempotent,
            retries=policy,
            label=label,
        )

    return make if run is None else make(run)


@overload
def plan(choose: F, /) -> Plan: ...
@overload
def plan(*, name: str | None = None, timeout: float | None = None, label: str | None = None) -> Callable[[F], Plan]: ...
def plan(
    choose: F | None = None, /, *, name: str | None = None, timeout: float | None = None, label: str | None = None
) -> Plan | Callable[[F], Plan]:
    """Make a Plan of a function; bare, or with options. The Plan's name is the function's."""

    def make(function: F) -> Plan:
        return Plan(name=name or str(getattr(function, "__name__", function)), choose=function, timeout=timeout, label=label)

    return make if choose is None else make(choose)


def human(
    name: str,
    question: str | Callable[[Any], str],
    *,
    schema: dict[str, Any] | type[Any] | None = None,
    timeout: float | None = None,
    default: Any = ABSENT,
) -> Task:
    """A Task that asks a person and has the answer as its output.

    `question` is text, or a function of the Task's input, which is shown with it. The answer must match the `schema` (a JSON Schema or a
    pydantic class). After `timeout` seconds it is `default`; without one the Task fails, and its error edge says what comes next.
    """

    async def ask(value: Any, ctx: Any) -> Any:
        text = question(value) if callable(question) else question
        return await ctx.ask_human(text, schema=schema, about=value, timeout=timeout, default=default)

    return Task(name=name, run=ask, idempotent=True)


def pass_through(source: str, target: str) -> Plan:
    """The Plan that stands between two Tasks, or between a Task and the end: it hands the value on. Recorded like any other."""

    async def choose(plan_input: PlanInput) -> PlanResult:
        return PlanResult.to(target)

    return Plan(name=f"{source}->{target}", choose=choose)


def source_hash(node: Node) -> str:
    """The SHA-256 of a node's source text, or of its qualified name where there is none (a builtin, an interactive lambda)."""
    function = node.run if isinstance(node, Task) else node.choose
    try:
        return sha256(inspect.getsource(function).encode())
    except (OSError, TypeError):
        return sha256(getattr(function, "__qualname__", repr(type(function))).encode())


def _limit(timeout: float | None) -> float | None:
    return None if timeout is None else float(timeout)


def _positional(function: Callable[..., Any], name: str) -> int:
    if not callable(function):
        raise UserError(f"node {name!r} needs a function; got {type(function).__name__}")
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(1 for parameter in inspect.signature(function).parameters.values() if parameter.kind in kinds)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
