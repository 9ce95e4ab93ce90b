"""The event bus in this process's memory: `workbench.adapters.memory` says what that is for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any


class MemorySubscription:
    """The messages of one topic, read on whatever loop iterates it; a bounded queue that drops its oldest message when full."""

    def __init__(self, topic: str, key: str | None, buffer: int, forget: Callable[[MemorySubscription], None]) -> None:
        self.dropped = 0
        self.topic = topic
        self.key = key
        self._buffer = buffer
        self._forget = forget
        self._lock = threading.Lock()
        self._arrived: deque[Mapping[str, Any]] = deque()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._closed = False

    def deliver(self, message: Mapping[str, Any]) -> None:
        """Add a message and wake the reader; from any thread."""
        with self._lock:
            if self._closed:
                return
            if len(self._arrived) >= self._buffer:
                self._arrived.popleft()
                self.dropped += 1
            self._arrived.append(message)
            woken, self._waiting = self._waiting, []
        self._wake(woken)

    def close(self) -> None:
        """Stop receiving; the iterator ends after what has already arrived. From any thread, and any number of times."""
        with self._lock:
            self._closed = True
            woken, self._waiting = self._waiting, []
        self._forget(self)
        self._wake(woken)

    def __aiter__(self) -> AsyncIterator[Mapping[str, Any]]:
        return self

    async def __anext__(self) -> Mapping[str, Any]:
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                if self._arrived:
                    return self._arrived.popleft()
                if self._closed:
                    raise StopAsyncIteration
                future: asyncio.Future[None] = loop.create_future()
                self._waiting.append((loop, future))
            try:
                await future
            finally:
                with self._lock:  # a reader that gave up waiting is nobody to wake
                    self._waiting = [waiting for waiting in self._waiting if waiting[1] is not future]

    def _wake(self, woken: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]]) -> None:
        for loop, future in woken:
            if loop is _running_loop():
                _arrive(future)
            else:
                with contextlib.suppress(RuntimeError):  # a reader whose loop has been closed needs no waking
                    loop.call_soon_threadsafe(_arrive, future)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _arrive(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class MemoryEventBus:
    """Hints and ephemeral pieces between the threads of one process. `publish` and `subscribe` may be called from any of them."""

    def __init__(self, buffer: int = 4096) -> None:
        """`buffer` is how many messages a subscription holds for a slow reader before it drops the oldest."""
        self._buffer = buffer
        self._lock = threading.Lock()
        self._subscriptions: tuple[MemorySubscription, ...] = ()
        self._closed = False

    def publish(self, topic: str, key: str, message: Mapping[str, Any]) -> None:
        """Hand `message` to each subscription of the topic; with nobody listening it is gone."""
        for subscription in self._subscriptions:
            if subscription.topic == topic and subscription.key in (None, key):
                subscription.deliver(message)

    def subscribe(self, topic: str, key: str | None = None) -> MemorySubscription:
        """Receive what is published from now on; on a closed bus, a subscription that has ended."""
        subscription = MemorySubscription(topic, key, self._buffer, self._forget)
        with self._lock:
            if not self._closed:
                # A new tuple each time, so that publish iterates without a lock.
                self._subscriptions = (*self._subscriptions, subscription)
                return subscription
        subscription.close()
        return subscription

    def _forget(self, subscription: MemorySubscription) -> None:
        with self._lock:
            self._subscriptions = tuple(other for other in self._subscriptions if other is not subscription)

    async def close(self) -> None:
        """End every subscription."""
        with self._lock:
            self._closed = True
            ending = self._subscriptions
        for subscription in ending:
            subscription.close()
