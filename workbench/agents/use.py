"""Who works in a sandbox: agents that share one take turns, and blocking code does not wait for a person who may be itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from workbench.agents.stream import SandboxStream
from workbench.errors import ApprovalPending
from workbench.loop import run_sync
from workbench.runtime.run import Run
from workbench.sandbox.box import Sandbox

LOOK_SECONDS = 0.05
"""How often blocking code looks whether its run has come to wait for a person."""


@dataclass
class SandboxUse:
    """A sandbox, made at first use, and the run that has it."""

    stream: SandboxStream | None = None
    run: Run | None = None
    starting: bool = False
    box: Sandbox | None = None
    """The person's own, where the sandbox was given and not made."""

    def holder(self) -> object:
        """Whoever runs blocks in it now, or None."""
        return "a task that is being started" if self.starting else self.run if self.run is not None and self.run.live else None


def adopt(box: Sandbox) -> SandboxUse:
    """The use that is made of a person's sandbox: two agents in one take turns."""
    if not isinstance(box.adopted, SandboxUse):
        box.adopted = SandboxUse(SandboxStream(box.session, box.session.sandbox_id), box=box)
        box.held_by = box.adopted.holder
    return box.adopted


def answer_of(run: Run) -> Any:
    """Block until a run has ended, and return its value; an interrupt stops it."""
    try:
        return run_sync(unless_it_waits(run))
    except KeyboardInterrupt:
        run.stop("interrupted by the user")
        raise


async def awaited(run: Run) -> Any:
    """A run's value; cancelling this stops the run."""
    try:
        return await run
    finally:
        run.stop("the awaiting code was cancelled")


async def unless_it_waits(run: Run) -> Any:
    """The run's value; blocking code that would wait for a person is told so instead, for it may be the person who is blocked."""
    ended = asyncio.ensure_future(run.wait())
    try:
        while not (await asyncio.wait({ended}, timeout=LOOK_SECONDS))[0]:
            if run.pending:
                raise ApprovalPending(f"run {run.id} waits for a person: {run.pending[0].title}", run=run)
    finally:
        ended.cancel()
    return await run
