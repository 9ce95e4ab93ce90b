"""Nothing a program does harms the host, and the next block works."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox import hostile_programs as programs
from workbench.sandbox.engine import Limits
from workbench.sandbox.littrs_engine import AVAILABLE, LittrsEngine
from workbench.sandbox.monty_engine import MontyEngine
from workbench.sandbox.session import Session

Open = Callable[..., Session]
TIGHT = Limits(max_seconds=0.5, max_memory=64 * 2**20)
ENGINES = ["auto", "littrs"] if AVAILABLE else ["auto"]
PATIENCE = 12
GROWTH = 300 * 2**20


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Strict littrs, and whatever auto makes of it: monty, as soon as littrs is not proven."""
    return str(request.param)


def memory() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if sys.platform == "linux" else 0


async def attempt(session: Session, host: Any, code: str) -> Any:
    """Run a hostile block; the host stays within time and memory, and the session's variables are as they were."""
    await session.run("before = 'kept'", host)
    had, began = memory(), time.monotonic()
    result = await asyncio.wait_for(session.run(code, host, tools=host.tools), PATIENCE)
    assert time.monotonic() - began < PATIENCE / 2
    assert memory() - had < GROWTH
    after = await asyncio.wait_for(session.run("before", host), PATIENCE)
    assert (after.status, after.value) == ("ok", "kept")
    return result


@pytest.mark.parametrize("name", programs.EXHAUST)
async def test_a_program_that_wants_too_much_ends_as_an_error(engine: str, open_session: Open, host: Any, name: str) -> None:
    result = await attempt(open_session(engine, limits=TIGHT), host, programs.EXHAUST[name])
    assert result.error is not None
    assert (result.value, host.calls) == (None, [])


@pytest.mark.parametrize("name", programs.PARSER)
async def test_a_program_that_no_parser_survives_ends_as_an_error(engine: str, open_session: Open, host: Any, name: str) -> None:
    result = await attempt(open_session(engine, limits=TIGHT), host, programs.PARSER[name])
    assert result.error is not None
    assert (result.value, host.calls) == (None, [])


@pytest.mark.parametrize("name", programs.ESCAPE)
async def test_there_is_no_way_out(engine: str, open_session: Open, host: Any, name: str) -> None:
    result = await attempt(open_session(engine, limits=TIGHT), host, programs.ESCAPE[name])
    assert result.error is not None
    assert (result.value, result.prints, host.calls) == (None, "", [])


@pytest.mark.parametrize("name", programs.PLAIN)
async def test_what_is_only_strange_runs(engine: str, open_session: Open, host: Any, name: str) -> None:
    session = open_session(engine, limits=TIGHT)
    result = await attempt(session, host, programs.PLAIN[name])
    if engine != "littrs":
        assert (result.status, result.value, host.calls) == ("ok", None, [])
    whole = "give(1)" if engine == "littrs" else "[give([1, {'a': 2}]), {'k': {1: 2}.keys()}]"
    after = await session.run(whole, host, tools=host.tools)
    assert (after.status, after.value) == ("ok", None if engine == "littrs" else [None, {"k": [1]}])


FLOODS = {
    "calls": "while True: tool(1)",
    "calls with big arguments": "x = 'a' * 10**6\nwhile True: tool(x)",
    "calls that are caught": "while True:\n    try:\n        boom()\n    except Exception:\n        pass",
    "calls in a finally": "def f():\n    try:\n        tool(1)\n    finally:\n        f()\nf()",
    "the clock": "import time\nwhile True: time.time()",
    "randomness": "import random\nwhile True: random.SystemRandom().random()",
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_of_calls_ends(open_session: Open, host: Any, name: str) -> None:
    limits = Limits(max_seconds=1.0, max_memory=64 * 2**20, max_tool_calls=200, max_traffic=10 * 2**20)
    session = open_session("monty", limits=limits)
    result = await asyncio.wait_for(session.run(FLOODS[name], host, tools=host.tools), PATIENCE)
    assert result.error is not None
    assert (result.status in ("limit", "interrupted", "error"), len(host.calls) <= 200) == (True, True)
    assert (await session.run("1 + 1", host)).value == 2


CYCLES = ["x = [1]\nx.append(x)\n", "x = {}\nx['x'] = x\n", "x = []\nfor i in range(10**4): x = [x]\n", "x = ([],)\nx[0].append(x)\n"]


@pytest.mark.parametrize("code", CYCLES)
@pytest.mark.parametrize("way", ["tool(x)", "tool(a=x)", "finish(x)", "tool([{'a': (x,)}])"])
async def test_a_value_without_end_reaches_no_tool(open_session: Open, host: Any, code: str, way: str) -> None:
    result = await open_session("monty", limits=TIGHT).run(code + way, host, tools=host.tools)
    assert result.error is not None
    assert (result.status, host.calls) == ("error", [])


HIDDEN = [
    "try:\n    finish(1)\nexcept:\n    pass",
    "try:\n    finish(1)\nexcept BaseException:\n    pass",
    "try:\n    finish(1)\nexcept KeyboardInterrupt:\n    pass",
    "try:\n    finish(1)\nfinally:\n    x = 1",
    "try:\n    try:\n        finish(1)\n    finally:\n        raise ValueError('no')\nexcept Exception:\n    pass",
    "class C:\n    def __enter__(self): return self\n    def __exit__(self, *a): return True\nwith C():\n    finish(1)",
    "exec('try:\\n    finish(1)\\nexcept:\\n    pass')",
    "exec('try:\\n    finish(1)\\nexcept BaseException:\\n    pass')",
    "eval('[finish(1) for i in range(3)]')",
    "try:\n    finish(1)\nexcept:\n    pass\nx = " + "[" * 100 + "]" * 100,
    "x = [" + "1, " * 40_000 + "]\ntry:\n    finish(1)\nexcept:\n    pass",
    "while True:\n    try:\n        finish(1)\n    except:\n        pass",
]


@pytest.mark.parametrize("code", HIDDEN, ids=lambda code: ascii(code[:40]))
async def test_nothing_hides_the_end_of_a_program(open_session: Open, host: Any, code: str) -> None:
    session = open_session("monty")
    result = await asyncio.wait_for(session.run(f"{code}\nprint('after')\ntool('effect')", host, tools=host.tools), PATIENCE)
    assert (result.status, result.prints, host.names) == ("finished", "", ["finish"])
    assert (await session.run("tool('next')", host, tools=host.tools)).status == "ok"


async def test_a_program_that_goes_on_after_its_end_has_finished_and_is_rolled_back(open_session: Open, host: Any) -> None:
    session = open_session()
    await session.run("x = 'before'", host)
    result = await session.run("x = 'during'\ntry:\n    finish(1)\nfinally:\n    while True: pass", host, tools=host.tools)
    assert (result.status, host.names, result.duration_ms < 10_000) == ("finished", ["finish"], True)
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
    """The process id of a session's worker."""
    live = session._engine
    pid = live._process.pid if isinstance(live, LittrsEngine) else live._pid if isinstance(live, MontyEngine) else None
    assert pid is not None
    return pid
