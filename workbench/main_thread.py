"""What has to be done in the process's main thread, and the moments in which that thread does it.

Python cannot put work into a thread that is busy. So the work waits, and the main thread does it where it would only wait itself: in
`wait_for`, which every blocking call of ours comes to, and in the turns of an event loop that runs there, once that has been seen. A
notebook's kernel runs such a loop, so it does the work between its cells and in one that awaits.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Job:
    """Something for the main thread to do, with the context variables of whoever asks for it."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.ended: Future[None] = Future()
        """Set when it has been done, whatever came of it."""
        self.began: float | None = None
        """When it was begun, by the monotonic clock."""
        self._work = work
        self._context = contextvars.copy_context()

    def withdraw(self) -> bool:
        """Take it back; False if it has been begun."""
        try:
            _jobs.remove(self)
        except ValueError:
            return False
        return True

    def do(self) -> None:
        """Do it."""
        self.began = time.monotonic()
        try:
            self._context.run(self._work)
        finally:
            self.ended.set_result(None)


_jobs: deque[Job] = deque()
_waiting: list[queue.SimpleQueue[Any]] = []
"""Wakes each `wait_for` that the main thread is in, the innermost last."""
_loops: tuple[asyncio.AbstractEventLoop, ...] = ()
"""The loops that have been seen to run in the main thread."""


def here() -> bool:
    """Whether this is the main thread."""
    return threading.get_ident() == threading.main_thread().ident


def submit(work: Callable[[], None]) -> Job:
    """Have the main thread do something. It catches whatever it raises, but for KeyboardInterrupt, which then ends what the main thread
    waits for too."""
    job = Job(work)
    if here():
        see_loop()
    _jobs.append(job)
    # All are woken, since none can say whether another will come to it; whoever is first does all there is.
    for bell in tuple(_waiting):
        bell.put(None)
    for loop in _loops:
        with contextlib.suppress(RuntimeError):  # closed
            loop.call_soon_threadsafe(_take_turn)
    return job


def see_loop() -> None:
    """In the main thread: if a loop runs there, its turns do work from now on."""
    global _loops  # noqa: PLW0603 - there is one main thread
    loop = asyncio._get_running_loop()
    if loop is not None and loop not in _loops:
        _loops = (*(known for known in _loops if not known.is_closed()), loop)
        if _jobs:
            loop.call_soon(_take_turn)


def wait_for(future: Future[Any], timeout: float | None) -> None:
    """In the main thread: do what there is to do until the future is done, or `timeout` seconds are over.

    Raises:
        KeyboardInterrupt: an interrupt ends what is being done, and is raised again, since it was meant for the main thread.
    """
    see_loop()
    ends = None if timeout is None else time.monotonic() + timeout
    bell: queue.SimpleQueue[Any] = queue.SimpleQueue()
    future.add_done_callback(bell.put)
    _waiting.append(bell)
    try:
        _do_all()
        while not future.done():
            bell.get(timeout=None if ends is None else max(0.0, ends - time.monotonic()))
            _do_all()
    except queue.Empty:
        pass  # the time is over
    finally:
        _waiting.remove(bell)


def _do_all() -> None:
    while _jobs:
        try:
            job = _jobs.popleft()
        except IndexError:
            return  # withdrawn just now
        job.do()


def _take_turn() -> None:
    # A loop may have moved to another thread since it was seen.
    if here():
        # An interrupt that left a callback would end the whole loop, and with it a kernel. It has ended what was being done.
        with contextlib.suppress(KeyboardInterrupt):
            _do_all()


def _forget_parent() -> None:
    """In a forked child: what the parent has to do is not done twice."""
    global _loops  # noqa: PLW0603 - there is one main thread
    _jobs.clear()
    _waiting.clear()
    _loops = ()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
