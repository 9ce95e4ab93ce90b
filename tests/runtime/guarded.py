"""Graphs that spend, policies of one rule, and what the tests of guardrails look at."""

from __future__ import annotations

import asyncio
import json
import time

import workbench as wb
from tests.runtime.graphs import line
from workbench.loop import run_sync
from workbench.record.envelope import GuardrailEvent
from workbench.record.state import fold
from workbench.record.values import Usage


def rule(when: str, action: str, **fields: object) -> str:
    """A policy of one rule named `r`."""
    return json.dumps({"kind": "GuardrailPolicy", "rules": [{"id": "r", "when": when, "action": action, **fields}]})


def spends(tokens: int, cost: str | None = "0", seconds: float = 0.0):
    """A Task's code that reports what it used."""

    async def spend(value, ctx):
        if seconds:
            await asyncio.sleep(seconds)
        ctx.usage(Usage(tokens_in=tokens), model="m", cost_usd=cost)
        return value

    return spend


def steps(count: int, tokens: int = 1_000, cost: str | None = "0") -> wb.AgentGraph:
    return line(*(wb.task(name=f"s{n}", idempotent=True)(spends(tokens, cost)) for n in range(count)))


def fan(width: int, code, **join: object) -> wb.AgentGraph:
    """A plan that forks into `width` branches of one task, which come together."""
    work = wb.task(name="work", idempotent=True)(code)
    first, last = wb.task(name="first", idempotent=True)(one), wb.task(name="last", idempotent=True)(one)
    fork = wb.plan(name="fork")(lambda given: wb.PlanResult.each("work", range(width)))
    gather = wb.plan(name="gather")(lambda given: "last")
    edges = [
        ("Start", "first"),
        ("first", "fork"),
        wb.Edge("fork", "work", "PARALLEL"),
        wb.Edge("work", "gather", "JOIN", **join),
        ("gather", "last"),
        ("last", "End"),
    ]
    return wb.AgentGraph("fan", nodes=[first, fork, work, gather, last], edges=edges)


def one(value):
    return value


def verdicts(run: wb.Run) -> list:
    return [entry.verdict for entry in run.entries() if isinstance(entry, GuardrailEvent)]


def finished(run: wb.Run, name: str = "") -> list:
    done = [entry for entry in run.entries() if (entry.kind, entry.phase) == ("task_execution", "finished")]
    return [entry for entry in done if entry.header.name.startswith(name)]


def spent(run: wb.Run) -> int:
    return sum(entry.telemetry.tokens_used for entry in run.entries())


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def settled(run: wb.Run) -> wb.Run:
    """The run, ended: nothing that is in the record contradicts what is left of it in memory."""
    run_sync(run.wait())
    assert run.verify().entries == len(run.entries())
    state = fold(run.entries())
    assert (state.status, state.running, state.open_calls, state.judged) == (run.state.status, {}, {}, run.state.judged)
    return run
