"""A real HTTP server on loopback that answers as a test tells it to, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at: float


class Connection:
    """What an answer may do: send bytes, each time in one piece, and wait."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def closed_by_client(self) -> None:
        """Wait until the client hangs up."""
        while await self._reader.read(1024):
            pass


Answer = Callable[[Connection], Awaitable[None]]


@dataclass
class Server:
    """Serves the answers in order, the last one for ever. Every answer closes its connection."""

    answers: list[Answer]
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    """0 takes a free one."""
    url: str = ""

    def __post_init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._transports: set[asyncio.BaseTransport] = set()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.get_running_loop().create_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        # On a busy machine a connection may be accepted and its handler not begun: that takes some turns of the loop, and so does closing.
        await _turns()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for transport in self._transports:
            assert isinstance(transport, asyncio.WriteTransport)
            transport.abort()
        await _turns()

    def _connected(self) -> asyncio.Protocol:
        transports = self._transports

        class Tracked(asyncio.StreamReaderProtocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transports.add(transport)
                super().connection_made(transport)

        return Tracked(asyncio.StreamReader(), self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
            raw = await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked.append(Asked(method, path, headers, json.loads(raw) if raw else None, asyncio.get_running_loop().time()))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            await answer(Connection(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def whole(body: Any, status: str = "200 OK", **headers: str) -> Answer:
    """A complete response; `body` is sent as JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

    async def answer(connection: Connection) -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\nconnection: close\r\n{extra}\r\n"
        await connection.send(head.encode() + data)

    return answer


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def stream(*events: Any) -> Answer:
    """Server-sent events: a dict is sent as JSON (with its `type` as the event's name), text as it is."""

    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD + sse(*events))

    return answer


def sse(*events: Any) -> bytes:
    """The bytes of server-sent events."""
    text = ""
    for event in events:
        name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        text += f"{name}data: {event if isinstance(event, str) else json.dumps(event)}\n\n"
    return text.encode()


async def silence(connection: Connection) -> None:
    """Take the request and say nothing."""
    await connection.closed_by_client()


async def hang_up(connection: Connection) -> None:
    """Take the request and close the connection."""
