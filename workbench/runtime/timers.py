"""What is over when its time is: a lifetime with a `timeout`, and forks whose branches have to join in time.

That a time is over is an entry of the record, written once by whoever drives the lifetime. So `decide` never reads a clock, and a replay
comes to the same choice. Times run from recorded stamps: a process that goes on with a run has what is left of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from workbench.record.envelope import LifetimeEvent, Links
from workbench.record.values import make_id
from workbench.runtime.lifetime import Lifetime


class Timer(NamedTuple):
    """A time that runs."""

    fork: str
    """The exec id of the Plan whose branches have to join; "" for the whole lifetime."""
    since: datetime
    timeout: float


def seconds_left(life: Lifetime) -> float | None:
    """How long until the next time is over; None where none runs. A paused run waits for a person, who ends it or lets it go on."""
    if life.state.pause is not None:
        return None
    now = life.clock.now() if _runs_any(life) else None
    left = [timer.timeout - (now - timer.since).total_seconds() for timer in _timers(life)] if now is not None else []
    return max(0.0, min(left)) if left else None


def lifetime_left(life: Lifetime) -> float | None:
    """How many seconds the lifetime has left; None where it has no limit."""
    timer = next(_of_lifetime(life), None)
    return None if timer is None else max(0.0, timer.timeout - (life.clock.now() - timer.since).total_seconds())


def write_expired(life: Lifetime) -> None:
    """Say in the record of every time that is over that it is."""
    if not _runs_any(life):
        return
    now = life.clock.now()
    for timer in [timer for timer in _timers(life) if (now - timer.since).total_seconds() >= timer.timeout]:
        life_id = life.journal.lifetime_id
        life.write(
            LifetimeEvent,
            phase="expired",
            to_status="running",
            header=life.header(make_id(life_id, "expired", timer.fork), "expired", "RUNNING"),
            links=Links(joins=timer.fork or None),
            reason=f"{timer.timeout:g} s are over",
        )


def _runs_any(life: Lifetime) -> bool:
    return next(_timers(life), None) is not None


def _timers(life: Lifetime) -> Iterator[Timer]:
    yield from _of_lifetime(life)
    for fork, ref in life.state.forks.items():
        timeout = life.graph.join_timeout(ref.plan)
        if timeout is not None and fork not in life.state.expired:
            yield Timer(fork, ref.created_at, timeout)


def _of_lifetime(life: Lifetime) -> Iterator[Timer]:
    state = life.state
    if state.manifest is not None and state.manifest.timeout is not None and state.created_at is not None and "" not in state.expired:
        yield Timer("", state.created_at, state.manifest.timeout)
