"""Nothing a program does harms the host, and the next block works."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.sandbox.engine import Limits
from workbench.sandbox.littrs_engine import AVAILABLE, LittrsEngine
from workbench.sandbox.monty_engine import MontyEngine
from workbench.sandbox.session import Session

Open = Callable[..., Session]
TIGHT = Limits(max_seconds=1.0, max_memory=64 * 2**20)

HOSTILE = [
    "while True: pass",
    "while True: print('x' * 1000)",
    "x = 'a' * 10**12",
    "x = [0] * 10**10",
    "x = []\nwhile True: x.append('a' * 1000)",
    "def f(): return f()\nf()",
    "-" * 100_000 + "1",
    "(" * 100_000,
    "[" * 5_000 + "]" * 5_000,
    "x = " + "+".join(["1"] * 50_000),
    "x" + ".a" * 50_000,
    "not " * 40_000 + "1",
    "if 1:\n pass\n" + "elif 1:\n pass\n" * 10_000,
    "f'{1:1000000000000}'",
    "'%1000000000000d' % 5",
    "10 ** 10 ** 8",
    "2 ** (2 ** 40)",
    "'a'.ljust(10 ** 12)",
    "list(range(10 ** 10))",
    "x = []\nfor i in range(10 ** 5): x = [x]\nx",
    "x = [1]\nx.append(x)\nx",
    "class Q: pass\nQ()",
    "while True:\n    try:\n        [0] * 10**10\n    except BaseException:\n        pass",
    "__host__('tool', [1], {})",
    "__host__()",
    "raise SystemExit(3)",
    "raise KeyboardInterrupt",
    "import os\nos._exit(1)",
    "s = 'ab'\nfor i in range(60): s = s + s",
    "s = 'ab'\n" + "s = s + s\n" * 60,
    "x = [1]\n" + "x = [x, x]\n" * 60,
    "\x00",
    "x = '\ud800'",
    "",
    "# nothing",
    "a" * 300_000,
]


@pytest.mark.parametrize("code", HOSTILE, ids=lambda code: ascii(code[:30]))
async def test_a_hostile_program_ends_and_the_next_block_works(engine: str, open_session: Open, host: Any, code: str) -> None:
    session = open_session(engine, limits=TIGHT)
    await session.run("before = 'kept'", host)
    result = await asyncio.wait_for(session.run(code, host, tools=host.tools), 20)
    assert result.error is not None or result.status == "ok"
    after = await asyncio.wait_for(session.run("before", host), 20)
    assert (after.status, after.value) == ("ok", "kept")


async def test_endless_output_is_cut_and_the_block_says_so(open_session: Open, host: Any) -> None:
    result = await open_session(limits=Limits(max_output=100)).run("for i in range(1000): print(i)\n'end'", host)
    assert (len(result.prints), result.output_truncated, result.value) == (100, True, "end")


async def test_a_flood_of_output_ends_the_block_before_its_time(open_session: Open, host: Any) -> None:
    result = await asyncio.wait_for(open_session("monty").run("while True: print('x' * 100000)", host), 20)
    assert result.error is not None
    assert (result.status, result.error.message.split(";")[0]) == ("interrupted", "the block printed too much")


async def test_too_many_tool_calls_end_the_block(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine, limits=Limits(max_tool_calls=3))
    result = await session.run("for i in range(10):\n    tool(i)", host, tools=host.tools)
    assert result.error is not None
    assert (result.status, result.error.code, len(host.calls)) == ("limit", "sandbox_limit", 3)
    rebuilt = open_session(engine, items=session.items)
    assert (await rebuilt.run("tool('next')", host, tools=host.tools)).status == "ok"
    assert len(host.calls) == 4


async def test_a_program_that_goes_on_after_its_end_has_finished_and_is_rolled_back(open_session: Open, host: Any) -> None:
    session = open_session()
    await session.run("x = 'before'", host)
    result = await session.run("x = 'during'\ntry:\n    finish(1)\nfinally:\n    while True: pass", host, tools=host.tools)
    assert (result.status, host.names, result.duration_ms < 10_000) == ("finished", ["finish"], True)
    assert (await session.run("x", host)).value == "before"


async def test_a_limit_rolls_back_and_keeps_the_calls(open_session: Open, host: Any) -> None:
    session = open_session(limits=TIGHT)
    await session.run("x = 'before'", host)
    result = await session.run("x = 'during'\ntool(1)\nwhile True: pass", host, tools=host.tools)
    assert result.error is not None
    assert (result.status, result.error.code, len(result.calls)) == ("interrupted", "sandbox_limit", 1)
    assert result.error.message == "the block ran longer than 1 s; the block's variables were rolled back, the tool calls it made stand"
    assert (await session.run("x", host)).value == "before"


async def test_a_worker_killed_in_a_block_costs_that_block_only(engine: str, open_session: Open, host: Any) -> None:
    session, other = open_session(engine), open_session(engine)
    await session.run("x = 'before'", host)
    await other.run("x = 'other'", host)

    async def kill(name: str, args: Any, kwargs: Any) -> None:
        os.kill(worker_of(session), signal.SIGKILL)

    result = await session.run("x = 'during'\ntool(1)", kill, tools=("tool",))
    assert result.error is not None
    assert (result.status, result.error.code) == ("interrupted", "sandbox_crashed")
    assert [(await each.run("x", host)).value for each in (session, other)] == ["before", "other"]


def worker_of(session: Session) -> int:
    live = session._engine
    pid = live._process.pid if isinstance(live, LittrsEngine) else live._pid if isinstance(live, MontyEngine) else None
    assert pid is not None
    return pid


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_worker_has_no_environment_no_files_and_no_descriptors_of_ours(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    await session.run("x = 1", host)
    process = f"/proc/{worker_of(session)}"
    assert os.listdir(f"{process}/cwd") == []
    assert environment_of(worker_of(session)) == b""
    ours = {os.readlink(f"{process}/fd/{fd}") for fd in os.listdir(f"{process}/fd")}
    assert not [path for path in ours if path.startswith("/") and path != "/dev/null"]


async def test_the_longest_idle_session_gives_up_its_engine_and_comes_back(
    open_session: Open, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.sandbox.idle.MAX_IDLE", 2)
    sessions = [open_session() for _ in range(4)]
    for number, session in enumerate(sessions):
        await session.set("x", number)
        await session.run("x", host)
    await asyncio.sleep(0.1)
    assert [session._engine is None for session in sessions] == [True, True, False, False]
    assert [(await session.run("x", host)).value for session in sessions] == [0, 1, 2, 3]


if AVAILABLE:

    async def test_an_instruction_limit_is_monty_business(open_session: Open, host: Any) -> None:
        session = open_session(limits=Limits(max_instructions=50))
        result = await session.run("for i in range(100):\n    x = i\nx", host)
        assert (result.status, result.value, result.engine) == ("ok", 99, "monty")
