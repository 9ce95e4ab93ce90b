"""A pause that a guardrail has called for lasts until a person ends it: it is a question like any other, from whichever process it is
answered."""

from __future__ import annotations

import asyncio

from workbench.errors import ToolDenied
from workbench.runtime.lifetime import Lifetime
from workbench.runtime.requests import pause


def pausing(life: Lifetime) -> asyncio.Task[None] | None:
    """What ends when the pause does; None where there is none. Where nobody is there to ask, the run is stopped."""
    if life.state.pause is None or life.state.terminal:
        return None
    if life.pause is None or life.pause.done():
        life.pause = asyncio.get_running_loop().create_task(_pause(life))
    return life.pause


async def until_unpaused(life: Lifetime) -> None:
    """Wait for the end of a pause.

    Raises:
        ToolDenied: the run was stopped instead.
    """
    waiting = pausing(life)
    if waiting is not None:
        await asyncio.shield(waiting)
    if life.stop_reason is not None:
        raise ToolDenied("the run was stopped")


async def _pause(life: Lifetime) -> None:
    if life.state.pause is not None and life.binding.unattended:
        life.stop(f"{life.state.pause.why}; that pauses the run, and nobody is there to let it go on")
        return
    response = await life.ask(pause(life))
    if response.decision == "stop":
        life.stop(f"stopped by {response.actor} while a guardrail had paused it" + (f": {response.note}" if response.note else ""))
