"""Guardrails at work: what each action does to a run, its branches and its calls."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

import workbench as wb
from tests.runtime.graphs import line
from tests.runtime.guarded import fan, finished, one, rule, settled, spends, spent, steps, until, verdicts
from workbench.adapters.memory import MemoryStateStore
from workbench.errors import PolicyError, RunFailed, RunStopped
from workbench.graph.edges import Join
from workbench.graph.nodes import RetryPolicy
from workbench.loop import run_sync
from workbench.record.values import Usage

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
