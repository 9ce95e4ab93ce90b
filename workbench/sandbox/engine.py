"""What a sandbox engine is: the values that cross to and from it, and the protocol both engines keep.

It decides nothing: `session` owns the stream, `faithful` chooses the engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from workbench.record.sandbox_items import BlockStatus, EngineName, RecordedCall
from workbench.record.values import ErrorInfo
from workbench.sandbox.lowering import Program

HostCall = Callable[[str, tuple[Any, ...], dict[str, Any]], Awaitable[Any]]
"""The host answers a call made by sandbox code: (tool name, positional arguments, keyword arguments) → value.

An exception it raises is raised inside the sandbox, where code can catch it. `ProgramEnd` ends the program instead.
"""

Recorded = Callable[[str, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
"""What the stream keeps of a call's arguments: (tool name, positional arguments, keyword arguments) → the same without secrets."""


class ProgramEnd(Exception):
    """Raised by a `HostCall`: the program has reached its end (`finish`) or was stopped. Sandbox code cannot catch it."""


class Raised(Exception):
    """A host call failed; `type` is the class the sandbox raises, which every engine knows."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(message)
        self.type = type
        self.message = message


class Unfit(Exception):
    """The engine met something it cannot represent faithfully in the middle of a block.

    `error` is what a session that may not change engines reports. `intact` says whether the engine can still be used.
    """

    def __init__(self, reason: str, error: ErrorInfo, *, intact: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error
        self.intact = intact


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one block may use. Every limit is on by default."""

    max_seconds: float = 30.0
    """Wall clock of the block's own work; time spent in host calls does not count, time asleep does."""
    max_memory: int = 512 * 2**20
    """Bytes."""
    max_recursion_depth: int = 500
    max_instructions: int = 50_000_000
    """Of each top-level statement; littrs counts instructions, monty only time."""
    max_output: int = 100_000
    """Characters of prints that the block's result shows; the block says when there were more."""
    max_full_output: int = 4_000_000
    """Characters of prints that are kept beside it for the person."""
    max_tool_calls: int = 10_000
    max_args: int = 16 * 2**20
    """Size of one call's arguments; a bigger call is refused. Characters, bytes and eight for every number count."""
    max_result: int = 16 * 2**20
    """Size of one call's result and of the block's value; a bigger one is an error in the program."""
    max_traffic: int = 256 * 2**20
    """Size of all arguments and results of a block together."""
    max_file: int = 64 * 2**20
    """Bytes of one mounted file."""
    max_files: int = 256 * 2**20
    """Bytes of all mounted files together."""
    max_source: int = 200_000
    """Characters of code."""


@dataclass(frozen=True, kw_only=True)
class BlockResult:
    """What one block did."""

    status: BlockStatus
    value: Any = None
    """The last expression's value, or None."""
    prints: str = ""
    output_truncated: bool = False
    full_prints: str | None = None
    """Where `prints` is cut: all that was printed, as far as it is kept."""
    error: ErrorInfo | None = None
    engine: EngineName
    reason: str | None = None
    """Why this engine, when that was not a matter of course."""
    calls: tuple[RecordedCall, ...] = ()
    duration_ms: float
    digest: str = ""


FLOOD = 64 * 2**20
"""Characters: a block that prints more is ended, since reading it costs the host."""


class Output:
    """What a block prints: the beginning is kept, all of it is hashed, so that the digest does not depend on the cap.

    What is kept is passed on to `on_text` as it comes, on whatever thread the engine prints from.
    """

    def __init__(self, limit: int, full: int = 0, on_text: Callable[[str], None] | None = None) -> None:
        self._limit = limit
        self._most = max(limit, full)
        self._on_text = on_text
        self._kept: list[str] = []
        self._size = 0
        self._hash = hashlib.sha256()

    def add(self, text: str) -> None:
        self._hash.update(text.encode("utf-8", "surrogatepass"))
        kept = text[: max(self._most - self._size, 0)]
        self._size += len(text)
        if kept:
            self._kept.append(kept)
            if self._on_text is not None:
                self._on_text(kept)

    @property
    def text(self) -> str:
        return "".join(self._kept)[: self._limit]

    @property
    def full(self) -> str | None:
        """All that is kept, where that is more than `text`."""
        return "".join(self._kept) if self._size > self._limit else None

    @property
    def is_flood(self) -> bool:
        """Whether the block must be ended."""
        return self._size > FLOOD

    @property
    def truncated(self) -> bool:
        return self._size > self._limit

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block as an engine receives it."""

    code: str
    tools: Collection[str]
    call: HostCall
    """Answers tools and, under names that start with `os.`, the clock and randomness. `Raised` is raised in the program, `ProgramEnd` ends
    it; anything else ends the feed and the engine."""
    output: Output
    seconds: float
    program: Program | None = None
    """The code as the gate lowered it for littrs."""


@dataclass(frozen=True, kw_only=True)
class Fed:
    """How an engine got on with a block. `lost` means that the engine is gone, and the block's variables with it."""

    status: BlockStatus
    value: Any = None
    error: ErrorInfo | None = None
    lost: bool = field(default=False)


class Engine(Protocol):
    """One interpreter with its variables.

    `feed` returns for whatever the code does; it raises `Unfit` when the block must be run by another engine, and when it is cancelled the
    engine is lost. Nothing else may be called while a feed runs.
    """

    @property
    def name(self) -> EngineName: ...

    async def feed(self, block: Block) -> Fed: ...

    async def set(self, name: str, value: Any) -> None: ...

    async def close(self) -> None: ...
