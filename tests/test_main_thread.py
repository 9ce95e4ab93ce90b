"""What has to be done in the main thread is done where that thread waits: once, in order, and with the variables of whoever asked."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.test_loop import fresh
from workbench import main_thread
from workbench.loop import run_async, run_sync, runtime_loop
from workbench.main_thread import Job, submit

asked_by = contextvars.ContextVar("asked_by", default="nobody")


class Places(list[str]):
    """Where work was done."""

    def note(self) -> None:
        self.append(threading.current_thread().name)


@pytest.fixture
def places() -> Iterator[Places]:
    yield Places()
    assert not main_thread._jobs, "nothing is left to do"
    assert not main_thread._waiting


async def submitted(work: object, wait: float = 0.0) -> Job:
    """A job, submitted on the runtime's loop and waited for a while."""
    job = submit(work)  # type: ignore[arg-type]
    if wait:
        await asyncio.wait({asyncio.wrap_future(job.ended)}, timeout=wait)
    return job


def elsewhere(*works: object) -> list[Job]:
    """Jobs, submitted from a thread while the main thread does nothing else."""
    jobs: list[Job] = []
    thread = threading.Thread(target=lambda: jobs.extend(submit(work) for work in works))  # type: ignore[arg-type]
    thread.start()
    thread.join()
    return jobs


def test_a_blocking_call_does_what_comes_while_it_waits(places: Places) -> None:
    job = run_sync(submitted(places.note, 5))
    assert (job.ended.done(), places) == (True, ["MainThread"])


def test_what_came_before_anybody_waited_is_done_in_its_order_by_the_first_who_does() -> None:
    done: list[int] = []
    elsewhere(lambda: done.append(1), lambda: done.append(2))
    assert done == []
    run_sync(asyncio.sleep(0.01))
    assert done == [1, 2]


async def test_a_loop_in_the_main_thread_does_it_in_its_turns(places: Places) -> None:
    await run_async(submitted(places.note, 5))
    assert places == ["MainThread"]


async def test_a_loop_that_has_been_seen_does_what_comes_later_too(places: Places) -> None:
    await run_async(asyncio.sleep(0))
    (job,) = elsewhere(places.note)
    await asyncio.wrap_future(job.ended)
    assert places == ["MainThread"]


async def test_a_loop_that_is_seen_only_now_does_what_has_been_waiting(places: Places) -> None:
    (job,) = elsewhere(places.note)
    await run_async(asyncio.sleep(0))
    await asyncio.wait_for(asyncio.wrap_future(job.ended), 5)
    assert places == ["MainThread"]


def test_a_loop_that_was_closed_is_in_nobodys_way(places: Places) -> None:
    asyncio.run(run_async(asyncio.sleep(0)))
    assert run_sync(submitted(places.note, 5)).ended.done()


def test_loops_that_were_closed_are_forgotten() -> None:
    for _ in range(5):
        asyncio.run(run_async(asyncio.sleep(0)))
    assert len([loop for loop in main_thread._loops if loop.is_closed()]) <= 1


def test_a_loop_that_has_moved_to_another_thread_leaves_it_alone(places: Places) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(run_async(asyncio.sleep(0)))
    elsewhere(places.note)
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.sleep(0.05)))
    thread.start()
    thread.join()
    assert places == []
    run_sync(asyncio.sleep(0))
    loop.close()
    assert places == ["MainThread"]


def test_nobody_else_does_it(places: Places) -> None:
    def blocks() -> None:
        run_sync(submitted(places.note, 0.05))
        asyncio.run(run_async(submitted(places.note, 0.05)))

    thread = threading.Thread(target=blocks)
    thread.start()
    thread.join()
    assert places == []
    run_sync(asyncio.sleep(0))
    assert places == ["MainThread"] * 2


def test_the_variables_of_whoever_asked_are_in_force() -> None:
    seen: list[str] = []

    async def ask() -> None:
        asked_by.set("the runtime")
        await submitted(lambda: seen.append(asked_by.get()), 5)

    run_sync(ask())
    asyncio.run(run_async(ask()))
    assert (seen, asked_by.get()) == (["the runtime"] * 2, "nobody")


def test_work_may_block_and_then_does_what_comes_meanwhile(places: Places) -> None:
    def outer() -> None:
        run_sync(submitted(places.note, 5))
        places.append("outer")

    run_sync(submitted(outer, 5))
    assert places == ["MainThread", "outer"]


def test_what_is_withdrawn_is_not_done(places: Places) -> None:
    first, second = elsewhere(places.note, places.note)
    assert first.withdraw()
    assert not first.withdraw()
    run_sync(asyncio.sleep(0))
    assert places == ["MainThread"]
    assert not second.withdraw()


def test_the_time_of_a_wait_is_over_in_time_whatever_is_done_in_it(places: Places) -> None:
    started = time.monotonic()

    async def keeps_coming() -> None:
        for _ in range(30):
            await submitted(places.note, 1)
            await asyncio.sleep(0.01)

    with pytest.raises(TimeoutError):
        run_sync(keeps_coming(), 0.1)
    assert 0.09 < time.monotonic() - started < 0.6
    assert places
    run_sync(asyncio.sleep(0.5))


def test_an_interrupt_of_the_work_cancels_what_was_waited_for_and_is_raised() -> None:
    cancelled = threading.Event()

    def interrupted() -> None:
        raise KeyboardInterrupt

    async def ask() -> None:
        try:
            await submitted(interrupted, 5)
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(KeyboardInterrupt):
        run_sync(ask())
    assert cancelled.wait(5)


async def test_an_interrupt_of_the_work_does_not_end_the_loop(places: Places) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    job = await run_async(submitted(interrupted, 5))
    await run_async(submitted(places.note, 5))
    assert (job.ended.done(), places) == (True, ["MainThread"])


def test_an_interrupt_that_leaves_a_task_is_its_outcome_and_not_the_end_of_the_runtime() -> None:
    async def stops() -> None:
        raise SystemExit(3)

    waiting: Future[str] = asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05, "went on"), runtime_loop())
    with pytest.raises(SystemExit):
        run_sync(stops())
    assert waiting.result(5) == "went on"
    assert run_sync(asyncio.sleep(0, "goes on"), 5) == "goes on"


def test_a_forked_child_does_not_do_what_its_parent_has_to_do() -> None:
    code = """
import asyncio, os, threading, warnings
warnings.simplefilter("ignore")
from workbench.loop import run_sync
from workbench.main_thread import submit
done = []
thread = threading.Thread(target=submit, args=[lambda: done.append(1)])
thread.start(); thread.join()
pid = os.fork()
run_sync(asyncio.sleep(0))
if pid == 0:
    os._exit(len(done))
assert os.waitpid(pid, 0)[1] == 0
print(done)
"""
    assert fresh(code) == "[1]\n"
