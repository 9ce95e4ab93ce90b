"""The one place that speaks HTTP: time limits, retries, streams, and errors that never show a key.

Retried are 408, 429, 5xx and failures to connect, with exponential backoff, or as long as Retry-After says. Once a reply has begun nothing
is retried, unless the provider's first word is an error. Keys travel in headers only, and texts from a server are searched for them.
"""

from __future__ import annotations

import asyncio
import email.utils
import functools
import json
import ssl
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import stamina
from httpx_sse import EventSource, SSEError
from pydantic import SecretStr

from workbench.errors import ModelError, ModelReplyMalformed, ModelRequestRejected, ModelTimeout, ModelUnavailable
from workbench.models.client import OnText
from workbench.models.wire import Parsed, StreamReader, excerpt, json_object
from workbench.record import codec


@dataclass(frozen=True)
class Timeouts:
    """Seconds. A slow model is one whose next piece does not come; a long answer is none."""

    connect: float = 10.0
    read: float = 120.0
    """Between two pieces of a reply, and before the first."""
    total: float = 600.0
    """For one request with all its retries."""


@dataclass(frozen=True)
class Retry:
    """How failures that may pass are tried again."""

    attempts: int = 4
    first_wait: float = 0.5
    """Seconds before the second attempt; doubled for each further one."""
    longest_wait: float = 60.0
    """A Retry-After beyond this ends the attempts."""


TIMEOUTS = Timeouts()
RETRY = Retry()


class Received(NamedTuple):
    """A reply and what it took."""

    parsed: Parsed
    latency_ms: float
    retries: int


