"""Models over real HTTP, against a server on loopback."""

from __future__ import annotations

import asyncio
import email.utils
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from tests.models.server import STREAM_HEAD, Answer, Connection, Server, hang_up, silence, sse, stream, whole
from workbench.errors import (
    ConfigurationError,
    ModelReplyMalformed,
    ModelRequestRejected,
    ModelTimeout,
    ModelUnavailable,
)
from workbench.models import Anthropic, ModelClient, ModelRequest, OpenAI
from workbench.models.http import Retry, Timeouts, retry_after
from workbench.record.values import Message, Usage

KEY = "sk-canary-0123456789"
QUICK = Retry(attempts=3, first_wait=0.001, longest_wait=1.0)
HELLO = ModelRequest(messages=(Message(role="user", content="Hi"),), max_tokens=5)

WHOLE = {
    "model": "m-1",
    "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
CHUNKS: list[Any] = [
    {"model": "m-1", "choices": [{"delta": {"content": "Hel"}}]},
    {"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    "[DONE]",
]
UNAVAILABLE = whole({"error": {"message": "try later"}}, "500 Internal Server Error")


@asynccontextmanager
async def asking(*answers: Answer, **options: Any) -> AsyncIterator[tuple[Server, OpenAI]]:
    async with Server(list(answers)) as server:
        client = OpenAI("m", **({"base_url": f"{server.url}/v1", "api_key": KEY, "retry": QUICK} | options))
        try:
            yield server, client
        finally:
            await client.aclose()


async def test_a_whole_reply() -> None:
    async with asking(whole(WHOLE), stream=False) as (_server, client):
        pieces: list[str] = []
        reply = await client.complete(HELLO, pieces.append)
    assert (reply.content, reply.model, reply.finish_reason) == ("Hello", "m-1", "stop")
    assert reply.usage == Usage(tokens_in=3, tokens_out=2)
    assert (reply.cost_usd, reply.retries) == (None, 0)
    assert reply.latency_ms > 0
    assert pieces == ["Hello"]


async def test_a_streamed_reply_is_the_same_and_comes_in_pieces() -> None:
    async with asking(stream(*CHUNKS)) as (_server, client):
        pieces: list[str] = []
        reply = await client.complete(HELLO, pieces.append)
    assert (reply.content, reply.usage, reply.finish_reason) == ("Hello", Usage(tokens_in=3, tokens_out=2), "stop")
    assert pieces == ["Hel", "lo"]


async def test_what_is_sent() -> None:
    async with asking(stream(*CHUNKS)) as (server, client):
        await client.complete(HELLO)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/v1/chat/completions")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_pieces_arrive_while_the_model_still_writes() -> None:
    seen = asyncio.Event()

    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD + sse(CHUNKS[0]))
        await asyncio.wait_for(seen.wait(), 2)
        await connection.send(sse(*CHUNKS[1:]))

    async with asking(answer) as (_, client):
        reply = await client.complete(HELLO, lambda _: seen.set())
    assert reply.content == "Hello"


async def test_an_event_may_be_split_anywhere() -> None:
    async def answer(connection: Connection) -> None:
        data = STREAM_HEAD + sse({"choices": [{"delta": {"content": "grün €"}, "finish_reason": "stop"}]}, "[DONE]")
        for byte in data:
            await connection.send(bytes([byte]))

    async with asking(answer) as (_, client):
        assert (await client.complete(HELLO)).content == "grün €"


async def test_retry_after_is_honoured() -> None:
    slow = Retry(attempts=3, first_wait=30, longest_wait=60)
    limited = whole({"error": {"message": "slow down"}}, "429 Too Many Requests", retry_after="0.05")
    async with asking(limited, limited, stream(*CHUNKS), retry=slow) as (server, client):
        reply = await client.complete(HELLO)
    assert reply.retries == 2
    waits = [later.at - earlier.at for earlier, later in zip(server.asked, server.asked[1:], strict=False)]
    assert len(waits) == 2
    assert all(0.05 <= wait < 5 for wait in waits), waits


async def test_a_retry_after_beyond_the_limit_ends_the_attempts() -> None:
    async with asking(whole({}, "429 Too Many Requests", retry_after="3600")) as (server, client):
        with pytest.raises(ModelUnavailable, match=r"429 Too Many Requests.*asks to wait 3600 s"):
            await client.complete(HELLO)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), (email.utils.formatdate(1010, usegmt=True), 10.0)],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, now=1000.0) == seconds


async def test_a_failure_that_passes_is_survived() -> None:
    async with asking(UNAVAILABLE, hang_up, stream(*CHUNKS)) as (server, client):
        reply = await client.complete(HELLO)
    assert (reply.content, reply.retries, len(server.asked)) == ("Hello", 2, 3)


