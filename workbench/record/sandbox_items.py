"""The nouns of a sandbox session's stream: what was run in it, with every answer the host gave.

A stream is self-contained: a block carries the results of its tool calls, so a session can be rebuilt from its items alone.
"""

from __future__ import annotations

from typing import Literal

from workbench.record.values import ErrorInfo, Payload, Text, Value

EngineName = Literal["littrs", "monty"]

BlockStatus = Literal["ok", "error", "refused", "limit", "interrupted", "finished"]
"""How a block ended. Nothing of a `refused` one ran; an `interrupted` one was rolled back; the others left their variables behind."""


class RecordedCall(Value):
    """One call that sandbox code made of the host, and the host's answer.

    `args` is `{"args": [..], "kwargs": {..}}` as written in the code. A call with neither result nor error ended the program.
    """

    tool: str
    args: Payload
    result: Payload | None = None
    error: ErrorInfo | None = None


class SandboxBlock(Value):
    """One block of code that was run."""

    block_no: int
    code: Text
    tools: tuple[str, ...] = ()
    """The tools that were defined when it ran, called or not."""
    engine: EngineName
    reason: Text | None = None
    """Why this engine ran it, when that was not a matter of course."""
    status: BlockStatus
    calls: tuple[RecordedCall, ...] = ()
    error: ErrorInfo | None = None
    digest: str = ""
    """What a repetition must reproduce: calls, prints, last value and error type. Independent of the engine."""


class SandboxItem(Value):
    """One entry of the stream. `name` and `value` belong to `set`, `mount` and `module`; `block` to `block`."""

    action: Literal["opened", "block", "set", "mount", "module", "reset"]
    name: str | None = None
    value: Payload | None = None
    block: SandboxBlock | None = None
