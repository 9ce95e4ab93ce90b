"""A sandbox session: variables that live from block to block, held as a stream of what was done to them.

The stream is the session. An engine is a cache of it: it may be killed, evicted or exchanged at any time, and is rebuilt by running the
recorded blocks again with their recorded answers. Not here: what an engine is (`engine`) and which may run a block (`faithful`).
"""

from __future__ import annotations

import asyncio
import keyword
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from workbench.errors import ConfigurationError, ReplayDivergence, UnencodableValue, UserError
from workbench.record.codec import encode_value
from workbench.record.sandbox_items import EngineName, SandboxBlock, SandboxItem
from workbench.record.values import ErrorInfo, Payload
from workbench.sandbox import clock, faithful, source, stream
from workbench.sandbox.engine import Block, BlockResult, Fed, HostCall, Limits, Output, Unfit
from workbench.sandbox.files import Files, inside
from workbench.sandbox.idle import rest
from workbench.sandbox.journal import Journal, Parked
from workbench.sandbox.littrs_engine import AVAILABLE as LITTRS_AVAILABLE
from workbench.sandbox.littrs_engine import LittrsEngine, WorkerGone
from workbench.sandbox.lowering import Program
from workbench.sandbox.monty_engine import MontyEngine, raisable, unheld

EngineChoice = Literal["auto", "littrs", "monty"]

_ROLLED_BACK = "; the block's variables were rolled back, the tool calls it made stand"