async def test_a_failure_that_stays_is_unavailable() -> None:
    async with asking(UNAVAILABLE) as (server, client):
        with pytest.raises(ModelUnavailable, match=r"127.0.0.1:\d+ answered 500 Internal Server Error: try later \(after 3 attempts\)"):
            await client.complete(HELLO)
    assert len(server.asked) == 3


async def test_no_server_is_unavailable() -> None:
    async with asking(silence) as (server, _):
        url = server.url
    client = OpenAI("m", base_url=url, retry=QUICK)
    with pytest.raises(ModelUnavailable, match=r"cannot be reached, ConnectError.*after 3 attempts"):
        await client.complete(HELLO)
    await client.aclose()


async def test_an_overload_reported_in_the_stream_is_tried_again() -> None:
    async with asking(stream({"error": {"message": "overloaded"}}), stream(*CHUNKS)) as (_server, client):
        assert (await client.complete(HELLO)).retries == 1


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "301 Moved Permanently"])
async def test_a_refusal_is_immediate(status: str) -> None:
    async with asking(whole({"error": {"message": "no"}}, status)) as (server, client):
        with pytest.raises(ModelRequestRejected, match=f"{status}: no") as caught:
            await client.complete(HELLO)
    assert caught.value.status == int(status[:3])
    assert len(server.asked) == 1


async def test_an_empty_purse_is_no_rate_limit() -> None:
    body = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    async with asking(whole(body, "429 Too Many Requests")) as (server, client):
        with pytest.raises(ModelRequestRejected, match="quota"):
            await client.complete(HELLO)
    assert len(server.asked) == 1


async def test_the_key_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        whole({"error": {"message": f"Incorrect API key provided: {KEY}"}}, "401 Unauthorized"),
        whole(f"<h1>{KEY}</h1>".encode(), "500 Internal Server Error"),
        whole(f"<h1>{KEY}</h1>".encode()),
        stream(f"not json {KEY}"),
    ]
    shown = []
    for answer in answers:
        async with asking(answer, api_key=SecretStr(KEY)) as (_, client):
            with pytest.raises((ModelRequestRejected, ModelUnavailable, ModelReplyMalformed)) as caught:
                await client.complete(HELLO)
            shown += [str(caught.value), repr(caught.value), repr(client), repr(vars(client)), repr(client.spec()), client.name]
    logged = repr([vars(record) for record in caplog.records])
    assert KEY not in "".join(shown) + logged + caplog.text
    assert all("**********" in text for text in shown[0::6])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (stream("not json"), "not JSON"),
        (stream(CHUNKS[0]), "ended after 3 characters"),
        (stream(), "ended after 0 characters"),
        (whole(b"<html>login</html>"), "sent application/json instead of a stream: <html>login</html>"),
    ],
)
async def test_a_bad_stream_is_malformed_and_not_tried_again(answer: Answer, words: str) -> None:
    async with asking(answer) as (server, client):
        with pytest.raises(ModelReplyMalformed, match=words):
            await client.complete(HELLO)
    assert len(server.asked) == 1


async def test_a_stream_cut_inside_its_transfer_is_malformed() -> None:
    async def answer(connection: Connection) -> None:
        part = sse(CHUNKS[0])
        head = STREAM_HEAD.replace(b"connection: close", b"transfer-encoding: chunked")
        await connection.send(head + f"{len(part):x}\r\n".encode() + part + b"\r\n")

    async with asking(answer) as (server, client):
        with pytest.raises(ModelReplyMalformed, match="broke off after 3 characters"):
            await client.complete(HELLO)
    assert len(server.asked) == 1


async def test_a_whole_reply_that_is_cut_or_no_json_is_malformed() -> None:
    async def cut(connection: Connection) -> None:
        await connection.send(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"choices"')

    for answer, words in [(cut, "broke off in the middle"), (whole(b"<html>"), "the reply is not JSON: <html>")]:
        async with asking(answer, stream=False) as (server, client):
            with pytest.raises(ModelReplyMalformed, match=words):
                await client.complete(HELLO)
        assert len(server.asked) == 1


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with asking(silence, timeout=Timeouts(read=0.2)) as (server, client):
        with pytest.raises(ModelTimeout, match=r"sent nothing for 0.2 s"):
            await client.complete(HELLO)
    assert len(server.asked) == 1


async def test_a_server_that_stops_talking_is_given_up() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD + sse(CHUNKS[0]))
        await connection.closed_by_client()

    async with asking(answer, timeout=Timeouts(read=0.3)) as (_, client):
        with pytest.raises(ModelTimeout, match="after 3 characters"):
            await client.complete(HELLO)


async def test_the_total_limit_counts_retries() -> None:
    patient = Retry(attempts=3, first_wait=0.001, longest_wait=60)
    answer = whole({"error": {"message": "slow down"}}, "429 Too Many Requests", retry_after="30")
    async with asking(answer, timeout=1, retry=patient) as (server, client):
        with pytest.raises(ModelTimeout, match=r"within 1 s, retries included; the last failure: .*429 Too Many Requests: slow down"):
            await client.complete(HELLO)
    assert len(server.asked) == 1


