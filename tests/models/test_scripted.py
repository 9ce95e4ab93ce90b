"""Scripted models: which line comes next follows from the request alone."""

from __future__ import annotations

import time
from typing import Any

import pytest

from workbench.errors import ModelError, UserError
from workbench.models import ModelClient, ModelRequest, Scripted
from workbench.record.values import Message, Usage


def after(*replies: str) -> ModelRequest:
    messages = [Message(role="user", content="task")]
    for reply in replies:
        messages += [Message(role="assistant", content=reply), Message(role="user", content="output")]
    return ModelRequest(messages=tuple(messages))


async def test_the_next_line_follows_from_the_conversation() -> None:
    first, resumed = Scripted(["one", "two"]), Scripted(["one", "two"])
    assert (await first.complete(after())).content == "one"
    assert (await resumed.complete(after("one"))).content == "two", "a new client goes on where the conversation stands"
    assert (await first.complete(after())).content == "one"


async def test_a_line_may_be_a_function_of_the_messages() -> None:
    model = Scripted([lambda messages: f"{len(messages)} messages"])
    assert (await model.complete(after())).content == "1 messages"


async def test_the_end_of_the_script_is_an_error_that_says_so() -> None:
    with pytest.raises(ModelError, match="'scripted:demo' has no reply 2"):
        await Scripted(["one"], name="demo").complete(after("one"))


@pytest.mark.parametrize("text", ["", "a", "ab", "one two three"])
async def test_the_text_is_streamed_in_a_few_pieces(text: str) -> None:
    pieces: list[str] = []
    await Scripted([text]).complete(after(), pieces.append)
    assert "".join(pieces) == text
    assert len(pieces) == min(3, len(text))


async def test_it_says_what_it_is_and_costs_nothing() -> None:
    model = Scripted(["one"], usage=Usage(tokens_in=10, tokens_out=5))
    reply = await model.complete(after())
    assert isinstance(model, ModelClient)
    assert (model.name, reply.model) == ("scripted:script", "scripted:script")
    assert (reply.cost_usd, reply.usage) == ("0", Usage(tokens_in=10, tokens_out=5))
    assert model.spec()["provider"] == "scripted"


async def test_two_recordings_of_a_reply_are_equal() -> None:
    assert await Scripted(["one"]).complete(after()) == await Scripted(["one"]).complete(after())


async def test_it_may_take_its_time() -> None:
    started = time.monotonic()
    reply = await Scripted(["one two"], delay=0.05).complete(after())
    assert time.monotonic() - started >= 0.045
    assert reply.latency_ms == 50


def test_another_script_has_another_hash() -> None:
    assert Scripted(["a"]).spec() != Scripted(["b"]).spec()


@pytest.mark.parametrize("replies", ["hello", [1], [None]])
def test_a_script_is_a_list_of_replies(replies: Any) -> None:
    with pytest.raises(UserError, match="a script is a list"):
        Scripted(replies)
