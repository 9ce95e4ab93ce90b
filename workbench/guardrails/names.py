"""What the `when` of a rule may say: names of what is judged, aggregates over measures, and values that are not there."""

from __future__ import annotations

from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final, get_args

from workbench.record.envelope import Action, Point, Scope
from workbench.record.statistics import MEASURES

POINTS: Final[tuple[Point, ...]] = get_args(Point)
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
"""From the mildest to the strictest."""

AGGREGATES = ("sum", "max", "min", "avg", "count", "last", "rate")
"""`rate` is the sum a minute, over the window or since the lifetime began."""

FIELDS = tuple(measure.name for measure in MEASURES)


class Nothing(Decimal):
    """The aggregate of nothing, or a number that was not measured: no comparison with it holds."""

    def _itself(self, *_: Any) -> Nothing:
        return self

    def _fails(self, _: Any) -> bool:
        return False

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __mod__ = __rmod__ = __neg__ = _itself
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _fails
    __hash__ = Decimal.__hash__

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return "nothing"


NOTHING = Nothing(0)

_EVERYWHERE: dict[str, Any] = {"tenant_id": "default", "session_id": "", "graph": "graph"}
_ITERATED: dict[str, Any] = {"name": "node", "attempt": 1, "iteration_idx": 0}
_TOKENS: dict[str, Any] = dict.fromkeys(("tokens_used", "tokens_in", "tokens_out", "cached_tokens", "reasoning_tokens"), 1)

SAMPLES: dict[Point, dict[str, Any]] = {
    "task": {
        **_EVERYWHERE, **_ITERATED, **_TOKENS, "status": "SUCCEEDED", "error": "code", "cost_usd": Decimal("0.01"), "unpriced": False,
        "latency_ms": 1.5, "queue_ms": 1.5, "tool_calls": 1, "model": "model",
    },
    "plan": {**_EVERYWHERE, "name": "node", "status": "SUCCEEDED", "error": "code", "iteration_idx": 0, "next_tasks": ["node"]},
    "tool_call": {**_EVERYWHERE, "name": "node", "tool": "tool", "args": {}, "tool_calls": 1, "attempt": 1, "iteration_idx": 0},
    "dispatch": {**_EVERYWHERE, **_ITERATED},
}  # fmt: skip
"""The names that can be read of what is judged, each with a value of its type."""

_MAY_BE_ABSENT: dict[str, Any] = {"error": None, "model": None, "latency_ms": NOTHING, "queue_ms": NOTHING, "session_id": None}

ABSENCES: dict[Point, dict[str, Any]] = {
    point: {name: _MAY_BE_ABSENT.get(name, value) for name, value in names.items()} for point, names in SAMPLES.items()
}
"""The same where whatever may be absent is."""


def matches(text: Any, pattern: Any) -> bool:
    """Whether a text matches a pattern with `*` and `?`: the one function that conditions may call with values."""
    if not isinstance(text, str) or not isinstance(pattern, str):
        raise TypeError(f"matches() is for two texts; got {type(text).__name__} and {type(pattern).__name__}")
    return fnmatchcase(text, pattern)


FUNCTIONS = {"matches": matches}


def read(values: dict[str, Any], name: str) -> Any:
    """The value of a name; `args.path` is the argument `path` of a call, None where it has no such argument."""
    root, *keys = name.split(".")
    value = values[root]
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
