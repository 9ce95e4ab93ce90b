"""From a name, a callable or nothing to a client; and what importing costs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.models.server import Server, whole
from workbench.errors import ConfigurationError, ModelError, ModelReplyMalformed
from workbench.models import Anthropic, Function, ModelClient, ModelRequest, OpenAI, Scripted, resolve
from workbench.models.resolve import check_name, ollama_host
from workbench.record.values import Message

HELLO = ModelRequest(messages=(Message(role="user", content="Hi"),))
NOWHERE = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_ollama(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", NOWHERE)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-openai")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary-anthropic")


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("name", "cls", "url"),
    [
        ("openai:gpt-5-mini", OpenAI, "https://api.openai.com/v1"),
        ("anthropic:claude-sonnet-4-5", Anthropic, "https://api.anthropic.com"),
        ("ollama:qwen3:4b", OpenAI, f"http://{NOWHERE}/v1"),
    ],
)
def test_a_name_is_provider_and_model(name: str, cls: type, url: str) -> None:
    client = resolve(name)
    assert isinstance(client, cls)
    assert client.name == name
    assert client.spec()["base_url"] == url


@pytest.mark.usefixtures("keys")
async def test_openais_key_is_not_sent_to_ollama(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server([whole({}, "404 Not Found")]) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        client = resolve("ollama:m")
        with pytest.raises(ModelError):
            await client.complete(HELLO)
        await client.aclose()
    assert "authorization" not in server.asked[0].headers
    assert server.asked[0].path == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt-5-mini", r"openai, anthropic, ollama; did you mean 'openai:gpt-5-mini'\?"),
        ("mistral:large", "use provider:name with one of openai, anthropic, ollama"),
        ("openai:", "names no known model"),
        ("", "names no known model"),
        (7, "is no model"),
    ],
)
def test_what_names_no_model_is_answered_with_the_known_ones(name: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        resolve(name)


def test_a_client_is_itself() -> None:
    model = Scripted(["x"])
    assert resolve(model) is model


async def test_a_callable_is_a_model() -> None:
    def shout(messages: tuple[Message, ...]) -> str:
        return f"{messages[-1].content}! {threading.current_thread() is threading.main_thread()}"

    async def whisper(messages: tuple[Message, ...]) -> str:
        await asyncio.sleep(0)
        return messages[-1].content.lower()

    pieces: list[str] = []
    reply = await resolve(shout).complete(HELLO, pieces.append)
    assert (reply.content, reply.model, reply.cost_usd) == ("Hi! False", "function:shout", None)
    assert pieces == ["Hi! False"]
    assert (await resolve(whisper).complete(HELLO)).content == "hi"
    assert isinstance(resolve(shout), ModelClient)


async def test_a_callables_failure_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="function:broken raised ZeroDivisionError") as caught:
        await Function(lambda _: str(1 / 0), name="broken").complete(HELLO)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(ModelReplyMalformed, match="returned a int"):
        await Function(lambda _: 7, name="seven").complete(HELLO)  # type: ignore[arg-type,return-value]


@pytest.mark.usefixtures("keys")
def test_nothing_means_openai_where_it_has_a_key() -> None:
    assert resolve().name == "openai:gpt-5-mini"


@pytest.mark.usefixtures("keys")
def test_nothing_means_anthropic_where_only_it_has_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert resolve(None).name == "anthropic:claude-sonnet-4-5"


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server([whole({"models": [{"name": "qwen3:4b"}, {"name": "llama3:8b"}]})])
    started, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with server:
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(2)
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    yield server
    loop.call_soon_threadsafe(stop.set)
    thread.join(2)
    loop.close()


def test_nothing_means_a_local_ollama_where_there_is_one(ollama: Server) -> None:
    assert resolve().name == "ollama:qwen3:4b"
    assert ollama.asked[0].path == "/api/tags"


def test_nothing_configured_is_answered_with_the_ways() -> None:
    with pytest.raises(ConfigurationError, match=r"OPENAI_API_KEY.*ANTHROPIC_API_KEY.*ollama serve.*base_url.*Scripted"):
        resolve()


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("gpu-box:8080", "http://gpu-box:8080"),
        ("https://ollama.example:443/", "https://ollama.example:443"),
    ],
)
def test_ollamas_address_may_be_short(value: str, host: str) -> None:
    assert ollama_host({"OLLAMA_HOST": value}) == host


def test_importing_models_loads_no_http_library() -> None:
    code = (
        "import sys, workbench.models as m; m.Scripted(['x']); "
        "assert not {'httpx', 'stamina', 'genai_prices'} & set(sys.modules), 'loaded'; "
        "m.OpenAI; assert 'httpx' in sys.modules and 'genai_prices' not in sys.modules; "
        "assert callable(m.resolve) and set(m.__all__) == set(dir(m))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "words"), [("scripted:demo", r"model=wb\.models\.Scripted"), ("gpt-5", "openai:gpt-5"), ("", "provider:name")]
)
def test_a_name_is_checked_without_making_anything(name: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_name(name)
    assert check_name("ollama:llama3:8b") == ("ollama", "llama3:8b")
