"""A tool that wants the main thread is run there, whoever waits there and however; and if nobody does, it is not run at all."""

from __future__ import annotations

import asyncio
import contextvars
import math
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.test_loop import fresh
from workbench.errors import RunStopped, ToolError, ToolFailed, ToolTimeout
from workbench.loop import run_async, run_sync
from workbench.tools import Tool, ToolExecutor, ToolInfo

LIMIT = 0.1

current = contextvars.ContextVar("current", default="unset")


def thread() -> str:
    """The name of the thread that it runs in."""
    return threading.current_thread().name


def on_main(fn: Any, **options: Any) -> Tool:
    return Tool.from_function(fn, on="main", **options)


class Runs(list[str]):
    """The threads that its tool has run in."""

    def note(self) -> int:
        self.append(thread())
        return len(self)


@pytest.fixture
def executor() -> Iterator[ToolExecutor]:
    made = ToolExecutor([on_main(thread), Tool.from_function(thread, name="elsewhere")], timeout=5)
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[wb.Workbench]:
    """On the disk: synchronous tools in threads, as in life."""
    made = wb.profiles.local(home=tmp_path)
    yield made
    made.close()


@pytest.fixture
def agent(bench: wb.Workbench) -> Iterator[wb.Agent]:
    """An agent that answers with the threads its two tools have run in."""
    model = wb.models.Scripted(["```python\nfinish([thread(), elsewhere()])\n```"] * 3)
    made = wb.Agent(model, tools=[on_main(thread, timeout=20), Tool.from_function(thread, name="elsewhere")], workbench=bench)
    yield made
    made.close()


WHERE = ["MainThread", "workbench-tools"]


# Agents


def test_a_blocking_run_lets_its_tool_into_the_main_thread(agent: wb.Agent) -> None:
    assert agent.run("go") == WHERE


def test_an_awaited_run_does_too(agent: wb.Agent) -> None:
    assert asyncio.run(agent.arun("go")) == WHERE


def test_a_run_that_was_started_waits_with_its_tool_for_somebody_to_wait(agent: wb.Agent) -> None:
    run = agent.start("go")
    time.sleep(0.2)
    assert run.live
    assert run.result(10) == WHERE


def test_a_run_that_was_started_can_be_awaited(agent: wb.Agent) -> None:
    async def main() -> Any:
        return await agent.start("go")

    assert asyncio.run(main()) == WHERE


def test_a_loop_that_does_something_else_meanwhile_will_do(agent: wb.Agent) -> None:
    async def main() -> Any:
        run = await agent.astart("go")
        while run.live:  # noqa: ASYNC110 - a loop that awaits nothing of ours
            await asyncio.sleep(0.01)
        return run.value

    assert asyncio.run(main()) == WHERE


def test_a_run_in_another_thread_is_served_by_whatever_the_main_thread_waits_for(agent: wb.Agent) -> None:
    answers: list[Any] = []
    other = threading.Thread(target=lambda: answers.append(agent.run("go")))
    other.start()
    while other.is_alive():
        run_sync(asyncio.sleep(0.01))
    assert answers == [WHERE]


@pytest.mark.parametrize("awaited", [False, True])
def test_a_tool_in_the_main_thread_may_run_another_agent_with_such_a_tool(bench: wb.Workbench, agent: wb.Agent, awaited: bool) -> None:
    def ask() -> list[str]:
        return [thread(), *agent.run("go")]

    outer = wb.Agent(wb.models.Scripted(["```python\nfinish(ask())\n```"]), tools=[on_main(ask)], workbench=bench)
    came = asyncio.run(outer.arun("go")) if awaited else outer.run("go")
    assert came == ["MainThread", *WHERE]
    outer.close()


def test_if_nobody_waits_the_tool_is_not_run_and_the_model_is_told(bench: wb.Workbench) -> None:
    runs = Runs()
    script = ["```python\ntry:\n    note()\nexcept Exception as error:\n    finish(str(error))\n```"]
    agent = wb.Agent(wb.models.Scripted(script), tools=[on_main(runs.note, timeout=LIMIT)], workbench=bench)
    run = agent.start("go")
    while run.live:
        time.sleep(0.02)
    assert "did not come to it within 0.1 s; nothing was run. Let the main thread wait for the run: await run, run.result()" in run.value
    assert runs == []
    agent.close()


def test_stopping_a_run_takes_its_tool_out_of_the_queue(bench: wb.Workbench) -> None:
    runs = Runs()
    agent = wb.Agent(wb.models.Scripted(["```python\nnote()\n```"]), tools=[on_main(runs.note)], workbench=bench)
    run = agent.start("go")
    time.sleep(0.3)
    run.stop()
    time.sleep(0.2)
    with pytest.raises(RunStopped):
        run.result(10)
    assert runs == []
    agent.close()


def test_in_the_test_profile_it_runs_inline(current_bench: wb.Workbench) -> None:
    agent = wb.Agent(wb.models.Scripted(["```python\nfinish(thread())\n```"]), tools=[on_main(thread)])
    assert agent.run("go") == "workbench-runtime"
    agent.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_an_interrupt_ends_the_tool_and_the_blocking_run_with_it() -> None:
    code = r"""
import os, signal, threading, time
import workbench as wb
from workbench.current import set_current
bench = wb.profiles.local({"state": "memory:", "blobs": "memory:"})
ended = []
@wb.tool(on="main")
def sleeps() -> str:
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        time.sleep(60)
    finally:
        ended.append(threading.current_thread().name)
agent = wb.Agent(wb.models.Scripted(["```python\nsleeps()\n```"]), tools=[sleeps], workbench=bench)
try:
    agent.run("go")
except KeyboardInterrupt:
    ended.append("interrupted")
(run,) = bench.runs()
try:
    run.result(5)
except wb.errors.RunStopped:
    ended.append("stopped")
print(*ended)
bench.close()
"""
    assert fresh(code) == "MainThread interrupted stopped\n"


