"""One block on its way through the engines: the gate, the change of engines in its middle, the wait without a worker, the record."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from workbench.record.codec import encode_value
from workbench.record.sandbox_items import EngineName, SandboxBlock
from workbench.record.values import ErrorInfo
from workbench.sandbox import faithful, source, stream
from workbench.sandbox.engine import Block, BlockResult, Fed, HostCall, Output, Recorded, Unfit
from workbench.sandbox.journal import Journal, Parked
from workbench.sandbox.littrs_engine import WorkerGone
from workbench.sandbox.lowering import Program
from workbench.sandbox.monty_engine import raisable

if TYPE_CHECKING:
    from workbench.sandbox.session import Session

_ROLLED_BACK = "; the block's variables were rolled back, the tool calls it made stand"


class LiveBlock:
    """One live block on its way through the engines."""

    def __init__(
        self,
        session: Session,
        code: str,
        tools: frozenset[str],
        finishers: frozenset[str],
        host: HostCall,
        *,
        form: Recorded | None,
        on_text: Callable[[str], None] | None = None,
    ) -> None:
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
        self._told = _Told(on_text) if on_text is not None else None
        self.output = self._new_output()
        where = f"{session.sandbox_id}, block {self.block_no}"
        self.journal = Journal(where, raisable, limits=session.limits, live=host, form=form)

    async def result(self) -> BlockResult:
        began = time.perf_counter()
        fed = await self._run()
        if self.journal.divergence is not None:
            await self.session.drop()
            raise self.journal.divergence
        fed = self._settled(fed)
        if fed.lost:
            self.rolled_back = True
            self.session.lose()
        return BlockResult(
            status=fed.status,
            value=fed.value,
            prints=self.output.text,
            output_truncated=self.output.truncated,
            full_prints=self.output.full,
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
        if not self.session.builtins and (line := foreign_import(self.code, self.session.modules())):
            self.engine = self.session.engine or "monty"
            message = "this sandbox has no modules but its own; make it with builtins=True"
            return Fed(status="refused", error=ErrorInfo(code="sandbox_refused", type="ImportError", message=message, line=line))
        program = None
        if self.session.choice == "monty":
            pass
        elif self.session.choice == "auto" and self.session.needs_monty:
            self.reason = self.session.needs_monty
        else:
            try:
                program = faithful.check(self.code, self.session.known(), self.tools, self.finishers).program
                self.engine = "littrs"
            except faithful.Refused as refused:
                self.reason = str(refused)
                if self.session.choice == "littrs":
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
                await self.session.drop()
                await self.journal.answered()
            self.journal = self.journal.again(self.host)
            self.output = self._new_output()
            await self.session.drop()

    def _new_output(self) -> Output:
        limits = self.session.limits
        return Output(limits.max_output, limits.max_full_output, self._told.attempt() if self._told is not None else None)

    async def _feed(self, program: Program | None) -> Fed:
        try:
            engine = await self.session.ensure(self.engine)
        except WorkerGone as gone:
            error = ErrorInfo(code="sandbox_crashed", type="RuntimeError", message=str(gone))
            return Fed(status="interrupted", error=error, lost=True)
        seconds = self.session.limits.max_seconds
        block = Block(code=self.code, tools=self.tools, call=self.journal.call, output=self.output, seconds=seconds, program=program)
        return await self.session.feed(engine, block, self.session.limits.max_result)

    def _settled(self, fed: Fed) -> Fed:
        """What the engine reports, in the words of the record."""
        if self.journal.hit_limit and fed.status == "finished":
            error = ErrorInfo(code="sandbox_limit", type="SandboxLimit", message=f"the block {self.journal.hit_limit}")
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


class _Told:
    """Passes on what a block prints, once: a block that is run again from its beginning prints the same again.

    It has no lock, since attempts follow each other and an engine prints from one thread at a time.
    """

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self._passed = 0
        """Characters, from the block's beginning."""

    def attempt(self) -> Callable[[str], None]:
        """What the next attempt's prints are given to."""
        printed = 0

        def pass_on(text: str) -> None:
            nonlocal printed
            printed += len(text)
            if printed > self._passed:
                new, self._passed = text[self._passed - printed :], printed
                self._on_text(new)

        return pass_on


def foreign_import(code: str, known: Collection[str]) -> int | None:
    """The line of the first import of something outside `known`; code that cannot be looked into counts as one."""
    tree = source.parse(source.normal(code))
    if tree is None:
        return 1
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name not in known for name in names):
            return int(getattr(node, "lineno", 1))
    return None
