"""A value keeps its type and meaning on its way from a tool through the sandbox, the record and a resume to the caller, or is refused by
name."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.profiles import local
from workbench.sandbox.littrs_engine import AVAILABLE as LITTRS

VALUES: dict[str, Any] = {
    "none": None,
    "bool": True,
    "int": -7,
    "big int": 2**70,
    "float": 0.1,
    "negative zero": -0.0,
    "nan": math.nan,
    "inf": -math.inf,
    "str": "ünï ✓ 😀\x00\n",
    "lone surrogate": "a\ud83db",
    "bytes": b"\x00\xff",
    "list": [1, [2, []]],
    "tuple": (1, ("a",), ()),
    "set": {1, "a", (2, 3)},
    "frozenset": frozenset({1, 2}),
    "dict": {"b": 1, "a": None},
    "non-string keys": {1: "a", (2, 3): "b", None: "c", 2.5: "d"},
    "dollar keys": {"$tuple": [1], "$x": 2},
    "decimal": Decimal("1.50"),
    "decimal nan": Decimal("NaN"),
    "date": date(2026, 1, 31),
    "datetime": datetime(2026, 1, 31, 10, 0, 0, 5),
    "aware datetime": datetime(2026, 1, 31, 10, tzinfo=UTC),
    "datetime with an offset": datetime(2026, 1, 31, 10, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "time": time(10, 30, 1),
    "timedelta": timedelta(days=-1, seconds=5, microseconds=7),
    "nested": {"rows": [({"k": {1, 2}}, b"x"), (Decimal("2"), date(2026, 1, 1))], "f": frozenset({(1, 2)})},
}

NOT_IN_LITTRS = {
    "big int", "lone surrogate", "bytes", "set", "frozenset", "non-string keys", "decimal", "decimal nan", "date", "datetime",
    "aware datetime", "datetime with an offset", "time", "timedelta", "nested",
}  # fmt: skip

REFUSED = {"monty": {"lone surrogate"}, "auto": {"lone surrogate"}, "littrs": NOT_IN_LITTRS}
"""What an engine refuses by name instead of passing on; `auto` goes to monty for what littrs does not hold."""

BLOCKS = ["kept = give()", "pause()", "take(kept)", "finish(kept)"]


ENGINES = ["monty", "auto", *(["littrs"] if LITTRS else [])]


def same(one: Any, other: Any) -> bool:
    """Equal in value and in the type of every part."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one.items(), other.items(), strict=True))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, (set, frozenset)):
        return one == other and sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, datetime):
        return one == other and one.utcoffset() == other.utcoffset()
    return repr(one) == repr(other)


def script() -> wb.models.Scripted:
    return wb.models.Scripted([f"```python\n{block}\n```" for block in BLOCKS])


class Tools:
    """A tool that gives a value, one at which the process is cut off the first time, and one that takes the value back."""

    def __init__(self, value: Any) -> None:
        self.reached = threading.Event()
        self.taken: list[Any] = []

        @wb.tool(idempotent=True)
        def give() -> Any:
            return value

        @wb.tool(idempotent=True)
        async def pause() -> None:
            if not self.reached.is_set():
                self.reached.set()
                await asyncio.sleep(60)

        @wb.tool(idempotent=True)
        def take(value: Any) -> None:
            self.taken.append(value)

        self.all = [give, pause, take]


def journey(value: Any, engine: str, home: Path) -> tuple[list[Any], str]:
    """The value as a tool, the caller of the resumed run and a later reader got it; and what was said against it."""
    tools, first = Tools(value), local(home=home)
    agent = wb.Agent(script(), tools=tools.all, engine=engine, workbench=first)
    run_id = agent.start("pass it on").id
    assert tools.reached.wait(20)
    first.close()
    agent.close()
    second = local(home=home)
    run = second.resume(run_id, tools=tools.all, model=script())
    with contextlib.suppress(wb.errors.RunFailed):
        tools.taken.append(run.result(30))
        tools.taken.append(second.open(run_id).value)
    run.verify()
    said = next((event["message"] for event in run.events() if event["event"] == "error"), "")
    second.close()
    return tools.taken, said


@pytest.mark.slow
@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_value_passes_unchanged_from_a_tool_to_the_caller_of_a_resumed_run_or_is_refused_by_name(engine, name, tmp_path):
    value = VALUES[name]
    came, said = journey(value, engine, tmp_path)
    if name in REFUSED[engine]:
        assert came == []
        assert "give" in said
        assert "TypeError" in said
    else:
        assert said == ""
        assert len(came) == 3
        assert all(same(value, each) for each in came), came
