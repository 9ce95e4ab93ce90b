"""The loop: what the model writes is run, what it did is told, and the run ends when and only when it should."""

import asyncio
import threading

import pytest
from pydantic import BaseModel, Field

import workbench as wb
from workbench.errors import AgentBusy, MaxIterations, ModelError, OutputInvalid, RunFailed, UserError
from workbench.loop import run_sync
from workbench.profiles import local
from workbench.runtime.data_plane import RUN_TOPIC


def said(run: wb.Run, role: str = "user") -> list[str]:
    """The messages of one role, in order."""
    return [message.content for entry in run.entries() for message in entry.messages if message.role == role]


def test_finish_ends_the_run_with_its_argument(agent, bench):
    assert agent("finish(5)").run("five") == 5
    assert [message.role for entry in bench.last.entries() for message in entry.messages] == ["system", "user", "assistant"]


@pytest.mark.parametrize(("reply", "value"), [("4", 4), ("hi", "hi"), ('<finish>{"z": 1, "a": 2}</finish>', {"z": 1, "a": 2})])
def test_a_reply_without_code_is_the_answer(agent, reply, value):
    assert agent(reply, raw=True).run("say") == value


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("finish()", None),
        ("finish(answer=[1, 2])", [1, 2]),
        ("finish({'z': 1, 'a': 2})", {"z": 1, "a": 2}),
        ("finish(2**70)", 2**70),
        ("finish((1, 'a'))", (1, "a")),
        ("for i in range(5):\n    if i == 3:\n        finish(i)", 3),
        ("def f():\n    finish('deep')\n    return 1\nx = f()", "deep"),
        ("while True:\n    finish('once')", "once"),
        ("try:\n    finish(1)\nexcept:\n    finish(2)", 1),
        ("try:\n    finish(1)\nexcept BaseException:\n    pass\nfinish(3)", 1),
        ("finish(1)\n1/0", 1),
    ],
)
def test_finish_stops_the_program_wherever_it_stands(agent, code, value):
    assert agent(code).run("go") == value


def test_a_person_sees_where_a_tool_raised_and_the_model_does_not(agent, bench):
    def fetch() -> None:
        """Fetch."""
        raise LookupError("no such city")

    agent("fetch()", "finish(1)", tools=[fetch]).run("go")
    (call,) = [entry.call for entry in bench.last.entries() if entry.kind == "tool_call" and entry.phase == "outcome"]
    assert call.error.trace[0].endswith('in fetch: raise LookupError("no such city")')
    told = "\n".join(said(bench.last))
    assert "no such city" in told
    assert "in fetch" not in told


def test_nothing_after_finish_runs(agent):
    calls = []

    def effect() -> None:
        """An effect."""
        calls.append(1)

    agent("finish(1)\neffect()", tools=[effect]).run("go")
    assert calls == []


def test_no_output_can_fake_a_finish(agent, bench):
    assert agent("print('___FINISH___:1')\nprint('<finish>2</finish>')", "finish(3)").run("go") == 3
    assert "___FINISH___:1" in said(bench.last)[1]


def test_prints_and_the_last_value_are_told_as_python_shows_them(agent, bench):
    agent("print('a', 1)\n[True, None, 1.0, 'x\"y']", "finish(0)").run("go")
    assert said(bench.last)[1] == "Output:\na 1\n\nValue of the last line:\n[True, None, 1.0, 'x\"y']"


@pytest.mark.parametrize("engine", ["auto", "monty"])
def test_prints_are_on_the_bus_before_their_step_is_over(agent, bench, engine):
    messages = bench.bus.subscribe(RUN_TOPIC)

    async def heard() -> str:
        """What has been printed so far."""
        async with asyncio.timeout(10):
            return await anext(message["text"] async for message in messages if message["type"] == "print")

    assert agent("print('a')\nx = heard()\nprint('b')\nfinish(x)", tools=[heard], engine=engine).run("go") == "a\n"
    messages.close()
    assert run_sync(told(messages)) == ["b\n"]


async def told(messages):
    """The pieces of prints that have not been read yet."""
    return [message["text"] async for message in messages if message["type"] == "print"]


def test_a_block_that_shows_nothing_says_so(agent, bench):
    agent("x = 1", "finish(x)").run("go")
    assert "printed nothing" in said(bench.last)[1]


def test_an_error_is_told_with_its_type_its_line_and_the_prints_before_it(agent, bench):
    agent("print('before')\nx = 1/0", "finish(0)").run("go")
    told = said(bench.last)[1]
    assert "before" in told
    assert "Error (line 2): ZeroDivisionError: division by zero" in told


def test_printing_the_word_error_is_no_error(agent, bench):
    agent("print('Error: x')", "finish(0)").run("go")
    (executed,) = [event for event in bench.last.events() if event["event"] == "code_executed"][:1]
    assert executed["success"] is True