async def test_a_slow_stream_ends_with_the_total_limit() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        while True:
            await connection.send(sse(CHUNKS[0]))
            await asyncio.sleep(0.01)

    async with asking(answer, timeout=0.3) as (_, client):
        with pytest.raises(ModelTimeout, match=r"within 0.3 s, retries included"):
            await client.complete(HELLO)


async def test_cancelling_closes_the_connection() -> None:
    started, closed = asyncio.Event(), asyncio.Event()

    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD + sse(CHUNKS[0]))
        await connection.closed_by_client()
        closed.set()

    async with asking(answer) as (_, client):
        call = asyncio.create_task(client.complete(HELLO, lambda _: started.set()))
        await asyncio.wait_for(started.wait(), 2)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(closed.wait(), 2)


async def test_a_callers_deadline_is_the_callers() -> None:
    async with asking(silence) as (_, client):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.complete(HELLO)


async def test_a_refused_parameter_is_left_out_from_then_on(caplog: pytest.LogCaptureFixture) -> None:
    refuse = [
        whole({"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}, "400 Bad Request"),
        whole({"error": {"message": "Unsupported value: 'temperature' does not support 0.7"}}, "400 Bad Request"),
    ]
    async with asking(*refuse, stream(*CHUNKS)) as (server, client):
        request = HELLO.model_copy(update={"temperature": 0.7})
        await client.complete(request)
        await client.complete(request)
    assert [sorted({"max_tokens", "max_completion_tokens", "temperature"} & set(asked.body)) for asked in server.asked] == [
        ["max_tokens", "temperature"],
        ["max_completion_tokens", "temperature"],
        ["max_completion_tokens"],
        ["max_completion_tokens"],
    ]
    assert [vars(record)["parameter"] for record in caplog.records if record.name == "workbench.models.openai"] == [
        "max_tokens",
        "temperature",
    ]


async def test_anthropic_over_http() -> None:
    events = [
        {"type": "message_start", "message": {"model": "claude-sonnet-4-5", "usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    async with Server([whole({"type": "error", "error": {"message": "Overloaded"}}, "529 Overloaded"), stream(*events)]) as server:
        client = Anthropic("claude-sonnet-4-5", base_url=server.url, api_key=KEY, retry=QUICK)
        reply = await client.complete(HELLO)
        await client.aclose()
    assert (reply.content, reply.usage, reply.retries) == ("Hello", Usage(tokens_in=3, tokens_out=2), 1)
    assert server.asked[0].path == "/v1/messages"
    assert server.asked[0].headers["x-api-key"] == KEY
    assert server.asked[0].headers["anthropic-version"] == "2023-06-01"
    assert KEY not in repr(client) + repr(client.spec())


async def test_the_address_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server([stream(*CHUNKS)]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/api/")
        monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
        client = OpenAI("m")
        await client.complete(HELLO)
        await client.aclose()
    assert server.asked[0].path == "/api/chat/completions"
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


async def test_without_a_key_none_is_sent() -> None:
    async with asking(stream(*CHUNKS), api_key=None) as (server, client):
        await client.complete(HELLO)
    assert "authorization" not in server.asked[0].headers


def test_a_client_serves_one_loop_after_another() -> None:
    async def once(server: Server) -> str:
        async with server:
            clients.append(OpenAI("m", base_url=server.url) if not clients else clients[0])
            reply = await clients[0].complete(HELLO)
            await clients[0].aclose()
            return reply.content

    clients: list[OpenAI] = []
    first = Server([stream(*CHUNKS)])
    assert asyncio.run(once(first)) == "Hello"
    assert asyncio.run(once(Server([stream(*CHUNKS)], port=first.port))) == "Hello"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OpenAI("m"), "OPENAI_API_KEY"),
        (lambda: Anthropic("m"), "ANTHROPIC_API_KEY"),
        (lambda: OpenAI("m", base_url="localhost:8000"), "no address"),
        (lambda: OpenAI("m", base_url="http://localhost", api_key=f"{KEY}\nX"), "no key has"),
        (lambda: OpenAI("m", base_url="http://localhost", api_key=f"{KEY}…"), "no key has"),
    ],
)
def test_a_wrong_configuration_is_named_at_once(make: Callable[[], ModelClient], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        make()
    assert KEY not in str(caught.value)


def test_private_parts_of_an_address_are_not_shown() -> None:
    client = OpenAI("m", base_url="https://user:secret@gateway.example:8443/v1?token=secret")
    assert client.spec()["base_url"] == "https://gateway.example:8443/v1"
    assert "secret" not in repr(client)