class _TryAgain(Exception):
    """Carries an error that may pass out of one attempt, with the wait that the server asked for."""

    def __init__(self, error: ModelError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


class Http:
    """Requests to one endpoint. Connections are kept for each event loop that uses it.

    `headers` is called for every request and may give the secret; `key` is what is searched for in every text that could be shown.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Callable[[], Mapping[str, str]],
        key: SecretStr | None,
        timeouts: Timeouts,
        retry: Retry,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = headers
        self._key = key
        self._timeouts = timeouts
        self._retry = retry
        self._now = now
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = weakref.WeakKeyDictionary()

    async def post(self, path: str, body: dict[str, Any], parse: Callable[[dict[str, Any]], Parsed]) -> Received:
        """Ask for a whole reply."""

        async def read(response: httpx.Response) -> Parsed:
            try:
                await response.aread()
            except httpx.ReadTimeout:
                raise
            except (httpx.TransportError, httpx.DecodingError) as error:
                raise ModelReplyMalformed(f"{self.place} broke off in the middle of its reply ({type(error).__name__})") from error
            return parse(json_object(self._without_key(response.text), "the reply"))

        return await self._exchange(path, body, read)

    async def stream(self, path: str, body: dict[str, Any], reader: Callable[[], StreamReader], on_text: OnText | None) -> Received:
        """Ask for a streamed reply; `reader` makes what reads it, anew for each attempt."""

        async def read(response: httpx.Response) -> Parsed:
            return await self._read_stream(response, reader(), on_text)

        return await self._exchange(path, body, read)

    async def aclose(self) -> None:
        """Close this loop's connections."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _exchange(self, path: str, body: dict[str, Any], read: Callable[[httpx.Response], Any]) -> Received:
        started = time.perf_counter()
        retries = 0
        failures: list[str] = []

        def wait(error: Exception) -> bool | float:
            # stamina asks about cancellation too, which is no failure of the server's.
            if isinstance(error, _TryAgain):
                failures.append(str(error))
            return self._wait(error)

        try:
            async with asyncio.timeout(self._timeouts.total) as limit:
                async for attempt in stamina.retry_context(
                    on=wait,
                    attempts=self._retry.attempts,
                    timeout=self._timeouts.total,
                    wait_initial=self._retry.first_wait,
                    wait_max=self._retry.longest_wait,
                    wait_jitter=self._retry.first_wait,
                ):
                    with attempt:
                        retries = attempt.num - 1
                        parsed = await self._once(path, body, read)
                        return Received(parsed, (time.perf_counter() - started) * 1000, retries)
        except _TryAgain as again:
            error = again.error
            if retries:
                error.args = (f"{error} (after {retries + 1} attempts)",)
            raise error from again.__cause__
        except TimeoutError:
            if not limit.expired():
                raise
            last = f"; the last failure: {failures[-1]}" if failures else ""
            raise ModelTimeout(
                f"{self.place} did not finish its answer within {self._timeouts.total:g} s, retries included{last}"
            ) from None
        raise AssertionError("stamina returns or raises")

    def _wait(self, error: Exception) -> bool | float:
        if not isinstance(error, _TryAgain):
            return False
        if error.wait is None:
            return True
        return error.wait if error.wait <= self._retry.longest_wait else False

    async def _once(self, path: str, body: dict[str, Any], read: Callable[[httpx.Response], Any]) -> Parsed:
        headers = {"content-type": "application/json", **self._headers()}
        try:
            async with self._client().stream("POST", f"{self._base_url}{path}", content=codec.to_json(body), headers=headers) as response:
                if not response.is_success:
                    await response.aread()
                    raise self._refusal(response)
                parsed: Parsed = await read(response)
                return parsed
        except httpx.ReadTimeout:
            raise ModelTimeout(f"{self.place} sent nothing for {self._timeouts.read:g} s") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            why = f": {error}" if str(error) else ""
            raise _TryAgain(ModelUnavailable(f"{self.place} cannot be reached, {type(error).__name__}{self._without_key(why)}")) from error
        except ModelUnavailable as error:
            raise _TryAgain(error) from error

    async def _read_stream(self, response: httpx.Response, reader: StreamReader, on_text: OnText | None) -> Parsed:
        length = 0
        try:
            async for event in EventSource(response).aiter_sse():
                text = reader.feed(event.event, self._without_key(event.data))
                length += len(text)
                if text and on_text is not None:
                    on_text(text)
        except SSEError:
            await response.aread()
            kind = response.headers.get("content-type", "no content type")
            raise ModelReplyMalformed(f"{self.place} sent {kind} instead of a stream: {self._excerpt(response)}") from None
        except httpx.ReadTimeout:
            raise ModelTimeout(f"{self.place} sent nothing for {self._timeouts.read:g} s, after {length} characters of its reply") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise ModelReplyMalformed(f"{self.place} broke off after {length} characters of its reply ({type(error).__name__})") from error
        return reader.finish()

    def _refusal(self, response: httpx.Response) -> Exception:
        status = response.status_code
        message = f"{self.place} answered {status} {response.reason_phrase}: {self._excerpt(response)}"
        passing = status in (408, 429) or status >= 500
        if not passing or "insufficient_quota" in response.text:
            return ModelRequestRejected(message, status=status)
        wait = retry_after(response.headers.get("retry-after"), self._now())
        if wait is not None and wait > self._retry.longest_wait:
            message += f"; it asks to wait {wait:g} s"
        return _TryAgain(ModelUnavailable(message), wait)

    def _excerpt(self, response: httpx.Response) -> str:
        return excerpt(self._without_key(error_text(response.text))) or "(empty)"

    def _without_key(self, text: str) -> str:
        key = self._key.get_secret_value() if self._key else ""
        return text.replace(key, "**********") if key else text

    @property
    def place(self) -> str:
        """The endpoint's host and port, as errors show it: paths and user names in an address may be private."""
        url = httpx.URL(self._base_url)
        return f"{url.host}:{url.port}" if url.port else url.host

    def _client(self) -> httpx.AsyncClient:
        """This loop's client: connections belong to the loop that opened them."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            limits = self._timeouts
            client = httpx.AsyncClient(timeout=httpx.Timeout(limits.read, connect=limits.connect), verify=_certificates())
            self._clients[loop] = client
        return client


@functools.cache
def _certificates() -> ssl.SSLContext:
    """One for the whole process: loading the certificates takes tens of milliseconds, during which the loop stands still."""
    return httpx.create_ssl_context()


def error_text(body: str) -> str:
    """What an error's body says in words: its message where it is the usual JSON, else the body itself."""
    try:
        data = json.loads(body)
    except ValueError:
        return body
    error = data.get("error", data) if isinstance(data, dict) else data
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else body


def retry_after(header: str | None, now: float) -> float | None:
    """The seconds that a Retry-After header asks for, given as seconds or as an HTTP date; None where there is none to be understood."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return None
