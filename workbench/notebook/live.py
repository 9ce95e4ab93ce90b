"""The live view: a widget that only holds what the page needs, and the pump that brings it what is new.

`LiveRun` knows nothing of runs. It is given a way to read entries, a way to hear that there are new ones, and what to do when a button
is pressed. Everything that touches the view or the widget happens on the loop that `watch` runs on, the kernel's; entries are read, and
messages received, on the runtime's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import anywidget
import traitlets

from workbench.errors import WorkbenchError
from workbench.loop import run_async, submit
from workbench.notebook.assets import LIVE, STATIC, small_css, small_js
from workbench.notebook.shown import Redact
from workbench.notebook.view import RunView
from workbench.notebook.wire import Page
from workbench.ports import Subscription
from workbench.record.envelope import AnyEntry

INTERVAL = 0.1
"""Seconds between two messages to the page, at least."""
POLL = 2.0
"""Seconds after which the store is asked although nothing was heard: the bus is a hint, the log is the truth."""


class RunWidget(anywidget.AnyWidget):
    """One run in the page. `view` is made when it is asked for, so a page that opens late gets all of it and none is sent twice."""

    _esm = small_js()
    _css = small_css(STATIC, LIVE)
    view = traitlets.Any().tag(sync=True, to_json=lambda _value, widget: widget.present())
    delta = traitlets.Dict().tag(sync=True)
    notice = traitlets.Dict().tag(sync=True)

    def __init__(self, present: Callable[[], Mapping[str, Any]], instead: str = "") -> None:
        self.present = present
        self._instead = instead
        super().__init__()

    def __repr__(self) -> str:
        """What stands where the widget cannot be drawn."""
        return self._instead or super().__repr__()


class LiveRun:
    """One run, drawn while it happens. Display `widget`, await `watch()`, then put the static view in its place and `close()`."""

    def __init__(
        self,
        *,
        read_entries: Callable[[int], Awaitable[list[AnyEntry]]],
        subscribe: Callable[[], Subscription],
        on_stop: Callable[[], None],
        on_decide: Callable[[dict[str, Any]], None],
        instead: str = "",
        redact: Redact = str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pages: Callable[[str, int], Coroutine[Any, Any, Page]] | None = None,
    ) -> None:
        self.view = RunView(redact)
        self.widget = RunWidget(self._present, instead)
        self._read_entries = read_entries
        self._subscribe = subscribe
        self._on_stop = on_stop
        self._on_decide = on_decide
        self._clock = clock
        self._pages = pages
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sent = 0
        self._notices = 0
        self._closed = False
        self._heard = asyncio.Event()
        self._lock = threading.Lock()
        self._pieces: dict[tuple[str, str], str] = {}
        """What has arrived of texts still being written, by execution and kind."""
        self.widget.on_msg(self._from_page)

    async def watch(self) -> None:
        """Draw until the run has ended or the view is closed.

        Raises:
            RecordCorrupt: if the entries do not follow each other; the page says that the view has stopped.
        """
        loop = self._loop = asyncio.get_running_loop()
        listening = submit(self._listen(loop))
        try:
            while not self._closed:
                self._heard.clear()
                await self._catch_up()
                if self.view.state.terminal:
                    return
                await asyncio.sleep(INTERVAL)
                try:
                    await asyncio.wait_for(self._heard.wait(), POLL)
                except TimeoutError:
                    self.view.tick(self._clock())
        except WorkbenchError as error:
            self.say(f"This view has stopped; the run goes on without it: {error}")
            raise
        finally:
            listening.cancel()

    def say(self, text: str) -> None:
        """Show a sentence in the page, and let the person press again what they pressed."""
        self._notices += 1
        self.widget.notice = {"id": self._notices, "text": text}

    def interrupted(self) -> None:
        """Say that nobody works on the run any more."""
        self.view.interrupted()
        self._flush()

    def close(self) -> None:
        """Take the widget out of the page and empty it, so that a saved notebook keeps nothing of it."""
        self._closed = True
        self._heard.set()
        self.widget.present = dict
        self.widget.delta, self.widget.notice = {}, {}
        self.widget.send_state("view")
        self.widget.close()

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        subscription = self._subscribe()
        try:
            async for message in subscription:
                kind, piece = message.get("type"), message.get("text")
                if kind in ("text", "print") and isinstance(piece, str):
                    key = (str(message.get("exec_id")), str(kind))
                    with self._lock:
                        self._pieces[key] = self._pieces.get(key, "") + piece
                loop.call_soon_threadsafe(self._heard.set)
        finally:
            subscription.close()

    async def _catch_up(self) -> None:
        """Fold what is new, and send what it changed."""
        with self._lock:
            pieces, self._pieces = self._pieces, {}
        for entry in await run_async(_awaited(self._read_entries(self.view.state.seq))):
            self.view.apply(entry)
        for (exec_id, kind), text in pieces.items():
            self.view.feed({"type": kind, "exec_id": exec_id, "text": text})
        if self.view.version != self._sent:
            self.view.tick(self._clock())  # else the page's clock would stand where the latest entry was written
        self._flush()

    def _flush(self) -> None:
        if self._closed or self.view.version == self._sent:
            return
        if self._sent == 0:
            self.widget.send_state("view")
        else:
            self.widget.delta = dict(self.view.delta(self._sent))
        self._sent = self.view.version

    def _present(self) -> Mapping[str, Any]:
        return self.view.full() if self.view.version else {}

    def _from_page(self, _widget: RunWidget, message: object, _buffers: object) -> None:
        """A button was pressed. What is wrong with the message or the moment is said in the page; nothing is printed."""
        if not isinstance(message, dict):
            return
        try:
            match message:
                case {"type": "stop"}:
                    self._on_stop()
                case {"type": "decide", "request_id": str(), "decision": str(), "subject_hash": str()}:
                    self._on_decide(message)
                case {"type": "refresh"}:
                    self.widget.send_state("view")
                case {"type": "page", "what": str(what), "after": int(after)} if after >= 0:
                    submit(self._turn_to(what, after))
        except (WorkbenchError, ValueError) as error:
            self.say(str(error))

    async def _turn_to(self, what: str, after: int) -> None:
        """Send some of what a tab shows. On the runtime's loop; the widget is the kernel's."""
        if self._pages is None or self._loop is None:
            return
        try:
            page = dict(await self._pages(what, after))
            self._loop.call_soon_threadsafe(self.widget.send, page)
        except WorkbenchError as error:
            self._loop.call_soon_threadsafe(self.say, str(error))


async def _awaited(work: Awaitable[list[AnyEntry]]) -> list[AnyEntry]:
    return await work
