"""A chat completions server whose replies cost next to nothing, in a process of its own.

`/KEY/STEPS/FINISH/v1/chat/completions` answers the first STEPS - 1 requests of each KEY with a small block of Python and the last one with
a call of the function FINISH. It reads no prompt: each reply follows from how many came before it. A reply is one write, without Nagle's
delay.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

BLOCK = """Thought: I square a few numbers and look at their sum before I go on with step {step}.
<code>
numbers = [n * n for n in range(10)]
total = sum(numbers) + {step}
print("step {step} has the total", total)
</code>"""

LAST = """Thought: that is all.
<code>
{finish}("done")
</code>"""


ASKED: Counter[str] = Counter()
"""Requests so far, by key."""


class Chat(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = bytearray()
        self.needed = 0
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.needed:
            head, found, _ = self.received.partition(b"\r\n\r\n")
            if not found:
                return
            lines = head.decode().split("\r\n")
            self.path = lines[0].split()[1]
            length = next(line.partition(":")[2] for line in lines if line.lower().startswith("content-length:"))
            self.needed = len(head) + 4 + int(length)
        if len(self.received) >= self.needed:
            self.received, self.needed = bytearray(), 0
            self.transport.write(self.reply(self.path))

    def reply(self, path: str) -> bytes:
        _, key, steps, finish, *_ = path.split("/")
        step, ASKED[key] = ASKED[key], ASKED[key] + 1
        text = BLOCK.format(step=step) if step < int(steps) - 1 else LAST.format(finish=finish)
        body = {
            "id": f"chatcmpl-{step}",
            "object": "chat.completion",
            "created": 1_750_000_000,
            "model": "bench",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
        }
        data = json.dumps(body).encode()
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data)


@contextlib.contextmanager
def running() -> Iterator[str]:
    """A server in a process of its own; gives its address."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.communicate()


async def serve() -> None:
    """Serve on a free port and print it."""
    server = await asyncio.get_running_loop().create_server(Chat, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
