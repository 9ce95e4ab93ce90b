"""Caps over branches, sessions and tenants; the ledger and its frames; times and prices."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

import workbench as wb
from tests.runtime.graphs import line
from tests.runtime.guarded import fan, finished, rule, spends, spent, steps, until, verdicts
from workbench.adapters.memory import MemoryStateStore
from workbench.adapters.sql import SqlStateStore
from workbench.current import set_current
from workbench.errors import RunStopped
from workbench.loop import run_sync
from workbench.ports import Query
from workbench.record.state import fold
from workbench.record.values import Usage

# Caps over branches


@pytest.mark.parametrize("action", ["pause_lifetime", "abort_lifetime"])
def test_a_ten_way_fan_out_does_not_overshoot_a_count(bench, action):
    run = wb.start(fan(10, spends(1)), policy=rule("sum(tasks) > 6", action), workbench=bench)
    until(lambda: run.pending or run.done)
    assert run.state.dispatched["work"] <= 5
    run.stop()


def test_a_ten_way_fan_out_exceeds_a_cap_on_tokens_by_no_more_than_the_one_that_crosses_it(bench):
    run = wb.start(fan(10, spends(1_000, seconds=0.02)), policy="sum(tokens_used) > 3 500 -> abort_lifetime", workbench=bench)
    with pytest.raises(RunStopped):
        run.result(10)
    assert spent(run) == 4_000


@pytest.mark.parametrize("field", ["tokens_used", "cost_usd"])
def test_with_a_reserve_a_ten_way_fan_out_does_not_reach_its_cap(bench, field):
    cap, each = (3_500, 1_000) if field == "tokens_used" else (0.35, 0.1)
    policy = rule(f"sum({field}) > {cap}", "abort_lifetime", reserve={field: each})
    run = wb.start(fan(10, spends(1_000, "0.1", seconds=0.02)), policy=policy, workbench=bench)
    with pytest.raises(RunStopped):
        run.result(10)
    assert (spent(run), verdicts(run)[-1].point) == (3_000, "dispatch")
    assert f"reserved({field})" in verdicts(run)[-1].values


def test_branches_run_side_by_side_while_a_cap_is_far(bench):
    at_once, most = 0, 0

    async def work(n, ctx):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.03)
        at_once -= 1
        ctx.usage(Usage(tokens_in=10), model="m", cost_usd="0")
        return n

    run = wb.start(fan(10, work), policy="sum(tokens_used) > 1 000 000 -> abort_lifetime", workbench=bench)
    assert run.result(10) == list(range(10))
    assert most == 9  # the first alone, since nothing was known of its use


def test_tool_calls_of_branches_do_not_overshoot(bench):
    made = []

    @wb.tool
    def touch(n: int) -> int:
        made.append(n)
        return n

    async def work(n, ctx):
        return await ctx.call_tool("touch", {"n": n})

    run = wb.start(fan(10, work), tools=[touch], policy="sum(tool_calls) > 4 -> pause_lifetime", workbench=bench)
    until(lambda: run.pending and len(made) == 4)
    time.sleep(0.1)
    assert len(made) == 4
    run.unpause()
    assert run.result(10) == list(range(10))
    assert sorted(made) == list(range(10))


# Many lifetimes


def test_a_session_is_capped_over_its_runs(bench):
    policy = rule("sum(tokens_used) > 2500", "abort_lifetime", scope="session")
    runs = []
    for _ in range(3):
        runs.append(wb.start(steps(2), 1, policy=policy, workbench=bench))
        run_sync(runs[-1].wait())
    assert [run.status for run in runs] == ["completed", "aborted", "aborted"]
    assert [spent(run) for run in runs] == [2_000, 1_000, 0]
    assert verdicts(runs[1])[0].values == {"sum(tokens_used)": "3000"}


def test_a_tenant_is_capped_over_processes_and_others_are_not(benches):
    store, policy = MemoryStateStore(), rule("sum(cost_usd) > 0.25", "pause_lifetime", scope="tenant", window="24h")
    mine, mine_too, other = (benches(state=store, tenant_id=tenant) for tenant in ("a", "a", "b"))
    assert wb.start(steps(2, cost="0.1"), 1, policy=policy, workbench=mine).result(10) == 1
    paused = wb.start(steps(2, cost="0.1"), 1, policy=policy, workbench=mine_too)
    assert wb.start(steps(2, cost="0.1"), 1, policy=policy, workbench=other).result(10) == 1
    until(lambda: paused.pending)
    assert verdicts(paused)[0].values == {"sum(cost_usd)": "0.300000000"}
    paused.stop()


def test_a_window_forgets_what_is_older(bench):
    policy = rule("sum(tokens_used) > 2500", "abort_lifetime", scope="session", window="1s")
    for _ in range(2):
        assert wb.start(steps(2), 1, policy=policy, workbench=bench).result(10) == 1
        time.sleep(1.1)
    run = wb.start(steps(4), 1, policy=policy, workbench=bench)
    with pytest.raises(RunStopped):
        run.result(10)


def test_a_window_of_one_lifetime(bench):
    slow = line(*(wb.task(name=f"s{n}")(spends(1_000, seconds=0.7)) for n in range(4)))
    assert wb.start(slow, 1, policy=rule("sum(tokens_used) > 2500", "abort_lifetime", window="1s"), workbench=bench).result(10) == 1


def test_a_verdict_over_a_tenant_is_read_from_the_record_and_not_made_again(benches):
    store = MemoryStateStore()
    bench = benches(state=store)
    run = wb.start(steps(2), policy=rule("sum(tokens_used) > 500", "reject_execution", scope="tenant", on=["task"]), workbench=bench)
    run_sync(run.wait())
    for _ in range(2):
        run_sync(wb.start(steps(2), workbench=bench).wait())
    before = len(run.entries())
    assert run.verify().entries == before
    assert fold(run.entries()).error == run.state.error


@pytest.mark.slow
def test_the_ledger_is_the_sum_of_the_records_with_many_writers(benches, tmp_path):
    url = f"sqlite:///{tmp_path / 'records.db'}"

    async def store():
        return SqlStateStore(url)

    writers = [benches(state=run_sync(store()), tenant_id=f"tenant{n % 2}") for n in range(4)]
    price = "0.000000123"

    def work(bench):
        for _ in range(6):
            wb.start(steps(5, 7, price), 1, workbench=bench).result(60)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, writers))
    reader = writers[0]
    entries = [entry for bench in writers for run in bench.runs(100) for entry in run.entries()][: 24 * 1000]
    by_id = {(entry.header.lifetime_id, entry.seq): entry for entry in entries}.values()
    for tenant in ("tenant0", "tenant1"):
        mine = [entry for entry in by_id if entry.header.tenant_id == tenant]
        found = run_sync(reader.store.statistics(Query(tenant_id=tenant)))
        assert found.of("tokens_used").sum == sum(entry.telemetry.tokens_used for entry in mine) == 420
        exact = sum(Decimal(entry.telemetry.cost_usd) for entry in mine if entry.telemetry.cost_usd is not None)
        assert Decimal(found.of("cost_usd").sum).scaleb(-9) == exact == 60 * Decimal(price)
    for bench in writers:
        found = run_sync(reader.store.statistics(Query(session_id=bench.session_id)))
        assert found.of("tokens_used").sum == 6 * 5 * 7
    set_current(reader)
    try:
        costs = {by: wb.frames.costs(by) for by in ("run", "model", "node", "session", "tenant")}
    finally:
        set_current(None)
    assert {by: frame["cost_usd"].sum() for by, frame in costs.items()} == dict.fromkeys(costs, 120 * Decimal(price))
    assert {by: len(frame) for by, frame in costs.items()} == {"run": 24, "model": 1, "node": 5, "session": 4, "tenant": 2}


# Prices and times


def test_a_run_without_prices_is_stopped_by_a_rule_over_money_unless_the_rule_lets_it(bench):
    policy = rule("sum(cost_usd) > 100", "abort_lifetime")
    run = wb.start(steps(3, cost=None), policy=policy, workbench=bench)
    with pytest.raises(RunStopped, match="price is unknown"):
        run.result(10)
    assert verdicts(run)[0].values == {"unpriced": "1"}
    lenient = rule("sum(cost_usd) > 100", "abort_lifetime", unpriced="ignore")
    assert wb.start(steps(3, cost=None), 1, policy=lenient, workbench=bench).result(10) == 1


def test_every_execution_says_how_long_it_waited_and_how_long_it_took(bench):
    run = wb.start(steps(3), 1, workbench=bench)
    run.result(10)
    for entry in finished(run):
        assert 0 <= entry.telemetry.queue_ms <= entry.telemetry.latency_ms


def test_costs_count_what_has_no_price(bench):
    for cost in ("0.25", None):
        wb.start(steps(2, cost=cost), 1, workbench=bench).result(10)
    set_current(bench)
    try:
        (row,) = wb.frames.costs("tenant").to_dict("records")
    finally:
        set_current(None)
    assert (row["tenant_id"], row["cost_usd"], row["unpriced"], row["tokens_used"]) == ("default", Decimal("0.5"), 2, 4_000)


def test_verdicts_are_a_frame(bench):
    run = wb.start(steps(2), 1, policy="tokens_used > 5 -> warn", workbench=bench)
    run.result(10)
    set_current(bench)
    try:
        frame = wb.frames.verdicts(run=run)
    finally:
        set_current(None)
    assert list(frame["rule_id"]) == ["rule-1", "rule-1"]
    assert frame["values"][0] == {"tokens_used": "1000"}


def test_a_paused_run_is_paused_in_the_frame_of_runs(bench):
    run = wb.start(steps(2), 1, policy="sum(tokens_used) > 500 -> pause_lifetime", workbench=bench)
    until(lambda: run.pending)
    set_current(bench)
    try:
        assert list(wb.frames.runs()["status"]) == ["paused"]
        run.unpause()
        run.result(10)
        assert list(wb.frames.runs()["status"]) == ["completed"]
    finally:
        set_current(None)
