"""The two protocols without a network: what is sent, and what is read from what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workbench.errors import ModelReplyMalformed, ModelUnavailable
from workbench.models import anthropic, openai
from workbench.models.client import ModelRequest
from workbench.models.wire import Parsed, count
from workbench.record.values import MAX_TOKENS, Message, Usage

MESSAGES = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Hi"),
    Message(role="assistant", content="Hello"),
    Message(role="tool", content="result: 5"),
)


def read(stream: Any, *events: Any) -> tuple[list[str], Parsed]:
    pieces = [stream.feed("", event if isinstance(event, str) else json.dumps(event)) for event in events]
    return [piece for piece in pieces if piece], stream.finish()


def test_an_openai_request() -> None:
    request = ModelRequest(messages=MESSAGES, temperature=0.7, max_tokens=100, stop=("END",))
    assert openai.build("gpt-5-mini", request, stream=True) == (
        "/chat/completions",
        {
            "model": "gpt-5-mini",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "result: 5"},
            ],
            "temperature": 0.7,
            "max_tokens": 100,
            "stop": ["END"],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    )


def test_what_a_request_leaves_open_is_left_out() -> None:
    _, body = openai.build("m", ModelRequest(messages=MESSAGES[1:2]), stream=False)
    assert body == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def test_an_anthropic_request_has_its_system_text_apart() -> None:
    request = ModelRequest(messages=MESSAGES, temperature=0.7, max_tokens=100, stop=("END",))
    assert anthropic.build("claude-sonnet-4-5", request, stream=True) == (
        "/v1/messages",
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 100,
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "result: 5"},
            ],
            "system": "Be brief.",
            "temperature": 0.7,
            "stop_sequences": ["END"],
            "stream": True,
        },
    )


def test_anthropic_always_has_a_limit() -> None:
    _, body = anthropic.build("m", ModelRequest(messages=MESSAGES[1:2]), stream=False)
    assert body == {"model": "m", "max_tokens": 8192, "messages": [{"role": "user", "content": "Hi"}]}


OPENAI_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def test_an_openai_reply() -> None:
    data = {
        "model": "gpt-5-mini-2025-08-07",
        "choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": OPENAI_USAGE,
    }
    assert openai.parse(data) == Parsed(
        "Hello", Usage(tokens_in=20, tokens_out=10, cached_tokens=5, reasoning_tokens=4), "gpt-5-mini-2025-08-07", "stop"
    )


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
        ({"content": None, "refusal": "I will not."}, "I will not."),
    ],
)
def test_other_forms_of_an_openai_message(message: Any, text: str) -> None:
    assert openai.parse({"choices": [{"message": message}]}).content == text


def test_an_openai_stream() -> None:
    pieces, parsed = read(
        openai.ChatStream(),
        {"model": "m", "choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"content": "Hel"}}], "usage": None},
        {"choices": [{"delta": {"content": "lo"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": OPENAI_USAGE},
        "[DONE]",
    )
    assert pieces == ["Hel", "lo"]
    assert parsed == Parsed("Hello", Usage(tokens_in=20, tokens_out=10, cached_tokens=5, reasoning_tokens=4), "m", "stop")


def test_a_stream_without_usage_has_none() -> None:
    _, parsed = read(openai.ChatStream(), {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]})
    assert parsed.usage is None


ANTHROPIC_EVENTS = [
    {
        "type": "message_start",
        "message": {
            "model": "claude-sonnet-4-5",
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 6, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12, "input_tokens": None}},
    {"type": "something_new"},
    {"type": "message_stop"},
]


def test_an_anthropic_stream() -> None:
    pieces, parsed = read(anthropic.MessageStream(), *ANTHROPIC_EVENTS)
    assert pieces == ["Hel", "lo"]
    assert parsed == Parsed("Hello", Usage(tokens_in=20, tokens_out=12, cached_tokens=4), "claude-sonnet-4-5", "end_turn", 6)


def test_an_anthropic_reply() -> None:
    data = {
        "model": "claude-sonnet-4-5",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 12},
    }
    assert anthropic.parse(data) == Parsed("Hello", Usage(tokens_in=10, tokens_out=12), "claude-sonnet-4-5", "end_turn")


MALFORMED = [
    (openai.ChatStream, ["not json"], "not JSON: not json"),
    (openai.ChatStream, ["[1]"], "not a JSON object"),
    (openai.ChatStream, [{"choices": [{"delta": {"content": "half"}}]}], "ended after 4 characters"),
    (openai.ChatStream, [], "ended after 0 characters"),
    (openai.ChatStream, ["[DONE]"], "has no text"),
    (openai.ChatStream, [{"choices": [{"delta": {}, "finish_reason": "length"}]}], "raise max_tokens"),
    (openai.ChatStream, [{"choices": [{"delta": {"content": "half"}}]}, {"error": {"message": "overloaded"}}], "broke off.*overloaded"),
    (anthropic.MessageStream, ["{"], "not JSON"),
    (anthropic.MessageStream, ANTHROPIC_EVENTS[:5], "ended after 3 characters"),
    (anthropic.MessageStream, [{"type": "message_stop"}], "has no text"),
    (anthropic.MessageStream, [*ANTHROPIC_EVENTS[:5], {"type": "error", "error": {"message": "Overloaded"}}], "broke off.*Overloaded"),
]


@pytest.mark.parametrize(("stream", "events", "words"), MALFORMED)
def test_a_stream_that_cannot_be_read_is_malformed(stream: Any, events: list[Any], words: str) -> None:
    with pytest.raises(ModelReplyMalformed, match=words):
        read(stream(), *events)


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        (openai.ChatStream, {"error": {"message": "overloaded"}}),
        (anthropic.MessageStream, {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}),
    ],
)
def test_an_error_before_any_text_may_be_tried_again(stream: Any, event: Any) -> None:
    with pytest.raises(ModelUnavailable, match="overloaded"):
        read(stream(), event)


@pytest.mark.parametrize("data", [{}, {"choices": []}, {"choices": [None]}, {"choices": [{"message": {}}]}, {"choices": "x"}])
def test_an_openai_reply_without_text_is_malformed(data: Any) -> None:
    with pytest.raises(ModelReplyMalformed):
        openai.parse(data)


@pytest.mark.parametrize("data", [{}, {"content": []}, {"content": [{"type": "tool_use"}]}])
def test_an_anthropic_reply_without_text_is_malformed(data: Any) -> None:
    with pytest.raises(ModelReplyMalformed):
        anthropic.parse(data)


@pytest.mark.parametrize(
    ("complaint", "parameter"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "max_tokens"),
        ("Unsupported value: 'temperature' does not support 0.7 with this model.", "temperature"),
        ("Extra inputs are not permitted: stream_options", "stream_options"),
        ("temperature must be between 0 and 2", None),
        ("context length exceeded", None),
    ],
)
def test_a_refused_parameter_is_recognised(complaint: str, parameter: str | None) -> None:
    _, body = openai.build("m", ModelRequest(messages=MESSAGES, temperature=0.7, max_tokens=5), stream=True)
    assert openai.refused_parameter(body, complaint) == parameter


def test_a_refused_limit_is_renamed_and_others_left_out() -> None:
    body = {"model": "m", "max_tokens": 5, "temperature": 1.0}
    assert openai.without(body, {"max_tokens", "temperature"}) == {"model": "m", "max_completion_tokens": 5}


@pytest.mark.parametrize(("said", "counted"), [(7, 7), (-1, 0), (10**30, MAX_TOKENS), ("7", 0), (None, 0)])
def test_a_servers_numbers_are_kept_within_what_a_record_can_hold(said: Any, counted: int) -> None:
    assert count({"usage": {"tokens": said}}, "usage", "tokens") == counted
