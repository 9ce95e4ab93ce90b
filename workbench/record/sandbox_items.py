"""The items of a sandbox session's stream.

The stream is self-contained: a block carries the results its tool calls had, so the session's state is rebuilt from the stream alone.
"""

from __future__ import annotations

from typing import Literal

from workbench.record.values import ErrorInfo, Payload, Text, Value

BlockStatus = Literal["ok", "error", "refused", "limit", "interrupted", "finished"]


class RecordedCall(Value):
    """A host call that a block made, and what the host answered."""

    tool: str
    args: Payload
    """The encoded pair of positional and keyword arguments."""
    result: Payload | None = None
    error: ErrorInfo | None = None


class SandboxBlock(Value):
    """One block of code that ran in the session."""

    block_no: int
    code: Text
    engine: Literal["littrs", "monty"]
    reason: str | None = None
    """Why this engine and not littrs."""
    status: BlockStatus
    calls: tuple[RecordedCall, ...] = ()
    error: ErrorInfo | None = None
    digest: str
    """Of the ordered calls, the prints, the last value and the error's type; the same on every engine."""


class SandboxItem(Value):
    """One thing that was done to the session."""

    action: Literal["opened", "block", "set", "mount", "module", "reset"]
    name: str | None = None
    value: Payload | None = None
    block: SandboxBlock | None = None
