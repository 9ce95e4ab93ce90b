"""Approvals and questions: asked once, decided once, by whoever comes first; a run waits for as long as it takes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import closing

import pytest
from pydantic import BaseModel

import workbench as wb
from tests.runtime.graphs import asking_beside
from workbench.errors import ApprovalPending, RunFailed, RunStopped, UserError
from workbench.graph.nodes import human
from workbench.loop import run_sync
from workbench.ports import InboxItem
from workbench.record.envelope import HitlResponse


class Verdict(BaseModel):
    accept: bool
    why: str = ""


@pytest.fixture
def sent():
    return []


@pytest.fixture
def agent(bench, sent):
    """An agent that sends two letters and tells what came of each; sending needs approval."""

    def send(to: str, text: str = "hello") -> str:
        """Send a letter."""
        sent.append((to, text))
        return f"sent to {to}"

    code = """
out = []
for to in ["ana", "board"]:
    try:
        out.append(send(to))
    except Exception as error:
        out.append(str(error))
finish(out)
"""
    made = wb.Agent(wb.models.Scripted([f"```python\n{code}\n```"]), tools=[wb.Tool.from_function(send, approval=True)], workbench=bench)
    yield made
    made.close()


def asked(run, seconds=5):
    """The first thing the run waits for."""
    for _ in range(int(seconds / 0.01)):
        if run.pending:
            return run.pending[0]
        run_sync(asyncio.sleep(0.01))
    raise AssertionError(f"{run!r} asks nothing")


def asks_again(run, before):
    for _ in range(500):
        if run.pending and run.pending[0].request.request_id != before.request.request_id:
            return run.pending[0]
        run_sync(asyncio.sleep(0.01))
    raise AssertionError(f"{run!r} asks nothing more")


@pytest.mark.parametrize("reader", ["the run", "another reader"])
async def test_awaiting_what_is_asked_gives_each_request_and_none_at_the_end(agent, sent, bench, reader):
    run = agent.start("write")
    asked_of = run if reader == "the run" else bench.open(run.id)
    notes = []
    while request := await asyncio.wait_for(asked_of.asked(), 10):
        request.reject(f"no {len(notes)}")
        notes.append(request.args["to"])
    await asked_of.wait()
    assert (notes, sent, run.status) == (["ana", "board"], [], "completed")


def test_a_call_waits_for_its_approval_and_nothing_happens_before(agent, sent):
    run = agent.start("write")
    first = asked(run)
    assert (run.status, first.tool, first.args, sent) == ("waiting", "send", {"to": "ana"}, [])
    first.approve(actor="ana")
    asks_again(run, first).reject("not the board")
    assert run.result(5) == ["sent to ana", "ToolDenied: code refused the call of 'send': not the board"]
    assert sent == [("ana", "hello")]
    run.verify()


def test_a_person_may_change_the_arguments(agent, sent):
    run = agent.start("write")
    first = asked(run)
    first.approve({"to": "eve", "text": "dear eve"})
    asks_again(run, first).approve()
    assert run.result(5) == ["sent to eve", "sent to board"]
    assert sent == [("eve", "dear eve"), ("board", "hello")]
    calls = [entry.call.args.inline for entry in run.entries() if entry.kind == "tool_call" and entry.phase == "intent"]
    assert calls == [{"to": "eve", "text": "dear eve"}, {"to": "board"}]


def test_the_second_decision_is_refused(agent):
    run = agent.start("write")
    first = asked(run)
    first.approve(actor="ana")
    with pytest.raises(UserError, match="already decided by ana"):
        first.reject()
    second = asks_again(run, first)
    with pytest.raises(UserError, match=r"already decided by ana at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: approved; the first"):
        first.reject()
    second.stop(actor="ana")
    with pytest.raises(RunStopped, match="ana, who was asked to approve 'send'"):
        run.result(5)


def test_what_is_always_allowed_is_not_asked_about_again(agent, sent):
    run = agent.start("write")
    asked(run).approve_always({"to": "eve"}, actor="ana")
    assert run.result(5) == ["sent to eve", "sent to board"]
    assert run.state.allowed == {"send"}
    run.verify()


def test_a_fork_asks_about_what_the_original_was_always_allowed(bench, sent):
    def send(to: str) -> str:
        """Send a letter."""
        sent.append(to)
        return to

    replies = ["```python\nsend('ana')\n```", "```python\nfinish(send('board'))\n```"]
    tools = [wb.Tool.from_function(send, approval=True)]
    with closing(wb.Agent(wb.models.Scripted(replies), tools=tools, workbench=bench)) as agent:
        run = agent.start("write")
        asked(run).approve_always(actor="ana")
        assert run.result(5) == "board"
        fork = run.fork(step=2, model=wb.models.Scripted(replies), tools=tools, confirm=True)
        asked(fork).approve(actor="bo")
        assert (fork.result(5), sent, fork.state.allowed) == ("board", ["ana", "board", "board"], set())


async def test_after_a_resume_with_bare_functions_edits_hold_and_the_tool_still_asks(bench, sent):
    def send(to: str) -> str:
        """Send a letter."""
        sent.append(to)
        return f"sent to {to}"

    model = wb.models.Scripted(["```python\nfinish([send(to) for to in ['ana', 'board']])\n```"])
    with closing(wb.Agent(model, tools=[wb.Tool.from_function(send, approval=True)], workbench=bench)) as agent:
        run = agent.start("write")
        first = await run.asked()
        first.approve({"to": "eve"})
        while (second := await run.asked()).request.request_id == first.request.request_id:
            pass
        break_off(bench, run)
    again = bench.open(run.id).resume(tools=[send], model=model)
    assert (await again.asked()).args == second.args
    again.pending[0].approve()
    assert again.result(5) == ["sent to eve", "sent to board"]
    assert sent == ["eve", "board"]
    again.verify()


def test_a_decision_of_another_kind_is_refused(agent):
    run = agent.start("write")
    with pytest.raises(UserError, match="decided by approved, approved_always, rejected, stop"):
        asked(run).answer(3)
    run.stop()
    run_sync(run.wait())


@pytest.mark.parametrize("decision", ["happened", "answered", "expired"])
def test_a_decision_of_another_kind_never_reaches_the_record_whoever_sends_it(agent, bench, decision):
    run = agent.start("write")
    request = asked(run).request
    response = HitlResponse(request_id=request.request_id, decision=decision, actor="a page", subject_hash=request.subject_hash)
    with pytest.raises(UserError, match="is decided by approved, approved_always, rejected, stop"):
        run_sync(run.decide(response))
    item = InboxItem(request.request_id + "x", run.id, response.model_dump_json().encode())
    run_sync(bench.store.put_decision(item._replace(request_id=request.request_id)))  # as another process could
    run_sync(asyncio.sleep(0.3))
    assert run.status == "waiting"
    run.stop()
    run_sync(run.wait())
    run.verify()


def test_an_approval_is_for_the_call_that_was_shown_and_no_other(bench):
    deleted, path = [], ["report.txt"]

    def delete(path: str) -> None:
        """Delete a file."""
        deleted.append(path)

    @wb.task(idempotent=True)
    async def tidy(value, ctx):
        return await ctx.call_tool("delete", {"path": path[0]})

    tool = wb.Tool.from_function(delete, approval=True)
    graph = wb.AgentGraph("tidy", nodes=[tidy], edges=[("Start", "tidy"), ("tidy", "End")])
    run = wb.start(graph, tools=[tool], workbench=bench)
    pending = asked(run)
    break_off(bench, run)
    bench.open(run.id).pending[0].approve()
    path[0] = "/etc/passwd"
    with pytest.raises(RunFailed, match="replay differs"):
        bench.open(run.id).resume(graph=graph, tools=[tool]).result(5)
    assert (deleted, pending.args) == ([], {"path": "report.txt"})


def break_off(bench, run):
    """What the death of its process leaves of a run."""

    async def cancel():
        task = bench.custody.get(run.id).task
        task.cancel()
        await asyncio.wait({task})

    run_sync(cancel())


def test_a_question_knows_which_execution_asked_it(bench):
    run = wb.start(review(), "draft", workbench=bench)
    asked(run).answer({"accept": True})
    run.result(5)
    by_id = {entry.header.exec_id: entry.header.name for entry in run.entries()}
    assert {by_id[entry.links.parent_exec_id] for entry in run.entries() if entry.kind == "hitl_event"} == {"ask"}


def test_blocking_code_is_told_that_its_run_waits(agent, sent):
    with pytest.raises(ApprovalPending, match="send") as caught:
        agent.run("write")
    run = caught.value.run
    first = run.pending[0]
    first.approve()
    asks_again(run, first).approve()
    assert run.result(5) == ["sent to ana", "sent to board"]


def test_when_nobody_is_there_the_call_is_refused_at_once(agent, sent):
    out = agent.start("write", unattended=True).result(5)
    assert out == ["ToolDenied: 'send' needs a person's approval, and nobody is there to give it"] * 2
    assert sent == []


@pytest.mark.parametrize(("predicate", "asks"), [(lambda args: args["to"] == "board", 1), (lambda args: args["missing"], 2), (False, 0)])
def test_a_predicate_says_which_calls_are_asked_about_and_a_broken_one_asks(bench, predicate, asks):
    def send(to: str) -> str:
        """Send."""
        return to

    tool = wb.Tool.from_function(send, approval=predicate)
    agent = wb.Agent(wb.models.Scripted(["```python\nsend('ana')\nfinish(send('board'))\n```"]), tools=[tool], workbench=bench)
    run = agent.start("write")
    before = None
    for _ in range(asks):
        before = asked(run) if before is None else asks_again(run, before)
        before.approve()
    assert run.result(5) == "board"
    agent.close()


def review(**options):
    ask = human("ask", lambda value: f"Is {value} good enough?", schema=Verdict, **options)

    @wb.task
    async def write(value):
        return value

    @wb.plan
    async def judge(given):
        return "End" if given.value["accept"] else "write"

    edges = [("Start", "write"), ("write", "ask"), ("ask", "judge"), ("judge", "write"), ("judge", "End")]
    return wb.AgentGraph("review", nodes=[write, ask, judge], edges=edges)


def test_a_human_task_waits_for_a_typed_answer(bench):
    run = wb.start(review(), "draft", workbench=bench)
    first = asked(run)
    assert (first.title, first.args, run.status) == ("Is draft good enough?", "draft", "waiting")
    with pytest.raises(UserError, match=r"/accept: .*boolean"):
        first.answer({"accept": "perhaps"})
    first.answer({"accept": False, "why": "too short"})
    asks_again(run, first).answer({"accept": True})
    assert run.result(5) == {"accept": True, "why": ""}
    run.verify()


def test_an_unanswered_question_has_its_default_or_fails(bench):
    assert wb.start(review(timeout=0.05, default={"accept": True}), "draft", workbench=bench).result(5) == {"accept": True}
    with pytest.raises(RunFailed, match="nobody answered"):
        wb.start(review(timeout=0.05), "draft", workbench=bench).result(5)


def test_waiting_for_a_person_does_not_count_against_a_limit(bench):
    @wb.task(timeout=0.2)
    async def ask(value, ctx):
        return await ctx.ask_human("Well?")

    run = wb.start(wb.AgentGraph("slow", nodes=[ask], edges=[("Start", "ask"), ("ask", "End")]), workbench=bench)
    pending = asked(run)
    run_sync(asyncio.sleep(0.4))
    pending.answer("yes")
    assert run.result(5) == "yes"


def test_the_command_line_of_another_process_decides(tmp_path, sent):
    store = f"sqlite:///{(tmp_path / 'records.db').as_posix()}"
    bench = wb.profiles.local({"state": store, "blobs": f"file:{(tmp_path / 'blobs').as_posix()}"}, tmp_path)
    run = wb.start(review(), "draft", workbench=bench)
    asked(run)

    def say(*words):
        command = [sys.executable, "-m", "workbench", "answer", run.id[:8], *words]
        environment = {**os.environ, "WORKBENCH_STATE": store, "WORKBENCH_HOME": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    refused = say("answer", "--value", '{"accept": 7}')
    assert (refused.returncode, "expected shape" in refused.stderr) == (1, True)
    assert say("answer", "--value", '{"accept": true}', "--note", "fine").returncode == 0
    assert run.result(10) == {"accept": True, "why": ""}
    assert "waits for nobody" in say("stop").stderr
    bench.close()


def test_a_question_that_its_task_no_longer_waits_for_is_withdrawn(bench):
    @wb.task(idempotent=True)
    async def ask(value, ctx):
        try:
            return await asyncio.wait_for(ctx.ask_human("Well?"), 0.05)
        except TimeoutError:
            return "went on"

    run = wb.start(wb.AgentGraph("hasty", nodes=[ask], edges=[("Start", "ask"), ("ask", "End")]), workbench=bench)
    pending = asked(run)
    assert run.result(5) == "went on"
    with pytest.raises(UserError, match="does not ask"):
        pending.answer("too late")
    run.verify()


def test_a_join_that_has_enough_withdraws_what_the_other_branches_ask(bench):
    @wb.task(idempotent=True)
    async def work(value):
        await asyncio.sleep(0.05)
        return "worked"

    run = wb.start(asking_beside(work, "any", final_policy="drain"), workbench=bench)
    assert run.result(5) == ["worked"]
    assert run.pending == []
    run.verify()
