"""The one loop: at first use, on its own thread, one a process, and a clear refusal where blocking would wait for itself."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from workbench.errors import LoopError
from workbench.loop import begun, on_runtime_loop, run_async, run_sync, runtime_loop, submit


async def where() -> str:
    return threading.current_thread().name


async def fail() -> None:
    raise ValueError("no")


def fresh(code: str) -> str:
    """What a new interpreter prints, which must end well and quietly."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_importing_starts_no_thread():
    assert fresh("import threading, workbench.loop, workbench; print(threading.active_count())") == "1\n"


def test_work_runs_on_the_runtimes_thread():
    assert run_sync(where()) == "workbench-runtime"
    assert not on_runtime_loop()


async def test_work_is_awaited_from_another_loop():
    assert await run_async(where()) == "workbench-runtime"
    assert asyncio.get_running_loop() is not runtime_loop()


def test_errors_reach_the_caller():
    with pytest.raises(ValueError, match="no"):
        run_sync(fail())


async def test_errors_reach_the_awaiting_caller():
    with pytest.raises(ValueError, match="no"):
        await run_async(fail())


def test_blocking_on_the_loop_itself_is_refused():
    async def inside():
        assert on_runtime_loop()
        with pytest.raises(LoopError, match="awaitable twin"):
            run_sync(where())
        return await run_async(where())

    assert run_sync(inside()) == "workbench-runtime"


def test_a_timeout_leaves_the_work_going_on():
    done = threading.Event()

    async def work():
        await asyncio.sleep(0.05)
        done.set()

    with pytest.raises(TimeoutError):
        run_sync(work(), 0.001)
    assert done.wait(5)


async def test_cancelling_the_caller_cancels_the_work():
    cancelled = threading.Event()

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    task = asyncio.ensure_future(run_async(work()))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.wait(5)


def test_many_threads_start_one_loop():
    code = """
import threading
from workbench.loop import runtime_loop
loops = []
threads = [threading.Thread(target=lambda: loops.append(runtime_loop())) for _ in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(set(map(id, loops))))
"""
    assert fresh(code) == "1\n"


def test_the_interpreter_ends_while_work_goes_on():
    code = """
import asyncio
from workbench.loop import submit
async def work():
    try:
        await asyncio.sleep(60)
    finally:
        print("cleaned up", flush=True)
submit(work())
import time; time.sleep(0.05)
"""
    began = time.monotonic()
    assert fresh(code) == "cleaned up\n"
    assert time.monotonic() - began < 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_loop_of_its_own():
    code = """
import os, warnings
warnings.simplefilter("ignore")
from workbench.loop import run_sync, runtime_loop
async def answer():
    return os.getpid()
parent = run_sync(answer())
before = runtime_loop()
pid = os.fork()
if pid == 0:
    ok = run_sync(answer(), 5) == os.getpid() and runtime_loop() is not before
    os._exit(0 if ok else 1)
assert os.waitpid(pid, 0)[1] == 0
assert run_sync(answer()) == parent == os.getpid()
"""
    fresh(code)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_the_loop_is_being_started_is_not_stuck():
    code = """
import os, warnings
warnings.simplefilter("ignore")
from workbench import loop
async def one():
    return 1
with loop._lock:
    pid = os.fork()
    if pid == 0:
        import signal; signal.alarm(5)
        os._exit(loop.run_sync(one()) - 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    fresh(code)


def test_submitted_work_can_be_waited_for_from_any_thread():
    assert submit(where()).result(5) == "workbench-runtime"


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_an_interrupt_while_waiting_cancels_the_work_and_is_raised():
    code = """
import asyncio, os, signal, threading
from workbench.loop import run_sync
ended = threading.Event()
async def work():
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        await asyncio.sleep(60)
    finally:
        ended.set()
try:
    run_sync(work())
except KeyboardInterrupt:
    print("interrupted", ended.wait(5))
"""
    assert fresh(code) == "interrupted True\n"


async def test_begun_work_ends_with_its_value_whether_it_has_to_wait_or_not():
    assert (await begun(where()), await begun(asyncio.sleep(0.01, "waited"))) == (threading.current_thread().name, "waited")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin in the loop's next turn before Python 3.12")
async def test_begun_work_that_has_nothing_to_wait_for_is_done_at_once():
    assert begun(where()).done()
