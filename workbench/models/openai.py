"""OpenAI: chat completions at any OpenAI-compatible endpoint: OpenAI, Ollama, vLLM, llama.cpp, OpenRouter, LiteLLM…

`build`, `parse` and `ChatStream` are the protocol and do no I/O.
"""

from __future__ import annotations

import logging
from typing import Any

from pydantic import SecretStr

from workbench.errors import ModelReplyMalformed, ModelRequestRejected
from workbench.models.client import ModelReply, ModelRequest, OnText
from workbench.models.http import RETRY, TIMEOUTS, Retry, Timeouts
from workbench.models.provider import Endpoint, ask
from workbench.models.wire import Parsed, count, cut_off, json_object, stream_error, with_text
from workbench.record.values import Usage

logger = logging.getLogger(__name__)

OFFICIAL = "https://api.openai.com/v1"

_DROPPABLE = ("temperature", "stop", "stream_options")
"""Parameters that some models or servers refuse and that a reply is still right without."""


class OpenAI:
    """A model behind an OpenAI-compatible chat completions endpoint.

    The address is `base_url`, OPENAI_BASE_URL, or OpenAI's own; the key is `api_key` or OPENAI_API_KEY. `timeout` is the seconds a request
    may take with all its retries, or `Timeouts`. `provider` is what the name starts with.

    Servers differ in what they accept. A parameter that one refuses as unsupported (`max_tokens` where it must be `max_completion_tokens`,
    `temperature` of reasoning models) is renamed or left out from then on, with a warning in the log.
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
        provider: str = "openai",
    ) -> None:
        self._model = model
        self._stream = stream
        self._endpoint = Endpoint.configured(
            provider,
            base_url=base_url,
            url_variable="OPENAI_BASE_URL",
            official=OFFICIAL,
            api_key=api_key,
            key_variable="OPENAI_API_KEY",
            timeout=timeout,
            retry=retry,
        )
        self._http = self._endpoint.http(lambda key: {"authorization": f"Bearer {key}"} if key else {})
        self._refused: set[str] = {"max_tokens"} if self._endpoint.public_url == OFFICIAL else set()

    def __repr__(self) -> str:
        return f"<OpenAI {self.name!r} at {self._endpoint.public_url}>"

    @property
    def name(self) -> str:
        """Provider and model, such as `openai:gpt-5-mini`."""
        return f"{self._endpoint.provider}:{self._model}"

    def spec(self) -> dict[str, Any]:
        """Provider, model, address and whether it streams; no key."""
        return {"provider": self._endpoint.provider, "model": self._model, "base_url": self._endpoint.public_url, "stream": self._stream}

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Ask once; see `ModelClient.complete`."""
        path, body = build(self._model, request, stream=self._stream)
        while True:
            accepted = without(body, self._refused)
            try:
                return await ask(self._http, self._endpoint, self._model, path, accepted, parse=parse, reader=ChatStream, on_text=on_text)
            except ModelRequestRejected as error:
                refused = refused_parameter(accepted, str(error)) if error.status in (400, 422) else None
                if refused is None:
                    raise
                logger.warning("model refuses a parameter; going on without", extra={"model": self.name, "parameter": refused})
                self._refused.add(refused)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def build(model: str, request: ModelRequest, *, stream: bool) -> tuple[str, dict[str, Any]]:
    """The path and body of a request. What the request leaves open is left out, so that the provider's default holds."""
    body: dict[str, Any] = {
        "model": model,
        # The record's tool messages are plain text, which providers accept from a user only.
        "messages": [
            {"role": "user" if message.role == "tool" else message.role, "content": message.content} for message in request.messages
        ],
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return "/chat/completions", body


def without(body: dict[str, Any], refused: set[str]) -> dict[str, Any]:
    """The body without refused parameters; `max_tokens` is renamed, since a limit must not get lost."""
    renamed = {"max_tokens": "max_completion_tokens"}
    return {
        renamed.get(name, name) if name in refused else name: value
        for name, value in body.items()
        if name not in refused or name in renamed
    }


def refused_parameter(body: dict[str, Any], complaint: str) -> str | None:
    """The parameter of the body that a refusal names as unsupported, when it can be done without."""
    if "max_tokens" in body and "max_completion_tokens" in complaint:
        return "max_tokens"
    lower = complaint.lower()
    if not any(words in lower for words in ("unsupported", "not support", "unknown parameter", "unrecognized", "extra inputs")):
        return None
    return next((name for name in _DROPPABLE if name in body and name in complaint), None)


def parse(data: dict[str, Any]) -> Parsed:
    """Read a whole reply.

    Raises:
        ModelReplyMalformed: when it has no choice with text.
        ModelUnavailable: when it is an error after all.
    """
    if data.get("error"):
        raise stream_error(data["error"], "")
    choice = _choice(data)
    if choice is None:
        raise ModelReplyMalformed("the reply has no choices")
    return with_text(Parsed(_text(choice.get("message")), _usage(data), data.get("model"), choice.get("finish_reason")))


class ChatStream:
    """Reads the chunks of a streamed reply."""

    def __init__(self) -> None:
        self._content = ""
        self._usage: Usage | None = None
        self._model: str | None = None
        self._finish_reason: str | None = None
        self._done = False

    def feed(self, event: str, data: str) -> str:
        """Take one chunk and return the text it adds."""
        if data.strip() == "[DONE]":
            self._done = True
            return ""
        if not data.strip():
            return ""
        chunk = json_object(data, "a part of the stream")
        if event == "error" or chunk.get("error"):
            raise stream_error(chunk.get("error", chunk), self._content)
        self._model = chunk.get("model") or self._model
        self._usage = _usage(chunk) or self._usage
        choice = _choice(chunk)
        if choice is None:
            return ""
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        text = _text(choice.get("delta"))
        self._content += text
        return text

    def finish(self) -> Parsed:
        """The whole reply; either `[DONE]` or a finish reason must have come."""
        if not (self._done or self._finish_reason):
            raise cut_off(self._content)
        return with_text(Parsed(self._content, self._usage, self._model, self._finish_reason))


def _choice(data: dict[str, Any]) -> dict[str, Any] | None:
    choices = data.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None


def _text(message: Any) -> str:
    """A message's text; some servers send it in parts, and a refusal is an answer too."""
    if not isinstance(message, dict):
        return ""
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _usage(data: dict[str, Any]) -> Usage | None:
    usage = data.get("usage")
    if not isinstance(usage, dict):
        return None
    return Usage(
        tokens_in=count(usage, "prompt_tokens"),
        tokens_out=count(usage, "completion_tokens"),
        cached_tokens=count(usage, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens=count(usage, "completion_tokens_details", "reasoning_tokens"),
    )
