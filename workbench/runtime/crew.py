"""Crew: the executions of one lifetime that are under way in this process, and the waits before its retries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from workbench.record.refs import TaskRef
from workbench.runtime.executor import Executor
from workbench.runtime.lifetime import Lifetime
from workbench.runtime.timers import seconds_left


class Crew:
    """Begins executions and says when one has finished. Branches run at once; a lifetime with a single one runs it without an extra task.

    `in_turn` runs branches one after the other, for the deterministic test profile.
    """

    def __init__(self, life: Lifetime, executor: Executor, *, in_turn: bool) -> None:
        self._life = life
        self._executor = executor
        self._in_turn = in_turn
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._waits: dict[str, asyncio.Task[None]] = {}

    async def work(self, refs: Sequence[TaskRef], *, cut_off: bool = False, beside: asyncio.Task[None] | None = None) -> None:
        """Begin these executions, and return when at least one that is under way, or a wait, or what goes on `beside`, has come to its
        end, or a time is over."""
        left = None if self._in_turn else seconds_left(self._life)
        alone = len(refs) == 1 and not self._at_work and not self._waits and beside is None and left is None
        if alone or (self._in_turn and refs):
            for ref in refs:
                await self._executor.run_task(self._life, ref, cut_off=cut_off)
            return
        for ref in refs:
            work = self._executor.run_task(self._life, ref, cut_off=cut_off)
            self._at_work[ref.exec_id] = asyncio.get_running_loop().create_task(work)
        under_way = [*self._at_work.values(), *(wait for wait in self._waits.values() if not wait.done())]
        under_way += [beside] if beside is not None else []
        if under_way:
            await self._first_of(under_way, left)
        if beside is not None and beside.done():
            beside.result()
        for exec_id in [exec_id for exec_id, task in self._at_work.items() if task.done()]:
            self._at_work.pop(exec_id).result()

    async def _first_of(self, under_way: list[asyncio.Task[None]], left: float | None) -> None:
        """Wait until one of them is done, or for so many seconds."""
        if left is None:
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            return
        timer = asyncio.get_running_loop().create_task(self._life.clock.sleep(left))
        try:
            await asyncio.wait([*under_way, timer], return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()

    def is_due(self, exec_id: str, seconds: float) -> bool:
        """Whether the wait before this execution is over; the first question begins it."""
        if exec_id not in self._waits:
            self._waits[exec_id] = asyncio.get_running_loop().create_task(self._life.clock.sleep(seconds))
        if not self._waits[exec_id].done():
            return False
        del self._waits[exec_id]
        return True

    def is_owed(self, exec_id: str) -> None:
        """This execution was due and could not begin: its wait stays over."""
        self._waits[exec_id] = asyncio.get_running_loop().create_task(asyncio.sleep(0))

    async def dismiss(self, exec_ids: Sequence[str] | None = None) -> None:
        """Cancel these executions, or everything that is under way, and wait until they have stopped."""
        chosen = list(self._at_work) if exec_ids is None else [exec_id for exec_id in exec_ids if exec_id in self._at_work]
        tasks = [self._at_work.pop(exec_id) for exec_id in chosen]
        if exec_ids is None:
            tasks += self._waits.values()
            self._waits = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
