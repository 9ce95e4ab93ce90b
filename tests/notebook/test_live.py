"""The live view follows a record through a real store and bus, and holds its page with few and small messages."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import comm
import pytest
from comm.base_comm import BaseComm

from tests.notebook.sample_run import RUN_ID, SAMPLES, finished, long, running, waiting
from workbench.adapters.memory import MemoryEventBus, MemoryStateStore
from workbench.errors import ConfigurationError, RecordCorrupt
from workbench.loop import run_async
from workbench.notebook.live import LiveRun
from workbench.notebook.wire import merge
from workbench.ports import Query
from workbench.record.codec import GENESIS
from workbench.record.entries import decode_entry, store_entry
from workbench.record.envelope import AnyEntry


class PageComm(BaseComm):
    """The page's end of a comm: it keeps every message, and the view they amount to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sizes: list[int] = []
        self.closed_by_python = False
        self.state: dict[str, Any] = {}
        super().__init__(*args, **kwargs)

    def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
        data = json.loads(json.dumps(data or {}))
        self.sizes.append(len(json.dumps(data)))
        self.closed_by_python |= msg_type == "comm_close"
        changed = data.get("state", {})
        self.state |= changed
        if changed.get("delta"):
            assert changed["delta"]["since"] <= self.state["view"]["version"]
            merge(self.state["view"], changed["delta"])


