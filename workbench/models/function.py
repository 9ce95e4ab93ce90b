"""Function: any callable from messages to text as a model."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

from workbench.errors import ModelError, ModelReplyMalformed
from workbench.models.client import ModelReply, ModelRequest, OnText
from workbench.record.values import Message


class Function:
    """Asks a callable. A synchronous one runs in a thread; what it uses and costs is not known."""

    def __init__(self, fn: Callable[[tuple[Message, ...]], str | Awaitable[str]], *, name: str | None = None) -> None:
        self._fn = fn
        self._name = name or getattr(fn, "__name__", type(fn).__name__)

    def __repr__(self) -> str:
        return f"<Function {self.name!r}>"

    @property
    def name(self) -> str:
        """`function:` and the callable's name."""
        return f"function:{self._name}"

    def spec(self) -> dict[str, Any]:
        """The provider and the callable's name."""
        return {"provider": "function", "model": self._name}

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Call it once.

        Raises:
            ModelError: when it raises; the cause is attached.
            ModelReplyMalformed: when it returns something other than text.
        """
        started = time.perf_counter()
        try:
            answer: Any = (
                self._fn(request.messages) if inspect.iscoroutinefunction(self._fn) else await asyncio.to_thread(self._fn, request.messages)
            )
            content = await answer if inspect.isawaitable(answer) else answer
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"{self.name} raised {type(error).__name__}: {error}") from error
        if not isinstance(content, str) or not content:
            raise ModelReplyMalformed(f"{self.name} returned a {type(content).__name__} instead of a text")
        if on_text is not None:
            on_text(content)
        return ModelReply(content=content, model=self.name, finish_reason="stop", latency_ms=(time.perf_counter() - started) * 1000)

    async def aclose(self) -> None:
        """Nothing to close."""
