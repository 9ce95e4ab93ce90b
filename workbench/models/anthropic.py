"""Anthropic: the messages API. `build`, `parse` and `MessageStream` are the protocol and do no I/O."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from workbench.models.client import ModelReply, ModelRequest, OnText
from workbench.models.http import RETRY, TIMEOUTS, Retry, Timeouts
from workbench.models.provider import Endpoint, ask
from workbench.models.wire import Parsed, count, cut_off, json_object, stream_error, with_text
from workbench.record.values import Usage

OFFICIAL = "https://api.anthropic.com"

VERSION = "2023-06-01"
"""The API version, sent with every request."""

DEFAULT_MAX_TOKENS = 8192
"""The API demands a limit; this one is sent where the request sets none."""


class Anthropic:
    """A model behind Anthropic's messages API.

    The address is `base_url`, ANTHROPIC_BASE_URL, or Anthropic's own; the key is `api_key` or ANTHROPIC_API_KEY. `timeout` is the seconds a
    request may take with all its retries, or `Timeouts`.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | SecretStr | None = None,
        timeout: float | Timeouts = TIMEOUTS,
        retry: Retry = RETRY,
        stream: bool = True,
    ) -> None:
        self._model = model
        self._stream = stream
        self._endpoint = Endpoint.configured(
            "anthropic",
            base_url=base_url,
            url_variable="ANTHROPIC_BASE_URL",
            official=OFFICIAL,
            api_key=api_key,
            key_variable="ANTHROPIC_API_KEY",
            timeout=timeout,
            retry=retry,
        )
        self._http = self._endpoint.http(lambda key: {"anthropic-version": VERSION, **({"x-api-key": key} if key else {})})

    def __repr__(self) -> str:
        return f"<Anthropic {self.name!r} at {self._endpoint.public_url}>"

    @property
    def name(self) -> str:
        """`anthropic:` and the model."""
        return f"anthropic:{self._model}"

    def spec(self) -> dict[str, Any]:
        """Provider, model, address and whether it streams; no key."""
        return {"provider": "anthropic", "model": self._model, "base_url": self._endpoint.public_url, "stream": self._stream}

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Ask once; see `ModelClient.complete`."""
        path, body = build(self._model, request, stream=self._stream)
        return await ask(self._http, self._endpoint, self._model, path, body, parse=parse, reader=MessageStream, on_text=on_text)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def build(model: str, request: ModelRequest, *, stream: bool) -> tuple[str, dict[str, Any]]:
    """The path and body of a request; system messages stand apart from the conversation."""
    system = "\n\n".join(message.content for message in request.messages if message.role == "system")
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens,
        # The record's tool messages are plain text, which the API accepts from a user only.
        "messages": [
            {"role": "assistant" if message.role == "assistant" else "user", "content": message.content}
            for message in request.messages
            if message.role != "system"
        ],
    }
    if system:
        body["system"] = system
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if stream:
        body["stream"] = True
    return "/v1/messages", body


def parse(data: dict[str, Any]) -> Parsed:
    """Read a whole reply.

    Raises:
        ModelReplyMalformed: when it has no text.
        ModelUnavailable: when it is an error after all.
    """
    if data.get("type") == "error":
        raise stream_error(data.get("error"), "")
    blocks = data.get("content")
    content = "".join(str(block.get("text", "")) for block in blocks or [] if isinstance(block, dict) and block.get("type") == "text")
    usage = data.get("usage")
    counts = usage if isinstance(usage, dict) else None
    return with_text(
        Parsed(content, None if counts is None else _usage(counts), data.get("model"), data.get("stop_reason"), _cache_writes(counts or {}))
    )


class MessageStream:
    """Reads the events of a streamed reply."""

    def __init__(self) -> None:
        self._content = ""
        self._counts: dict[str, Any] = {}
        self._model: str | None = None
        self._stop_reason: str | None = None
        self._stopped = False

    def feed(self, event: str, data: str) -> str:
        """Take one event and return the text it adds; events of kinds that came later than this code are passed over."""
        if not data.strip():
            return ""
        body = json_object(data, "a part of the stream")
        match body.get("type", event):
            case "message_start":
                message = _dict(body.get("message"))
                self._model = message.get("model")
                self._counts |= _dict(message.get("usage"))
            case "content_block_delta":
                text = _dict(body.get("delta")).get("text")
                if isinstance(text, str):
                    self._content += text
                    return text
            case "message_delta":
                self._stop_reason = _dict(body.get("delta")).get("stop_reason") or self._stop_reason
                # Counts in later events are totals, not additions; a null leaves what was there.
                self._counts |= {name: value for name, value in _dict(body.get("usage")).items() if value is not None}
            case "message_stop":
                self._stopped = True
            case "error":
                raise stream_error(body.get("error"), self._content)
        return ""

    def finish(self) -> Parsed:
        """The whole reply; `message_stop` or a stop reason must have come."""
        if not (self._stopped or self._stop_reason):
            raise cut_off(self._content)
        usage = _usage(self._counts) if self._counts else None
        return with_text(Parsed(self._content, usage, self._model, self._stop_reason, _cache_writes(self._counts)))


def _usage(counts: dict[str, Any]) -> Usage:
    """Anthropic counts cached input apart; ours includes it, as OpenAI's does."""
    cached = count(counts, "cache_read_input_tokens")
    return Usage(
        tokens_in=count(counts, "input_tokens") + cached + _cache_writes(counts),
        tokens_out=count(counts, "output_tokens"),
        cached_tokens=cached,
    )


def _cache_writes(counts: dict[str, Any]) -> int:
    return count(counts, "cache_creation_input_tokens")


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
