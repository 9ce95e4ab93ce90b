"""The one thread in which an executor's synchronous tools run, one call after another.

Tools written for a notebook share libraries that want one thread (SQLite connections, plotting, browsers). A thread cannot be killed: one
whose call has outlived its limit is left behind and a new one takes its place. Being a daemon it never keeps the process alive.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """How a call ended: with a value, or with whatever it raised, KeyboardInterrupt included."""

    value: Any = None
    error: BaseException | None = None


def outcome_of(fn: Callable[[], Any]) -> Outcome:
    """Call `fn` and keep what comes of it, so that nothing it raises can end a thread or a loop."""
    try:
        return Outcome(value=fn())
    except BaseException as error:  # noqa: BLE001 - the executor decides what each exception means
        return Outcome(error=error)


class ToolThread:
    """A daemon thread that runs calls in the order they come."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="workbench-tools", daemon=True).start()

    def submit(self, fn: Callable[[], Any]) -> asyncio.Future[Outcome]:
        """Run `fn` with the caller's context variables; the future is set on the running loop, unless that has closed by then."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        context = contextvars.copy_context()

        def call() -> None:
            outcome = context.run(outcome_of, fn)
            # A loop that closed while the tool ran has nobody left to tell.
            outcome_of(lambda: loop.call_soon_threadsafe(_settle, future, outcome))

        self._calls.put(call)
        return future

    def stop(self) -> None:
        """Let the thread end after the call it is running."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
