"""Run: waited for from anywhere, iterated live and afterwards, found by its id."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest

import workbench as wb
from tests.runtime.graphs import line
from workbench.adapters.memory import MemoryStateStore
from workbench.adapters.writer import Writer
from workbench.errors import ConfigurationError, LoopError, RunError, RunInterrupted, ToolBindingError, UnknownRun, UserError
from workbench.loop import run_sync
from workbench.owner import is_dead, owner_id
from workbench.profiles import local


async def one(x):
    return x


async def slow(x):
    await asyncio.sleep(0.1)
    return x


async def forever(x):
    await asyncio.sleep(60)


async def test_a_run_is_awaited_from_another_loop(bench):
    assert await wb.start(line(slow), 3, workbench=bench) == 3


def test_a_run_is_started_and_awaited_on_the_runtimes_loop(bench):
    async def inside():
        return await (await wb.astart(line(slow), 4, workbench=bench))

    assert run_sync(inside()) == 4


async def test_runs_are_started_from_another_loop(bench):
    runs = await asyncio.gather(*(wb.astart(line(one), number, workbench=bench) for number in range(3)))
    assert await asyncio.gather(*runs) == [0, 1, 2]


def test_many_runs_that_are_started_together_are_stored_in_few_transactions(tmp_path, monkeypatch):
    bench, commits, commit = local(home=tmp_path), [], Writer._commit
    monkeypatch.setattr(Writer, "_commit", lambda writer, requests: commits.append(len(requests)) or commit(writer, requests))

    async def together():
        runs = await asyncio.gather(*(wb.astart(line(one), number, workbench=bench) for number in range(100)))
        return await asyncio.gather(*runs)

    assert run_sync(together()) == list(range(100))
    bench.close()
    assert sum(commits) > 300
    assert len(commits) < 100, commits


async def test_what_is_no_graph_is_refused_before_anything_is_stored(bench):
    with pytest.raises(UserError, match=r"wb\.Agent"):
        await wb.astart(line, 1, workbench=bench)
    assert wb.runs(workbench=bench) == []


def test_a_blocking_call_on_the_runtimes_loop_is_refused_with_the_way_out(bench):
    async def inside():
        run = await wb.astart(line(slow), 4, workbench=bench)
        with pytest.raises(LoopError, match="awaitable twin"):
            run.result()
        return await run

    assert run_sync(inside()) == 4


def test_what_blocks_has_a_twin_that_can_be_awaited_on_the_runtimes_loop(bench):
    async def inside():
        graph = line(one)
        run = await wb.astart(graph, 4, workbench=bench)
        await run
        found = await wb.aopen(run.id[:8], workbench=bench)
        assert [each.id for each in await wb.aruns(workbench=bench)] == [found.id] == [run.id]
        assert (await found.averify(graph=graph)).head == (await run.averify()).head
        entries = await found.aentries()
        again = await found.areplay(graph=graph)
        step = next(entry for entry in entries if entry.kind == "task_execution")
        fork = await found.afork(step.header.exec_id, edit=6, graph=graph)
        return entries[0].phase, await again, await fork

    assert run_sync(inside()) == ("created", 4, 6)


def test_an_interrupted_run_is_resumed_on_the_runtimes_loop(benches):
    bench, run_id = interrupted(benches, line(wb.task(name="step", idempotent=True)(forever)))

    async def inside():
        run = await wb.aresume(run_id[:8], workbench=bench, graph=line(wb.task(name="step", idempotent=True)(one)), accept_changes=True)
        return await run

    assert run_sync(inside()) == 1


def test_a_result_that_is_not_there_in_time_can_be_asked_for_again(bench):
    run = wb.start(line(slow), 5, workbench=bench)
    with pytest.raises(TimeoutError):
        run.result(0.01)
    with pytest.raises(TimeoutError):
        run.result(0)
    assert run.result() == 5
    assert run.result(0.5) == 5


def test_the_value_of_a_run_that_goes_on_is_an_error_that_says_how_to_wait(bench):
    run = wb.start(line(forever), workbench=bench)
    with pytest.raises(RunError, match="await run"):
        run.value  # noqa: B018 - reading it is the act
    run.stop()


async def test_cancelling_who_waits_leaves_the_run_alone(bench):
    run = wb.start(line(slow), 6, workbench=bench)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run
    assert await run == 6


def test_many_threads_wait_for_one_run(bench):
    run = wb.start(line(slow), 7, workbench=bench)
    values = []
    threads = [threading.Thread(target=lambda: values.append(run.result(5))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert values == [7] * 10


def test_two_hundred_runs_at_once(bench):
    def plain(x):
        time.sleep(0.001)
        return x + 1

    runs = [wb.start(line(slow, plain), n, workbench=bench) for n in range(200)]
    assert [run.result(20) for run in runs] == list(range(1, 201))
    assert all(run.verify().entries == len(run.entries()) for run in runs[::40])
    assert run_sync(bench.store.leases()) == {}


AGENT_SCRIPT = ["```python\nprint(1)\n```", "done"]


def names(events):
    return [event["event"] for event in events]


async def test_events_come_live_and_are_the_same_afterwards(bench):
    agent = wb.Agent(wb.models.Scripted(AGENT_SCRIPT, delay=0.02), engine="monty", workbench=bench)
    run = await agent.astart("Print.")
    live = [event async for event in run]
    after = [event async for event in bench.open(run.id)]
    assert live == after == run.events()
    assert names(live)[0] == "iteration_start"
    assert names(live)[-1] == "finish"
    await agent.aclose()


async def test_whoever_watches_a_run_that_is_lost_is_told(benches):
    store = MemoryStateStore()
    bench, other = benches(state=store), benches(state=store)
    run = wb.start(line(forever), workbench=bench)
    watched = asyncio.ensure_future(collect(run))
    elsewhere = asyncio.ensure_future(collect(other.open(run.id)))
    await asyncio.sleep(0.05)
    await asyncio.to_thread(bench.close)
    for watcher in (watched, elsewhere):
        with pytest.raises(RunInterrupted):
            await asyncio.wait_for(watcher, 5)


async def collect(run):
    return [event async for event in run]


async def test_a_watcher_may_leave_at_any_time(bench):
    run = wb.start(line(slow), 1, workbench=bench)
    async with contextlib.aclosing(aiter(run)) as events:
        await anext(events)
    assert await run == 1


def with_ids(benches, *ids):
    rest = iter(["5e551000-0000-4000-8000-000000000000", *ids])
    return benches(new_id=lambda: next(rest))


def test_a_run_is_found_by_a_beginning_that_no_other_shares(benches):
    bench = with_ids(benches, "aaaa0000-0000-4000-8000-000000000001", "aaaa0000-0000-4000-8000-000000000002")
    runs = [wb.start(line(one), n, workbench=bench) for n in range(2)]
    assert wb.open(runs[0].id, workbench=bench).result(5) == 0
    assert wb.open("aaaa0000-0000-4000-8000-000000000002", workbench=bench).value == 1
    with pytest.raises(UnknownRun, match="several runs begin with 'aaaa'"):
        wb.open("aaaa", workbench=bench)


@pytest.mark.parametrize("wrong", ["", "ffff", "%", "_", "' OR 1=1 --", "a" * 100])
def test_an_unknown_run_is_an_error_and_not_a_guess(bench, wrong):
    wb.start(line(one), workbench=bench).result(5)
    with pytest.raises(UnknownRun):
        wb.open(wrong, workbench=bench)


def test_runs_are_listed_from_the_newest_and_live_ones_are_live(bench):
    first = wb.start(line(one), workbench=bench)
    first.result(5)
    second = wb.start(line(forever), workbench=bench)
    found = wb.runs(workbench=bench)
    assert [run.id for run in found] == [second.id, first.id]
    assert [run.live for run in found] == [True, False]
    assert len(wb.runs(1, workbench=bench)) == 1
    second.stop()


def test_the_last_run_is_remembered(bench):
    run = wb.start(line(one), workbench=bench)
    assert bench.last is run


def test_an_input_without_a_faithful_form_starts_nothing(bench):
    with pytest.raises(wb.errors.UnencodableValue):
        wb.start(line(one), object(), workbench=bench)
    assert wb.runs(workbench=bench) == []
    assert run_sync(bench.store.leases()) == {}


def interrupted(benches, graph):
    store = MemoryStateStore()
    first, second = benches(state=store), benches(state=store)
    run = wb.start(graph, 1, workbench=first)
    first.close()
    return second, run.id


def test_a_changed_graph_is_refused_unless_the_change_is_accepted(benches):
    bench, run_id = interrupted(benches, line(wb.task(name="step", idempotent=True)(forever)))
    changed = line(wb.task(name="step", idempotent=True)(one))
    with pytest.raises(ToolBindingError, match=r"step[\s\S]*run\.fork\(graph=…\)"):
        bench.resume(run_id, graph=changed)
    assert run_sync(bench.store.leases()) == {}
    assert bench.resume(run_id, graph=changed, accept_changes=True).result(5) == 1


def test_resuming_without_its_graph_says_which_one_is_needed(benches):
    bench, run_id = interrupted(benches, line(forever, name="the_graph"))
    with pytest.raises(wb.errors.UserError, match="the_graph"):
        bench.resume(run_id)


def test_a_workbench_that_cannot_make_agents_says_so(benches):
    store = MemoryStateStore()
    first, second = benches(state=store), benches(state=store, kinds={})
    agent = wb.Agent(wb.models.Scripted(["x"], delay=30), workbench=first)
    run = agent.start("Wait.")
    first.close()
    agent.close()
    with pytest.raises(ConfigurationError, match="'agent'"):
        second.resume(run.id)


def test_an_owner_is_dead_only_when_that_is_certain():
    assert not is_dead(owner_id())
    machine, pid, _, nonce = owner_id().split("/")
    assert is_dead(f"{machine}/{pid}/1/{nonce}")
    assert is_dead(f"{machine}/999999999/1/x")
    for unsure in (f"other/{pid}/1/x", f"{machine}/{pid}/-/x", "test/0/-/0", "", "me", "a/b/c/d/e"):
        assert not is_dead(unsure)


@pytest.mark.parametrize(
    ("call", "words"),
    [(lambda bench: wb.start("x", workbench=bench), "AgentGraph"), (lambda bench: wb.open(None, workbench=bench), "by its id")],
)
def test_what_is_no_graph_and_no_id_is_refused_by_name(bench, call, words):
    with pytest.raises(UserError, match=words):
        call(bench)
