"""Running statistics of a record: what policies and the cost ledger count, in bounded memory.

    measure            counted from
    tokens_used        finished Tasks that used a model; in and out together. tokens_in, tokens_out, cached_tokens, reasoning_tokens alike
    cost_usd           finished Tasks with a known price, in integer nano-dollars
    unpriced           finished Tasks that used a model whose price is unknown, 1 each
    latency_ms         finished Tasks; queue_ms alike
    failures           finished Tasks that failed, 1 each
    tasks              dispatched Tasks, 1 each; attempt and iteration_idx alike, with their number
    tool_calls         intents of calls, 1 each
    tool_errors        outcomes of calls that are errors, 1 each

The same measures are read from entries as they are applied, from the columns of stored entries, and in SQL by the adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from workbench.record.entries import COLUMNS
from workbench.record.envelope import AnyEntry

Number = int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Which entries a number is taken from, and how."""

    name: str
    kind: str
    phase: str
    columns: tuple[str, ...] = ()
    """Added together; none means 1 an entry."""
    nonzero: bool = False
    """Whether 0 means that there is none."""
    statuses: tuple[str, ...] = ()
    """Only entries with one of these; none means any."""


def _of_finished(name: str, *columns: str, **more: Any) -> Measure:
    return Measure(name=name, kind="task_execution", phase="finished", columns=columns, **more)


def _of_started(name: str, *columns: str) -> Measure:
    return Measure(name=name, kind="task_execution", phase="started", columns=columns)


MEASURES: tuple[Measure, ...] = (
    _of_finished("tokens_used", "tokens_in", "tokens_out", nonzero=True),
    *(_of_finished(name, name, nonzero=True) for name in ("tokens_in", "tokens_out", "cached_tokens", "reasoning_tokens")),
    _of_finished("cost_usd", "cost_nano"),
    _of_finished("unpriced", "unpriced", nonzero=True),
    _of_finished("latency_ms", "latency_ms"),
    _of_finished("queue_ms", "queue_ms"),
    _of_finished("failures", statuses=("FAILED",)),
    _of_started("tasks"),
    _of_started("attempt", "attempt"),
    _of_started("iteration_idx", "iteration_idx"),
    Measure(name="tool_calls", kind="tool_call", phase="intent"),
    Measure(name="tool_errors", kind="tool_call", phase="outcome", statuses=("FAILED", "UNKNOWN")),
)

SPENT = ("tokens_used", "tokens_in", "tokens_out", "cached_tokens", "reasoning_tokens", "cost_usd")
"""What is known only when a Task has finished, and adds up."""

_BY_ENTRY: dict[tuple[str, str], tuple[Measure, ...]] = {
    (kind, phase): tuple(measure for measure in MEASURES if (measure.kind, measure.phase) == (kind, phase))
    for kind, phase in {(measure.kind, measure.phase) for measure in MEASURES}
}


@dataclass(slots=True)
class Statistic:
    """What is kept of one measure."""

    count: int = 0
    sum: Number = 0
    min: Number | None = None
    max: Number | None = None
    last: Number | None = None

    def add(self, value: Number) -> None:
        """Count one more value."""
        self.count += 1
        self.sum += value
        if self.min is None or value < self.min:
            self.min = value
        if self.max is None or value > self.max:
            self.max = value
        self.last = value

    def plus(self, later: Statistic) -> Statistic:
        """Both together."""
        least = [value for value in (self.min, later.min) if value is not None]
        most = [value for value in (self.max, later.max) if value is not None]
        last = self.last if later.last is None else later.last
        return Statistic(self.count + later.count, self.sum + later.sum, min(least, default=None), max(most, default=None), last)

    def including(self, value: Number) -> Statistic:
        """What this would be with one more value."""
        copy = Statistic(self.count, self.sum, self.min, self.max, self.last)
        copy.add(value)
        return copy


Counted = tuple[str, Number]
"""A measure's name, and what one entry adds to it."""


@dataclass(slots=True)
class Statistics:
    """Statistics by the name of the measure; one that nothing was counted for is absent."""

    by_name: dict[str, Statistic] = field(default_factory=dict)
    first_position: int | None = None
    """Of the stored entries that were looked at, where positions are known."""
    last_position: int | None = None

    def of(self, name: str) -> Statistic:
        """One measure; an empty statistic if there is nothing of it."""
        return self.by_name.get(name) or Statistic()

    def add(self, entry: AnyEntry) -> None:
        """Count an entry."""
        self.count(counted_in(entry))

    def count(self, counted: Iterable[Counted]) -> None:
        """Count what entries add."""
        for name, value in counted:
            known = self.by_name.get(name)
            if known is None:
                known = self.by_name[name] = Statistic()
            known.add(value)

    def plus(self, later: Statistics) -> Statistics:
        """Both together; what `later` counted came after."""
        names = dict.fromkeys((*self.by_name, *later.by_name))
        return Statistics(
            {name: self.of(name).plus(later.of(name)) for name in names},
            self.first_position or later.first_position,
            later.last_position or self.last_position,
        )


def counted_in(entry: AnyEntry) -> list[Counted]:
    """What an entry adds to the measures."""
    readers = _READERS.get((entry.kind, entry.phase))
    if readers is None:
        return []
    found: list[Counted] = []
    for measure, read in readers:
        if measure.statuses and entry.header.status not in measure.statuses:
            continue
        value = read(entry)
        if value is not None and (value or not measure.nonzero):
            found.append((measure.name, value))
    return found


def counted_in_columns(read: Callable[[str], Any]) -> list[Counted]:
    """What a stored entry adds to the measures, by its columns."""
    found: list[Counted] = []
    for measure in _BY_ENTRY.get((read("kind"), read("phase")), ()):
        if measure.statuses and read("status") not in measure.statuses:
            continue
        values = [read(column) for column in measure.columns]
        value = None if None in values else sum(values) if values else 1
        if value is not None and (value or not measure.nonzero):
            found.append((measure.name, value))
    return found


def _reader(measure: Measure) -> Callable[[AnyEntry], Number | None]:
    """How the measure is read from an entry; made once, since every entry of every run goes through it."""
    match [COLUMNS[column] for column in measure.columns]:
        case []:
            return lambda _: 1
        case [read]:
            return read
        case [first, second]:
            return lambda entry: first(entry) + second(entry)
    raise AssertionError(f"{measure.name} is of more columns than are added here")


_READERS = {key: tuple((measure, _reader(measure)) for measure in measures) for key, measures in _BY_ENTRY.items()}
