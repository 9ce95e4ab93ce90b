"""What both protocols share in reading a reply. Pure: bytes have become text before they come here."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Protocol

from workbench.errors import ModelReplyMalformed, ModelUnavailable
from workbench.record.values import MAX_TOKENS, Usage


class Parsed(NamedTuple):
    """What a provider's reply says."""

    content: str
    usage: Usage | None
    """None where the provider did not say; such a reply has no price."""
    model: str | None
    finish_reason: str | None
    cache_write_tokens: int = 0
    """Input tokens written to the provider's cache; they are part of `usage.tokens_in` and priced apart."""


class StreamReader(Protocol):
    """Reads a stream event by event."""

    def feed(self, event: str, data: str) -> str:
        """Take one event and return the text it adds.

        Raises:
            ModelReplyMalformed: the event cannot be read.
            ModelUnavailable: the provider reports an error before any text; the request may be repeated.
        """
        ...

    def finish(self) -> Parsed:
        """The whole reply.

        Raises:
            ModelReplyMalformed: the stream ended before the reply did, or the reply has no text.
        """
        ...


def json_object(text: str, what: str) -> dict[str, Any]:
    """Parse a JSON object or say what was there instead."""
    try:
        data = json.loads(text)
    except ValueError:
        raise ModelReplyMalformed(f"{what} is not JSON: {excerpt(text)}") from None
    if not isinstance(data, dict):
        raise ModelReplyMalformed(f"{what} is not a JSON object: {excerpt(text)}")
    return data


def stream_error(error: Any, so_far: str) -> Exception:
    """What an error event means: before any text the request may be repeated, afterwards the reply has broken off."""
    message = error.get("message") if isinstance(error, dict) else error
    if so_far:
        return ModelReplyMalformed(f"the reply broke off after {len(so_far)} characters; the provider says: {excerpt(str(message))}")
    return ModelUnavailable(f"the provider reports an error: {excerpt(str(message))}")


def with_text(parsed: Parsed) -> Parsed:
    """The reply itself, if it says anything."""
    if parsed.content:
        return parsed
    if parsed.finish_reason in ("length", "max_tokens"):
        raise ModelReplyMalformed("the model used up max_tokens before it wrote any text; raise max_tokens")
    raise ModelReplyMalformed(f"the reply has no text (finish reason: {parsed.finish_reason})")


def cut_off(so_far: str) -> ModelReplyMalformed:
    """The stream ended although the reply had not."""
    return ModelReplyMalformed(f"the stream ended after {len(so_far)} characters without the end of the reply")


def count(data: dict[str, Any], *path: str) -> int:
    """A token count at a path in a usage object; 0 where it is absent or no number, and never more than a record can add up."""
    value: Any = data
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return min(max(value, 0), MAX_TOKENS) if isinstance(value, int) else 0


def excerpt(text: str, limit: int = 200) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit]}…"
