"""Worker processes come and go; sessions do not notice, and never wait for one to be free."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.test_hostile import worker_of
from workbench.sandbox import idle, spare
from workbench.sandbox.littrs_engine import AVAILABLE
from workbench.sandbox.session import Session

Open = Callable[..., Session]


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - processes end when they end; there is no event to wait for
            await asyncio.sleep(0.02)


async def test_three_times_as_many_sessions_as_workers_take_turns_and_keep_their_state(
    open_session: Open, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "MAX_IDLE", 4)
    sessions = [open_session("monty" if number % 2 else "auto") for number in range(12)]
    for turn in range(3):
        for number, session in enumerate(sessions):
            code = f"x = {number}" if turn == 0 else f"x = x + {turn}"
            assert (await session.run(code, host)).status == "ok"
    assert [(await session.run("x", host)).value for session in sessions] == [number + 3 for number in range(12)]
    await until(lambda: sum(session._engine is not None for session in sessions) <= 3)


async def test_many_sessions_can_run_at_once(open_session: Open, host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "MAX_IDLE", 2)
    sessions = [open_session("monty") for _ in range(8)]
    inside = asyncio.Barrier(8)

    async def together(name: str, args: Any, kwargs: Any) -> Any:
        await inside.wait()  # nobody goes on before all are running
        return args[0]

    results = await asyncio.gather(*[session.run(f"tool({n})", together, tools=("tool",)) for n, session in enumerate(sessions)])
    assert [result.value for result in results] == list(range(8))


async def test_the_longest_idle_session_gives_up_its_engine_and_comes_back(
    engine: str, open_session: Open, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "MAX_IDLE", 3)
    sessions = [open_session(engine) for _ in range(4)]
    for number, session in enumerate(sessions):
        await session.set("x", number)
        await session.run("x", host)
    await until(lambda: sessions[1]._engine is None)
    assert [session._engine is None for session in sessions] == [True, True, False, False]
    assert [(await session.run("x", host)).value for session in sessions] == [0, 1, 2, 3]


async def test_a_session_that_rests_long_gives_up_its_engine(
    engine: str, open_session: Open, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "MAX_REST", 0.3)
    session, other = open_session(engine), open_session(engine)
    await session.run("x = 'kept'", host)
    await asyncio.sleep(0.2)
    await other.run("x = 'later'", host)
    await until(lambda: session._engine is None)
    assert other._engine is not None
    await until(lambda: other._engine is None)
    assert [(await each.run("x", host)).value for each in (session, other)] == ["kept", "later"]


async def test_a_busy_session_does_not_give_up_its_engine(
    engine: str, open_session: Open, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "MAX_REST", 0.05)
    session = open_session(engine)
    await session.run("x = 'kept'", host)
    before = worker_of(session)

    async def slow(name: str, args: Any, kwargs: Any) -> Any:
        await asyncio.sleep(0.3)
        return worker_of(session)

    assert (await session.run("tool()", slow, tools=("tool",))).value == before


async def start_of(open_session: Open, host: Any, engine: str) -> float:
    session = open_session(engine)
    began = time.perf_counter()
    await session.run("1", host)
    took = (time.perf_counter() - began) * 1000
    await asyncio.sleep(0.3)  # as the time between two sessions; the next worker starts meanwhile
    return took


async def test_a_session_starts_at_once_when_others_have_been_started(engine: str, open_session: Open, host: Any) -> None:
    await start_of(open_session, host, engine)
    took = [await start_of(open_session, host, engine) for _ in range(5)]
    assert min(took) < 15, took  # about 2 ms where nothing else runs; starting a process takes 50


if AVAILABLE:

    async def test_there_is_one_spare_worker_and_it_serves_the_next_session(open_session: Open, host: Any) -> None:
        await open_session("littrs").run("1", host)
        await until(lambda: bool(spare._waiting))
        (waiting,) = spare._waiting.values()
        session = open_session("littrs")
        await session.run("1", host)
        assert worker_of(session) == waiting.process.pid

    async def test_a_spare_worker_that_has_died_is_replaced(open_session: Open, host: Any) -> None:
        await open_session("littrs").run("1", host)
        await until(lambda: bool(spare._waiting))
        (waiting,) = spare._waiting.values()
        waiting.process.kill()
        waiting.process.wait()
        assert (await open_session("littrs").run("'alive'", host)).value == "alive"

    async def test_the_spare_worker_goes_when_nothing_is_used_any_more(
        open_session: Open, host: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(idle, "MAX_REST", 0.5)
        await open_session("littrs").run("1", host)
        await until(lambda: bool(spare._waiting))
        await until(lambda: not spare._waiting)
