"""Text that comes in many pieces, from any thread, and is sent in few messages: what a program or a tool prints, as it prints it.

It keeps nothing: what must not be lost is in the record. Whose text it is, and who hears of it, is in the `send` that it is given.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from workbench.loop import runtime_loop

INTERVAL = 0.1
"""Seconds for which text is gathered before it is sent."""


class Pieces:
    """Gathers text and gives it to `send` on the runtime's loop, until it is closed. Every method may be called from any thread."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._loop = runtime_loop()
        self._lock = threading.RLock()  # a thread may print while it sends, if only because garbage is collected there
        self._waiting: list[str] = []
        self._closed = False

    def add(self, text: str) -> None:
        """Send `text` soon, with what else comes by then. After `close` it is dropped."""
        with self._lock:
            if self._closed:
                return
            first = not self._waiting
            self._waiting.append(text)
        if first:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens any more, and whoever prints need not know
                self._loop.call_soon_threadsafe(self._loop.call_later, INTERVAL, self._flush)

    def close(self) -> None:
        """Send what is waiting, here and now, and nothing after it."""
        with self._lock:
            self._closed = True
            self._flush()

    def _flush(self) -> None:
        with self._lock:  # held while sending, so that messages keep their order and none comes after `close`
            waiting, self._waiting = self._waiting, []
            if waiting:
                self._send("".join(waiting))