class Session:
    """One sandbox session. Blocks run one at a time, and nothing a block does raises here.

    Any method raises `ReplayDivergence` when a rebuild does not reproduce the stream.
    """

    def __init__(
        self, sandbox_id: str, *, engine: EngineChoice = "auto", limits: Limits | None = None, items: Sequence[SandboxItem] = ()
    ) -> None:
        if engine == "littrs" and not LITTRS_AVAILABLE:
            raise ConfigurationError("littrs is not available on this platform; use engine='auto' or engine='monty'")
        self.sandbox_id = sandbox_id
        self.items: list[SandboxItem] = list(items) or [SandboxItem(action="opened")]
        self._limits = limits or Limits()
        self._choice: EngineChoice = "monty" if engine == "auto" and not LITTRS_AVAILABLE else engine
        self._engine: LittrsEngine | MontyEngine | None = None
        self._files: Files | None = None
        self._scope: faithful.Scope | None = None
        self._block_no = sum(item.block is not None for item in self.items)
        self._needs_monty = stream.needs_monty(self.items)
        self._lock = asyncio.Lock()
        if self._choice == "littrs" and self._needs_monty:
            raise ConfigurationError(f"this session cannot go on with engine='littrs': {self._needs_monty}; use engine='auto'")

    @property
    def block_no(self) -> int:
        """How many blocks the stream has: the number of the next one."""
        return self._block_no

    @property
    def engine(self) -> EngineName | None:
        """The engine that ran last."""
        return stream.engine_of(self.items)

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
    ) -> BlockResult:
        """Run one block and append it to the stream; whatever the code does is in the result.

        `tools` are the names the code can call; `call` answers them. `finishers` are those among them that end the program. `system`
        answers the clock and randomness, under names that start with `os.`.
        """

        async def host(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return await (system if name.startswith("os.") else call)(name, args, kwargs)

        async with self._lock:
            run = _Run(self, source.normal(code), frozenset(tools), frozenset(finishers), host)
            try:
                result = await run.result()
            except asyncio.CancelledError:
                self._engine = None
                self._append(run.interrupted())
                raise
            self._append(run.block(result))
            rest(self)
            return result

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
            self._needs_monty = self._needs_monty or stream.needs_monty(self.items[-1:])
            if isinstance(self._engine, LittrsEngine) and not faithful.holds(value):
                if self._choice == "littrs":
                    self.items.pop()
                    raise UnencodableValue(f"{name} holds a value that littrs does not keep; use engine='auto'")
                await self._drop()
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
        try:
            path = inside(name)
        except ValueError as error:
            raise UserError(str(error)) from None
        value = Payload(inline=encode_value({"content": content, "writable": writable}))
        async with self._lock:
            self.items.append(SandboxItem(action="mount", name=path, value=value))
            await self._drop()

    async def files(self) -> dict[str, bytes]:
        """The writable files as the program left them."""
        async with self._lock:
            if self._needs_monty or self._choice == "monty":
                await self._ensure("monty")
            mounted = self._files or Files(self._mounted())
            return mounted.contents()

    async def reset(self) -> None:
        """Forget all variables, files and modules; the stream keeps what was."""
        async with self._lock:
            await self._drop()
            self.items.append(SandboxItem(action="reset"))
            self._scope = self._needs_monty = None

    async def limit(self, limits: Limits) -> None:
        """Use other limits from the next block on."""
        async with self._lock:
            await self._drop()
            self._limits = limits

    def branch(self, sandbox_id: str) -> Session:
        """A session with the same past and a future of its own."""
        return Session(sandbox_id, engine=self._choice, limits=self._limits, items=self.items)

    async def close(self) -> None:
        """Release the engine. The session can still be used: it is rebuilt when it is."""
        async with self._lock:
            await self._drop()

    async def release_if_idle(self) -> None:
        """Release the engine unless a block is running."""
        if not self._lock.locked():
            await self.close()

    # The engine as a cache of the stream

    def _append(self, block: SandboxBlock) -> None:
        self.items.append(SandboxItem(action="block", block=block))
        self._block_no += 1
        self._needs_monty = self._needs_monty or stream.needs_monty(self.items[-1:])
        if stream.leaves_state(block) and self._scope is not None and block.engine == "littrs":
            self._scope = stream.scope_after(self._scope, block)

    def _mounted(self) -> dict[str, tuple[bytes, bool]]:
        mounts = [item for item in stream.effective(self.items) if item.action == "mount"]
        values = [(item.name or "", stream.value_of(item)) for item in mounts]
        return {name: (value["content"], value["writable"]) for name, value in values}

    def known(self) -> faithful.Scope:
        """What the gate knows of the variables, as long as littrs holds them."""
        if self._scope is None:
            self._scope = stream.scope_of(self.items)
        return self._scope

    async def _drop(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()

    async def _ensure(self, name: EngineName) -> LittrsEngine | MontyEngine:
        """The engine, holding the stream's state: the one at hand, or one rebuilt by replay."""
        if self._engine is not None and self._engine.name == name:
            return self._engine
        await self._drop()
        engine: LittrsEngine | MontyEngine
        if name == "littrs":
            engine = await LittrsEngine.start(self._limits)
        else:
            self._files = Files(self._mounted())
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
            elif item.block is not None:
                program = None
                if engine.name == "littrs":
                    program = faithful.check(item.block.code, scope, item.block.tools, ()).program
                    scope = stream.scope_after(scope, item.block)
                await self._repeat(engine, item.block, program)

    async def _repeat(self, engine: LittrsEngine | MontyEngine, block: SandboxBlock, program: Program | None) -> None:
        where = f"{self.sandbox_id}, block {block.block_no}"
        journal = Journal(where, raisable, limit=self._limits.max_tool_calls, recorded=block.calls)
        journal.ends_unanswered = block.status == "limit"
        output = Output(0)
        seconds = self._limits.max_seconds * 4 + 10
        fed = await self._feed(
            engine, Block(code=block.code, tools=block.tools, call=journal.call, output=output, seconds=seconds, program=program)
        )
        if journal.divergence is not None:
            raise journal.divergence
        actual = stream.block_digest(journal.calls, output.sha256, encode_value(fed.value), fed.error)
        if actual != block.digest and not (block.status == "limit" and fed.status == "finished"):
            expected = f"{block.status} with digest {block.digest[:12]}"
            raise ReplayDivergence(where, expected=expected, actual=f"{fed.status} ({_told(fed.error)}) with digest {actual[:12]}")

    async def _feed(self, engine: LittrsEngine | MontyEngine, block: Block) -> Fed:
        """Feed a block; a last value that has no place in the record is the block's error, never a silent None.

        Raises:
            Unfit: when the session may move to the other engine.
        """
        try:
            fed = await engine.feed(block)
            encode_value(fed.value)
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


class _Run:
    """One live block on its way through the engines."""

    def __init__(self, session: Session, code: str, tools: frozenset[str], finishers: frozenset[str], host: HostCall) -> None:
        self.session = session
        self.code = code
        self.tools = tools
        self.finishers = finishers
        self.host = host
        self.reason: str | None = None
        self.engine: EngineName = "monty"
        self.rolled_back = False
        """A program may have finished and its engine be lost all the same, in a `finally:` that never ends."""
        self.block_no = session.block_no
        self.output = Output(session.limits.max_output)
        where = f"{session.sandbox_id}, block {self.block_no}"
        self.journal = Journal(where, raisable, limit=session.limits.max_tool_calls, live=host)

    async def result(self) -> BlockResult:
        began = time.perf_counter()
        fed = await self._run()
        if self.journal.divergence is not None:
            await self.session._drop()
            raise self.journal.divergence
        fed = self._settled(fed)
        if fed.lost:
            self.rolled_back, self.session._engine = True, None
        return BlockResult(
            status=fed.status,
            value=fed.value,
            prints=self.output.text,
            output_truncated=self.output.truncated,
            error=fed.error,
            engine=self.engine,
            reason=self.reason,
            calls=tuple(self.journal.calls),
            duration_ms=(time.perf_counter() - began) * 1000,
            digest=stream.block_digest(self.journal.calls, self.output.sha256, encode_value(fed.value), fed.error),
        )

    async def _run(self) -> Fed:
        limits = self.session.limits
        if len(self.code) > limits.max_source:
            message = f"the block has {len(self.code)} characters; it may have {limits.max_source}"
            self.engine = self.session.engine or "monty"
            return Fed(status="refused", error=ErrorInfo(code="sandbox_limit", type="SandboxLimit", message=message))
        program = None
        if self.session._choice == "monty":
            pass
        elif self.session._choice == "auto" and self.session._needs_monty:
            self.reason = self.session._needs_monty
        else:
            try:
                program = faithful.check(self.code, self.session.known(), self.tools, self.finishers).program
                self.engine = "littrs"
            except faithful.Refused as refused:
                self.reason = str(refused)
                if self.session._choice == "littrs":
                    self.engine = "littrs"
                    error = ErrorInfo(
                        code="sandbox_refused", type="SandboxRefused", message=f"{refused.reason}; {refused.instead}", line=refused.line
                    )
                    return Fed(status="refused", error=error)
        while True:
            try:
                return await self._feed(program)
            except Unfit as unfit:
                self.reason, self.engine, program = unfit.reason, "monty", None
            except Parked:
                await self.session._drop()
                await self.journal.answered()
            self.journal = self.journal.again(self.host)
            self.output = Output(limits.max_output)
            await self.session._drop()

    async def _feed(self, program: Program | None) -> Fed:
        try:
            engine = await self.session._ensure(self.engine)
        except WorkerGone as gone:
            error = ErrorInfo(code="sandbox_crashed", type="RuntimeError", message=str(gone))
            return Fed(status="interrupted", error=error, lost=True)
        seconds = self.session.limits.max_seconds
        return await self.session._feed(
            engine, Block(code=self.code, tools=self.tools, call=self.journal.call, output=self.output, seconds=seconds, program=program)
        )

    def _settled(self, fed: Fed) -> Fed:
        """What the engine reports, in the words of the record."""
        if self.journal.hit_limit and fed.status == "finished":
            message = f"the block made more than {self.session.limits.max_tool_calls} tool calls"
            error = ErrorInfo(code="sandbox_limit", type="SandboxLimit", message=message)
            return Fed(status="limit", lost=fed.lost, error=error)
        if fed.lost and fed.error is not None:
            return Fed(status="interrupted", lost=True, error=fed.error.model_copy(update={"message": fed.error.message + _ROLLED_BACK}))
        return fed

    def block(self, result: BlockResult) -> SandboxBlock:
        return SandboxBlock(
            block_no=self.block_no,
            code=self.code,
            tools=tuple(sorted(self.tools)),
            engine=result.engine,
            reason=result.reason,
            status="interrupted" if self.rolled_back else result.status,
            calls=result.calls,
            error=result.error,
            digest=result.digest,
        )

    def interrupted(self) -> SandboxBlock:
        """The block as it stands when it is cancelled."""
        return SandboxBlock(
            block_no=self.block_no,
            code=self.code,
            tools=tuple(sorted(self.tools)),
            engine=self.engine,
            reason=self.reason,
            status="interrupted",
            calls=tuple(self.journal.calls),
            error=ErrorInfo(code="interrupted", type="Interrupted", message="the block was stopped" + _ROLLED_BACK),
        )


def _told(error: ErrorInfo | None) -> str:
    return f"{error.type}: {error.message}" if error is not None else "no error"
