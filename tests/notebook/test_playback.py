"""A stored run is played back as if it happened now: in order, at a speed, and without anything being done."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.notebook.sample_run import approval, finished
from workbench.errors import UserError
from workbench.notebook.playback import played


async def test_a_run_is_played_in_order_to_its_end() -> None:
    live, seen = played(finished(), speed=20), []
    watching = asyncio.create_task(live.watch())
    while not watching.done():
        seen.append(live.view.state.seq)
        await asyncio.sleep(0.02)
    await watching
    assert seen == sorted(seen)
    assert len(set(seen)) > 1, "not all at once"
    assert live.view.full()["summary"]["badge"]["word"] == "done"
    assert live.view.full()["summary"]["took"] == "3.8 s", "the run's time, not the playback's"
    live.close()


async def test_stop_plays_the_rest_at_once() -> None:
    live, began = played(finished(), speed=0.001, longest=60), time.monotonic()
    watching = asyncio.create_task(live.watch())
    await asyncio.sleep(0.2)
    live._from_page(live.widget, {"type": "stop"}, None)
    await asyncio.wait_for(watching, 10)
    assert live.view.state.status == "completed"
    assert time.monotonic() - began < 60
    live.close()


async def test_what_is_asked_in_a_playback_cannot_be_answered_there() -> None:
    live = played(approval(), speed=1000)
    watching = asyncio.create_task(live.watch())
    await asyncio.sleep(0.5)
    live._from_page(live.widget, {"type": "decide", "request_id": "r", "decision": "approved", "subject_hash": "x"}, None)
    assert "this is a playback" in live.widget.notice["text"]
    live.close()
    await watching


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(UserError, match="a number above 0"):
        played(finished(), speed=speed)


def test_nothing_cannot_be_played() -> None:
    with pytest.raises(UserError, match="no entries"):
        played([])
