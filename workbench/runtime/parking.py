"""When a lifetime may leave memory: it only waits for people, and its record says all that is needed to go on."""

from __future__ import annotations

from workbench.runtime.decide import decide
from workbench.runtime.lifetime import Lifetime
from workbench.runtime.timers import seconds_left


def only_waits(life: Lifetime) -> bool:
    """Whether the lifetime may be parked.

    Everything that runs has asked a person and may be begun anew (`parks`), nothing follows from the record as it stands, and nothing is
    held beside it: an agent's sandbox lets its own worker go while a call waits.
    """
    state = life.state
    asking = {question.within for question in life.asked.values() if not question.answer.done()}
    return (
        bool(asking)
        and life.binding.on_open is None
        and life.stop_reason is None
        and life.broken is None
        and not life.journal.pending
        and not state.open_calls
        and all(exec_id in asking and _may_begin_anew(life, ref.name) for exec_id, ref in state.running.items())
        and not decide(life.graph, state)
    )


def _may_begin_anew(life: Lifetime, name: str) -> bool:
    task = life.graph.task(name)
    return task.parks and task.idempotent


def seconds_to_sleep(life: Lifetime) -> float | None:
    """How long a parked lifetime may stay so, by the times that its questions and its graph have; None where only an answer wakes it, and 0
    where something has to be done at once, after code that would not be cancelled."""
    if not life.state.requests or decide(life.graph, life.state):
        return 0.0
    now = life.clock.now()
    left = [(request.expires_at - now).total_seconds() for request in life.state.requests.values() if request.expires_at is not None]
    timer = seconds_left(life)
    left += [timer] if timer is not None else []
    return max(0.0, min(left)) if left else None