# Executors


def test_the_callers_variables_are_in_force(executor: ToolExecutor) -> None:
    def see() -> str:
        return current.get()

    async def call() -> Any:
        current.set("the caller's")
        executor.register(on_main(see))
        return await executor.call("see", {})

    assert [run_sync(call()), asyncio.run(run_async(call())), asyncio.run(call())] == ["the caller's"] * 3
    assert current.get() == "unset"


async def test_an_executor_on_the_main_threads_own_loop_waits_for_a_turn_of_it(executor: ToolExecutor) -> None:
    assert [await executor.call("thread", {}), await executor.call("elsewhere", {})] == WHERE


def test_calls_have_the_main_thread_one_after_another(executor: ToolExecutor) -> None:
    inside: list[int] = []

    def alone() -> int:
        inside.append(1)
        time.sleep(0.02)
        return len([inside.pop()]) + len(inside)

    async def calls() -> Any:
        return await asyncio.gather(*(executor.call("alone", {}) for _ in range(4)))

    executor.register(on_main(alone))
    assert run_sync(calls()) == [1] * 4


def test_what_has_not_begun_in_time_was_not_run_and_no_effect_is_unknown(executor: ToolExecutor) -> None:
    runs = Runs()
    executor.register(on_main(runs.note, timeout=LIMIT))
    errors: list[Any] = []
    other = threading.Thread(target=lambda: errors.append(run_sync(executor.execute("note", {})).error))
    other.start()
    other.join()
    run_sync(asyncio.sleep(0.01))
    assert (errors[0].code, errors[0].retryable, executor.abandoned, runs) == (ToolError.code, False, 0, [])


def test_waiting_for_the_main_thread_does_not_use_up_the_limit(executor: ToolExecutor) -> None:
    executor.register(on_main(lambda: time.sleep(0.3), name="slow", timeout=0.5))
    call = asyncio.run_coroutine_threadsafe(executor.call("slow", {}), wb.loop.runtime_loop())
    time.sleep(0.3)
    run_sync(asyncio.sleep(0.4))
    assert call.result(5) is None


def test_what_has_begun_and_does_not_end_is_abandoned(executor: ToolExecutor) -> None:
    executor.register(on_main(lambda: time.sleep(0.4), name="slow", timeout=LIMIT))
    with pytest.raises(ToolTimeout, match=r"slow did not return within 0.1 s; whether it had an effect is unknown"):
        run_sync(executor.call("slow", {}))
    assert executor.abandoned == 1
    assert run_sync(executor.call("thread", {})) == "MainThread"


def test_without_a_limit_it_waits_for_ever(executor: ToolExecutor) -> None:
    executor.timeout = 0.01
    executor.register(on_main(thread, timeout=math.inf))
    call = asyncio.run_coroutine_threadsafe(executor.call("thread", {}), wb.loop.runtime_loop())
    time.sleep(0.2)
    run_sync(asyncio.sleep(0.05))
    assert call.result(5) == "MainThread"


@pytest.mark.parametrize("begun", [False, True])
def test_cancelling_the_caller_takes_back_what_has_not_begun(executor: ToolExecutor, begun: bool) -> None:
    runs = Runs()
    executor.register(on_main(lambda: runs.note() and time.sleep(0.2), name="slow"))
    call = asyncio.run_coroutine_threadsafe(executor.call("slow", {}), wb.loop.runtime_loop())
    threading.Timer(0.1, call.cancel).start()
    if begun:
        run_sync(asyncio.sleep(0.05))
    time.sleep(0.2)
    run_sync(asyncio.sleep(0.05))
    assert (len(runs), executor.abandoned) == ((1, 1) if begun else (0, 0))


def test_what_it_raises_is_its_outcome(executor: ToolExecutor) -> None:
    def fails(kind: str) -> None:
        raise {"value": ValueError, "stop": StopIteration, "cancel": asyncio.CancelledError}[kind]("no")

    executor.register(on_main(fails))
    for kind, name in {"value": "ValueError", "stop": "StopIteration", "cancel": "CancelledError"}.items():
        with pytest.raises(ToolFailed) as caught:
            run_sync(executor.call("fails", {"kind": kind}))
        assert caught.value.type == name


@pytest.mark.parametrize("control", [KeyboardInterrupt, SystemExit])
def test_control_exceptions_reach_the_caller_and_end_nothing_else(executor: ToolExecutor, control: type[BaseException]) -> None:
    def stop() -> None:
        raise control

    executor.register(on_main(stop))
    with pytest.raises(control):
        run_sync(executor.execute("stop", {}))
    assert run_sync(executor.call("thread", {})) == "MainThread"


async def test_an_interrupt_in_a_loops_turn_reaches_the_caller_and_not_the_loop(executor: ToolExecutor) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    executor.register(on_main(stop))
    with pytest.raises(KeyboardInterrupt):
        await executor.call("stop", {})
    assert await executor.call("thread", {}) == "MainThread"


async def test_what_it_gives_to_await_is_awaited(executor: ToolExecutor) -> None:
    executor.register(on_main(lambda: asyncio.sleep(0, thread()), name="later"))
    assert await executor.call("later", {}) == "MainThread"


async def test_a_tool_described_by_hand_can_want_the_main_thread(executor: ToolExecutor) -> None:
    executor.register(ToolInfo("described", "Where it runs").tool(thread, on="main"))
    assert await executor.call("described", {}) == "MainThread"
