"""The one event loop, on its own thread, and the one seam between blocking and awaiting code.

All runtime work happens on this loop, so a run goes on while a notebook cell computes, and stops when asked while a cell waits. It starts
at first use, never at import. Callers come from scripts (no loop), from notebooks and servers (a loop of their own), or from the runtime
itself.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from workbench import main_thread
from workbench.errors import LoopError

T = TypeVar("T")


class _LoopThread:
    """An event loop that runs on a daemon thread until the interpreter exits."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.pid = os.getpid()
        self.thread = threading.Thread(target=self._run, name="workbench-runtime", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        ended = False
        while not ended:
            # When one of these leaves a task it leaves the loop too. It is the outcome of that task; the others go on.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                self.loop.run_forever()
                ended = True

    def stop(self) -> None:
        """Cancel what is running, give it a moment to clean up, and end the thread."""
        if self.pid != os.getpid() or not self.thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop).result(timeout=5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(timeout=5)
        if not self.thread.is_alive():
            self.loop.close()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=2)


_lock = threading.Lock()
_thread: _LoopThread | None = None


def _forget_parent() -> None:
    """In a forked child: the parent's thread is not there, and its lock may have been held by a thread that is not there either."""
    global _lock, _thread
    _lock, _thread = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


def runtime_loop() -> asyncio.AbstractEventLoop:
    """The runtime's loop, started if need be. A forked child gets a loop of its own."""
    global _thread  # noqa: PLW0603 - one loop a process is the point of this module
    with _lock:
        if _thread is None or _thread.pid != os.getpid():
            _thread = _LoopThread()
            atexit.register(_thread.stop)
        return _thread.loop


def on_runtime_loop() -> bool:
    """Whether the caller runs on the runtime's loop."""
    return _thread is not None and threading.current_thread() is _thread.thread


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start `work` on the runtime's loop; the future can be waited for from any thread."""
    return asyncio.run_coroutine_threadsafe(work, runtime_loop())


def run_sync(work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
    """Run `work` on the runtime's loop and block until it is done. The main thread does meanwhile what has to be done there.

    A KeyboardInterrupt while waiting cancels the work and is raised again.

    Raises:
        LoopError: on the runtime's loop itself, where blocking would wait for ever.
        TimeoutError: after `timeout` seconds; the work goes on.
    """
    if on_runtime_loop():
        work.close()
        raise LoopError(
            "this blocking call was made by code that runs on the runtime's loop; use its awaitable twin (run → arun, fork → afork, …), "
            "or await asyncio.to_thread(…)"
        )
    future = submit(work)
    try:
        if main_thread.here():
            main_thread.wait_for(future, timeout)
            timeout = 0
        return future.result(timeout)
    except KeyboardInterrupt:
        future.cancel()
        raise


async def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` on the runtime's loop from whatever loop the caller is on; cancelling the caller cancels the work.

    A loop in the main thread does from now on, between its own turns, what has to be done in that thread.
    """
    if on_runtime_loop():
        return await work
    if main_thread.here():
        main_thread.see_loop()
    return await asyncio.wrap_future(submit(work))


def begun(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task of the running loop whose first steps have been taken already: work that has nothing to wait for is done when this returns.

    Before Python 3.12 the first steps are taken in the loop's next turn, as with any task.
    """
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.eager_task_factory(loop, work)
    return loop.create_task(work)
