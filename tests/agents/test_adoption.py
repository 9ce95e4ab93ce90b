"""An agent that works in a person's sandbox: the same variables, tools, files and limits, one of the two at a time."""

import asyncio
import threading

import pytest

import workbench as wb
from workbench.agents.stream import read_stream
from workbench.errors import AgentBusy, UserError
from workbench.loop import run_sync
from workbench.record.values import BlobRef
from workbench.sandbox.box import Sandbox


@pytest.fixture
def box():
    with Sandbox() as opened:
        yield opened


def said(run: wb.Run, role: str = "user") -> list[str]:
    return [message.content for entry in run.entries() for message in entry.messages if message.role == role]


def test_an_agent_sees_what_a_person_has_put_there_and_the_person_what_it_left(agent, box):
    box["rows"] = [1, 2, 3]
    box.run("total = sum(rows)")
    assert agent("mine = total * 2\nfinish(mine)", sandbox=box).run("double it") == 12
    box["late"] = "set between runs"
    assert agent("finish([mine, late])", sandbox=box).run("again") == [12, "set between runs"]
    assert (box["mine"], box.run("mine + 1")) == (12, 13)


def test_what_is_set_during_a_run_is_seen_by_its_next_block(agent, box):
    inside = threading.Event()
    done = threading.Event()

    @box.tool
    async def wait() -> None:
        """Wait."""
        inside.set()
        await asyncio.to_thread(done.wait, 10)

    run = agent("wait()", "finish(given)", sandbox=box).start("go")
    assert inside.wait(10)
    threading.Timer(0.2, done.set).start()
    box["given"] = "from outside"
    assert run.result(10) == "from outside"


def test_the_sandboxs_tools_are_told_called_and_recorded_like_any_other(agent, bench, box):
    @box.tool
    def price(item: str) -> int:
        """The price of an item."""
        return len(item)

    def tax(amount: int) -> int:
        """The tax on an amount."""
        return amount * 2

    assert agent("finish(tax(price(item='tea')))", tools=[tax], sandbox=box).run("the tax") == 6
    (prompt,) = said(bench.last, "system")
    assert "def price(item: str) -> int" in prompt
    assert "def tax(amount: int) -> int" in prompt
    assert [e.call.tool for e in bench.last.entries() if e.kind == "tool_call" and e.phase == "intent"] == ["price", "tax"]


def test_a_tool_of_the_agent_wins_over_one_of_the_sandbox(agent, box):
    box.tool(wb.tool(name="which")(lambda: "the sandbox's"))
    mine = wb.Tool.from_function(lambda: "the agent's", name="which")
    assert agent("finish(which())", tools=[mine], sandbox=box).run("go") == "the agent's"


def test_a_tool_that_an_agents_code_could_not_call_is_refused_before_the_run(agent, box):
    box.tool(wb.tool(name="finish")(lambda: 1))
    with pytest.raises(UserError, match="must end the run"):
        agent("finish()", sandbox=box).run("go")


def test_person_and_agent_take_turns(agent, box):
    inside, done = threading.Event(), threading.Event()

    @box.tool
    async def wait() -> None:
        """Wait."""
        inside.set()
        await asyncio.to_thread(done.wait, 10)

    one, other = agent("wait()\nfinish(1)", sandbox=box), agent("finish(2)", sandbox=box)
    run = one.start("go")
    assert inside.wait(10)
    for use in (lambda: box.run("1"), lambda: box.capture("1"), box.reset, lambda: other.run("go")):
        with pytest.raises(AgentBusy):
            use()
    done.set()
    assert run.result(10) == 1
    assert (box.run("1"), other.run("go")) == (1, 2)


def test_files_are_copied_back_after_every_block_of_a_run(agent, box, tmp_path):
    (tmp_path / "in.txt").write_text("one")
    box.mount("work", tmp_path, writable=True)
    seen = []

    @box.tool
    def look() -> str:
        """What is there."""
        seen.append((tmp_path / "out.txt").read_text())
        return (tmp_path / "in.txt").read_text()

    write = "open('work/out.txt', 'w').write(open('work/in.txt').read() * 2)"
    (tmp_path / "in.txt").write_text("two")
    assert agent(write, "finish(look())", sandbox=box).run("copy") == "two"
    assert seen == ["twotwo"]


def test_limits_engine_and_modules_of_the_sandbox_hold_for_the_agent(agent, bench):
    with Sandbox(builtins=False, engine="monty") as box:
        box.limit(max_seconds=0.3)
        box.module("config", {"x": 1})
        one = agent("while True: pass", "import json", "import config\nfinish(config.x)", sandbox=box)
        assert one.run("go") == 1
        assert one.engine == "monty"
    told = said(bench.last)
    assert "longer than 0.3 s" in told[1]
    assert "no modules but its own" in told[2]


def test_a_block_that_prints_too_much_is_kept_whole_beside_the_run(agent, bench, box):
    box.limit(max_output=100)
    agent("for i in range(1000): print(i)", "finish(1)", sandbox=box).run("go")
    outputs = [e.result.output.inline for e in bench.last.entries() if e.kind == "task_execution" and e.phase == "finished" and e.result]
    output = next(output for output in outputs if isinstance(output, dict) and "prints" in output)
    whole = run_sync(bench.plane.blobs.get(BlobRef.model_validate(output["full_output"])))
    assert (output["truncated"], len(output["prints"])) == (True, 100)
    assert whole.decode() == "".join(f"{i}\n" for i in range(1000))


def test_the_persons_own_blocks_are_stored_with_the_first_run(agent, bench, box):
    box["x"] = 1
    box.run("y = x + 1")
    agent("finish(y)", sandbox=box).run("go")
    stored = run_sync(read_stream(bench.plane, box.session.sandbox_id))
    assert [item.action for item in stored] == ["opened", "set", "block", "block"]
    assert stored == box.session.items


def test_a_run_in_a_persons_sandbox_goes_on_in_another_process(bench, box, tmp_path):
    (tmp_path / "in.txt").write_text("before")
    box.mount("work", tmp_path, writable=True)
    box.limit(max_seconds=7)
    box["given"] = [1, 2]
    box.run("mine = sum(given)")
    script = [
        "```python\nfirst = open('work/in.txt').read()\n```",
        "```python\nopen('work/out.txt', 'w').write(first)\nfinish([mine, first])\n```",
    ]
    agent = wb.Agent(wb.models.Scripted(script, delay=0.3), sandbox=box, workbench=bench)
    run = agent.start("go")

    async def break_off() -> None:
        # As a process that dies: its driver is cancelled as a shutdown would, and its lease is given up.
        while "task_execute" not in bench.custody.get(run.id).life.state.dispatched:  # noqa: ASYNC110 - there is no event for this
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.15)
        task = bench.custody.get(run.id).task
        task.cancel()
        await asyncio.wait({task})

    run_sync(break_off())
    agent.close()
    resumed = bench.open(run.id).resume(model=wb.models.Scripted(script))
    assert resumed.result(10) == [3, "before"]
    assert (tmp_path / "out.txt").read_text() == "before"
    rebuilt = bench.open(run.id)
    assert rebuilt.value == [3, "before"]
    resumed.verify()
