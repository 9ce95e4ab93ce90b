"""Guardrails at work: in graphs and agents, over many lifetimes, through pauses, answers and resumes."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import EntryPoint

import pytest

import workbench as wb
from tests.runtime.graphs import line
from workbench.adapters.memory import MemoryStateStore
from workbench.adapters.sql import SqlStateStore
from workbench.current import set_current
from workbench.errors import PolicyError, RunFailed, RunStopped, UserError
from workbench.graph.edges import Join
from workbench.graph.nodes import RetryPolicy
from workbench.guardrails import policy as policies
from workbench.guardrails.judge import Judgement, Violation
from workbench.loop import run_sync
from workbench.ports import Query
from workbench.record.envelope import GuardrailEvent
from workbench.record.state import fold
from workbench.record.values import Usage


def rule(when: str, action: str, **fields: object) -> str:
    """A policy of one rule named `r`."""
    return json.dumps({"kind": "GuardrailPolicy", "rules": [{"id": "r", "when": when, "action": action, **fields}]})


def spends(tokens: int, cost: str | None = "0", seconds: float = 0.0):
    """A Task's code that reports what it used."""

    async def spend(value, ctx):
        if seconds:
            await asyncio.sleep(seconds)
        ctx.usage(Usage(tokens_in=tokens), model="m", cost_usd=cost)
        return value

    return spend


def steps(count: int, tokens: int = 1_000, cost: str | None = "0") -> wb.AgentGraph:
    return line(*(wb.task(name=f"s{n}", idempotent=True)(spends(tokens, cost)) for n in range(count)))


def fan(width: int, code, **join: object) -> wb.AgentGraph:
    """A plan that forks into `width` branches of one task, which come together."""
    work = wb.task(name="work", idempotent=True)(code)
    first, last = wb.task(name="first", idempotent=True)(one), wb.task(name="last", idempotent=True)(one)
    fork = wb.plan(name="fork")(lambda given: wb.PlanResult.each("work", range(width)))
    gather = wb.plan(name="gather")(lambda given: "last")
    edges = [
        ("Start", "first"),
        ("first", "fork"),
        wb.Edge("fork", "work", "PARALLEL"),
        wb.Edge("work", "gather", "JOIN", **join),
        ("gather", "last"),
        ("last", "End"),
    ]
    return wb.AgentGraph("fan", nodes=[first, fork, work, gather, last], edges=edges)


def one(value):
    return value


def verdicts(run: wb.Run) -> list:
    return [entry.verdict for entry in run.entries() if isinstance(entry, GuardrailEvent)]


def finished(run: wb.Run, name: str = "") -> list:
    done = [entry for entry in run.entries() if (entry.kind, entry.phase) == ("task_execution", "finished")]
    return [entry for entry in done if entry.header.name.startswith(name)]


def spent(run: wb.Run) -> int:
    return sum(entry.telemetry.tokens_used for entry in run.entries())


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def settled(run: wb.Run) -> wb.Run:
    """Nothing that is in the record contradicts what is left of it in memory."""
    assert run.verify().entries == len(run.entries())
    state = fold(run.entries())
    assert (state.status, state.running, state.open_calls, state.judged) == (run.state.status, {}, {}, run.state.judged)
    return run


# Actions


def test_abort_ends_the_run_at_once_and_says_why(bench):
    run = wb.start(steps(9), 1, policy="sum(tokens_used) > 3 000 -> abort_lifetime", workbench=bench)
    with pytest.raises(RunStopped, match=r"guardrail 'rule-1': sum\(tokens_used\) > 3 000 holds \(sum\(tokens_used\) is 4000\)"):
        run.result(10)
    assert (settled(run).status, spent(run)) == ("aborted", 4_000)
    (verdict,) = verdicts(run)
    assert (verdict.values, verdict.point, verdict.applied) == ({"sum(tokens_used)": "4000"}, "task", True)
    assert verdict.subject_exec_id == finished(run)[-1].header.exec_id
    assert verdict.policy_hash == run.state.manifest.policy.hash


def test_a_verdict_is_stored_in_one_transaction_with_what_it_follows_from(benches):
    batches = []

    class Watched(MemoryStateStore):
        async def append(self, entries, epochs):
            batches.append([entry.columns[0] for entry in entries])
            await super().append(entries, epochs)

    run = wb.start(line(one, name="l"), 1, policy="status == 'SUCCEEDED' -> abort_lifetime", workbench=benches(state=Watched()))
    run_sync(run.wait())
    assert batches[-1] == ["task_execution", "guardrail_event", "lifetime_event"]


