"""Whom an agent asks before it acts: nobody, a person about tools that ask, or a person about every block of code."""

import asyncio

import pytest

import workbench as wb
from workbench.agents.codeact import CODEACT
from workbench.errors import UserError
from workbench.loop import run_sync
from workbench.models.scripted import Scripted


def asked(run):
    """The next thing the run waits for."""
    return run_sync(run.asked())


def said(run):
    """What the model was told, in order."""
    return [message.content for entry in run.entries() for message in entry.messages if message.role == "user"]


def ran(run):
    """The code of every block that was run."""
    return [event["code"] for event in run.events() if event["event"] == "code_executed"]


def test_every_block_waits_for_its_approval_and_nothing_runs_before(agent):
    calls = []

    def effect() -> None:
        """Have an effect."""
        calls.append(1)

    run = agent("effect()", "finish(2)", tools=[effect], approve="code").start("go")
    pending = asked(run)
    assert (pending.title, pending.args, calls) == ("The agent wants to run this code. May it?", {"code": "effect()"}, [])
    pending.approve()
    asked(run).approve()
    assert (run.result(5), calls) == (2, [1])
    run.verify(graph=CODEACT)


def test_what_runs_is_what_was_approved_and_the_model_is_told_what_it_was(agent):
    run = agent("x = 1", "finish(x)", approve="code").start("go")
    asked(run).approve({"code": "x = 10"})
    asked(run).approve_always()
    assert run.result(5) == 10
    assert ran(run) == ["x = 10", "finish(x)"]
    assert "A person changed the code" in said(run)[1]
    assert "x = 10" in said(run)[1]


def test_a_refusal_is_told_to_the_model_and_the_block_is_not_run(agent):
    run = agent("print(1)", "finish(2)", approve="code").start("go")
    asked(run).reject("too risky")
    asked(run).approve()
    assert run.result(5) == 2
    assert ran(run) == ["finish(2)"]
    assert said(run)[1].endswith("too risky")


def test_what_is_always_allowed_is_not_asked_about_again_but_in_a_fork(agent):
    run = agent("x = 1", "y = 2", "finish(x + y)", approve="code").start("go")
    asked(run).approve_always()
    assert run.result(5) == 3
    fork = run.fork(step=2, model=Scripted(["", "```python\nfinish(x)\n```"]))
    asked(fork).approve()
    assert fork.result(5) == 1


def test_code_of_a_person_is_not_asked_about(agent):
    run = agent("x = 1", "finish(x)", approve="code").start("go")
    asked(run).approve_always()
    run.result(5)
    assert run.fork(step=2, code="finish(x + 1)").result(5) == 2


def test_an_approval_without_code_runs_nothing(agent):
    run = agent("x = 1", "finish(2)", approve="code").start("go")
    asked(run).approve({"other": "x = 10"})
    asked(run).approve()
    assert run.result(5) == 2
    assert ran(run) == ["finish(2)"]


def test_it_still_asks_after_its_process_has_gone(agent, bench):
    run = agent("x = 1", "finish(x)", approve="code").start("go")
    before = asked(run).request

    async def break_off():
        task = bench.custody.get(run.id).task
        task.cancel()
        await asyncio.wait({task})

    run_sync(break_off())
    again = bench.open(run.id).resume(model=Scripted(["", "```python\nfinish(x)\n```"]))
    assert again.pending[0].request == before
    again.pending[0].approve()
    asked(again).approve()
    assert again.result(5) == 1
    again.verify(graph=CODEACT)


def test_where_nobody_is_there_it_does_not_begin(agent):
    with pytest.raises(UserError, match="nobody is there"):
        agent("finish(1)", approve="code").start("go", unattended=True)


def test_without_approvals_a_tool_that_asks_is_called(agent, bench):
    def send(to: str) -> str:
        """Send."""
        return to

    one = agent("finish(send('ana'))", tools=[wb.Tool.from_function(send, approval=True)], approve="none")
    assert one.run("go") == "ana"
    assert bench.last.state.manifest.resources["approve"] == "none"


def test_another_word_is_refused():
    with pytest.raises(UserError, match="'none', 'tools', 'code'"):
        wb.Agent(Scripted([]), approve="everything")
