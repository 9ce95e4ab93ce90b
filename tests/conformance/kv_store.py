"""What every `KVStore` promises, sentence by sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.conformance.state_store import Clock
from workbench.errors import StoreError
from workbench.ports import KVStore


class KVStoreSuite:
    """Give `open_kv(clock)`, a function that opens a new, empty store."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    async def kv(self, open_kv: Callable[[Clock], KVStore], clock: Clock) -> AsyncIterator[KVStore]:
        kv = open_kv(clock)
        yield kv
        await kv.close()

    async def test_an_absent_value_is_none(self, kv):
        assert await kv.get("k") is None

    async def test_a_value_stays_until_it_is_replaced(self, kv):
        await kv.set("k", b"1")
        await kv.set("k", b"2")
        assert await kv.get("k") == b"2"

    async def test_a_value_with_a_time_to_live_expires(self, kv, clock):
        await kv.set("k", b"1", ttl=10)
        clock.now += 9
        assert await kv.get("k") == b"1"
        clock.now += 1
        assert await kv.get("k") is None

    async def test_an_absent_counter_counts_from_zero(self, kv):
        assert [await kv.add("n", 3), await kv.add("n", -1), await kv.add("n", 0)] == [3, 2, 2]

    async def test_counting_at_once_loses_nothing(self, kv):
        await asyncio.gather(*(kv.add("n", 1) for _ in range(100)))
        assert await kv.add("n", 0) == 100

    async def test_the_value_of_a_counter_is_its_decimal_digits(self, kv):
        await kv.add("n", -12)
        assert await kv.get("n") == b"-12"

    async def test_a_counter_that_has_expired_counts_from_zero(self, kv, clock):
        await kv.set("n", b"5", ttl=10)
        assert await kv.add("n", 1) == 6
        clock.now += 10
        assert await kv.add("n", 1) == 1

    async def test_a_value_that_is_no_number_is_not_a_counter(self, kv):
        await kv.set("k", b"text")
        with pytest.raises(StoreError, match="counter"):
            await kv.add("k", 1)

    async def test_a_swap_replaces_what_stands_there(self, kv):
        await kv.set("k", b"1")
        assert await kv.swap("k", b"1", b"2") is True
        assert await kv.get("k") == b"2"

    async def test_a_swap_of_something_else_changes_nothing(self, kv):
        await kv.set("k", b"1")
        assert (await kv.swap("k", b"0", b"2"), await kv.swap("k", None, b"2")) == (False, False)
        assert await kv.get("k") == b"1"

    async def test_a_swap_from_none_takes_an_absent_or_expired_key_once(self, kv, clock):
        assert (await kv.swap("k", None, b"me"), await kv.swap("k", None, b"you")) == (True, False)
        await kv.set("other", b"1", ttl=10)
        clock.now += 10
        assert await kv.swap("other", None, b"me") is True

    async def test_a_swap_to_none_removes(self, kv):
        await kv.set("k", b"1")
        assert await kv.swap("k", b"1", None) is True
        assert await kv.get("k") is None