def test_abort_cancels_what_is_in_flight(bench):
    async def work(n, ctx):
        if n == 0:
            ctx.usage(Usage(tokens_in=99), model="m", cost_usd="0")
            return n
        await asyncio.sleep(60)

    run = wb.start(fan(3, work), policy=rule("sum(tokens_used) > 50", "abort_lifetime", reserve={"tokens_used": 0}), workbench=bench)
    with pytest.raises(RunStopped):
        run.result(10)
    assert sorted(entry.header.status for entry in finished(run, "work")) == ["CANCELLED", "CANCELLED", "SUCCEEDED"]


def test_a_rejected_task_is_recorded_and_fails_a_run_that_has_no_edge_for_it(bench):
    run = wb.start(steps(3, 500), 1, policy=rule("tokens_used > 400 and name == 's1'", "reject_execution"), workbench=bench)
    with pytest.raises(RunFailed, match="guardrail 'r'") as caught:
        run.result(10)
    assert caught.value.error_code == "rejected"
    assert [entry.header.name for entry in finished(settled(run))] == ["s0", "s1"]


def test_a_rejected_task_takes_its_edge(bench):
    dear, plain = wb.task(name="dear")(spends(900)), wb.task(name="cheap")(spends(1))
    edges = [("Start", "dear"), ("dear", "End"), wb.Edge("dear", "cheap", on="reject"), ("cheap", "End")]
    graph = wb.AgentGraph("g", nodes=[dear, plain], edges=edges)
    run = wb.start(graph, 7, policy=rule("tokens_used > 400", "reject_execution"), workbench=bench)
    assert run.result(10) == 7
    assert [entry.header.name for entry in finished(settled(run))] == ["dear", "cheap"]
    assert run.verify()


def test_a_rejected_task_is_not_tried_again(bench):
    again = wb.task(name="again", retries=RetryPolicy(attempts=3, first_wait=0.0))(spends(900))
    run = wb.start(line(again), 7, policy=rule("tokens_used > 400", "reject_execution"), workbench=bench)
    run_sync(run.wait())
    assert len(finished(run)) == 1


@pytest.mark.parametrize(("on_branch_failure", "status"), [("fail", "failed"), ("ignore", "completed"), ("collect", "completed")])
def test_a_rejected_branch_is_a_failed_branch(bench, on_branch_failure, status):
    graph = fan(3, spends(10), join=Join(on_branch_failure=on_branch_failure))
    run = wb.start(
        graph, policy=rule("name == 'work' and sum(tasks) == 4", "reject_execution", scope="lifetime", on=["dispatch"]), workbench=bench
    )
    run_sync(run.wait())
    assert (run.status, len(verdicts(run))) == (status, 1)
    assert sum(entry.header.status == "REJECTED" for entry in finished(run, "work")) == 1


def test_a_rejected_dispatch_never_runs(bench):
    ran = []
    graph = line(wb.task(name="a")(lambda x: ran.append("a")), wb.task(name="b")(lambda x: ran.append("b")))
    run = wb.start(graph, policy=rule("name == 'b'", "reject_execution", on=["dispatch"]), workbench=bench)
    with pytest.raises(RunFailed):
        run.result(10)
    assert ran == ["a"]
    assert [entry.header.status for entry in finished(settled(run))] == ["SUCCEEDED", "REJECTED"]


def test_a_rejected_plan_fails_the_run(bench):
    run = wb.start(fan(4, one), policy="'work' in next_tasks -> reject_execution", workbench=bench)
    with pytest.raises(RunFailed) as caught:
        run.result(10)
    assert (caught.value.error_code, verdicts(run)[0].point) == ("rejected", "plan")
    assert not finished(run, "work")


def test_a_rejected_plan_that_chose_the_end_fails_the_run(bench):
    run = wb.start(line(one), 1, policy="'End' in next_tasks -> reject_execution", workbench=bench)
    with pytest.raises(RunFailed):
        run.result(10)
    settled(run)


def test_a_warning_stops_nothing_and_is_given_once_for_a_whole_lifetime(bench):
    policy = "sum(tokens_used) > 1 500 -> warn\ntokens_used > 1 -> warn"
    run = wb.start(steps(5), 3, policy=policy, workbench=bench)
    assert run.result(10) == 3
    assert [verdict.rule_id for verdict in verdicts(settled(run))].count("rule-1") == 1
    assert [verdict.rule_id for verdict in verdicts(run)].count("rule-2") == 5


