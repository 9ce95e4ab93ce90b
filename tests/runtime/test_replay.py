"""VERIFY finds what hashes cannot, VIEW shows any moment, RESUME repeats nothing from wherever a record ends, RE-RUN says what changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

import workbench as wb
from tests.replay.graphs import DONE, FAN, look, send
from tests.runtime.records import chained, planted, stored
from workbench.errors import EffectsRepeat, RecordCorrupt, ReplayDivergence, UserError
from workbench.profiles import for_tests
from workbench.record.codec import encode_value
from workbench.record.envelope import PlanExecution, PlanResult, TaskExecution, TaskResult, ToolCallEntry
from workbench.record.state import fold
from workbench.record.values import Payload

TOOLS = [look, send]


@pytest.fixture(scope="module")
def recorded():
    """A run of the fan, its entries, what it did, and its bench."""
    bench = for_tests(11)
    DONE.clear()
    run = wb.start(FAN, 3, tools=TOOLS, workbench=bench)
    run.result(10)
    yield bench, run.id, run.entries(), Counter(DONE)
    bench.close()


@pytest.fixture
def agent_run(bench):
    script = ["```python\nx = look(3)\nprint(x)\n```", "```python\nfinish(x + send(1))\n```"]
    agent = wb.Agent(wb.models.Scripted(script), tools=TOOLS, engine="monty", workbench=bench)
    run = agent.start("Look.")
    run.result(20)
    yield run
    agent.close()


def opened(benches, entries, **options):
    bench = benches(state=planted(chained(entries)), **options)
    return bench.open(entries[0].header.lifetime_id)


def changed(entries, seq, change):
    return [change(entry) if entry.seq == seq else entry for entry in entries]


def first(entries, kind, name, phase="finished"):
    return next(entry for entry in entries if isinstance(entry, kind) and entry.header.name == name and entry.phase == phase)


def with_output(value):
    return lambda entry: entry.model_copy(update={"result": TaskResult(output=Payload(inline=encode_value(value)))})


# VERIFY


def test_a_sound_record_verifies_and_every_plan_is_run_again(recorded):
    bench, run_id, entries, _ = recorded
    verified = bench.open(run_id).verify(graph=FAN)
    assert (verified.entries, verified.plans) == (len(entries), sum(isinstance(entry, PlanExecution) for entry in entries))


def test_verifying_runs_no_task_and_no_tool(recorded):
    bench, run_id, _, done = recorded
    bench.open(run_id).verify(graph=FAN)
    assert done == DONE


def test_without_its_graph_a_record_is_verified_as_far_as_it_goes(recorded, benches):
    _, _, entries, _ = recorded
    assert opened(benches, entries).verify().plans is None


def test_an_agents_record_is_verified_with_the_graph_of_its_kind(agent_run, benches):
    found = benches(state=agent_run.workbench.store).open(agent_run.id)
    assert found.verify().plans == sum(isinstance(entry, PlanExecution) for entry in agent_run.entries())


def test_a_flipped_result_is_found_where_it_first_leads_elsewhere(recorded, benches):
    _, _, entries, _ = recorded
    flipped = first(entries, TaskExecution, "read")
    run = opened(benches, changed(entries, flipped.seq, with_output([1, 2])))
    run.verify()
    with pytest.raises(ReplayDivergence, match="plan_execution 'split'") as caught:
        run.verify(graph=FAN)
    assert caught.value.seq == first(entries, PlanExecution, "split").seq
    assert [task["args"] for task in caught.value.expected["next"]] == [1, 2, 3]
    assert [task["args"] for task in caught.value.actual["next"]] == [1, 2]


def test_a_flipped_choice_is_found_at_its_entry(recorded, benches):
    _, _, entries, _ = recorded
    chosen = first(entries, PlanExecution, "check")
    run = opened(benches, changed(entries, chosen.seq, lambda entry: entry.model_copy(update={"result": PlanResult.to("report", 5)})))
    with pytest.raises(ReplayDivergence) as caught:
        run.verify(graph=FAN)
    assert caught.value.seq == chosen.seq
    assert (caught.value.expected["next"][0]["args"], caught.value.actual["next"][0]["args"]) == (5, 828)


def test_a_flipped_last_result_is_found_at_the_end(recorded, benches):
    _, _, entries, _ = recorded
    last = [entry for entry in entries if isinstance(entry, TaskExecution)][-1]
    run = opened(benches, changed(entries, last.seq, with_output({"total": 2})))
    with pytest.raises(ReplayDivergence, match="ended") as caught:
        run.verify(graph=FAN)
    assert (caught.value.expected["output"], caught.value.actual["output"]) == ({"total": 828}, {"total": 2})


def test_a_dispatch_that_nothing_calls_for_is_found(recorded, benches):
    _, _, entries, _ = recorded
    started = first(entries, TaskExecution, "report", "started")

    def later(entry):
        return entry.model_copy(update={"header": entry.header.model_copy(update={"iteration_idx": 7})})

    with pytest.raises(ReplayDivergence) as caught:
        opened(benches, changed(entries, started.seq, later)).verify(graph=FAN)
    assert (caught.value.seq, caught.value.expected["iteration_idx"], caught.value.actual["iteration_idx"]) == (started.seq, 7, 0)


def test_a_call_with_another_place_than_its_id_says_is_found(recorded, benches):
    _, _, entries, _ = recorded
    call = next(entry for entry in entries if isinstance(entry, ToolCallEntry))

    def moved(entry):
        return entry.model_copy(update={"call": entry.call.model_copy(update={"ordinal": 5})})

    with pytest.raises(ReplayDivergence) as caught:
        opened(benches, changed(entries, call.seq, moved)).verify(graph=FAN)
    assert caught.value.seq == call.seq


def test_a_graph_that_has_changed_is_a_divergence_and_never_a_crash(recorded, benches):
    _, _, entries, _ = recorded

    @wb.task
    async def other(value):
        return value

    graph = wb.AgentGraph("fan", nodes=[other], edges=[("Start", "other"), ("other", "End")])
    with pytest.raises(ReplayDivergence) as caught:
        opened(benches, entries).verify(graph=graph)
    assert caught.value.seq == 2


def test_texts_that_no_two_processes_share_are_no_divergence(bench):
    @wb.task
    async def fail(value):
        raise ValueError(object())

    @wb.plan
    async def choose(given):
        return wb.PlanResult.to("End", 1, reason=repr(object()))

    graph = wb.AgentGraph(
        "volatile", nodes=[fail, choose], edges=[("Start", "fail"), wb.Edge("fail", "choose", on="error"), ("choose", "End")]
    )
    run = wb.start(graph, workbench=bench)
    assert run.result(5) == 1
    assert run.verify(graph=graph).plans == 1


def test_a_plan_that_is_not_pure_is_found_out(bench):
    calls = []

    @wb.task
    async def one(value):
        return value

    @wb.plan
    def moody(given):
        calls.append(1)
        return wb.PlanResult.to("End", len(calls))

    graph = wb.AgentGraph("moody", nodes=[one, moody], edges=[("Start", "one"), ("one", "moody"), ("moody", "End")])
    run = wb.start(graph, workbench=bench)
    run.result(5)
    with pytest.raises(ReplayDivergence, match="'moody'"):
        run.verify()


# Tampering


def flip(data: bytes) -> bytes:
    """The same bytes but for one bit that leaves them JSON."""
    place = data.index(b'"name":"') + len(b'"name":"')
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


TAMPERING = {
    "a bit of the data": lambda record, at: [replace(e, data=flip(e.data)) if e.seq == at else e for e in record],
    "the data and its hash": lambda record, at: [replace(e, data=flip(e.data), hash="0" * 64) if e.seq == at else e for e in record],
    "a column": lambda record, at: [replace(e, columns=(*e.columns[:3], "x", *e.columns[4:])) if e.seq == at else e for e in record],
    "a hash": lambda record, at: [replace(e, hash="f" * 64) if e.seq == at else e for e in record],
    "a previous hash": lambda record, at: [replace(e, prev_hash="f" * 64) if e.seq == at else e for e in record],
    "the order": lambda record, at: [*record[: at - 1], record[at], record[at - 1], *record[at + 1 :]],
    "a missing entry": lambda record, at: [e for e in record if e.seq != at],
    "a repeated entry": lambda record, at: [*record[: at - 1], record[at - 2], *record[at - 1 :]],
}


@pytest.mark.parametrize("how", TAMPERING)
@pytest.mark.parametrize("at", [2, 17, 35])
def test_tampering_is_named_by_its_first_entry(recorded, benches, how, at):
    bench, run_id, _, _ = recorded
    record = TAMPERING[how](stored(bench.store, run_id), at)
    with pytest.raises(RecordCorrupt) as caught:
        wb.Run(benches(state=planted(record, raw=True)), run_id).verify(graph=FAN)
    assert caught.value.seq == at


def test_a_tail_that_was_cut_off_is_found_by_the_hash_it_should_end_with(recorded, benches):
    bench, run_id, entries, _ = recorded
    head = bench.open(run_id).verify().head
    short = benches(state=planted(stored(bench.store, run_id)[:-3])).open(run_id)
    with pytest.raises(RecordCorrupt, match="what followed is missing") as caught:
        short.verify(head=head)
    assert caught.value.seq == len(entries) - 2


def test_a_blob_that_was_altered_or_is_gone_is_named(benches):
    bench = benches(spill_bytes=100)
    run = wb.start(wb.AgentGraph("big", nodes=[big], edges=[("Start", "big"), ("big", "End")]), workbench=bench)
    run.result(5)
    run.verify()
    (digest,) = bench.blobs._blobs
    bench.blobs._blobs[digest] = b'"other"'
    with pytest.raises(wb.errors.BlobCorrupt, match=digest):
        run.verify()
    del bench.blobs._blobs[digest]
    with pytest.raises(wb.errors.BlobMissing, match=digest):
        run.verify()


@wb.task
async def big(value):
    return "x" * 1000


def test_the_sandbox_stream_of_a_run_is_verified_with_it(agent_run):
    stream = agent_run.state.manifest.resources["sandbox_id"]
    log = agent_run.workbench.store._log
    place = next(index for index, entry in enumerate(log) if entry.lifetime_id == stream and entry.seq == 2)
    log[place] = replace(log[place], data=flip(log[place].data))
    with pytest.raises(RecordCorrupt, match=f"entry 2 of {stream}"):
        agent_run.verify()


# VIEW


def test_the_state_at_any_entry_is_the_fold_of_what_came_before(recorded):
    bench, run_id, entries, _ = recorded
    run = bench.open(run_id)
    for seq in (1, 7, 20, len(entries)):
        assert run.at(seq) == fold(entries[:seq])


def test_the_state_at_a_step_is_where_the_agents_turn_ended(agent_run):
    assert agent_run.at(step=1).dispatched == {"task_user": 1, "task_llm": 1, "task_execute": 1}
    assert agent_run.at(step=2) == agent_run.state
    with pytest.raises(UserError, match="2 steps"):
        agent_run.at(step=3)
    with pytest.raises(UserError, match="at"):
        agent_run.at()


# RESUME


@pytest.mark.parametrize("branches", ["in turn", "at once"])
def test_from_any_prefix_of_a_record_a_resume_comes_to_the_same_end_and_repeats_nothing(recorded, benches, branches):
    bench, run_id, entries, _ = recorded
    if branches == "at once":
        bench = benches()
        run = wb.start(FAN, 3, tools=TOOLS, workbench=bench)
        run.result(10)
        run_id, entries = run.id, run.entries()
    record = stored(bench.store, run_id)
    for cut in range(1, len(record)):
        DONE.clear()
        DONE.update(effects_in(entries[:cut]))
        run = benches(state=planted(record[:cut])).resume(run_id, graph=FAN, tools=TOOLS)
        asked = answer_truthfully(run, entries, cut)
        assert run.result(10) == {"total": 828}
        assert {name: count for name, count in DONE.items() if name.startswith("send")} == dict.fromkeys(SENT, 1), cut
        assert all(DONE[name] == 1 for name in ("look 1", "look 3")), cut
        assert asked == in_flight(entries[:cut]), cut
        run.verify(graph=FAN)


SENT = ["send 101", "send 102", "send 103", "send 202"]


def effects_in(entries):
    """What has happened by the end of these entries; of what was begun there, everything."""
    done = Counter()
    for entry in entries:
        if isinstance(entry, ToolCallEntry) and entry.phase == ("outcome" if entry.call.idempotent else "intent"):
            done[f"{entry.call.tool} {entry.call.args.inline['n']}"] += 1
    return done


def in_flight(entries):
    """What was begun, was not finished, and must not happen twice."""
    open_calls = fold(entries).open_calls.values()
    asked = sorted(call.tool for call in open_calls if not call.idempotent)
    return [*asked, *(task.name for task in fold(entries).running.values() if task.name == "report")]


def answer_truthfully(run, entries, cut):
    """Say what happened to what a crash cut off, and return what was asked."""
    asked = []
    while run.live:
        for pending in run.pending:
            if pending.request.request_id in [request for request, _ in asked]:
                continue
            asked.append((pending.request.request_id, pending.tool))
            if pending.tool == "send":
                pending.happened(2 * pending.args["n"])
            else:
                finished = [
                    e for e in entries[cut:] if isinstance(e, TaskExecution) and e.header.name == "report" and e.phase == "finished"
                ]
                pending.happened(finished[0].result.output.inline)
    return sorted(tool for _, tool in asked) if len(asked) != 1 else [asked[0][1]]


# RE-RUN


def test_a_rerun_is_answered_from_the_record_and_comes_out_the_same(recorded):
    bench, run_id, _, _ = recorded
    DONE.clear()
    run = bench.open(run_id)
    again = run.replay(graph=FAN, tools=TOOLS)
    assert again.result(10) == {"total": 828}
    assert not any(name.startswith(("look", "send")) for name in DONE)
    assert DONE["report"] == 2
    assert run.diff(again)["same"]


def test_a_rerun_of_a_changed_graph_says_what_came_out_differently(recorded):
    bench, run_id, _, _ = recorded

    @wb.plan
    async def gather(given):
        return wb.PlanResult.to("report", 10)

    nodes = [gather if node.name == "gather" else node for node in FAN.nodes.values()]
    again = bench.open(run_id).replay(graph=wb.AgentGraph("fan", nodes=nodes, edges=FAN.edges), tools=TOOLS)
    assert again.result(10) == {"total": 10}
    found = bench.open(run_id).diff(again)
    assert not found["same"]
    step = next(step for step in found["steps"] if step["step"] == found["first"])
    assert step["changed"]["next"] == [[{"task": "report", "args": 827}], [{"task": "report", "args": 10}]]
    assert found["end"]["output"] == [{"total": 828}, {"total": 10}]
    assert found["steps"][-1]["only"] == "left"


def test_a_live_rerun_asks_before_it_repeats_effects(recorded):
    bench, run_id, _, _ = recorded
    DONE.clear()
    with pytest.raises(EffectsRepeat, match="send"):
        bench.open(run_id).replay(graph=FAN, tools=TOOLS, live=True)
    assert not DONE
    assert bench.open(run_id).replay(graph=FAN, tools=TOOLS, live=True, confirm=True).result(10) == {"total": 828}
    assert DONE["send 101"] == 1


def test_an_agents_rerun_needs_no_model_where_the_record_has_the_replies(agent_run, benches):
    bench = benches(state=agent_run.workbench.store)
    DONE.clear()
    again = bench.open(agent_run.id).replay(tools=TOOLS)
    assert again.result(20) == agent_run.value
    assert not DONE
    assert agent_run.diff(again) == {"same": True, "first": None, "steps": [], "end": {}}
    assert again.state.totals.cost_nano == 0


def test_an_agents_rerun_with_a_changed_tool_asks_the_live_model_where_the_record_ends(agent_run):
    @wb.tool(name="look", idempotent=True)
    def look_again(n: int) -> int:
        """Look a number up."""
        return -n

    script = ["never asked", "```python\nfinish('live')\n```"]
    again = agent_run.replay(
        live=True, confirm=True, tools=[look_again], model=wb.models.Scripted(["```python\nprint(look(3))\n```", *script[1:]])
    )
    assert again.result(20) == "live"
    assert agent_run.diff(again)["first"] == 1
