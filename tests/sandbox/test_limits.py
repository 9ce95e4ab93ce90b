"""Every limit is on by default, holds on both engines, and cannot be caught."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from workbench.sandbox.engine import Limits
from workbench.sandbox.littrs_engine import AVAILABLE
from workbench.sandbox.session import Session

Open = Callable[..., Session]
ENGINES = ["auto", "littrs", "monty"] if AVAILABLE else ["auto", "monty"]
CATCH = "while True:\n    try:\n        {}\n    except BaseException:\n        pass"


def test_every_limit_is_on_by_default() -> None:
    assert [field.name for field in fields(Limits) if not getattr(Limits(), field.name) > 0] == []


async def refused(session: Session, host: Any, code: str, *words: str) -> Any:
    result = await asyncio.wait_for(session.run(code, host, tools=host.tools), 20)
    assert result.error is not None
    assert [word for word in words if word not in f"{result.error.code} {result.error.message}"] == []
    assert (await session.run("1", host)).status == "ok"
    return result


async def test_wall_clock_and_cpu(open_session: Open, host: Any) -> None:
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    for code in ("while True: pass", CATCH.format("pass")):
        result = await refused(open_session(limits=Limits(max_seconds=0.5)), host, code, "sandbox_limit", "longer than 0.5 s")
        assert (result.status, result.duration_ms < 5_000) == ("interrupted", True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - used < 5  # one thread: no more of the processor than of the clock


async def test_time_asleep_counts(open_session: Open, host: Any) -> None:
    await refused(open_session(limits=Limits(max_seconds=0.5)), host, "import time\ntime.sleep(5)", "sandbox_limit", "longer than")


async def test_memory(open_session: Open, host: Any) -> None:
    for code in ("x = [0] * 10**9", CATCH.format("[0] * 10**9")):
        await refused(open_session(limits=Limits(max_seconds=2, max_memory=32 * 2**20)), host, code, "sandbox_limit")


async def test_recursion(open_session: Open, host: Any) -> None:
    session = open_session(limits=Limits(max_recursion_depth=30))
    assert (await session.run("def f(n): return 0 if n == 0 else 1 + f(n - 1)\nf(10)", host)).value == 10
    result = await session.run("f(100)", host)
    assert result.error is not None
    assert result.error.type == "RecursionError"


@pytest.mark.parametrize("engine", ENGINES)
async def test_number_of_calls(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine, limits=Limits(max_tool_calls=3))
    result = await refused(session, host, "for i in range(10):\n    tool(i)", "sandbox_limit", "more than 3 tool calls")
    assert (result.status, len(host.calls)) == ("limit", 3)
    rebuilt = open_session(engine, items=session.items)
    assert (await rebuilt.run("tool('next')", host, tools=host.tools)).status == "ok"
    assert len(host.calls) == 4


@pytest.mark.parametrize("engine", ENGINES)
async def test_size_of_all_calls_together(engine: str, open_session: Open, host: Any) -> None:
    host.gives = "a" * 10_000
    result = await refused(
        open_session(engine, limits=Limits(max_traffic=50_000)),
        host,
        "for i in range(10):\n    x = give(1)",
        "sandbox_limit",
        "moved more than",
    )
    assert (result.status, len(host.calls)) == ("limit", 5)


@pytest.mark.parametrize("engine", ENGINES)
async def test_size_of_one_calls_arguments(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine, limits=Limits(max_args=1_000))
    await session.set("big", "a" * 2_000)
    await refused(session, host, "tool(big)", "given more than 1.0 kB", "the call was not made")
    await refused(session, host, "tool(1, k=[big])", "given more than 1.0 kB")
    assert host.calls == []
    rebuilt = open_session(engine, items=session.items)
    assert (await rebuilt.run("tool('next')", host, tools=host.tools)).status == "ok"


@pytest.mark.parametrize("engine", ENGINES)
async def test_size_of_one_calls_result(engine: str, open_session: Open, host: Any) -> None:
    host.gives = ["a" * 2_000]
    session = open_session(engine, limits=Limits(max_result=1_000))
    await refused(session, host, "x = give()", "give returned more than 1.0 kB")
    rebuilt = open_session(engine, items=session.items)
    assert (await rebuilt.run("tool('next')", host, tools=host.tools)).status == "ok"
    assert host.names == ["give", "tool"]


async def test_a_result_that_is_too_big_can_be_caught(open_session: Open, host: Any) -> None:
    host.gives = "a" * 2_000
    code = "try:\n    give()\nexcept ValueError as e:\n    x = 'caught'\nx"
    assert (await open_session("monty", limits=Limits(max_result=1_000)).run(code, host, tools=host.tools)).value == "caught"


@pytest.mark.parametrize("engine", ENGINES)
async def test_size_of_the_last_value(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine, limits=Limits(max_result=1_000))
    await session.set("big", "a" * 2_000)
    await refused(session, host, "big", "last expression's value is too big", "1.0 kB")
    await session.limit(Limits())
    assert (await session.run("big", host)).value == "a" * 2_000
    await session.limit(Limits(max_result=1_000))
    assert (await session.run("1", host)).value == 1


@pytest.mark.parametrize("engine", ENGINES)
async def test_source(engine: str, open_session: Open, host: Any) -> None:
    result = await refused(open_session(engine, limits=Limits(max_source=50)), host, "x = 1\n" * 20, "sandbox_limit", "120 characters")
    assert result.status == "refused"


async def test_output_is_cut_the_block_says_so_and_the_whole_is_kept_for_the_person(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine, limits=Limits(max_output=100, max_full_output=1_000))
    result = await session.run("for i in range(100): print(i)\n'end'", host)
    whole = "".join(f"{i}\n" for i in range(100))
    assert (result.prints, result.output_truncated, result.full_prints, result.value) == (whole[:100], True, whole, "end")
    longer = await session.run("for i in range(1000): print(i)", host)
    assert (len(longer.prints), len(longer.full_prints or "")) == (100, 1_000)
    assert (await session.run("print('short')", host)).full_prints is None


async def test_a_flood_of_output_ends_the_block_before_its_time(open_session: Open, host: Any) -> None:
    result = await refused(open_session("monty"), host, "while True: print('x' * 100000)", "sandbox_limit", "the block printed too much")
    assert (result.status, len(result.prints)) == ("interrupted", 100_000)


async def test_a_limit_rolls_back_and_keeps_the_calls(open_session: Open, host: Any) -> None:
    session = open_session(limits=Limits(max_seconds=1))
    await session.run("x = 'before'", host)
    result = await session.run("x = 'during'\ntool(1)\nwhile True: pass", host, tools=host.tools)
    assert result.error is not None
    assert (result.status, result.error.code, len(result.calls)) == ("interrupted", "sandbox_limit", 1)
    assert result.error.message == "the block ran longer than 1 s; the block's variables were rolled back, the tool calls it made stand"
    assert (await session.run("x", host)).value == "before"


if AVAILABLE:

    async def test_instructions_are_counted_by_littrs_and_left_to_the_clock_by_monty(open_session: Open, host: Any) -> None:
        code = "for i in range(100):\n    x = i\nx"
        result = await open_session(limits=Limits(max_instructions=50)).run(code, host)
        assert (result.status, result.value, result.engine) == ("ok", 99, "monty")
        await refused(open_session("littrs", limits=Limits(max_instructions=50)), host, code, "sandbox_limit")

    async def test_a_flood_of_output_ends_a_littrs_block_too(open_session: Open, host: Any) -> None:
        session = open_session("littrs")
        await session.set("x", "x" * 100_000)
        await refused(session, host, "for i in range(10000): print(x)", "sandbox_limit", "the block printed too much")
