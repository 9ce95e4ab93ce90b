"""What every `EventBus` promises, sentence by sentence."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from workbench.ports import EventBus


class EventBusSuite:
    """Give `open_bus(buffer)`, a function that opens a bus whose subscriptions hold that many messages."""

    @pytest.fixture
    async def bus(self, open_bus: Callable[[int], EventBus]) -> AsyncIterator[EventBus]:
        bus = open_bus(100)
        yield bus
        await bus.close()

    async def test_messages_of_one_key_arrive_in_the_order_they_were_published(self, bus):
        subscription = bus.subscribe("runs", "a")
        for n in range(50):
            bus.publish("runs", "a", {"n": n})
        assert [(await anext(subscription))["n"] for _ in range(50)] == list(range(50))

    async def test_a_subscription_to_a_key_sees_only_that_key(self, bus):
        one, every = bus.subscribe("runs", "a"), bus.subscribe("runs")
        for key in ("b", "a"):
            bus.publish("runs", key, {"key": key})
        assert await anext(one) == {"key": "a"}
        assert [await anext(every), await anext(every)] == [{"key": "b"}, {"key": "a"}]

    async def test_a_subscription_sees_only_its_topic(self, bus):
        subscription = bus.subscribe("runs")
        bus.publish("tokens", "a", {"text": "x"})
        bus.publish("runs", "a", {"n": 1})
        assert await anext(subscription) == {"n": 1}

    async def test_a_subscriber_sees_what_is_published_after_it_has_subscribed(self, bus):
        bus.publish("runs", "a", {"n": 0})
        subscription = bus.subscribe("runs")
        bus.publish("runs", "a", {"n": 1})
        assert await anext(subscription) == {"n": 1}

    async def test_every_subscriber_gets_every_message(self, bus):
        subscriptions = [bus.subscribe("runs") for _ in range(3)]
        bus.publish("runs", "a", {"n": 1})
        assert [await anext(subscription) for subscription in subscriptions] == [{"n": 1}] * 3

    async def test_a_waiting_subscriber_is_woken(self, bus):
        subscription = bus.subscribe("runs")
        waiting = asyncio.create_task(anext(subscription))
        await asyncio.sleep(0.01)
        bus.publish("runs", "a", {"n": 1})
        assert await asyncio.wait_for(waiting, 2) == {"n": 1}

    async def test_messages_may_be_published_from_another_thread(self, bus):
        subscription = bus.subscribe("runs")
        waiting = asyncio.create_task(anext(subscription))
        await asyncio.sleep(0.01)
        await asyncio.to_thread(bus.publish, "runs", "a", {"n": 1})
        assert await asyncio.wait_for(waiting, 2) == {"n": 1}

    async def test_a_subscriber_may_live_on_a_loop_of_its_own(self, bus):
        subscription, seen, listening = bus.subscribe("runs"), [], threading.Event()

        async def listen() -> None:
            listening.set()
            async for message in subscription:
                seen.append(message["n"])

        reader = threading.Thread(target=lambda: asyncio.run(listen()))
        reader.start()
        listening.wait(2)
        for n in range(20):
            bus.publish("runs", "a", {"n": n})
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        subscription.close()
        await asyncio.to_thread(reader.join, 2)
        assert seen == list(range(20))

    async def test_a_subscriber_whose_loop_has_ended_does_not_stop_the_publisher(self, bus):
        left, here = bus.subscribe("runs"), bus.subscribe("runs")

        async def wait_a_moment() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(left), 0.01)

        await asyncio.to_thread(asyncio.run, wait_a_moment())
        bus.publish("runs", "a", {"n": 1})
        assert await anext(here) == {"n": 1}

    async def test_a_slow_subscriber_loses_the_oldest_messages_and_they_are_counted(self, bus):
        subscription = bus.subscribe("runs")
        for n in range(130):
            bus.publish("runs", "a", {"n": n})
        assert subscription.dropped == 30
        assert await anext(subscription) == {"n": 30}

    async def test_a_closed_subscription_ends_after_what_has_already_arrived(self, bus):
        subscription = bus.subscribe("runs")
        bus.publish("runs", "a", {"n": 1})
        subscription.close()
        bus.publish("runs", "a", {"n": 2})
        assert [message async for message in subscription] == [{"n": 1}]

    async def test_closing_a_subscription_ends_a_reader_that_waits(self, bus):
        subscription = bus.subscribe("runs")
        waiting = asyncio.create_task(anext(subscription, None))
        await asyncio.sleep(0.01)
        subscription.close()
        subscription.close()
        assert await asyncio.wait_for(waiting, 2) is None

    async def test_closing_the_bus_ends_every_subscription(self, bus):
        subscriptions = [bus.subscribe("runs"), bus.subscribe("tokens", "a")]
        await bus.close()
        assert [[message async for message in subscription] for subscription in subscriptions] == [[], []]

    async def test_after_closing_publishing_is_harmless_and_a_subscription_is_already_over(self, bus):
        await bus.close()
        bus.publish("runs", "a", {"n": 1})
        assert [message async for message in bus.subscribe("runs")] == []
