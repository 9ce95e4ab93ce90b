"""A name such as `openai:gpt-5-mini` → a client.

Providers are known by module path and loaded when they are asked for, so that naming a scripted model costs no HTTP library.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from workbench.errors import ConfigurationError
from workbench.models.client import ModelClient
from workbench.models.function import Function
from workbench.record.values import Message

OLLAMA = "http://127.0.0.1:11434"
"""Where Ollama listens unless OLLAMA_HOST says otherwise."""

_PROBE_S = 0.3

_KNOWN = ("openai", "anthropic", "ollama")

EXAMPLES = (
    *("openai:gpt-5", "openai:gpt-5-mini", "openai:gpt-5-nano"),
    *("anthropic:claude-opus-4-1", "anthropic:claude-sonnet-4-5", "anthropic:claude-haiku-4-5", "ollama:"),
)
"""Names that are offered to somebody who types one; any other model of these providers has a name likewise."""

_NAMELESS = {"scripted": "Scripted", "function": "Function"}
"""Providers whose models are more than their names."""

_DEFAULTS = (("OPENAI_API_KEY", "openai:gpt-5-mini"), ("ANTHROPIC_API_KEY", "anthropic:claude-sonnet-4-5"))
"""What is used when no model is named: the first provider with a key."""

_WAYS = (
    "name one (wb.Agent('openai:gpt-5-mini')) and set OPENAI_API_KEY, or 'anthropic:claude-sonnet-4-5' and ANTHROPIC_API_KEY; "
    "start a local Ollama (ollama serve) and use 'ollama:NAME'; "
    "give wb.models.OpenAI('NAME', base_url='http://…/v1') for any OpenAI-compatible server; "
    "or wb.models.Scripted([...]) for a model that follows a script"
)

AnyModel = str | ModelClient | Callable[[tuple[Message, ...]], str | Awaitable[str]] | None


def resolve(model: AnyModel = None) -> ModelClient:
    """The client that `model` means: a client itself, a callable from messages to text, `provider:name`, or None for what is configured.

    None takes OpenAI or Anthropic where their key is in the environment, else the first model of a local Ollama, which is looked for at
    most 0.3 seconds.

    Raises:
        ConfigurationError: for an unknown provider, a missing key, or when nothing is configured.
    """
    if model is None:
        return _configured(os.environ)
    if isinstance(model, str):
        return _named(model)
    if isinstance(model, ModelClient):
        return model
    if callable(model):
        return Function(model)
    raise ConfigurationError(f"{model!r} is no model; {_WAYS}")


def check_name(model: str) -> tuple[str, str]:
    """The provider and the model that a name means; nothing is loaded, looked up or asked.

    Raises:
        ConfigurationError: it is no such name; the message says what to write.
    """
    provider, _, name = model.partition(":")
    if provider in _NAMELESS:
        raise ConfigurationError(
            f"{model!r} cannot be made from its name: give the client itself, as model=wb.models.{_NAMELESS[provider]}(…)"
        )
    if provider not in _KNOWN or not name:
        meant = f"; did you mean 'openai:{model}'?" if ":" not in model and model else ""
        raise ConfigurationError(f"{model!r} names no known model: use provider:name with one of {', '.join(_KNOWN)}{meant}")
    return provider, name


def _named(model: str) -> ModelClient:
    provider, name = check_name(model)
    if provider == "anthropic":
        return _client("workbench.models.anthropic", "Anthropic", name)
    if provider == "ollama":
        # Ollama wants no key, and OpenAI's is not for it.
        return _client("workbench.models.openai", "OpenAI", name, base_url=f"{ollama_host(os.environ)}/v1", api_key="", provider="ollama")
    return _client("workbench.models.openai", "OpenAI", name)


def _configured(environ: Mapping[str, str]) -> ModelClient:
    for variable, model in _DEFAULTS:
        if environ.get(variable):
            return _named(model)
    local = _ollama_models(ollama_host(environ))
    if local:
        return _named(f"ollama:{local[0]}")
    raise ConfigurationError(f"no model is configured: {_WAYS}")


def ollama_host(environ: Mapping[str, str]) -> str:
    """The address of Ollama; OLLAMA_HOST may leave out the scheme, as Ollama itself allows."""
    host = environ.get("OLLAMA_HOST", "").strip().rstrip("/")
    if not host:
        return OLLAMA
    if "://" not in host:
        host = f"http://{host}"
    # 0.0.0.0 is what a server listens on, not an address to call.
    host = host.replace("://0.0.0.0", "://127.0.0.1")
    return host if host.rpartition(":")[2].isdigit() else f"{host}:11434"


def _ollama_models(host: str) -> list[str]:
    httpx = importlib.import_module("httpx")
    try:
        data = httpx.get(f"{host}/api/tags", timeout=_PROBE_S).raise_for_status().json()
        return [str(entry["name"]) for entry in data["models"]]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return []


def _client(module: str, cls: str, name: str, **options: Any) -> ModelClient:
    client: ModelClient = getattr(importlib.import_module(module), cls)(name, **options)
    return client