def test_of_several_rules_the_strictest_is_applied_and_all_are_recorded(bench):
    policy = "tokens_used > 1 -> warn\ntokens_used > 2 -> abort_lifetime\ntokens_used > 3 -> pause_lifetime"
    run = wb.start(steps(2), policy=policy, workbench=bench)
    with pytest.raises(RunStopped):
        run.result(10)
    found = {verdict.action: verdict.applied for verdict in verdicts(run)}
    assert found == {"warn": False, "abort_lifetime": True, "pause_lifetime": False}


# Pauses


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


# Calls


@wb.tool
def shell(command: str) -> str:
    """Run a command."""
    return f"ran {command}"


async def calls_shell(command, ctx):
    try:
        return await ctx.call_tool("shell", {"command": command})
    except wb.ToolError as error:
        return f"{error.code}: {error}"


RISKY = rule("tool in ['shell','http_post']", "require_approval", on=["tool_call"])


def test_a_call_that_needs_approval_waits_and_is_made_when_it_is_approved(bench):
    run = wb.start(line(calls_shell), "ls", tools=[shell], policy=RISKY, workbench=bench)
    until(lambda: run.pending)
    assert (run.status, run.pending[0].args, run.pending[0].request.kind) == ("waiting", {"command": "ls"}, "approval")
    run.pending[0].approve()
    assert run.result(10) == "ran ls"
    assert [verdict.action for verdict in verdicts(settled(run))] == ["require_approval"]


def test_a_call_is_approved_with_other_arguments_or_refused(bench):
    for decide, value in (
        (lambda pending: pending.approve({"command": "pwd"}), "ran pwd"),
        (lambda pending: pending.reject("too risky", actor="Ada"), "tool_denied: Ada refused the call of 'shell': too risky"),
    ):
        run = wb.start(line(calls_shell), "ls", tools=[shell], policy=RISKY, workbench=bench)
        until(lambda run=run: run.pending)
        decide(run.pending[0])
        assert run.result(10) == value


def test_a_call_that_waits_for_approval_survives_its_process(benches):
    store, graph = MemoryStateStore(), line(wb.task(idempotent=True)(calls_shell))
    first, second = benches(state=store), benches(state=store)
    run = wb.start(graph, "ls", tools=[shell], policy=RISKY, workbench=first)
    until(lambda: run.pending)
    first.close()
    resumed = second.resume(run.id, graph=graph, tools=[shell])
    until(lambda: resumed.pending)
    resumed.pending[0].approve({"command": "pwd"})
    assert resumed.result(10) == "ran pwd"
    assert len(verdicts(resumed)) == 1


def test_a_call_can_be_rejected_paused_and_aborted(bench):
    run = wb.start(line(calls_shell), "ls", tools=[shell], policy="tool == 'shell' -> reject_execution", workbench=bench)
    assert run.result(10).startswith("tool_denied")
    run = wb.start(line(calls_shell), "ls", tools=[shell], policy="tool == 'shell' -> abort_lifetime", workbench=bench)
    with pytest.raises(RunStopped, match="guardrail 'rule-1'"):
        run.result(10)
    run = wb.start(line(calls_shell), "ls", tools=[shell], policy="tool == 'shell' -> pause_lifetime", workbench=bench)
    until(lambda: run.pending)
    assert "tool_call" not in [entry.kind for entry in run.entries()]
    run.unpause()
    assert settled(run).result(10) == "ran ls"


def test_no_limit_runs_while_a_call_is_held_by_a_pause(bench):
    graph = line(wb.task(timeout=0.3)(calls_shell))
    run = wb.start(graph, "ls", tools=[shell], policy="tool == 'shell' -> pause_lifetime", workbench=bench)
    until(lambda: run.pending)
    time.sleep(0.5)
    run.unpause()
    assert run.result(10) == "ran ls"


# Agents


BLOCK = "```python\nprint(shell('ls'))\n```"


def agent(bench, *replies, policy, tokens=1_000, **options):
    return wb.Agent(
        wb.models.Scripted(replies, usage=Usage(tokens_in=tokens)), tools=[shell], engine="monty", policy=policy, workbench=bench, **options
    )


def test_an_agent_is_aborted_at_its_cap(bench):
    one_agent = agent(bench, *[BLOCK] * 9, policy="sum(tokens_used) > 2 500 -> abort_lifetime")
    with pytest.raises(RunStopped):
        one_agent.run("x")
    assert spent(bench.last) == 3_000
    one_agent.close()


