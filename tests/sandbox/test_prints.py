"""What a block prints is passed on while it runs, each character once, however often the block has to be run again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from workbench.sandbox import faithful
from workbench.sandbox.engine import Block, Fed, Limits, Output
from workbench.sandbox.littrs_engine import AVAILABLE, LittrsEngine
from workbench.sandbox.session import Session
from workbench.sandbox.spare import Worker

Open = Callable[..., Session]


async def test_prints_arrive_before_the_call_that_follows_them(engine: str, open_session: Open) -> None:
    pieces: list[str] = []

    async def tool(name: str, args: Any, kwargs: Any) -> None:
        heard.append("".join(pieces))

    heard: list[str] = []
    code = "print('a', 'b', sep='-')\ntool()\nprint('é\\n', end='')\ntool()\nprint('end')"
    result = await open_session(engine).run(code, tool, tools=("tool",), on_text=pieces.append)
    assert heard == ["a-b\n", "a-b\né\n"]
    assert "".join(pieces) == result.prints == "a-b\né\nend\n"


async def test_prints_arrive_while_a_call_is_waited_for(engine: str, open_session: Open) -> None:
    printed = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def tool(name: str, args: Any, kwargs: Any) -> None:
        await asyncio.wait_for(printed.wait(), 10)

    def on_text(text: str) -> None:
        loop.call_soon_threadsafe(printed.set)

    result = await open_session(engine).run("print('working')\ntool()", tool, tools=("tool",), on_text=on_text)
    assert result.status == "ok"


async def test_a_monty_block_shows_a_print_before_it_computes(open_session: Open, host: Any) -> None:
    printed = threading.Event()
    session = open_session("monty")
    running = asyncio.create_task(session.run("print('on')\nwhile True: pass", host, on_text=lambda text: printed.set()))
    assert await asyncio.to_thread(printed.wait, 10)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_what_a_block_prints_again_elsewhere_is_not_passed_on_again(open_session: Open, host: Any) -> None:
    host.gives = Decimal("1.50")
    pieces: list[str] = []
    code = "print('one')\ntool(1)\nprint('two')\nx = give()\nprint('three', x)"
    result = await open_session("auto").run(code, host, tools=host.tools, on_text=pieces.append)
    assert (result.engine, host.names) == ("monty", ["tool", "give"])
    assert "".join(pieces) == result.prints == "one\ntwo\nthree 1.50\n"


async def test_what_a_block_prints_again_after_a_long_call_is_not_passed_on_again(
    engine: str, open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.sandbox.journal.PATIENCE", 0.05)
    pieces: list[str] = []
    session = open_session(engine)

    async def person(name: str, args: Any, kwargs: Any) -> str:
        async with asyncio.timeout(10):
            while session._engine is not None:  # noqa: ASYNC110 - until the block has lost its engine and must be run again
                await asyncio.sleep(0.02)
        return "yes"

    result = await session.run("print('asking')\nx = ask()\nprint(x)", person, tools=("ask",), on_text=pieces.append)
    assert "".join(pieces) == result.prints == "asking\nyes\n"


async def test_a_rebuilt_session_passes_on_only_what_is_new(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    await session.run("x = 1\nprint('past')", host)
    pieces: list[str] = []
    await open_session(engine, items=session.items).run("print('new')", host, on_text=pieces.append)
    assert "".join(pieces) == "new\n"


async def test_no_more_is_passed_on_than_is_kept(engine: str, open_session: Open, host: Any) -> None:
    pieces: list[str] = []
    session = open_session(engine, limits=Limits(max_output=100, max_full_output=1_000))
    result = await session.run("for i in range(1000): print(i)", host, on_text=pieces.append)
    assert "".join(pieces) == result.full_prints
    assert len(result.full_prints or "") == 1_000


async def test_listening_changes_nothing_in_the_record(engine: str, open_session: Open, host: Any) -> None:
    code = "for i in range(99):\n    for j in range(99):\n        print('line', i, j)\ntool(1)\nprint('end')"
    alone, heard = open_session(engine), open_session(engine)
    results = [await alone.run(code, host, tools=host.tools), await heard.run(code, host, tools=host.tools, on_text=lambda text: None)]
    assert results[0].digest == results[1].digest
    assert alone.items == heard.items


if AVAILABLE:

    async def test_a_long_littrs_block_passes_its_prints_on_before_its_end(open_session: Open, host: Any) -> None:
        session = open_session("littrs")
        await session.set("numbers", list(range(20_000)))
        pieces: list[str] = []
        result = await session.run("for i in range(500):\n    print(i)\n    x = sorted(numbers)", host, on_text=pieces.append)
        assert "".join(pieces) == result.prints
        assert 1 < len(pieces) < 100  # the last piece comes with the end, and not every line is a message

    async def test_prints_before_a_littrs_block_runs_out_of_time_are_kept(open_session: Open, host: Any) -> None:
        session = open_session("littrs", limits=Limits(max_seconds=1.5))
        await session.set("numbers", list(range(50_000)))
        result = await session.run("for i in range(9000):\n    print(i)\n    x = sorted(numbers)", host)
        assert result.error is not None
        assert (result.status, result.error.type, result.prints[:4]) == ("interrupted", "TimeoutError", "0\n1\n")

    FLOOD = (
        "import json, os, sys\n"
        "data = json.dumps({'op': 'prints', 'prints': sys.argv[1] * 1000}).encode()\n"
        "frames = (len(data).to_bytes(4, 'big') + data) * 100\n"
        "os.read(0, 4)\n"
        "while True: os.write(0, frames)"
    )

    ONCE = (
        "import os, sys, time\ndata = sys.argv[1].encode()\nos.read(0, 4)\nos.write(0, len(data).to_bytes(4, 'big') + data)\ntime.sleep(60)"
    )

    @pytest.fixture
    def hostile() -> Iterator[Callable[[str], LittrsEngine]]:
        """An engine whose worker was taken over: it says what it likes, and prints without an end if nothing else is said."""
        started: list[Worker] = []

        def start(said: str, program: str = FLOOD) -> LittrsEngine:
            ours, theirs = socket.socketpair()
            with theirs:
                process = subprocess.Popen([sys.executable, "-c", program, said], stdin=theirs.fileno(), stderr=subprocess.DEVNULL)
            ours.setblocking(False)
            started.append(Worker(process, ours))
            return LittrsEngine(started[-1])

        yield start
        for worker in started:
            worker.end()

    async def fed(engine: LittrsEngine) -> Fed:
        program = faithful.check("1", {}, (), ()).program
        async with asyncio.timeout(10):
            return await engine.feed(Block(code="1", tools=(), call=no_call, output=Output(0), seconds=0.1, program=program))

    async def no_call(name: str, args: Any, kwargs: Any) -> None:
        raise AssertionError

    async def test_a_worker_that_never_stops_printing_is_ended_by_the_flood_limit(hostile: Callable[[str], LittrsEngine]) -> None:
        result = await fed(hostile("x" * 100))
        assert result.error is not None
        assert (result.status, result.lost, result.error.message) == ("interrupted", True, "the block printed too much")

    async def test_a_worker_that_never_stops_printing_nothing_is_ended_by_the_clock(hostile: Callable[[str], LittrsEngine]) -> None:
        result = await fed(hostile(""))
        assert result.error is not None
        assert (result.status, result.lost, result.error.message) == ("interrupted", True, "the block ran longer than 0.1 s")

    @pytest.mark.parametrize(
        "said",
        [
            "no JSON",
            "[]",
            "{}",
            '{"op": "prints"}',
            '{"op": "prints", "prints": 1}',
            '{"op": "call", "prints": ""}',
            '{"op": "call", "prints": "", "name": "f", "args": {"$tuple": 1}, "kwargs": 3}',
            '{"op": "done", "prints": ""}',
            '{"op": "done", "prints": "", "stopped": null, "value": {"$unknown": 1}}',
            '{"op": "done", "prints": "", "stopped": {"why": "guard"}}',
            "[" * 100_000,
        ],
    )
    async def test_a_worker_that_says_what_makes_no_sense_is_given_up(hostile: Callable[..., LittrsEngine], said: str) -> None:
        result = await fed(hostile(said, ONCE))
        assert result.error is not None
        assert (result.status, result.lost, result.error.code) == ("interrupted", True, "sandbox_crashed")

    @pytest.mark.parametrize("code", ['print(f"{55357:c}")', 'x = f"{55357:c}{56832:c}"\nprint(x)'])
    async def test_text_that_cannot_be_kept_is_never_printed_as_something_else(open_session: Open, host: Any, code: str) -> None:
        session = open_session("auto")
        result = await session.run(code, host)
        assert (result.engine, result.status, result.prints) == ("monty", "error", "")
