"""Graphs, tools and scripts of the captured records. A change here that changes what they decide is a divergence: records are forever."""

from __future__ import annotations

from collections import Counter

import workbench as wb
from workbench.graph.nodes import RetryPolicy

DONE: Counter[str] = Counter()
"""What has happened in the world, by what it was."""


@wb.tool(idempotent=True)
def look(n: int) -> int:
    """Look a number up."""
    DONE[f"look {n}"] += 1
    return n * n


@wb.tool
def send(n: int) -> int:
    """Send a number, once."""
    DONE[f"send {n}"] += 1
    return 2 * n


@wb.task(idempotent=True)
async def read(value):
    """What there is to do."""
    DONE["read"] += 1
    return list(range(1, value + 1))


@wb.plan
async def split(given):
    """A branch for each number."""
    return wb.PlanResult.each("work", given.value, reason="one each")


@wb.task(idempotent=True, retries=RetryPolicy(attempts=2, first_wait=0.001))
async def work(value, ctx):
    """Two calls; the second number fails the first time."""
    DONE[f"work {value}"] += 1
    looked = await ctx.call_tool("look", {"n": value})
    sent = await ctx.call_tool("send", {"n": value + 100 * ctx.attempt})
    if value == 2 and ctx.attempt == 1:
        raise ValueError("not yet")
    return looked + sent


@wb.plan
async def gather(given):
    """Together again."""
    return wb.PlanResult.to("report", sum(given.values) + 1)


@wb.task
async def report(value):
    """Something that must not happen twice."""
    DONE["report"] += 1
    return {"total": value}


@wb.plan
async def check(given):
    """Back once if the total is odd, and then to the end."""
    return (
        "End" if given.value["total"] % 2 == 0 or given.dispatched["report"] > 1 else wb.PlanResult.to("report", given.value["total"] + 1)
    )


FAN = wb.AgentGraph(
    "fan",
    nodes=[read, split, work, gather, report, check],
    edges=[
        ("Start", "read"),
        ("read", "split"),
        ("split", "work", "PARALLEL"),
        ("work", "gather", "JOIN"),
        ("gather", "report"),
        ("report", "check"),
        ("check", "report"),
        ("check", "End"),
    ],
)
"""A retry in one of three branches, a join, a round back."""

ASKING = wb.AgentGraph(
    "asking",
    nodes=[
        wb.human("first", lambda draft: f"What of {draft}?", schema={"type": "string"}),
        wb.human("second", "And then?", timeout=0.01, default="nothing"),
    ],
    edges=[("Start", "first"), ("first", "second"), ("second", "End")],
)
"""Two questions; nobody answers the second."""