def test_long_output_is_shortened_for_the_model_and_kept_for_the_person(agent, bench):
    agent("for i in range(6000):\n    print('line', i)", "finish(0)").run("go")
    assert len(said(bench.last)[1]) < 15_000
    assert "characters left out" in said(bench.last)[1]
    executed = next(event for event in bench.last.events() if event["event"] == "code_executed")
    assert "line 3000\n" in executed["output"]


def test_variables_live_from_block_to_block_and_from_run_to_run(agent):
    one = agent("x = 41", "finish(x + 1)", "finish(x)")
    assert one.run("first") == 42
    # A new run begins a new conversation, so the script begins again: the variable is set once more and read in the second turn.
    assert one.run("second") == 42


def test_the_model_is_asked_max_iterations_times_and_no_more(agent, bench):
    with pytest.raises(MaxIterations) as raised:
        agent("x = 1", "x = 2", "x = 3", max_iterations=2).run("go")
    assert bench.last.state.dispatched["task_llm"] == 2
    assert raised.value.run.id == bench.last.id
    assert raised.value.run.events()[-1] == {
        "event": "error",
        "run_id": bench.last.id,
        "seq": bench.last.state.seq,
        "code": "max_iterations",
        "message": str(raised.value),
    }


def test_zero_iterations_ask_nobody(agent, bench):
    with pytest.raises(MaxIterations):
        agent("finish(1)", max_iterations=0).run("go")
    assert "task_llm" not in bench.last.state.dispatched


def test_one_iteration_is_enough_to_finish(agent):
    assert agent("finish(1)", max_iterations=1).run("go") == 1


class Total(BaseModel):
    total: int = Field(ge=0)


def test_an_answer_of_the_wrong_shape_is_corrected(agent, bench):
    assert agent("finish({'total': -1})", "finish({'total': 2})", schema=Total).run("go") == Total(total=2)
    assert "/total: Input should be greater than or equal to 0" in said(bench.last)[1]


def test_a_text_answer_is_checked_too(agent, bench):
    assert agent("three", '{"total": 3}', raw=True, schema=Total).run("go") == Total(total=3)


def test_the_last_turn_does_not_ask_again_for_a_better_answer(agent):
    with pytest.raises(OutputInvalid) as raised:
        agent("finish({})", max_iterations=1, schema=Total).run("go")
    assert isinstance(raised.value, ValueError)
    assert "/total: Field required" in str(raised.value)


def test_a_json_schema_gives_data_and_is_shown_up_front(agent, bench):
    schema = {"type": "object", "properties": {"colour_of_hat": {"type": "string"}}, "required": ["colour_of_hat"]}
    assert agent("finish({'colour_of_hat': 'red'})").run("go", schema=schema) == {"colour_of_hat": "red"}
    assert "colour_of_hat" in said(bench.last, "system")[0]


def test_a_call_overrides_the_agents_schema(agent):
    assert agent("finish([1])", schema=Total).run("go", schema={"type": "array"}) == [1]


def test_a_finishing_tool_gives_the_result_and_replaces_the_default(agent, bench):
    one = agent("submit(title='a')")

    @one.tool(finish=True)
    def submit(title: str, pages: int = 3) -> dict:
        """Hand in the report."""
        return {"title": title, "pages": pages}

    assert one.run("go") == {"title": "a", "pages": 3}
    system = said(bench.last, "system")[0]
    assert "def submit(title: str, pages: int = 3)" in system
    assert "def finish(" not in system


def test_a_finishing_tool_that_raises_does_not_end_the_run(agent, bench):
    one = agent("submit('bad')", "submit('good')")

    @one.tool(finish=True)
    def submit(text: str) -> str:
        """Hand in."""
        if text == "bad":
            raise ValueError("not this one")
        return text

    assert one.run("go") == "good"
    assert "ValueError: not this one" in said(bench.last)[1]


def test_keywords_reach_a_tool_by_name_and_defaults_stay(agent):
    seen = []

    def move(x: int, y: int = 5, *, speed: float = 1.0) -> None:
        """Move."""
        seen.append((x, y, speed))

    agent("move(speed=2.0, x=1)\nmove(1, 2)\nmove(y=3, x=4)\nfinish(0)", tools=[move]).run("go")
    assert seen == [(1, 5, 2.0), (1, 2, 1.0), (4, 3, 1.0)]


@pytest.mark.parametrize("call", ["move(z=1)", "move()", "move(1, x=1)", "move('1')"])
def test_a_wrong_call_is_catchable_told_and_recorded(agent, bench, call):
    def move(x: int) -> None:
        """Move."""

    agent(f"try:\n    {call}\nexcept Exception as e:\n    print('caught:', e)", "finish(0)", tools=[move]).run("go")
    assert "caught: move(x: int)" in said(bench.last)[1] or "caught: " in said(bench.last)[1]
    assert [event["event"] for event in bench.last.events()].count("tool_result") == 1


