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
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, TypedDict, Unpack, get_args, get_origin, overload

from typing_extensions import TypeVar

from workbench.errors import UserError
from workbench.graph.outputs import Outputs
from workbench.graph.shapes import Shape, hint_of, is_model
from workbench.record.codec import sha256
from workbench.record.envelope import ABSENT, PlanResult, TaskExecution

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", default=Any)


@dataclass(frozen=True, kw_only=True)
class PlanInput(Generic[T]):
    """What a Plan is given: all of it comes from the record, so the same record always gives the same choice.

    `PlanInput[Report]` as the annotation of a Plan's argument says that every value is a `Report`.
    """

    executions: Sequence[TaskExecution]
    """The executions it follows."""
    outputs: Sequence[T]
    """Their outputs, in the same order. One that is too big for the log is loaded when a plain function looks at it, which counts to its
    `timeout`; before an `async def` or an annotated Plan all of them are."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How the run was set up: the manifest's `resources`."""
    dispatched: Mapping[str, int] = field(default_factory=dict)
    """How many times each node has been dispatched in this lifetime."""

    def __post_init__(self) -> None:
        if not isinstance(self.outputs, Outputs):
            object.__setattr__(self, "outputs", Outputs(self.outputs))

    @cached_property
    def values(self) -> list[T]:
        """All outputs."""
        return list(self.outputs)

    @property
    def value(self) -> T:
        """The output of the only execution; a Plan behind a JOIN has several and reads `values` or some of `outputs`."""
        (value,) = self.outputs
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


class TaskOptions(TypedDict, total=False):
    """What may be said of a Task besides its code."""

    name: str
    timeout: float | None
    heartbeat_timeout: float | None
    idempotent: bool
    parks: bool
    retries: RetryPolicy | int
    label: str | None
    input: Any
    output: Any


class PlanOptions(TypedDict, total=False):
    """What may be said of a Plan besides its code."""

    name: str
    timeout: float | None
    label: str | None


@dataclass(frozen=True, init=False)
class Task:
    """A node that does something: `@wb.task` on a function, or a class with a method `run`.

    >>> import workbench as wb
    >>> class Double(wb.Task, timeout=5, idempotent=True):
    ...     async def run(self, value: int) -> int:
    ...         return 2 * value
    >>> Double().name
    'Double'

    `timeout` is in seconds of running time (time spent waiting for a person is not counted); None means no limit. A Task with a
    `heartbeat_timeout` has to call `ctx.heartbeat()` at least that often. A Task that was cut off by a crash is run again on resume only if
    it is `idempotent`; otherwise a person is asked whether its effect happened. One that also `parks` is kept nowhere but in the record
    while it waits for a person: its code is cancelled, and begun anew with the answer. That is for code that does nothing else meanwhile;
    the Tasks of `wb.human` do. `retries` says whether a Task that has failed runs again;
    it is for its author to know that this is harmless; a number counts the attempts after the first.

    `input` and `output` are types that pydantic understands: the input is checked and converted before the code runs, and an output that
    does not fit fails the Task. They are the annotations of a class's `run`, and those of a function that are pydantic classes, unless they
    are given.
    """

    name: str
    run: Callable[..., Any]
    timeout: float | None
    heartbeat_timeout: float | None
    idempotent: bool
    parks: bool
    retries: RetryPolicy
    label: str | None
    """What drawings show instead of the name."""
    input: Shape | None
    output: Shape | None
    takes_context: bool = field(init=False)
    is_async: bool = field(init=False)
    _said: ClassVar[TaskOptions] = {}

    def __init_subclass__(cls, **options: Unpack[TaskOptions]) -> None:
        super().__init_subclass__()
        cls._said = {**cls._said, "name": cls.__name__, **options}

    def __init__(self, *, run: Callable[..., Any] | None = None, **options: Unpack[TaskOptions]) -> None:
        said: TaskOptions = {**self._said, **options}
        if run is not None:
            object.__setattr__(self, "run", run)
        code = getattr(self, "run", None)
        name = said.get("name") or str(getattr(code, "__name__", code))
        count = _positional(code, name)
        if count not in (1, 2):
            raise UserError(f"task {name!r} takes {count} arguments; write `def {name}(value)` or `def {name}(value, ctx)`")
        if said.get("parks", False) and not said.get("idempotent", False):
            raise UserError(f"task {name!r} parks, so its code is begun anew: say that it may be, with idempotent=True")
        retries = said.get("retries", 0)
        _set(
            self,
            name=name,
            timeout=said.get("timeout"),
            heartbeat_timeout=said.get("heartbeat_timeout"),
            idempotent=said.get("idempotent", False),
            parks=said.get("parks", False),
            retries=RetryPolicy(attempts=retries + 1) if isinstance(retries, int) else retries,
            label=said.get("label"),
            input=_shape(said, "input", self.run, 0, name, every=run is None),
            output=_shape(said, "output", self.run, "return", name, every=run is None),
            takes_context=count == 2,
            is_async=_is_async(self.run),
        )

    @property
    def terms(self) -> list[object]:
        """Everything of it that belongs to the structure of a graph, JSON-ready. What is as it always is, is left out."""
        shapes = {which: shape.hash for which, shape in (("input", self.input), ("output", self.output)) if shape is not None}
        beats = {} if self.heartbeat_timeout is None else {"heartbeat_timeout": float(self.heartbeat_timeout)}
        terms: list[object] = ["task", self.name, _limit(self.timeout), self.idempotent, self.retries.terms]
        return [*terms, *([beats | shapes] if beats or shapes else [])]


