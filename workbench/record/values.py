"""The nouns that entries carry: messages, usage, tool calls, blob references, errors, and how ids are made.

These are pure values. They read no clock, make no random id and know nothing of stores, models or tools; those import them.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Value(BaseModel):
    """A frozen value that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _well_formed(text: str) -> str:
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


Text = Annotated[str, AfterValidator(_well_formed)]
"""Prose and code as people and models read it. Half a surrogate pair, which no UTF-8 can carry, becomes its visible escape `\\ud83d`."""


Role = Literal["system", "user", "assistant", "tool"]

Status = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "WAITING", "REJECTED", "CANCELLED", "SKIPPED", "UNKNOWN"]
"""How an execution stands. The first four are the seed's; `UNKNOWN` means an effect may have happened and nobody knows."""

LifetimeStatus = Literal["pending", "running", "waiting", "paused", "completed", "failed", "aborted"]

TERMINAL: frozenset[str] = frozenset({"completed", "failed", "aborted"})
"""Lifetime statuses that are final; to continue from one is to fork."""


class Message(Value):
    """One message of a conversation, as the model sees it."""

    role: Role
    content: Text


MAX_TOKENS = 2**32
"""More than any call can use, and little enough that what it costs, in nano-dollars, can be added up in 64 bits: a count that a hostile
server makes up must not break the run."""

Tokens = Annotated[int, Field(ge=0, le=2**53)]
"""A number of tokens, of one call or of many."""


class Usage(Value):
    """Tokens of one model call, by kind. Each counts tokens of its own: `tokens_in` includes the cached ones, as providers report it."""

    tokens_in: Tokens = 0
    tokens_out: Tokens = 0
    cached_tokens: Tokens = 0
    reasoning_tokens: Tokens = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


class ErrorInfo(Value):
    """Why something failed, in a form that can be stored and shown: without the secrets that a call was given."""

    code: str
    """A short stable name (`workbench.errors` lists them)."""
    message: Text
    type: str | None = None
    """The exception's class name, when an exception was the cause."""
    line: int | None = None
    """The 1-based line of sandbox code, when there is one."""
    retryable: bool = False
    trace: tuple[Text, ...] = ()
    """Where in a tool or node the exception was raised (`workbench.raised`). For people: a model gets the message alone."""


class BlobRef(Value):
    """Where the bytes of a large value lie; content-addressed, so the hash is the identity."""

    uri: str
    size_bytes: int
    sha256: str
    media_type: str = "application/json"
    key: str | None = None
    """What decrypts the bytes, in base64; None where they are stored as they are. The hash and the size are those of the stored bytes."""


class Payload(Value):
    """A value in the record: encoded inline, or a reference to a blob that holds the encoding."""

    inline: Any = None
    """The encoded value (`codec.encode_value`); meaningful only when `blob` is None."""
    blob: BlobRef | None = None


class ToolCall(Value):
    """One call of a tool: what was asked and, once it has ended, what came of it."""

    tool: str
    ordinal: int
    """The call's place, from 0, among the calls of its execution."""
    args: Payload
    """A dict of argument name → value, after binding and before validation."""
    idempotency_key: str
    idempotent: bool = False
    result: Payload | None = None
    error: ErrorInfo | None = None
    prints: Text = ""
    """What it wrote to standard output and standard error, its beginning where that was long. For people: a model gets the result alone."""
    pictures: tuple[Payload, ...] = ()
    """What it displayed as pictures: dicts of `type` (a media type), `data` (bytes) and `text`."""


def make_id(scope: str, *cause: object) -> str:
    """A uuid5 of what caused the thing: the same cause in the same scope gives the same id, so delivering twice changes nothing.

    `scope` is the id of a lifetime (or of a sandbox stream), itself a UUID; forks have scopes of their own, so ids never collide.
    """
    name = json.dumps([str(part) for part in cause]).encode()
    made = hashlib.sha1(_namespace(scope) + name, usedforsecurity=False).hexdigest()
    # As `uuid.uuid5` makes them (RFC 9562: version 5, then the two bits of the variant), without its object: each execution needs several.
    return f"{made[:8]}-{made[8:12]}-5{made[13:16]}-{_VARIANT[made[16]]}{made[17:20]}-{made[20:32]}"


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


@lru_cache(maxsize=1024)
def _namespace(scope: str) -> bytes:
    return uuid.UUID(scope).bytes


def nano_dollars(cost_usd: str) -> int:
    """An exact decimal dollar string as whole nano-dollars, rounded half to even; the unit that columns are summed in."""
    return int((Decimal(cost_usd) * 1_000_000_000).to_integral_value())
