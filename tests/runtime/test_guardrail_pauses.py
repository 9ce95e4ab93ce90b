"""Pauses: who ends them, from where, and what survives."""

from __future__ import annotations

import asyncio
import threading

import pytest

import workbench as wb
from tests.runtime.guarded import fan, finished, rule, settled, spent, steps, until, verdicts
from workbench.adapters.memory import MemoryStateStore
from workbench.errors import RunStopped, UserError
from workbench.graph.edges import Join
from workbench.loop import run_sync
from workbench.record.values import Usage


def test_a_paused_run_goes_on_when_a_person_says_so_and_the_record_says_who(bench):
    run = wb.start(steps(5), 3, policy="sum(tokens_used) > 1 500 -> pause_lifetime", workbench=bench)
    until(lambda: run.pending)
    assert (run.status, spent(run)) == ("paused", 2_000)
    run.unpause(actor="Ada", note="it is worth it")
    assert run.result(10) == 3
    (answer,) = [entry.response for entry in run.entries() if entry.kind == "hitl_event" and entry.phase == "answered"]
    assert (answer.actor, answer.note, answer.decision) == ("Ada", "it is worth it", "unpaused")
    assert len(verdicts(settled(run))) == 1


def test_a_paused_run_can_be_given_a_new_limit_which_holds(bench):
    run = wb.start(steps(9), 3, policy=rule("sum(tokens_used) > 1500", "pause_lifetime"), workbench=bench)
    until(lambda: run.pending)
    run.unpause(limits={"r": 4_500})
    until(lambda: len(verdicts(run)) == 2 and run.pending)
    assert spent(run) == 5_000
    run.unpause()
    assert run.result(10) == 3


@pytest.mark.parametrize("limits", [{"other": 3}, {"r": "many"}, {"r": float("inf")}])
def test_a_limit_that_fits_no_rule_is_refused(bench, limits):
    run = wb.start(steps(2), policy=rule("sum(tokens_used) > 500", "pause_lifetime"), workbench=bench)
    until(lambda: run.pending)
    with pytest.raises(UserError):
        run.unpause(limits=limits)
    assert run.status == "paused"
    run.stop()


def test_only_a_paused_run_can_be_unpaused(bench):
    run = wb.start(steps(1), 1, workbench=bench)
    run.result(10)
    with pytest.raises(UserError, match="only a run that a guardrail has paused"):
        run.unpause()


def test_a_paused_run_can_be_stopped_by_its_question_and_from_outside(bench):
    for end in (lambda run: run.pending[0].stop(actor="Ada"), lambda run: run.stop("enough")):
        run = wb.start(steps(3), policy="sum(tokens_used) > 500 -> pause_lifetime", workbench=bench)
        until(lambda run=run: run.pending)
        end(run)
        with pytest.raises(RunStopped, match=r"Ada|enough"):
            run.result(10)
        settled(run)


def test_what_is_in_flight_when_a_run_is_paused_finishes_and_is_recorded(bench):
    go = threading.Event()

    async def work(n, ctx):
        if n:
            await asyncio.to_thread(go.wait, 10)
        ctx.usage(Usage(tokens_in=100), model="m", cost_usd="0")
        return n

    run = wb.start(fan(3, work), policy=rule("sum(tokens_used) > 50", "pause_lifetime", reserve={"tokens_used": 0}), workbench=bench)
    until(lambda: run.pending)
    assert len(finished(run, "work")) == 1
    go.set()
    until(lambda: len(finished(run, "work")) == 3)
    assert (run.status, len(run.pending)) == ("paused", 1)
    run.unpause()
    assert run.result(10) == [0, 1, 2]


def test_an_unpaused_run_does_not_wait_for_what_was_in_flight(bench):
    go = threading.Event()

    async def work(n, ctx):
        if n == 1:
            await asyncio.to_thread(go.wait, 10)
        ctx.usage(Usage(tokens_in=100), model="m", cost_usd="0")

    graph = fan(2, work, join=Join(strategy="any"))
    run = wb.start(graph, policy=rule("sum(tokens_used) > 50", "pause_lifetime", reserve={"tokens_used": 0}), workbench=bench)
    until(lambda: run.pending)
    run.unpause()
    run.result(10)
    go.set()


def test_a_paused_run_survives_its_process_with_its_policy(benches):
    store, graph = MemoryStateStore(), steps(6)
    first, second = benches(state=store), benches(state=store)
    run = wb.start(graph, 3, policy=rule("sum(tokens_used) > 1500", "pause_lifetime"), workbench=first)
    until(lambda: run.pending)
    first.close()
    found = second.open(run.id)
    assert found.status == "interrupted"
    resumed = second.resume(run.id, graph=graph)
    assert (resumed.status, spent(resumed)) == ("paused", 2_000)
    resumed.unpause(limits={"r": 3_500})
    until(lambda: len(verdicts(resumed)) == 2 and resumed.pending)
    assert spent(resumed) == 4_000
    resumed.unpause()
    assert resumed.result(10) == 3
    assert resumed.verify()


def test_a_pause_is_ended_from_another_workbench(benches):
    store = MemoryStateStore()
    first, second = benches(state=store), benches(state=store)
    run = wb.start(steps(3), 3, policy="sum(tokens_used) > 1 500 -> pause_lifetime", workbench=first)
    until(lambda: run.pending)
    second.open(run.id).unpause(actor="elsewhere")
    assert run.result(10) == 3


def test_an_abort_whose_process_died_before_the_end_was_written_is_carried_out_on_resume(benches):
    class Failing(MemoryStateStore):
        armed = True

        async def append(self, entries, epochs):
            ends = [entry for entry in entries if entry.columns[1] == "ended"]
            await super().append([entry for entry in entries if entry not in ends] if self.armed else entries, epochs)
            if ends and self.armed:
                raise wb.errors.StoreError("the process died")

    store, graph = Failing(), steps(3)
    bench = benches(state=store)
    run = wb.start(graph, policy="sum(tokens_used) > 500 -> abort_lifetime", workbench=bench)
    run_sync(run.wait())
    store.armed = False
    again = bench.resume(run.id, graph=graph)
    with pytest.raises(RunStopped, match="guardrail 'rule-1'"):
        again.result(10)
    assert (len(verdicts(again)), spent(again)) == (1, 1_000)
