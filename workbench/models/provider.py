"""What the HTTP providers share: where the endpoint and its key come from, and how a received reply becomes a ModelReply."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from workbench.errors import ConfigurationError
from workbench.models.client import ModelReply, OnText
from workbench.models.http import RETRY, TIMEOUTS, Http, Retry, Timeouts
from workbench.models.prices import priced, table_version
from workbench.models.wire import Parsed, StreamReader
from workbench.record.values import Usage


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An address and the key that goes with it."""

    provider: str
    base_url: str
    key: SecretStr | None = None
    timeouts: Timeouts = TIMEOUTS
    retry: Retry = RETRY

    @classmethod
    def configured(
        cls,
        provider: str,
        *,
        base_url: str | None,
        url_variable: str,
        official: str,
        api_key: str | SecretStr | None,
        key_variable: str,
        timeout: float | Timeouts,
        retry: Retry,
    ) -> Endpoint:
        """Fill in what was not given from the environment.

        A key from the environment goes to the address from the environment or the official one; an address named in code gets it too.

        Raises:
            ConfigurationError: for an address that is none, a key that cannot be one, or the official address without a key.
        """
        url = (base_url or os.environ.get(url_variable) or official).strip().rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"{url!r} is no address of a model server; give base_url or {url_variable} as https://host/…")
        key = _key(api_key if api_key is not None else os.environ.get(key_variable), key_variable)
        if key is None and parts.hostname == urlsplit(official).hostname:
            raise ConfigurationError(f"{provider} needs a key: set {key_variable} in the environment, or give api_key=…")
        timeouts = timeout if isinstance(timeout, Timeouts) else Timeouts(read=min(timeout, TIMEOUTS.read), total=timeout)
        return cls(provider=provider, base_url=url, key=key, timeouts=timeouts, retry=retry)

    @property
    def public_url(self) -> str:
        """The address without user name, password and query, which may be secrets."""
        parts = urlsplit(self.base_url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"

    def http(self, headers: Callable[[str], Mapping[str, str]]) -> Http:
        """A connection to it; `headers` makes the headers of the key at the moment they are sent."""
        key = self.key
        return Http(
            self.base_url,
            headers=(lambda: headers(key.get_secret_value())) if key else (lambda: headers("")),
            key=key,
            timeouts=self.timeouts,
            retry=self.retry,
        )


async def ask(
    http: Http,
    endpoint: Endpoint,
    model: str,
    path: str,
    body: dict[str, Any],
    *,
    parse: Callable[[dict[str, Any]], Parsed],
    reader: Callable[[], StreamReader],
    on_text: OnText | None,
) -> ModelReply:
    """Send one request, streamed where its body says so, and price the reply."""
    if body.get("stream"):
        received = await http.stream(path, body, reader, on_text)
    else:
        received = await http.post(path, body, parse)
        if on_text is not None:
            on_text(received.parsed.content)
    parsed = received.parsed
    cost = None
    if parsed.usage is not None:
        names = (parsed.model or model, model)
        cost = await priced(endpoint.public_url, names, parsed.usage, parsed.cache_write_tokens)
    return ModelReply(
        content=parsed.content,
        usage=parsed.usage or Usage(),
        model=parsed.model or model,
        finish_reason=parsed.finish_reason,
        cost_usd=cost,
        price_table=None if cost is None else table_version(),
        latency_ms=round(received.latency_ms, 3),
        retries=received.retries,
    )


def _key(given: str | SecretStr | None, variable: str) -> SecretStr | None:
    text = given.get_secret_value() if isinstance(given, SecretStr) else given or ""
    text = text.strip()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ConfigurationError(
            f"the key ({variable} or api_key) holds a space, line break or other character that no key has; copy it again"
        )
    return SecretStr(text) if text else None
