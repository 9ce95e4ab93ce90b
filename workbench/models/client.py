"""What every model client does: a conversation goes in, one reply with its usage and cost comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from workbench.record.values import Message, Usage, Value

OnText = Callable[[str], None]
"""Receives pieces of a reply as they come. They are for watching only: the reply itself is what counts, and nothing stores the pieces."""


class ModelRequest(Value):
    """One question to a model."""

    messages: tuple[Message, ...]
    temperature: float | None = None
    """None leaves it to the provider."""
    max_tokens: int | None = None
    """None leaves it to the provider."""
    stop: tuple[str, ...] = ()
    """Texts that end the reply where they would begin."""


class ModelReply(Value):
    """One answer."""

    content: str
    usage: Usage = Usage()
    model: str
    """The model that answered, as the provider names it."""
    finish_reason: str | None = None
    """In the provider's words; `length` (OpenAI) and `max_tokens` (Anthropic) mean that the text is cut off."""
    cost_usd: str | None = None
    """An exact decimal string; None where the price is not known."""
    price_table: str | None = None
    """Which version of the price table it is by."""
    latency_ms: float = 0.0
    """From the first byte sent to the last received, retries included."""
    retries: int = 0


@runtime_checkable
class ModelClient(Protocol):
    """A model that can be asked. Clients hold no conversation: the same request may be sent by any number of runs at once."""

    @property
    def name(self) -> str:
        """Provider and model, such as `openai:gpt-5-mini`."""
        ...

    def spec(self) -> dict[str, Any]:
        """What the record's manifest keeps: enough to see which model it was, never a key."""
        ...

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Ask once. Cancelling it closes the connection.

        Raises:
            ModelRequestRejected: the provider refused the request (4xx).
            ModelUnavailable: 429, 5xx or no connection, after all retries.
            ModelTimeout: no answer in time.
            ModelReplyMalformed: the answer could not be read, or broke off.
        """
        ...

    async def aclose(self) -> None:
        """Close connections; a later request opens new ones."""
        ...