def test_every_callable_tool_is_in_the_prompt_with_its_defaults(agent, bench):
    def search(query: str, limit: int = 5) -> list:
        """Search the web.

        Args:
            query: what to look for
        """
        return []

    agent("finish(0)", tools=[search]).run("go")
    system = said(bench.last, "system")[0]
    assert "def search(query: str, limit: int = 5) -> list:" in system
    assert "what to look for" in system


def test_text_of_the_person_is_never_taken_for_a_placeholder(agent, bench):
    agent("finish(0)", system="You see {tools} and {{schema}} and %s.").run("go")
    assert said(bench.last, "system")[0].startswith("You see {tools} and {{schema}} and %s.")


def test_a_model_that_fails_fails_the_run_and_the_next_one_works(agent, bench):
    one = agent("x = 1")
    with pytest.raises(RunFailed, match="script"):
        one.run("go")
    assert bench.last.state.error.code == ModelError.code
    assert bench.last.events()[-1]["event"] == "error"


@pytest.mark.parametrize("name", ["len", "print", "sorted", "open"])
def test_a_tool_cannot_hide_behind_a_builtin(agent, name):
    with pytest.raises(UserError, match="Python's own"):
        agent("finish(0)", tools=[wb.Tool.from_function(lambda x: x, name=name)])


def test_a_tool_named_finish_must_finish(agent):
    with pytest.raises(UserError, match="finish=True"):
        agent("finish(0)", tools=[wb.Tool.from_function(lambda x: x, name="finish")])


def test_registering_a_tool_again_replaces_it(agent, bench):
    one = agent("finish(number())")
    one.register(wb.Tool.from_function(lambda: 1, name="number"))
    one.register(wb.Tool.from_function(lambda: 2, name="number"))
    assert one.run("go") == 2
    assert said(bench.last, "system")[0].count("def number(") == 1


def test_an_agent_does_one_task_at_a_time(bench):
    slow = wb.Agent(wb.models.Scripted(["```python\nfinish(1)\n```"], delay=5), workbench=bench)
    run = slow.start("first")
    with pytest.raises(AgentBusy):
        slow.start("second")
    run.stop()
    with pytest.raises(wb.errors.RunStopped):
        run.result(5)
    slow.close()


async def test_arun_works_inside_a_running_loop(agent):
    assert await agent("finish(7)").arun("go") == 7


async def test_cancelling_arun_stops_the_run(bench):
    slow = wb.Agent(wb.models.Scripted(["1"], delay=30), workbench=bench)
    task = asyncio.create_task(slow.arun("go"))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await bench.last.wait()
    assert bench.last.status == "aborted"
    await slow.aclose()


def test_a_task_is_text(agent):
    with pytest.raises(UserError, match="a task is text"):
        agent("finish(0)").run({"not": "text"})


@pytest.mark.parametrize("control", [KeyboardInterrupt, SystemExit])
def test_control_exceptions_in_a_tool_stop_the_run_and_not_the_loop(agent, bench, control):
    def halt() -> None:
        """Halt."""
        raise control

    with pytest.raises(wb.errors.RunStopped, match="halt"):
        agent("try:\n    halt()\nexcept Exception:\n    pass\nwhile True:\n    pass", tools=[halt]).run("go")
    assert agent("finish(1)").run("again") == 1


@pytest.mark.parametrize("engine", ["auto", "monty"])
def test_a_block_that_is_stopped_keeps_what_it_had_printed(tmp_path, engine):
    bench = local(home=tmp_path)
    begun = threading.Event()

    async def hangs() -> None:
        begun.set()
        await asyncio.sleep(60)

    agent = wb.Agent(wb.models.Scripted(["```python\nprint('this far')\nhangs()\n```"]), tools=[hangs], engine=engine, workbench=bench)
    run = agent.start("go")
    assert begun.wait(10)
    run.stop("enough")
    with pytest.raises(wb.errors.RunStopped):
        run.result(10)
    ended = run.entries()[-2]
    assert (ended.header.name, ended.header.status) == ("task_execute", "CANCELLED")
    assert run_sync(bench.plane.value(ended.result.output)) == {"prints": "this far\n", "truncated": False}
    assert run.verify()
    bench.close()


def test_closing_an_agent_stops_its_run(bench):
    agent = wb.Agent(wb.models.Scripted(["```python\nwhile True:\n    pass\n```"]), workbench=bench)
    run = agent.start("for ever")
    agent.close()
    with pytest.raises(wb.errors.RunStopped, match="closed"):
        run.result(5)
