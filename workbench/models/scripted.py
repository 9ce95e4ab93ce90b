"""Scripted: a model whose replies are written beforehand, for tests, documentation and demonstrations without a network.

It says plainly what it is: its name starts with `scripted:` and it costs 0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from workbench.errors import ModelError, UserError
from workbench.models.client import ModelReply, ModelRequest, OnText
from workbench.record import codec
from workbench.record.values import Message, Usage

Line = str | Callable[[tuple[Message, ...]], str]

_PIECES = 3
"""Into how many pieces a reply is streamed."""


class Scripted:
    """Answers with the next line of its script.

    Which line is next follows from the request alone, the number of assistant messages in it: a run that is resumed, forked or served by
    another client with the same script goes on at the right place. A line may be a function of the messages. `usage` is reported with every
    reply; `delay` is how many seconds one takes.
    """

    def __init__(self, replies: Sequence[Line], *, name: str = "script", usage: Usage | None = None, delay: float = 0) -> None:
        self._replies = tuple(replies)
        if isinstance(replies, str) or not all(isinstance(line, str) or callable(line) for line in self._replies):
            raise UserError("a script is a list of replies, each a text or a function of the messages; write Scripted(['hello'])")
        self._name = name
        self._usage = usage or Usage()
        self._delay = delay

    def __repr__(self) -> str:
        return f"<Scripted {self.name!r}: {len(self._replies)} replies>"

    @property
    def name(self) -> str:
        """`scripted:` and the script's name."""
        return f"scripted:{self._name}"

    def spec(self) -> dict[str, Any]:
        """The provider, the script's name, length and hash."""
        texts = [line if isinstance(line, str) else getattr(line, "__qualname__", type(line).__name__) for line in self._replies]
        return {"provider": "scripted", "model": self._name, "replies": len(texts), "hash": codec.digest(texts)}

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """The next line.

        Raises:
            ModelError: when the script has no more.
        """
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn >= len(self._replies):
            raise ModelError(f"the script {self.name!r} has no reply {turn + 1}: it ends with number {len(self._replies)}; add it")
        line = self._replies[turn]
        content = line if isinstance(line, str) else line(request.messages)
        size = -(-len(content) // _PIECES) or 1
        pieces = [content[start : start + size] for start in range(0, len(content), size)]
        for piece in pieces:
            if self._delay:
                await asyncio.sleep(self._delay / len(pieces))
            if on_text is not None:
                on_text(piece)
        # The latency is the script's own: a clock would make two recordings of the same run differ.
        return ModelReply(
            content=content, usage=self._usage, model=self.name, finish_reason="stop", cost_usd="0", latency_ms=self._delay * 1000
        )

    async def aclose(self) -> None:
        """Nothing to close."""