@dataclass(frozen=True, init=False)
class Plan:
    """A node that chooses what comes next: `@wb.plan` on a function, or a class with a method `choose`.

    A Plan whose argument is annotated `PlanInput[Report]` is given instances of `Report`; values that are none fail it.
    """

    name: str
    choose: Callable[..., Any]
    timeout: float | None
    label: str | None
    """What drawings show instead of the name."""
    input: Shape | None
    """What each value it looks at has to be."""
    is_async: bool = field(init=False)
    _said: ClassVar[PlanOptions] = {}

    def __init_subclass__(cls, **options: Unpack[PlanOptions]) -> None:
        super().__init_subclass__()
        cls._said = {**cls._said, "name": cls.__name__, **options}

    def __init__(self, *, choose: Callable[..., Any] | None = None, **options: Unpack[PlanOptions]) -> None:
        said: PlanOptions = {**self._said, **options}
        if choose is not None:
            object.__setattr__(self, "choose", choose)
        code = getattr(self, "choose", None)
        name = said.get("name") or str(getattr(code, "__name__", code))
        if _positional(code, name) != 1:
            raise UserError(f"plan {name!r} must take one argument, the PlanInput: `def {name}(plan_input)`")
        hint = _hint(self.choose, 0, name, every=choose is None)
        looks_at = get_args(hint)[0] if get_origin(hint) is PlanInput else None
        _set(
            self,
            name=name,
            timeout=said.get("timeout"),
            label=said.get("label"),
            input=None if looks_at in (None, Any) else Shape(looks_at, f"what plan {name!r} looks at"),
            is_async=_is_async(self.choose),
        )

    @property
    def terms(self) -> list[object]:
        """Everything of it that belongs to the structure of a graph, JSON-ready. What is as it always is, is left out."""
        return ["plan", self.name, _limit(self.timeout), *([{"input": self.input.hash}] if self.input is not None else [])]

    def typed(self, given: PlanInput) -> PlanInput:
        """What its code gets for what is in the record.

        Raises:
            NodeInputInvalid: a value is not what the Plan looks at.
        """
        if self.input is None:
            return given
        return replace(given, outputs=[self.input.given_to(self.name, value) for value in given.outputs])


Node = Task | Plan


def with_options(node: Node, values: Mapping[str, Any]) -> Node:
    """The same code under other options."""
    changed = copy(node)
    _set(changed, **values)
    return changed


@overload
def task(run: F, /) -> Task: ...
@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[F], Task]: ...
def task(run: F | None = None, /, **options: Unpack[TaskOptions]) -> Task | Callable[[F], Task]:
    """Make a Task of a function; bare, or with options. The Task's name is the function's; `retries` may be a number."""

    def make(function: F) -> Task:
        return Task(run=function, **options)

    return make if run is None else make(run)


@overload
def plan(choose: F, /) -> Plan: ...
@overload
def plan(**options: Unpack[PlanOptions]) -> Callable[[F], Plan]: ...
def plan(choose: F | None = None, /, **options: Unpack[PlanOptions]) -> Plan | Callable[[F], Plan]:
    """Make a Plan of a function; bare, or with options. The Plan's name is the function's."""

    def make(function: F) -> Plan:
        return Plan(choose=function, **options)

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

    return Task(name=name, run=ask, idempotent=True, parks=True)


def pass_through(source: str, target: str) -> Plan:
    """The Plan that stands between two Tasks, or between a Task and the end: it hands the value on. Recorded like any other."""

    async def choose(plan_input: PlanInput) -> PlanResult:
        return PlanResult.to(target)

    return Plan(name=f"{source}->{target}", choose=choose)


def source_hash(node: Node) -> str:
    """The SHA-256 of a node's source text, or of its qualified name where there is none (a builtin, an interactive lambda)."""
    function = node.run if isinstance(node, Task) else node.choose
    source = function if type(node) in (Task, Plan) else type(node)
    try:
        return sha256(inspect.getsource(source).encode())
    except (OSError, TypeError):
        return sha256(getattr(source, "__qualname__", repr(type(source))).encode())


def _set(node: Node, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(node, name, value)


def _shape(said: TaskOptions, option: str, function: Callable[..., Any], which: str | int, name: str, *, every: bool) -> Shape | None:
    """What a Task takes or returns: what was said of it, or else its annotation. `every`: not only one that is a pydantic class."""
    hint = said.get(option)
    if hint is None:
        hint = _hint(function, which, name, every=every)
        if hint in (inspect.Parameter.empty, Any) or not (every or is_model(hint)):
            return None
    return Shape(hint, f"the {option} of task {name!r}")


def _hint(function: Callable[..., Any], which: str | int, name: str, *, every: bool) -> Any:
    """An annotation. One that cannot be looked up is none, unless `every` one counts."""
    try:
        return hint_of(function, which)
    except NameError as error:
        if every:
            raise UserError(f"node {name!r} has an annotation that cannot be looked up: {error}; define it at the top level") from None
        return inspect.Parameter.empty


def _limit(timeout: float | None) -> float | None:
    return None if timeout is None else float(timeout)


def _positional(function: Callable[..., Any] | None, name: str) -> int:
    if function is None or not callable(function):
        raise UserError(f"node {name!r} needs a function; got {type(function).__name__}")
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(1 for parameter in inspect.signature(function).parameters.values() if parameter.kind in kinds)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
