"""Event handlers: called in order, on a thread of their own, so that a slow handler never holds up a run."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

from workbench.errors import UserError
from workbench.loop import runtime_loop
from workbench.record.envelope import AnyEntry
from workbench.record.events import EVENTS, AgentEvents

logger = logging.getLogger(__name__)

Handler = Callable[[dict[str, Any]], Any]


class Handlers:
    """The handlers of one agent, by event name."""

    def __init__(self) -> None:
        self._by_event: dict[str, list[Handler]] = {name: [] for name in EVENTS}
        self.also: dict[str, Any] = {}
        """What each event carries besides."""

    def numbered(self, index: int) -> Handlers:
        """These handlers for one of many tasks: its events say which."""
        made = Handlers()
        made._by_event, made.also = self._by_event, {"task_index": index}
        return made

    def add(self, event: str, handler: Handler) -> None:
        """Call `handler` with each event of that name, after those added before it.

        Raises:
            UserError: for an unknown name; the message lists the known ones.
        """
        if event not in self._by_event:
            raise UserError(f"there is no event {event!r}; the events are {', '.join(EVENTS)}")
        self._by_event[event].append(handler)

    def of(self, event: str) -> list[Handler]:
        """The handlers of an event, in order."""
        return list(self._by_event[event])

    def __bool__(self) -> bool:
        return any(self._by_event.values())


class Delivery:
    """Hands one run's events to the handlers. `on_interrupt` is called when a handler raises KeyboardInterrupt: it stops the run."""

    def __init__(self, handlers: Handlers, on_interrupt: Callable[[], None]) -> None:
        self._handlers = handlers
        self._on_interrupt = on_interrupt
        self._events = AgentEvents()
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._drained = asyncio.Event()

    def feed(self, entries: Iterable[AnyEntry]) -> None:
        """Take entries that have just been stored; returns at once."""
        events = [event for entry in entries for event in self._events.feed(entry)]
        if not events or not self._handlers:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="workbench-handlers", daemon=True)
            self._thread.start()
        for event in events:
            self._queue.put({**event, **self._handlers.also})

    async def drain(self) -> None:
        """Wait until every event fed so far has been handled, and end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            await self._drained.wait()

    def _work(self) -> None:
        while (event := self._queue.get()) is not None:
            for handler in self._handlers.of(event["event"]):
                self._call(handler, event)
        runtime_loop().call_soon_threadsafe(self._drained.set)

    def _call(self, handler: Handler, event: dict[str, Any]) -> None:
        try:
            handler(event)
        except (KeyboardInterrupt, SystemExit):
            runtime_loop().call_soon_threadsafe(self._on_interrupt)
        except Exception:
            logger.exception("a handler of %r raised; the run goes on", event["event"])
