"""A fork begins with what another run has recorded: nothing of that is done again, nothing of the original changes."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

import workbench as wb
from tests.replay.graphs import DONE, FAN, look, send
from tests.runtime.records import stored
from workbench.current import set_current
from workbench.errors import EffectsRepeat, RunFailed, ToolBindingError, UserError
from workbench.loop import run_sync
from workbench.profiles import for_tests
from workbench.record.envelope import PlanExecution, TaskExecution, ToolCallEntry
from workbench.record.state import fold

TOOLS = [look, send]


@pytest.fixture(scope="module")
def fan():
    """A run of the fan in a store of its own."""
    bench = for_tests(12)
    run = wb.start(FAN, 3, tools=TOOLS, workbench=bench)
    run.result(10)
    yield run
    bench.close()


def entry_of(run, kind, name, phase="finished", number=0):
    return [entry for entry in run.entries() if isinstance(entry, kind) and entry.header.name == name and entry.phase == phase][number]


# Graphs


def test_forked_at_every_entry_a_run_comes_to_the_same_end_and_does_nothing_before_it_again(fan):
    entries = fan.entries()
    assert len(entries) > 30
    before = stored(fan.workbench.store, fan.id)
    for cut in range(1, len(entries) + 1):
        DONE.clear()
        fork = fan.fork(cut, confirm=True)
        assert fork.result(10) == {"total": 828}
        assert still_to_do(entries[:cut]) == DONE, cut
        assert fork.verify().entries == len(fork.entries())
        assert fan.diff(fork)["same"], cut
    assert stored(fan.workbench.store, fan.id) == before


def still_to_do(entries):
    """What a run does from the end of these entries on: all of it but finished executions and calls with an outcome."""
    done = {entry.header.exec_id for entry in entries if entry.phase in ("finished", "outcome")}
    whole = Counter({"read": 1, "work 1": 1, "work 2": 2, "work 3": 1, "report": 2, "look 1": 1, "look 2": 2, "look 3": 1})
    whole.update({"send 101": 1, "send 102": 1, "send 103": 1, "send 202": 1})
    values = iter((1, 2, 3))
    number = {
        entry.header.branch_path: next(values)
        for entry in entries
        if entry.phase == "started" and entry.header.name == "work" and entry.header.attempt == 1
    }
    for entry in entries:
        if entry.header.exec_id in done and isinstance(entry, ToolCallEntry) and entry.phase == "outcome":
            whole[f"{entry.call.tool} {entry.call.args.inline['n']}"] -= 1
        elif isinstance(entry, TaskExecution) and entry.phase == "finished":
            name = entry.header.name
            whole[f"work {number[entry.header.branch_path]}" if name == "work" else name] -= 1
    return +whole


def test_an_execution_named_by_its_id_runs_again_and_what_came_before_does_not(fan):
    DONE.clear()
    fork = fan.fork(entry_of(fan, TaskExecution, "report").header.exec_id, confirm=True)
    assert fork.result(10) == {"total": 828}
    assert DONE == {"report": 2}
    assert fork.state.manifest.forked_from.seq == entry_of(fan, TaskExecution, "report", "started").seq - 1


@pytest.mark.parametrize(
    ("kind", "name", "edit", "total"),
    [
        (TaskExecution, "read", [1], 1 + 202 + 1),
        (TaskExecution, "report", {"total": 6}, 6),
        (PlanExecution, "gather", wb.PlanResult.to("report", 10), 10),
        (ToolCallEntry, "send", 0, 828 - 202 + 0),
    ],
)
def test_an_edit_says_what_a_task_a_plan_or_a_call_came_to_instead(fan, kind, name, edit, total):
    phase = "outcome" if kind is ToolCallEntry else "finished"
    changed = entry_of(fan, kind, name, phase)
    fork = fan.fork(changed.header.exec_id, edit=edit, confirm=True)
    assert fork.result(10) == {"total": total}
    copy = next(entry for entry in fork.entries() if entry.links.copied_from == changed.seq)
    assert copy.links.edited
    assert fork.state.manifest.forked_from.edits == {"entry": changed.seq, "name": name}
    assert fork.verify().plans


def test_another_input_is_an_edit_of_the_first_entry(fan):
    assert fan.fork(1, edit=1, confirm=True).result(10) == {"total": 204}


def test_what_cannot_be_edited_or_is_not_there_is_refused_in_a_sentence(fan):
    with pytest.raises(UserError, match="cannot be edited"):
        fan.fork(2, edit=1)
    with pytest.raises(UserError, match="to which no edge leads"):
        fan.fork(entry_of(fan, PlanExecution, "gather").seq, edit="read")
    with pytest.raises(UserError, match="entries 1 to"):
        fan.fork(1000)
    with pytest.raises(UserError, match="no execution or call 'x'"):
        fan.fork("x")
    with pytest.raises(UserError, match="where to fork"):
        fan.fork()
    with pytest.raises(UserError, match="by its steps"):
        fan.fork(step=2)


def test_effects_that_would_happen_again_are_listed_and_need_consent(fan):
    DONE.clear()
    with pytest.raises(EffectsRepeat) as caught:
        fan.fork(entry_of(fan, TaskExecution, "work").seq)
    assert "the call send(n=102)" in str(caught.value)
    assert "the task 'report'" in str(caught.value)
    assert "send(n=101)" not in str(caught.value)
    assert not DONE
    assert len(fan.workbench.runs(100)) == len({run.id for run in fan.workbench.runs(100)})


def test_a_fork_of_a_fork_is_a_fork(fan):
    first = fan.fork(entry_of(fan, TaskExecution, "read").seq, edit=[2], confirm=True)
    first.result(10)
    DONE.clear()
    second = first.fork(entry_of(first, TaskExecution, "report", "started").header.exec_id, confirm=True)
    assert second.result(10) == first.value
    assert DONE == {"report": 2}
    assert second.state.manifest.forked_from.lifetime_id == first.id
    assert second.verify().entries == first.verify().entries
    assert first.diff(second)["same"]


def test_a_forks_ids_are_its_own_and_what_was_spent_is_not_counted_twice(fan):
    fork = fan.fork(30, confirm=True)
    fork.result(10)
    theirs = {entry.header.exec_id for entry in fan.entries()}
    assert theirs.isdisjoint(entry.header.exec_id for entry in fork.entries())
    assert all(fan.id not in entry.model_dump_json() for entry in fork.entries()[1:])
    assert fold(fork.entries()).totals.tokens_in == 0


def test_a_fork_is_found_in_the_store_and_named_in_the_frame_of_runs(fan):
    fork = fan.fork(20, confirm=True)
    fork.result(10)
    set_current(fan.workbench)
    try:
        frame = wb.frames.runs(run=fork.id)
    finally:
        set_current(None)
    assert frame["forked_from"].tolist() == [fan.id]
    assert frame["forked_at"].tolist() == [20]


def test_a_run_of_another_process_is_forked_with_its_graph_and_tools(fan):
    found = fan.workbench.open(fan.id)
    with pytest.raises(UserError, match="graph="):
        found.fork(20, confirm=True)
    with pytest.raises(ToolBindingError, match="look"):
        found.fork(20, graph=FAN, confirm=True)
    assert found.fork(20, graph=FAN, tools=TOOLS, confirm=True).result(10) == {"total": 828}


def test_a_fork_may_go_on_in_a_graph_that_has_changed(fan):
    @wb.task
    async def report(value):
        return {"total": 0, "new": True}

    nodes = [report if node.name == "report" else node for node in FAN.nodes.values()]
    graph = wb.AgentGraph("fan", version="1.1.0", nodes=nodes, edges=FAN.edges)
    fork = fan.fork(entry_of(fan, TaskExecution, "report").header.exec_id, graph=graph, confirm=True)
    assert fork.result(10) == {"total": 0, "new": True}
    assert fork.state.manifest.graph_version == "1.1.0"


def test_a_run_that_was_stopped_goes_on_as_a_fork(bench):
    begun = asyncio.Event()
    seen = []

    @wb.task(idempotent=True)
    async def first(value, ctx):
        return await ctx.call_tool("look", {"n": 2})

    @wb.task(idempotent=True)
    async def second(value, ctx):
        looked = await ctx.call_tool("look", {"n": value})
        if not seen:
            seen.append(1)
            begun.set()
            await asyncio.sleep(60)
        return looked

    graph = wb.AgentGraph("two", nodes=[first, second], edges=[("Start", "first"), ("first", "second"), ("second", "End")])
    run = wb.start(graph, tools=TOOLS, workbench=bench)
    run_sync(begun.wait())
    run.stop()
    with pytest.raises(wb.errors.RunStopped):
        run.result(5)
    DONE.clear()
    fork = run.fork(len(run.entries()))
    assert fork.result(5) == 16
    assert not DONE
    assert fork.verify().plans == 2


def test_a_fork_that_was_broken_off_is_resumed_like_any_run(benches):
    gate = asyncio.Event()

    @wb.task
    async def wait(value):
        await gate.wait()
        return value + 1

    graph = wb.AgentGraph("waiting", nodes=[wait], edges=[("Start", "wait"), ("wait", "End")])
    bench = benches()
    run = wb.start(graph, 1, workbench=bench)
    run_sync(asyncio.sleep(0.05))
    run_sync(opened(gate))
    assert run.result(5) == 2
    gate.clear()
    fork = run.fork(1, confirm=True)
    run_sync(asyncio.sleep(0.05))
    task = bench.custody.get(fork.id).task

    async def break_off():
        task.cancel()
        await asyncio.wait({task})
        gate.set()

    run_sync(break_off())
    again = bench.open(fork.id).resume(graph=graph)
    while not again.pending:
        run_sync(asyncio.sleep(0.01))
    again.pending[0].did_not_happen()
    assert again.result(5) == 2


async def opened(gate):
    gate.set()


# Agents

SCRIPT = [
    "```python\nrows = [look(n) for n in range(3)]\n```",
    "```python\ntotal = sum(rows)\nprint(total)\n```",
    "```python\nsent = send(total)\nmore = look(9)\n```",
    "```python\nfinish({'total': total, 'sent': sent, 'more': more})\n```",
]
ANSWER = {"total": 5, "sent": 10, "more": 81}


@pytest.fixture
def agent(bench):
    made = wb.Agent(wb.models.Scripted(SCRIPT), tools=TOOLS, engine="monty", workbench=bench)
    yield made
    made.close()


@pytest.fixture
def run(agent):
    started = agent.start("Add them up.")
    started.result(20)
    DONE.clear()
    return started


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_an_agent_is_forked_at_a_step_with_its_variables_as_they_were(run, step):
    fork = run.fork(step=step, confirm=True)
    assert fork.result(20) == ANSWER
    assert ("send 5" in DONE) == (step <= 3)
    assert ("look 0" in DONE) == (step == 1)
    assert fork.verify().plans
    assert run.diff(fork)["same"]


def test_other_code_runs_in_the_place_of_a_steps_own(run):
    fork = run.fork(step=2, code="total = 100 + sum(rows)", confirm=True)
    assert fork.result(20) == {"total": 105, "sent": 210, "more": 81}
    assert DONE == {"send 105": 1, "look 9": 1}
    assert fork.state.manifest.forked_from.edits["code"] == "total = 100 + sum(rows)"
    assert run.diff(fork)["first"] == 2
    assert run.value == ANSWER


def test_another_result_of_a_call_is_seen_by_the_rest_of_its_block_and_the_calls_before_it_are_answered(run):
    fork = run.fork(step=3, result={0: 77})
    assert fork.result(20) == {"total": 5, "sent": 77, "more": 81}
    assert DONE == {"look 9": 1}
    call = entry_of(run, ToolCallEntry, "send", "outcome").header.exec_id
    assert run.fork(result={call: 78}).result(20)["sent"] == 78


def test_other_results_must_be_of_calls_that_there_are(run):
    with pytest.raises(UserError, match=r"there are: 0 \(send\), 1 \(look\)"):
        run.fork(step=3, result={5: 1})
    with pytest.raises(UserError, match="not both"):
        run.fork(step=3, result={0: 1}, code="x")
    with pytest.raises(UserError, match="4 steps"):
        run.fork(step=9)
    with pytest.raises(UserError, match="at which step"):
        run.fork(code="x")


def test_another_prompt_is_what_the_model_is_told_from_the_step_on(run):
    asked = []

    def reply(messages):
        asked.append(next(message.content for message in messages if message.role == "user"))
        return "```python\nfinish(total)\n```"

    fork = run.fork(step=3, prompt="Only the total.", model=wb.models.Scripted([*SCRIPT[:2], reply]), confirm=True)
    assert fork.result(20) == 5
    assert asked == ["Only the total."]
    assert (fork.title, run.title) == ("Only the total.", "Add them up.")


def test_another_prompt_alone_begins_at_the_first_step(run):
    fork = run.fork(prompt="Again.", confirm=True)
    assert fork.result(20) == ANSWER
    assert fork.state.manifest.forked_from.seq < entry_of(run, TaskExecution, "task_llm", "started").seq


def test_another_model_takes_over_at_the_step(run):
    model = wb.models.Scripted(["-", "-", "It is `total`."], name="other")
    fork = run.fork(step=3, model=model, confirm=True)
    assert fork.result(20) == "It is `total`."
    assert fork.state.manifest.resources["model"]["name"] == "scripted:other"


def test_tools_are_added_or_replaced_and_the_model_is_told(run):
    @wb.tool(name="send")
    def send_thrice(n: int) -> int:
        """Send it three times."""
        return 3 * n

    @wb.tool
    def extra(n: int) -> int:
        """Something new."""
        return n + 1

    fork = run.fork(step=3, code="sent = send(total) + extra(1)\nmore = 0", tools=[send_thrice, extra], confirm=True)
    assert fork.result(20) == {"total": 5, "sent": 17, "more": 0}
    system = fork.state.manifest.resources["system"]
    assert "Something new." in system
    assert "Send it three times." in system
    assert "Send a number, once." not in system
    assert [tool["name"] for tool in fork.state.manifest.resources["tools"]][-1] == "extra"


def test_a_failed_agent_succeeds_as_a_fork_with_other_code(bench):
    script = ["```python\nvalue = look(2)\n```", "```python\nvalue.missing\n```", "```python\nfinish(value)\n```"]
    agent = wb.Agent(wb.models.Scripted(script), tools=TOOLS, max_iterations=2, engine="monty", workbench=bench)
    run = agent.start("Try.")
    with pytest.raises(RunFailed):
        run.result(20)
    agent.close()
    DONE.clear()
    assert run.fork(step=2, code="finish(value)").result(20) == 4
    assert not DONE


def test_two_forks_of_one_step_have_sandboxes_of_their_own(run):
    one, two = (run.fork(step=2, code=f"total = {n}", confirm=True) for n in (1, 2))
    assert (one.result(20)["total"], two.result(20)["total"]) == (1, 2)
    streams = {each.state.manifest.resources["sandbox_id"] for each in (run, one, two)}
    assert len(streams) == 3


def test_a_fork_has_only_what_its_own_run_had_put_into_a_sandbox_that_others_used_too(agent):
    first = agent.start("One.")
    first.result(20)
    agent.run("Two.")
    fork = first.fork(step=2, code="finish(rows)", confirm=True)
    assert fork.result(20) == [0, 1, 4]
    stream = fork.entries()[0].manifest.resources["sandbox_id"]
    blocks = [entry for entry in stored(agent._bench().store, stream) if b'"block"' in entry.data]
    assert len(blocks) == 2


def test_a_recorded_call_that_an_edit_before_it_changes_is_a_divergence_and_never_a_wrong_answer(bench):
    agent = wb.Agent(wb.models.Scripted(["```python\nfinish(look(look(2)))\n```"]), tools=TOOLS, engine="monty", workbench=bench)
    run = agent.start("Twice.")
    assert run.result(20) == 16
    agent.close()
    assert run.fork(step=1, result={0: 3}).result(20) == 9
    with pytest.raises(RunFailed, match="replay differs") as caught:
        run.fork(step=1, result={0: 3, 1: 5}).result(20)
    assert caught.value.error_code == "replay_divergence"


def test_an_agents_run_of_another_process_is_forked_with_its_tools_and_model(run, benches):
    found = benches(state=run.workbench.store).open(run.id)
    with pytest.raises(ToolBindingError, match="look"):
        found.fork(step=4, model=wb.models.Scripted(SCRIPT))
    assert found.fork(step=4, tools=TOOLS, model=wb.models.Scripted(SCRIPT)).result(20) == ANSWER


# People and policies


@wb.tool(approval=True)
def risky(n: int) -> int:
    """Needs a person."""
    DONE[f"risky {n}"] += 1
    return n


@wb.task(idempotent=True)
async def careful(value, ctx):
    name = await ctx.ask_human("Who is it for?")
    done = await ctx.call_tool("risky", {"n": 1})
    await ctx.call_tool("look", {"n": 1})
    return f"{name} {done}"


CAREFUL = wb.AgentGraph("careful", nodes=[careful], edges=[("Start", "careful"), ("careful", "End")])


@pytest.fixture
def decided(bench):
    """A run in which a person has answered a question and approved a call."""
    run = wb.start(CAREFUL, tools=[look, risky], workbench=bench)
    asked(run)[0].answer("Ann")
    asked(run)[0].approve()
    assert run.result(5) == "Ann 1"
    DONE.clear()
    return run


def asked(run):
    """What the run waits for, as soon as it waits for something."""
    while not run.pending and run.live:
        run_sync(asyncio.sleep(0.005))
    return run.pending


def test_what_a_person_has_decided_before_the_point_stands_and_what_came_after_is_asked_again(decided):
    call = entry_of(decided, ToolCallEntry, "look", "intent")
    after = decided.fork(call.header.exec_id)
    assert after.result(5) == "Ann 1"
    assert DONE == {"look 1": 1}
    between = decided.fork(call.seq - 4, confirm=True)
    assert [pending.tool for pending in asked(between)] == ["risky"]
    asked(between)[0].approve()
    assert between.result(5) == "Ann 1"
    before = decided.fork(1, confirm=True)
    asked(before)[0].answer("Bob")
    asked(before)[0].approve()
    assert before.result(5) == "Bob 1"
    assert all(fork.verify().plans for fork in (after, between, before))


def test_a_fork_is_judged_by_its_originals_policy(bench):
    run = wb.start(FAN, 3, tools=TOOLS, policy="sum(tool_calls) > 8 -> abort_lifetime", workbench=bench)
    assert run.result(10) == {"total": 828}
    fork = run.fork(1, edit=4, confirm=True)
    assert fork.state.manifest.policy == run.state.manifest.policy
    with pytest.raises(wb.errors.RunStopped, match="guardrail"):
        fork.result(10)
    assert fork.verify().entries


def test_a_rule_that_was_set_aside_for_the_original_is_asked_about_again_in_its_fork(bench):
    run = wb.start(FAN, 3, tools=TOOLS, policy="sum(tool_calls) > 5 -> pause_lifetime", workbench=bench)
    assert [pending.request.kind for pending in asked(run)] == ["pause"]
    run.unpause()
    assert run.result(10) == {"total": 828}
    fork = run.fork(len(run.entries()) - 8, confirm=True)
    assert [pending.request.kind for pending in asked(fork)] == ["pause"]
    fork.unpause()
    assert fork.result(10) == {"total": 828}
    assert fork.verify().plans
