"""One agent, many tasks: each a run of its own, in a copy of the agent's sandbox, and an outcome for each in the order of the tasks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from workbench.agents.use import unless_it_waits
from workbench.errors import UserError, WorkbenchError
from workbench.loop import run_sync, runtime_loop, submit
from workbench.runtime.run import Run

TICK = 0.1
"""Seconds between two looks at how many have been done."""


@dataclass(frozen=True)
class Outcome:
    """What came of one task."""

    ok: bool
    value: Any = None
    """The answer; None where there is none."""
    error: WorkbenchError | None = None
    """Why there is none."""
    run: Run | None = None
    """Everything that was done; None where the run could not begin."""


Begin = Callable[[], Coroutine[Any, Any, Run]]


def together(begins: list[Begin], limit: int, progress: bool | None) -> list[Outcome]:
    """Begin these runs, so many at a time, and block until all have ended, or have come to wait for a person, who may be the one that is
    blocked. An interrupt stops them."""
    done: list[int] = []
    work = run_sync(_begun(begins, _checked(limit), done))
    try:
        with _bar(len(begins), progress) as told:
            while not work.done():
                run_sync(_a_moment_of(work))
                told(len(done))
        return work.result()
    except KeyboardInterrupt:
        runtime_loop().call_soon_threadsafe(work.cancel)
        raise


async def atogether(begins: list[Begin], limit: int, progress: bool | None) -> list[Outcome]:
    """`together` for code that awaits; cancelling it stops them."""
    done: list[int] = []
    work = asyncio.wrap_future(submit(_all(begins, _checked(limit), done, waits=True)))
    try:
        with _bar(len(begins), progress) as told:
            while not work.done():
                await asyncio.wait({work}, timeout=TICK)
                told(len(done))
        return work.result()
    finally:
        work.cancel()


async def _begun(begins: list[Begin], limit: int, done: list[int]) -> asyncio.Task[list[Outcome]]:
    return asyncio.create_task(_all(begins, limit, done, waits=False))


async def _a_moment_of(work: asyncio.Task[list[Outcome]]) -> None:
    await asyncio.wait({work}, timeout=TICK)


def _checked(limit: int) -> int:
    if type(limit) is not int or limit < 1:
        raise UserError(f"max_concurrency={limit!r} is no number of runs; give a whole number from 1")
    return limit


async def _all(begins: list[Begin], limit: int, done: list[int], *, waits: bool) -> list[Outcome]:
    gate = asyncio.Semaphore(limit)

    async def one(number: int, begin: Begin) -> Outcome:
        async with gate:
            came = await _outcome(begin, waits=waits)
        done.append(number)
        return came

    return await asyncio.gather(*(one(number, begin) for number, begin in enumerate(begins)))


async def _outcome(begin: Begin, *, waits: bool) -> Outcome:
    """One run to its end; cancelling this stops it. Where nobody `waits`, one that has come to wait for a person is left waiting."""
    try:
        run = await begin()
    except WorkbenchError as error:
        return Outcome(False, error=error)
    try:
        return Outcome(True, value=await (run if waits else unless_it_waits(run)), run=run)
    except asyncio.CancelledError:
        run.stop("the awaiting code was cancelled")
        raise
    except WorkbenchError as error:
        return Outcome(False, error=error, run=run)


Bar = Callable[[int], AbstractContextManager[Callable[[int], None]]]
_page_bar: Bar | None = None


def set_bar(bar: Bar | None) -> None:
    """Say how progress is drawn; the notebook does, when its extension is loaded. Else it is drawn by tqdm."""
    global _page_bar  # noqa: PLW0603 - one display a process
    _page_bar = bar


@contextmanager
def _bar(total: int, show: bool | None) -> Iterator[Callable[[int], None]]:
    """A progress bar that leaves nothing behind; called with how many are done. Without `show` there is one where somebody may see it."""
    if _page_bar is not None and show is not False:
        with _page_bar(total) as told:
            yield told
        return
    with tqdm(total=total, unit="task", leave=False, disable=not (sys.stderr.isatty() if show is None else show)) as shown:

        def told(done: int) -> None:
            shown.update(done - shown.n)

        yield told