def test_a_refused_call_is_an_exception_that_the_agents_code_can_catch(bench):
    code = "```python\ntry:\n    print(shell('ls'))\nexcept Exception as error:\n    print('caught', error)\n```"
    one_agent = agent(bench, code, "done", policy="tool == 'shell' -> reject_execution")
    assert one_agent.run("x") == "done"
    assert "caught" in next(e for e in bench.last.events() if e["event"] == "code_executed")["output"]
    one_agent.close()


def test_an_agents_call_waits_for_approval_and_its_limit_is_raised(bench):
    policy = json.dumps(
        {
            "kind": "GuardrailPolicy",
            "rules": [json.loads(RISKY)["rules"][0], {"id": "cap", "when": "sum(tokens_used) > 1500", "action": "pause_lifetime"}],
        }
    )
    one_agent = agent(bench, BLOCK, BLOCK, "done", policy=policy)
    run = one_agent.start("x")
    for _ in range(2):
        until(lambda: run.pending)
        kind = run.pending[0].request.kind
        if kind == "pause":
            run.unpause(limits={"cap": 9_000})
            until(lambda: [each for each in run.pending if each.request.kind == "approval"])
        run.pending[0].approve()
        until(lambda: not run.pending or run.pending[0].request.kind == "pause")
        if run.pending:
            run.unpause(limits={"cap": 9_000})
    assert run.result(10) == "done"
    assert {verdict.rule_id for verdict in verdicts(settled(run))} == {"r", "cap"}
    one_agent.close()


def test_nobody_is_there_to_unpause_an_unattended_run_so_it_stops(bench):
    one_agent = agent(bench, BLOCK, "done", policy="sum(tokens_used) > 500 -> pause_lifetime")
    run = one_agent.start("x", unattended=True)
    with pytest.raises(RunStopped, match="nobody is there"):
        run.result(10)
    one_agent.close()


def test_a_bad_policy_is_refused_before_anything_happens(bench):
    with pytest.raises(PolicyError, match="line 1"):
        agent(bench, "done", policy="sum(tokenz) > 1 -> warn")
    with pytest.raises(PolicyError):
        wb.start(steps(1), policy="cost -> abort", workbench=bench)


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


# Other policy languages


@dataclass(frozen=True)
class Words:
    """A policy language in which a text is the list of the nodes that may not finish."""

    text: str
    hash: str = "words"
    wants: tuple = ()

    def judge(self, state, subject, sums):
        if "explode" in self.text:
            raise ValueError("boom")
        bad = subject.point == "task" and subject.node in self.text.split()
        return Judgement((Violation(rule_id="words", scope="execution", action="abort_lifetime", message="a bad word"),) if bad else ())


@pytest.fixture
def words(monkeypatch):
    """The language, as if a package had installed it."""
    point = EntryPoint("words", f"{__name__}:Words", policies.ENTRY_POINTS)
    monkeypatch.setattr(EntryPoint, "load", lambda self: Words)
    monkeypatch.setattr(policies, "entry_points", lambda group: [point] if group == policies.ENTRY_POINTS else [])


def test_another_policy_language_is_plugged_in(words, bench):
    run = wb.start(steps(3), policy="words:s1 s7", workbench=bench)
    with pytest.raises(RunStopped, match="a bad word"):
        run.result(10)
    policy = run.state.manifest.policy
    assert (policy.language, policy.text, len(finished(run))) == ("words", "s1 s7", 2)


def test_a_policy_language_that_fails_lets_nothing_through(words, bench):
    run = wb.start(steps(3), policy="words:explode", workbench=bench)
    until(lambda: run.pending)
    assert (run.status, finished(run)) == ("paused", [])
    assert "boom" in verdicts(run)[0].message
    run.unpause()
    until(lambda: len(verdicts(run)) == 2)
    run.stop()


def test_a_resumed_run_keeps_its_other_language(words, benches):
    store, graph = MemoryStateStore(), line(wb.task(idempotent=True)(one), wb.task(name="hang", idempotent=True)(hang))
    first, second = benches(state=store), benches(state=store)
    run = wb.start(graph, policy="words:hang", workbench=first)
    until(lambda: run.state.running)
    first.close()
    GO.set()
    with pytest.raises(RunStopped, match="a bad word"):
        second.resume(run.id, graph=graph).result(10)


GO = threading.Event()


def hang(value):
    GO.wait(5)
