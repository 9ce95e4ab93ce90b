"""A sandbox session: variables that live from block to block, held as a stream of what was done to them.

The stream is the session. An engine is a cache of it: it may be killed, evicted or exchanged at any time, and is rebuilt by running the
recorded blocks again with their recorded answers. Not here: what an engine is (`engine`) and which may run a block (`faithful`).
"""

from __future__ import annotations

import asyncio
import keyword
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

from workbench.errors import ConfigurationError, ReplayDivergence, UnencodableValue, UserError
from workbench.record.codec import encode_value
from workbench.record.sandbox_items import EngineName, SandboxBlock, SandboxItem
from workbench.record.values import ErrorInfo, Payload
from workbench.sandbox import clock, faithful, source, stream
from workbench.sandbox.engine import Block, BlockResult, Fed, HostCall, Limits, Output, Recorded, Unfit
from workbench.sandbox.files import Files, Mounting, inside
from workbench.sandbox.idle import rest
from workbench.sandbox.journal import Journal
from workbench.sandbox.littrs_engine import AVAILABLE as LITTRS_AVAILABLE
from workbench.sandbox.littrs_engine import LittrsEngine
from workbench.sandbox.live import LiveBlock
from workbench.sandbox.lowering import Program
from workbench.sandbox.monty_engine import MontyEngine, raisable, unheld
from workbench.sandbox.mounts import Change
from workbench.sandbox.weight import told, weight

EngineChoice = Literal["auto", "littrs", "monty"]

_TOO_BIG = "the last expression's value is too big"


class Outside(Protocol):
    """The host's side of a session's files (`mounts.Mounts`): read before a block, written after it."""

    def changes(self) -> list[Change]: ...

    def writable(self) -> bool: ...

    def carry_out(self, contents: Mapping[str, bytes]) -> None: ...