class Kernel:
    """A store, a bus, and a run that is written to them while somebody watches."""

    def __init__(self) -> None:
        self.store, self.bus = MemoryStateStore(), MemoryEventBus()
        self.prev, self.epoch = GENESIS, 0
        self.pressed: list[Any] = []

    async def read(self, after_seq: int) -> list[AnyEntry]:
        return [decode_entry(stored) async for stored in self.store.read(Query(lifetime_ids=[RUN_ID], after_seq=after_seq))]

    async def _write(self, entries: list[AnyEntry]) -> None:
        self.epoch = (await self.store.claim(RUN_ID, "test", 600)).epoch
        for entry in entries:
            stored = store_entry(entry, self.prev)
            self.prev = stored.hash
            await self.store.append([stored], {RUN_ID: self.epoch})
            self.bus.publish("run", RUN_ID, {"type": "entry", "seq": entry.seq})

    async def write(self, entries: list[AnyEntry]) -> None:
        await run_async(self._write(entries))

    def live(self, **changed: Any) -> LiveRun:
        given: dict[str, Any] = {
            "read_entries": self.read,
            "subscribe": lambda: self.bus.subscribe("run", RUN_ID),
            "on_stop": lambda: self.pressed.append("stop"),
            "on_decide": self.pressed.append,
        }
        return LiveRun(**(given | changed))


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Callable[[LiveRun], PageComm]:
    made: list[PageComm] = []

    def create(*args: Any, **kwargs: Any) -> PageComm:
        made.append(PageComm(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(comm, "create_comm", create)
    return lambda live: next(each for each in made if each.comm_id == live.widget.comm.comm_id)


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    kernel = Kernel()
    yield kernel
    await run_async(kernel.bus.close())


async def test_the_page_sees_what_the_record_says(kernel: Kernel, page: Callable[[LiveRun], PageComm]) -> None:
    live, entries = kernel.live(), finished()
    watching = asyncio.create_task(live.watch())
    for start in range(0, len(entries), 5):
        await kernel.write(entries[start : start + 5])
        await asyncio.sleep(0.03)
    await asyncio.wait_for(watching, 10)
    assert page(live).state["view"] == json.loads(json.dumps(live.view.full()))
    assert live.view.state.status == "completed"


async def test_a_long_run_is_sent_in_few_and_small_messages(kernel: Kernel, page: Callable[[LiveRun], PageComm]) -> None:
    live, entries = kernel.live(), long(60)
    watching = asyncio.create_task(live.watch())
    began = time.monotonic()
    for entry in entries:
        await kernel.write([entry])
        await asyncio.sleep(0.002)
    await asyncio.wait_for(watching, 20)
    messages = page(live).sizes
    assert len(messages) <= 3 + 10 * (time.monotonic() - began + 0.2)
    assert sum(messages[2:]) < 3 * len(json.dumps(live.view.full()))


async def test_pieces_arrive_before_the_entry_that_replaces_them(kernel: Kernel, page: Callable[[LiveRun], PageComm]) -> None:
    live, entries = kernel.live(), running()
    started = next(place for place, entry in enumerate(entries) if entry.header.name == "task_llm")
    watching = asyncio.create_task(live.watch())
    await kernel.write(entries[: started + 1])
    await asyncio.sleep(0.3)
    for piece in ("I need ", "this week's prices"):
        kernel.bus.publish("run", RUN_ID, {"type": "text", "exec_id": entries[started].header.exec_id, "text": piece})
    await asyncio.sleep(0.4)
    assert page(live).state["view"]["steps"][0]["reply"]["text"] == "I need this week's prices"
    await kernel.write(entries[started + 1 : started + 2])
    await asyncio.sleep(0.4)
    assert page(live).state["view"]["steps"][0]["reply"] is None
    live.close()
    await asyncio.wait_for(watching, 5)


async def test_a_page_that_opens_late_gets_everything_from_the_state_alone(kernel: Kernel) -> None:
    await kernel.write(waiting())
    live = kernel.live()
    watching = asyncio.create_task(live.watch())
    await asyncio.sleep(0.3)
    state = live.widget.get_state()
    assert state["view"]["summary"]["badge"]["word"] == "waiting for you"
    assert len(state["view"]["steps"]) == 2
    live.close()
    await asyncio.wait_for(watching, 5)


async def test_a_lost_hint_loses_nothing(kernel: Kernel) -> None:
    deaf = MemoryEventBus()
    live = kernel.live(subscribe=lambda: deaf.subscribe("run", RUN_ID))
    watching = asyncio.create_task(live.watch())
    await asyncio.sleep(0.2)
    await kernel.write(finished())
    await asyncio.wait_for(watching, 10)
    assert live.view.state.terminal


async def test_a_closed_view_is_empty_and_out_of_the_page(kernel: Kernel, page: Callable[[LiveRun], PageComm]) -> None:
    await kernel.write(finished())
    live = kernel.live()
    await asyncio.wait_for(live.watch(), 5)
    its_page = page(live)
    live.close()
    assert (its_page.state["view"], its_page.state["delta"], its_page.closed_by_python) == ({}, {}, True)


async def test_buttons_reach_python_and_what_is_refused_is_said(kernel: Kernel, page: Callable[[LiveRun], PageComm]) -> None:
    def refuse(_: dict[str, Any]) -> None:
        raise ConfigurationError("already decided by ben at 09:31")

    decision = {"type": "decide", "request_id": "r", "decision": "stop", "value_json": None, "subject_hash": "cd"}
    live, refusing = kernel.live(), kernel.live(on_decide=refuse)
    for message in ({"type": "stop"}, decision, {"type": "decide"}, "nonsense", {"type": "unheard"}):
        live._from_page(live.widget, message, [])
    assert kernel.pressed == ["stop", decision]
    refusing._from_page(refusing.widget, decision, [])
    assert page(refusing).state["notice"]["text"] == "already decided by ben at 09:31"


async def test_a_record_that_does_not_hold_stops_the_view_and_says_so(kernel: Kernel, page: Callable[[LiveRun], PageComm]) -> None:
    async def read(after_seq: int) -> list[AnyEntry]:
        return SAMPLES["running"]()[after_seq + 1 :]

    live = kernel.live(read_entries=read)
    with pytest.raises(RecordCorrupt):
        await live.watch()
    assert page(live).state["notice"]["text"].startswith("This view has stopped; the run goes on without it")
