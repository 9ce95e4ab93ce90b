"""What every `StateStore` promises, sentence by sentence. A technology's own test only gives the store and a clock it can turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from tests.conformance.samples import heads, lifetime, stamp, tasks, tool_call
from workbench.errors import LeaseHeld, RecordCorrupt, StaleEpoch
from workbench.ports import DataKey, InboxItem, Query, StateStore, Tombstone
from workbench.record.codec import GENESIS
from workbench.record.entries import COLUMNS, StoredEntry, verify_chain
from workbench.record.statistics import Statistic, Statistics, counted_in_columns

A, B = lifetime(0), lifetime(1)


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def entries_of(store: StateStore, query: Query = Query()) -> list[StoredEntry]:  # noqa: B008 - a frozen value
    return [entry async for entry in store.read(query)]


def bare(entries: list[StoredEntry]) -> list[StoredEntry]:
    """Entries without the position that a store gives them."""
    return [replace(entry, position=0) for entry in entries]


class StateStoreSuite:
    """Give `open_store(clock)`, a function that opens a new, empty store."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    async def store(self, open_store: Callable[[Clock], StateStore], clock: Clock) -> AsyncIterator[StateStore]:
        store = open_store(clock)
        yield store
        await store.close()

    @pytest.fixture
    async def epochs(self, store: StateStore) -> dict[str, int]:
        """Leases on the two lifetimes the tests write to."""
        return {lifetime_id: (await store.claim(lifetime_id, "me", 60)).epoch for lifetime_id in (A, B)}

    # The log

    async def test_what_was_appended_is_read_back_exactly(self, store, epochs):
        written = tasks(A, 6, session_id="notebook")
        await store.append(written, epochs)
        assert bare(await entries_of(store)) == written

    async def test_an_empty_append_needs_no_lease_and_does_nothing(self, store):
        await store.append([], {})
        assert await entries_of(store) == []

    async def test_the_stored_chain_verifies(self, store, epochs):
        written = tasks(A, 20)
        await store.append(written, epochs)
        assert verify_chain(iter(await entries_of(store, Query(lifetime_ids=[A]))), A) == heads(written)

    async def test_positions_grow_over_the_whole_store_in_commit_order(self, store, epochs):
        first, second = tasks(A, 4), tasks(B, 2)
        for part in (first[:2], second, first[2:]):
            await store.append(part, epochs)
        read = await entries_of(store)
        assert [(entry.lifetime_id, entry.seq) for entry in read] == [(A, 1), (A, 2), (B, 1), (B, 2), (A, 3), (A, 4)]
        assert [entry.position for entry in read] == sorted({entry.position for entry in read})
        assert read[0].position >= 1

    async def test_one_append_may_hold_several_lifetimes(self, store, epochs):
        a, b = tasks(A, 2), tasks(B, 2)
        await store.append([a[0], b[0], a[1], b[1]], epochs)
        assert (await store.head(A), await store.head(B)) == (heads(a), heads(b))

    async def test_an_append_is_all_or_nothing(self, store, epochs):
        a, b = tasks(A, 2), tasks(B, 3)
        with pytest.raises(RecordCorrupt):
            await store.append([*a, b[0], b[2]], epochs)
        assert await entries_of(store) == []
        assert await store.head(A) == (0, GENESIS)

    async def test_a_gap_is_refused_and_named(self, store, epochs):
        written = tasks(A, 5)
        await store.append(written[:2], epochs)
        with pytest.raises(RecordCorrupt, match="entry 4") as caught:
            await store.append(written[3:], epochs)
        assert (caught.value.lifetime_id, caught.value.seq) == (A, 4)

    async def test_a_number_that_is_there_already_is_refused(self, store, epochs):
        written = tasks(A, 3)
        await store.append(written, epochs)
        with pytest.raises(RecordCorrupt):
            await store.append(written[2:], epochs)
        assert bare(await entries_of(store)) == written

    async def test_an_entry_that_does_not_carry_the_hash_before_it_is_refused(self, store, epochs):
        await store.append(tasks(A, 2), epochs)
        with pytest.raises(RecordCorrupt):
            await store.append(tasks(A, 1, after=2, head="f" * 64), epochs)

    async def test_a_phase_of_an_execution_is_stored_once(self, store, epochs):
        written = tasks(A, 2)
        await store.append(written, epochs)
        again = replace(tasks(A, 1, after=2, head=written[-1].hash)[0], columns=written[1].columns)
        with pytest.raises(RecordCorrupt, match="finished") as caught:
            await store.append([again], epochs)
        assert caught.value.seq == 3

    async def test_a_repeated_phase_inside_one_append_writes_nothing(self, store, epochs):
        written = tasks(A, 3)
        with pytest.raises(RecordCorrupt):
            await store.append([*written[:2], replace(written[2], columns=written[0].columns)], epochs)
        assert await store.head(A) == (0, GENESIS)
        await store.append(written, epochs)

    async def test_the_same_phase_in_another_lifetime_is_no_repetition(self, store, epochs):
        await store.append([tasks(A, 1)[0], replace(tasks(B, 1)[0], columns=tasks(A, 1)[0].columns)], epochs)
        assert len(await entries_of(store)) == 2

    async def test_the_head_of_an_unknown_lifetime_is_genesis(self, store):
        assert await store.head(A) == (0, GENESIS)

    async def test_appends_made_at_once_are_all_there_and_in_order(self, store):
        lifetimes = [lifetime(number) for number in range(50)]
        held = {lifetime_id: (await store.claim(lifetime_id, "me", 60)).epoch for lifetime_id in lifetimes}
        await asyncio.gather(*(store.append([entry], held) for lifetime_id in lifetimes for entry in tasks(lifetime_id, 4)))
        for lifetime_id in lifetimes:
            assert (await store.head(lifetime_id))[0] == 4
        assert len({entry.position for entry in await entries_of(store)}) == 200

    async def test_cancelling_the_caller_does_not_withdraw_an_append(self, store, epochs):
        first, second = tasks(A, 2)
        caller = asyncio.create_task(store.append([first], epochs))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait({caller})
        await store.append([second], epochs)
        assert bare(await entries_of(store)) == [first, second]

    async def test_of_appends_made_at_once_a_refused_one_does_not_fail_the_others(self, store, epochs):
        stale = {**epochs, B: epochs[B] - 1}
        a = tasks(A, 3)
        repeated = replace(tasks(B, 2)[1], columns=tasks(B, 1)[0].columns)
        outcomes = await asyncio.gather(
            store.append(a[:1], epochs),
            store.append(tasks(B, 1), stale),
            store.append([tasks(B, 1)[0], repeated], epochs),
            store.append(a[2:], epochs),
            store.append(a[1:2], epochs),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), StaleEpoch, RecordCorrupt, RecordCorrupt, type(None)]
        assert (await store.head(A), await store.head(B)) == (heads(a[:2]), (0, GENESIS))

    # Reading

    async def test_a_reader_that_remembers_its_position_misses_nothing(self, store, epochs):
        written, seen, position = tasks(A, 9), [], 0
        for part in (written[:4], written[4:5], written[5:]):
            await store.append(part, epochs)
            async for entry in store.read(Query(after_position=position)):
                seen.append(entry.seq)
                position = entry.position
        assert seen == list(range(1, 10))

    @pytest.mark.parametrize("query", [Query(), Query(lifetime_ids=[A])])
    async def test_a_reading_shows_all_that_was_there_when_it_began_while_appends_go_on(self, store, epochs, query):
        written = tasks(A, 400)
        await store.append(written[:300], epochs)
        reading = store.read(query)
        seen = [(await anext(reading)).seq]
        await store.append(written[300:], epochs)
        seen += [entry.seq async for entry in reading]
        assert seen in (list(range(1, 301)), list(range(1, 401)))

    async def test_a_reading_may_be_left_early(self, store, epochs):
        await store.append(tasks(A, 400), epochs)
        reading = store.read(Query())
        assert (await anext(reading)).seq == 1
        await reading.aclose()

    async def test_long_lifetimes_are_read_whole_and_in_order(self, store, epochs):
        written = tasks(A, 2600)
        await store.append(written, epochs)
        assert bare(await entries_of(store, Query(lifetime_ids=[A]))) == written
        assert bare(await entries_of(store)) == written
        assert [e.seq for e in await entries_of(store, Query(lifetime_ids=[A], newest_first=True))] == list(range(2600, 0, -1))

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (Query(), [1, 2, 3, 4, 5, 6, 7]),
            (Query(lifetime_ids=[A]), [1, 2, 3, 4, 5]),
            (Query(lifetime_ids=[A, B]), [1, 2, 3, 4, 5, 6, 7]),
            (Query(lifetime_ids=[]), []),
            (Query(lifetime_ids=["' OR 1=1 --"]), []),
            (Query(session_id="s1"), [1, 2, 3, 4]),
            (Query(kinds=["tool_call"]), [5]),
            (Query(kinds=["tool_call", "task_execution"]), [1, 2, 3, 4, 5, 6, 7]),
            (Query(phases=["started"]), [1, 3, 6]),
            (Query(names=["task_1"]), [3, 4]),
            (Query(statuses=["SUCCEEDED"]), [2, 4, 7]),
            (Query(since=stamp(2)), [2, 3, 4, 5]),
            (Query(until=stamp(2)), [1, 6, 7]),
            (Query(since=stamp(2), until=stamp(4)), [2, 3]),
            (Query(lifetime_ids=[A], after_seq=3), [4, 5]),
            (Query(after_position=5), [6, 7]),
            (Query(limit=2), [1, 2]),
            (Query(limit=0), []),
            (Query(newest_first=True), [7, 6, 5, 4, 3, 2, 1]),
            (Query(newest_first=True, limit=2), [7, 6]),
            (Query(lifetime_ids=[A], newest_first=True, limit=1), [5]),
            (Query(lifetime_ids=[A], limit=3, after_seq=1), [2, 3, 4]),
            (Query(lifetime_ids=[A], phases=["finished"], statuses=["SUCCEEDED"], names=["task_0", "task_1"], limit=1), [2]),
        ],
    )
    async def test_all_conditions_of_a_query_must_hold(self, store, epochs, query, expected):
        a = tasks(A, 4, session_id="s1")
        await store.append([*a, tool_call(A, after=4, head=a[-1].hash, at=5), *tasks(B, 2, session_id="s2", at=0)], epochs)
        assert [entry.position for entry in await entries_of(store, query)] == expected

    @pytest.mark.parametrize("limit", [127, 128, 129, 300])
    async def test_a_limit_is_kept_wherever_batches_end(self, store, epochs, limit):
        await store.append(tasks(A, 300), epochs)
        for query in (Query(lifetime_ids=[A], limit=limit), Query(limit=limit)):
            assert [entry.seq for entry in await entries_of(store, query)] == list(range(1, limit + 1))
        newest = await entries_of(store, Query(lifetime_ids=[A], limit=limit, newest_first=True))
        assert [entry.seq for entry in newest] == list(range(300, 300 - limit, -1))

    # Statistics

    @pytest.mark.parametrize(
        "query",
        [
            Query(),
            Query(lifetime_ids=[A]),
            Query(without_lifetime=A),
            Query(session_id="s1"),
            Query(session_id="none"),
            Query(tenant_id="default"),
            Query(tenant_id="other"),
            Query(since=stamp(2), until=stamp(5)),
            Query(after_position=3),
            Query(kinds=["tool_call"]),
        ],
    )
    async def test_statistics_are_those_of_the_entries_that_are_read(self, store, epochs, query):
        a = tasks(A, 6, session_id="s1")
        await store.append([*a, tool_call(A, after=6, head=a[-1].hash, at=5), *tasks(B, 4, session_id="s2", at=3)], epochs)
        expected, read = Statistics(), await entries_of(store, query)
        for entry in read:
            expected.count(counted_in_columns(lambda name, row=entry.columns: row[list(COLUMNS).index(name)]))
        for statistic in expected.by_name.values():
            statistic.last = None
        found = await store.statistics(query)
        assert found.by_name == expected.by_name

    async def test_statistics_know_the_positions_they_looked_at(self, store, epochs):
        await store.append([*tasks(A, 2, session_id="s1"), *tasks(B, 2, session_id="s2")], epochs)
        positions = [entry.position for entry in await entries_of(store, Query(session_id="s2"))]
        found, none = await store.statistics(Query(session_id="s2")), await store.statistics(Query(session_id="s3"))
        assert [found.first_position, found.last_position] == positions
        assert (none.first_position, none.last_position) == (None, None)

    async def test_statistics_of_money_are_whole_nano_dollars(self, store, epochs):
        await store.append(tasks(A, 8), epochs)
        assert (await store.statistics(Query())).of("cost_usd") == Statistic(4, 6_000, 1_500, 1_500)

    # Cursors

    async def test_a_cursor_starts_at_zero_and_is_kept_by_consumer(self, store):
        assert await store.cursor("frames") == 0
        assert await store.cursor("frames", 7) == 7
        assert (await store.cursor("frames"), await store.cursor("webhook")) == (7, 0)

    async def test_a_cursor_never_moves_back(self, store):
        await store.cursor("frames", 7)
        assert await store.cursor("frames", 3) == 7
        assert await store.cursor("frames") == 7

    # Leases

    async def test_a_claim_of_a_free_lifetime_gives_a_lease(self, store, clock):
        lease = await store.claim(A, "me", 30)
        assert lease == (A, "me", 1, clock.now + 30)
        assert await store.leases() == {A: lease}

    async def test_a_claim_by_its_holder_keeps_the_epoch_and_extends_it(self, store, clock):
        first = await store.claim(A, "me", 30)
        clock.now += 10
        again = await store.claim(A, "me", 30)
        assert (again.epoch, again.expires_at) == (first.epoch, clock.now + 30)

    async def test_a_claim_of_a_held_lifetime_is_refused_and_names_the_holder(self, store):
        await store.claim(A, "kernel-1", 30)
        with pytest.raises(LeaseHeld, match="kernel-1"):
            await store.claim(A, "kernel-2", 30)

    async def test_an_expired_lease_may_be_taken_and_the_epoch_grows(self, store, clock):
        first = await store.claim(A, "me", 30)
        clock.now += 30
        assert await store.leases() == {}
        assert (await store.claim(A, "you", 30)).epoch == first.epoch + 1

    async def test_each_change_of_hands_raises_the_epoch(self, store):
        seen = []
        for owner in ("me", "you", "me"):
            seen.append((await store.claim(A, owner, 30)).epoch)
            await store.release(A, owner)
        assert seen == [1, 2, 3]

    async def test_of_many_claims_made_at_once_one_wins(self, store):
        outcomes = await asyncio.gather(*(store.claim(A, f"owner-{n}", 30) for n in range(20)), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Lease"] + ["LeaseHeld"] * 19

    async def test_a_release_frees_the_lifetime_at_once(self, store):
        await store.claim(A, "me", 30)
        await store.release(A, "me")
        assert await store.leases() == {}
        assert (await store.claim(A, "you", 30)).owner == "you"

    async def test_a_release_of_what_is_not_held_is_no_error_and_changes_nothing(self, store):
        await store.release(A, "me")
        lease = await store.claim(A, "me", 30)
        await store.release(A, "you")
        assert await store.leases() == {A: lease}

    async def test_renewing_extends_every_lease_the_owner_still_holds(self, store, clock):
        await store.claim(A, "me", 30)
        await store.claim(B, "me", 30)
        await store.claim(lifetime(2), "you", 30)
        clock.now += 20
        assert await store.renew("me", 30) == {A, B}
        assert {key: lease.expires_at - clock.now for key, lease in (await store.leases()).items()} == {A: 30, B: 30, lifetime(2): 10}

    async def test_renewing_keeps_an_expired_lease_that_nobody_has_taken(self, store, clock):
        lease = await store.claim(A, "me", 30)
        clock.now += 100
        assert await store.renew("me", 30) == {A}
        assert (await store.leases())[A].epoch == lease.epoch

    async def test_renewing_does_not_take_back_what_another_has_taken_or_what_was_released(self, store, clock):
        await store.claim(A, "me", 30)
        await store.claim(B, "me", 30)
        await store.release(B, "me")
        clock.now += 31
        await store.claim(A, "you", 30)
        assert await store.renew("me", 30) == set()

    async def test_an_append_with_an_older_epoch_is_refused_and_writes_nothing(self, store, clock):
        old = await store.claim(A, "me", 30)
        written = tasks(A, 2)
        await store.append(written[:1], {A: old.epoch})
        clock.now += 31
        new = await store.claim(A, "you", 30)
        with pytest.raises(StaleEpoch, match=f"epoch {new.epoch}"):
            await store.append(written[1:], {A: old.epoch})
        assert await store.head(A) == heads(written[:1])
        await store.append(written[1:], {A: new.epoch})

    async def test_an_append_without_a_lease_is_refused(self, store):
        with pytest.raises(StaleEpoch, match="claim"):
            await store.append(tasks(A, 1), {A: 1})

    async def test_an_append_needs_the_epoch_of_each_of_its_lifetimes(self, store, epochs):
        with pytest.raises(StaleEpoch):
            await store.append([*tasks(A, 1), *tasks(B, 1)], {A: epochs[A]})
        assert await entries_of(store) == []

    # Inbox

    async def test_the_first_decision_for_a_request_is_kept_and_the_second_refused(self, store):
        first, second = InboxItem("r1", A, b'{"decision":"stop"}'), InboxItem("r1", A, b'{"decision":"happened"}')
        assert (await store.put_decision(first), await store.put_decision(second)) == (True, False)
        assert await store.decisions(A) == [first]

    async def test_the_same_decision_twice_is_refused_too(self, store):
        item = InboxItem("r1", A, b"{}")
        assert (await store.put_decision(item), await store.put_decision(item)) == (True, False)

    async def test_decisions_of_a_lifetime_come_oldest_first_and_stay(self, store):
        items = [InboxItem(f"r{n}", A, b"{}") for n in (3, 1, 2)]
        for item in [*items, InboxItem("other", B, b"{}")]:
            await store.put_decision(item)
        assert await store.decisions(A) == await store.decisions(A) == items
        assert await store.decisions(lifetime(5)) == []

    async def test_what_was_decided_after_a_place_is_found_for_all_lifetimes_in_order(self, store):
        for request, lifetime_id in (("r1", A), ("r2", B), ("r1", B), ("r3", A)):
            await store.put_decision(InboxItem(request, lifetime_id, b"{}"))
        places = await store.decided_after(0)
        assert [lifetime_id for _, lifetime_id in places] == [A, B, A]
        assert places == sorted(places)
        assert await store.decided_after(places[0][0]) == places[1:]
        assert await store.decided_after(places[-1][0]) == []

    # Pruning

    async def test_a_pruned_lifetime_is_gone_and_its_tombstone_stays(self, store, epochs):
        await store.append([*tasks(A, 3), *tasks(B, 2)], epochs)
        await store.put_decision(InboxItem("r1", A, b"{}"))
        await let_go(store)
        tombstone = Tombstone(A, *heads(tasks(A, 3)), stamp(9), ("a" * 64, "b" * 64))
        await store.prune(tombstone)
        assert {entry.lifetime_id for entry in await entries_of(store)} == {B}
        assert (await store.head(A), await store.decisions(A)) == ((0, GENESIS), [])
        assert await store.tombstones() == {A: tombstone}

    async def test_positions_are_never_given_twice_after_a_prune(self, store, epochs):
        await store.append([*tasks(B, 1), *tasks(A, 3)], epochs)
        await let_go(store)
        await store.prune(Tombstone(A, *heads(tasks(A, 3)), stamp(9)))
        epochs = {B: (await store.claim(B, "me", 60)).epoch}
        await store.append(tasks(B, 1, after=1, head=tasks(B, 1)[0].hash), epochs)
        assert [entry.position for entry in await entries_of(store)] == [1, 5]

    async def test_a_tombstone_that_describes_another_record_deletes_nothing(self, store, epochs):
        written = tasks(A, 3)
        await store.append(written, epochs)
        await let_go(store)
        for wrong in (heads(written[:2]), (3, "f" * 64), (0, GENESIS)):
            with pytest.raises(RecordCorrupt, match="nothing was deleted"):
                await store.prune(Tombstone(A, *wrong, stamp(9)))
        assert bare(await entries_of(store)) == written
        assert await store.tombstones() == {}

    async def test_a_lifetime_that_somebody_holds_is_not_pruned(self, store, epochs):
        await store.append(tasks(A, 1), epochs)
        with pytest.raises(LeaseHeld):
            await store.prune(Tombstone(A, *heads(tasks(A, 1)), stamp(9)))
        assert len(await entries_of(store)) == 1

    async def test_nothing_is_appended_to_a_pruned_lifetime(self, store, epochs):
        await store.append(tasks(A, 2), epochs)
        await let_go(store)
        await store.prune(Tombstone(A, *heads(tasks(A, 2)), stamp(9)))
        epochs = {A: (await store.claim(A, "me", 60)).epoch}
        with pytest.raises(RecordCorrupt, match="was pruned"):
            await store.append(tasks(A, 1), epochs)

    async def test_columns_are_those_of_the_entries(self, store, epochs):
        await store.append([*tasks(A, 3), *tasks(B, 2)], epochs)
        names = ("lifetime_id", "seq", "hash", "size", "data", "kind", "phase", "exec_id", "created_at", "tokens_in", "model")
        rows = [row async for batch in store.columns(Query(), names) for row in batch]
        place = {name: index for index, name in enumerate(COLUMNS)}
        expected = [
            (each.lifetime_id, each.seq, each.hash, len(each.data), each.data, *(each.columns[place[name]] for name in names[5:]))
            for each in await entries_of(store)
        ]
        assert rows == expected
        newest = Query(lifetime_ids=[A], newest_first=True, limit=1)
        assert [row async for batch in store.columns(newest, ("seq",)) for row in batch] == [(3,)]
        assert [batch async for batch in store.columns(Query(session_id="nobody"), names)] == []

    # The keys of what is encrypted

    async def test_the_first_data_key_of_a_lifetime_is_kept(self, store):
        assert await store.data_key(A) is None
        first = DataKey(A, "k1", b"wrapped")
        assert await store.put_data_key(first) == first
        assert await store.put_data_key(DataKey(A, "k2", b"other")) == first
        assert await store.data_key(A) == first
        assert await store.data_keys() == [first]

    async def test_a_data_key_is_replaced_only_by_who_knows_it_and_removed_once(self, store):
        first, second = DataKey(A, "k1", b"wrapped"), DataKey(A, "k2", b"again")
        await store.put_data_key(first)
        assert not await store.replace_data_key(second, first)
        assert await store.replace_data_key(first, second)
        assert await store.data_key(A) == second
        assert await store.remove_data_key(A)
        assert not await store.remove_data_key(A)
        assert await store.data_keys() == []

    async def test_a_pruned_lifetime_loses_its_data_key(self, store, epochs):
        await store.append(tasks(A, 2), epochs)
        await store.put_data_key(DataKey(A, "k1", b"wrapped"))
        await let_go(store)
        await store.prune(Tombstone(A, *heads(tasks(A, 2)), stamp(9)))
        assert await store.data_key(A) is None


async def let_go(store: StateStore) -> None:
    """Give up every lease."""
    for lease in (await store.leases()).values():
        await store.release(lease.lifetime_id, lease.owner)