class Session:
    """One sandbox session. Blocks run one at a time, and nothing a block does raises here.

    Any method raises `ReplayDivergence` when a rebuild does not reproduce the stream.
    """

    def __init__(
        self,
        sandbox_id: str,
        *,
        engine: EngineChoice = "auto",
        limits: Limits | None = None,
        items: Sequence[SandboxItem] = (),
        builtins: bool = True,
    ) -> None:
        if engine == "littrs" and not LITTRS_AVAILABLE:
            raise ConfigurationError("littrs is not available on this platform; use engine='auto' or engine='monty'")
        self.sandbox_id = sandbox_id
        self.items: list[SandboxItem] = list(items) or [SandboxItem(action="opened")]
        self.builtins = builtins
        """Whether code may import more than the session's own modules."""
        self.outside: Outside | None = None
        self._limits = limits or Limits()
        self._choice: EngineChoice = "monty" if engine == "auto" and not LITTRS_AVAILABLE else engine
        self._engine: LittrsEngine | MontyEngine | None = None
        self._files: Files | None = None
        self._scope: faithful.Scope | None = None
        self._block_no = sum(item.block is not None for item in self.items)
        self.needs_monty = stream.needs_monty(self.items)
        self._lock = asyncio.Lock()
        if self._choice == "littrs" and self.needs_monty:
            raise ConfigurationError(f"this session cannot go on with engine='littrs': {self.needs_monty}; use engine='auto'")

    @property
    def block_no(self) -> int:
        """How many blocks the stream has: the number of the next one."""
        return self._block_no

    @property
    def engine(self) -> EngineName | None:
        """The engine that ran last."""
        return stream.engine_of(self.items)

    @property
    def choice(self) -> EngineChoice:
        """Which engines may run its blocks."""
        return self._choice

    @property
    def limits(self) -> Limits:
        return self._limits

    async def run(
        self,
        code: str,
        call: HostCall,
        *,
        tools: Collection[str] = (),
        finishers: Collection[str] = ("finish",),
        system: HostCall = clock.answer,
        recorded: Recorded | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> BlockResult:
        """Run one block and append it to the stream; whatever the code does is in the result.

        `tools` are the names the code can call; `call` answers them. `finishers` are those among them that end the program. `system`
        answers the clock and randomness, under names that start with `os.`. `recorded` takes the secrets out of
        the arguments that the stream keeps. `on_text` is given what the block prints while it runs, as far as it is kept and each
        character once, also where the block has to be run again; it is called on any thread and must not raise.
        """

        async def host(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return await (system if name.startswith("os.") else call)(name, args, kwargs)

        async with self._lock:
            await self._bring_in()
            run = LiveBlock(self, source.normal(code), frozenset(tools), frozenset(finishers), host, form=recorded, on_text=on_text)
            try:
                result = await run.result()
            except asyncio.CancelledError:
                self.lose()
                self._append(run.interrupted())
                raise
            self._append(run.block(result))
            rest(self)
            return await self._carried_out(result)

    async def _bring_in(self) -> None:
        """Let the program see what has changed in the host's files since."""
        if self.outside is not None:
            for path, content, writable in await asyncio.to_thread(self.outside.changes):
                self._put(path, {"gone": True} if content is None else {"content": content, "writable": writable})

    async def _carried_out(self, result: BlockResult) -> BlockResult:
        """Make the host's files what the program left. What cannot be written is the block's error, though not in its record: it ran."""
        if self._files is None:
            return result  # the program has no file open: it runs on littrs, or was rolled back
        try:
            await self._write_out(self._files)
        except OSError as error:
            failed = ErrorInfo(code="sandbox_error", type=type(error).__name__, message=str(error))
            return result if result.error is not None else replace(result, status="error", value=None, error=failed)
        return result

    async def _write_out(self, files: Files) -> None:
        if self.outside is not None and self.outside.writable():
            await asyncio.to_thread(self.outside.carry_out, files.contents())

    async def set(self, name: str, value: Any) -> None:
        """Bind a variable to a copy of `value`."""
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__"):
            raise UserError(f"{name!r} cannot be a variable of the sandbox; give a plain identifier such as 'rows'")
        encoded = encode_value(value)
        if refused := unheld(value):
            raise UnencodableValue(f"{name} holds {refused}, which no sandbox engine can keep")
        async with self._lock:
            self.items.append(SandboxItem(action="set", name=name, value=Payload(inline=encoded)))
            if self._scope is not None:
                self._scope = {**self._scope, name: faithful.kind_of(value)}
            self.needs_monty = self.needs_monty or stream.needs_monty(self.items[-1:])
            if isinstance(self._engine, LittrsEngine) and not faithful.holds(value):
                if self._choice == "littrs":
                    self.items.pop()
                    raise UnencodableValue(f"{name} holds a value that littrs does not keep; use engine='auto'")
                await self.drop()
            elif self._engine is not None:
                await self._engine.set(name, value)

    async def module(self, name: str, constants: Mapping[str, Any]) -> None:
        """Let `import name` find a module with these constants."""
        value = Payload(inline=encode_value(dict(constants)))
        async with self._lock:
            self.items.append(SandboxItem(action="module", name=name, value=value))
            if isinstance(self._engine, MontyEngine):
                self._engine.define_module(name, stream.value_of(self.items[-1]))

    async def mount(self, name: str, content: bytes, *, writable: bool = False) -> None:
        """Put a copy of a file into the sandbox. Writing changes the copy; `files` gives it back."""
        await self.mount_all(name, {"content": content, "writable": writable})

    async def mount_all(self, name: str, mounting: Mounting) -> None:
        """Put a file or a folder into the sandbox, in the place of what has that name."""
        try:
            path = inside(name)
        except ValueError as error:
            raise UserError(str(error)) from None
        async with self._lock:
            self._put(path, mounting)

    def _put(self, path: str, mounting: Mounting) -> None:
        self.items.append(SandboxItem(action="mount", name=path, value=Payload(inline=encode_value(mounting))))
        if self._files is not None:
            self._files.mount(path, mounting)

    async def files(self) -> dict[str, bytes]:
        """The writable files as the program left them, by absolute path."""
        async with self._lock:
            if self.needs_monty or self._choice == "monty":
                await self.ensure("monty")
            return (self._files or Files(self._limits, self._mounted())).contents()

    async def put_file(self, name: str, content: bytes | None) -> None:
        """Write a file into the sandbox, or delete it there, and so on the host."""
        async with self._lock:
            await self._bring_in()
            self._put(inside(name), {"gone": True} if content is None else {"content": content})
            await self._write_out(self._files or Files(self._limits, self._mounted()))

    async def reset(self) -> None:
        """Forget all variables, files and modules; the stream keeps what was."""
        async with self._lock:
            await self.drop()
            self.items.append(SandboxItem(action="reset"))
            self._scope = self.needs_monty = None

    async def limit(self, limits: Limits) -> None:
        """Use other limits from the next block on."""
        async with self._lock:
            await self.drop()
            self._limits = limits

    def branch(self, sandbox_id: str) -> Session:
        """A session with the same past and a future of its own."""
        return Session(sandbox_id, engine=self._choice, limits=self._limits, items=self.items, builtins=self.builtins)

    async def close(self) -> None:
        """Release the engine. The session can still be used: it is rebuilt when it is."""
        async with self._lock:
            await self.drop()

    async def release_if_idle(self) -> None:
        """Release the engine unless a block is running."""
        if not self._lock.locked():
            await self.close()

    # The engine as a cache of the stream

    def _append(self, block: SandboxBlock) -> None:
        self.items.append(SandboxItem(action="block", block=block))
        self._block_no += 1
        self.needs_monty = self.needs_monty or stream.needs_monty(self.items[-1:])
        if stream.leaves_state(block) and self._scope is not None and block.engine == "littrs":
            self._scope = stream.scope_after(self._scope, block)

    def _mounted(self) -> list[tuple[str, Mounting]]:
        return [(item.name or "", stream.value_of(item)) for item in stream.effective(self.items) if item.action == "mount"]

    def modules(self) -> Collection[str]:
        """The names of the session's own modules."""
        return {item.name or "" for item in stream.effective(self.items) if item.action == "module"}

    def known(self) -> faithful.Scope:
        """What the gate knows of the variables, as long as littrs holds them."""
        if self._scope is None:
            self._scope = stream.scope_of(self.items)
        return self._scope

    async def drop(self) -> None:
        engine, self._engine, self._files = self._engine, None, None
        if engine is not None:
            await engine.close()

    def lose(self) -> None:
        """The engine is gone already."""
        self._engine = self._files = None

    async def ensure(self, name: EngineName) -> LittrsEngine | MontyEngine:
        """The engine, holding the stream's state: the one at hand, or one rebuilt by replay."""
        if self._engine is not None and self._engine.name == name:
            return self._engine
        await self.drop()
        engine: LittrsEngine | MontyEngine
        if name == "littrs":
            engine = await LittrsEngine.start(self._limits)
        else:
            self._files = Files(self._limits)
            engine = await MontyEngine.start(self._limits, self._files)
        try:
            await self._replay(engine)
        except BaseException:
            await engine.close()
            raise
        self._engine = engine
        return engine

    async def _replay(self, engine: LittrsEngine | MontyEngine) -> None:
        scope: faithful.Scope = {}
        for item in stream.effective(self.items):
            if item.action == "set" and item.name is not None:
                value = stream.value_of(item)
                await engine.set(item.name, value)
                scope = {**scope, item.name: faithful.kind_of(value)}
            elif item.action == "module" and item.name is not None and isinstance(engine, MontyEngine):
                engine.define_module(item.name, stream.value_of(item))
            elif item.action == "mount" and item.name is not None and self._files is not None:
                self._files.mount(item.name, stream.value_of(item))
            elif item.block is not None:
                program = None
                if engine.name == "littrs":
                    program = faithful.check(item.block.code, scope, item.block.tools, ()).program
                    scope = stream.scope_after(scope, item.block)
                await self._repeat(engine, item.block, program)

    async def _repeat(self, engine: LittrsEngine | MontyEngine, block: SandboxBlock, program: Program | None) -> None:
        where = f"{self.sandbox_id}, block {block.block_no}"
        journal = Journal(where, raisable, limits=self._limits, recorded=block.calls)
        journal.ends_unanswered = block.status == "limit"
        output = Output(0)
        seconds = self._limits.max_seconds * 4 + 10
        was_too_big = block.error is not None and block.error.message.startswith(_TOO_BIG)
        fed = await self.feed(
            engine,
            Block(code=block.code, tools=block.tools, call=journal.call, output=output, seconds=seconds, program=program),
            max_value=0 if was_too_big else sys.maxsize,  # the limit may be another by now
        )
        if journal.divergence is not None:
            raise journal.divergence
        actual = stream.block_digest(journal.calls, output.sha256, encode_value(fed.value), fed.error)
        if actual != block.digest and not (block.status == "limit" and fed.status == "finished"):
            expected = f"{block.status} with digest {block.digest[:12]}"
            raise ReplayDivergence(where, expected=expected, actual=f"{fed.status} ({_told(fed.error)}) with digest {actual[:12]}")

    async def feed(self, engine: LittrsEngine | MontyEngine, block: Block, max_value: int) -> Fed:
        """Feed a block; a last value that has no place in the record is the block's error, never a silent None.

        Raises:
            Unfit: when the session may move to the other engine.
        """
        try:
            fed = await engine.feed(block)
            encode_value(fed.value)
            if weight(fed.value, max_value) > max_value:
                message = f"{_TOO_BIG}; only {told(max_value)} may leave the sandbox"
                return Fed(status="error", error=ErrorInfo(code="sandbox_limit", type="ValueError", message=message), lost=fed.lost)
        except UnencodableValue as error:
            message = f"the last expression's {error}"
            return Fed(status="error", error=ErrorInfo(code="unencodable_value", type="TypeError", message=message))
        except Unfit as unfit:
            if self._choice != "littrs":
                raise
            if not unfit.intact:
                return Fed(status="interrupted", error=unfit.error, lost=True)
            return Fed(status="limit" if unfit.error.code == "sandbox_limit" else "error", error=unfit.error)
        return fed


def _told(error: ErrorInfo | None) -> str:
    return f"{error.type}: {error.message}" if error is not None else "no error"
