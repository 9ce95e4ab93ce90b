"""Many tasks for one agent: an outcome each, in order, and nothing of one in another."""

import asyncio
import threading

import pytest

import workbench as wb
from workbench.errors import AgentBusy, ApprovalPending, UserError


@pytest.fixture
def bench(tmp_path):
    """On the disk: branches at once, as in life."""
    bench = wb.profiles.local(home=tmp_path)
    yield bench
    bench.close()


def told(messages):
    """A model that does what the task says."""
    task = messages[1].content
    return f"```python\n{task}\n```" if len([m for m in messages if m.role == "assistant"]) == 0 else "It is done."


@pytest.fixture
def agent(bench):
    made = wb.Agent(told, workbench=bench)
    yield made
    made.close()


def test_outcomes_stand_in_the_order_of_the_tasks_and_a_failed_one_is_no_error(agent):
    came = agent.map(["finish(1)", "", "x = undefined\nfinish(x)", "finish('four')"])
    assert [each.ok for each in came] == [True, False, True, True]
    assert [each.value for each in came] == [1, None, "It is done.", "four"]
    assert isinstance(came[1].error, UserError)
    assert came[1].run is None
    assert came[0].run.status == "completed"


def test_a_tool_that_wants_the_main_thread_gets_it(bench):
    @wb.tool(on="main")
    def here() -> bool:
        return threading.current_thread() is threading.main_thread()

    agent = wb.Agent(told, tools=[here], workbench=bench)
    assert [each.value for each in agent.map(["finish(here())"] * 3)] == [True] * 3
    agent.close()


def test_a_run_that_fails_says_why_and_is_there_to_be_looked_at(bench):
    agent = wb.Agent(told, max_iterations=1, workbench=bench)
    (came,) = agent.map(["x = 1"])
    assert (came.ok, came.run.status) == (False, "failed")
    assert came.error.run.id == came.run.id
    agent.close()


def test_each_has_the_variables_of_the_agent_and_none_of_another(agent):
    agent.run("x = 10\nfinish(x)")
    came = agent.map(["x = x + 1\nfinish(x)", "x = x + 2\nfinish(x)", "finish(x)"])
    assert [each.value for each in came] == [11, 12, 10]
    assert agent.run("finish(x)") == 10
    assert len({each.run.id for each in came}) == 3
    for each in came:
        each.run.verify()


def test_no_more_than_the_limit_are_at_work_and_tools_overlap(bench):
    lock, now, most = threading.Lock(), [0], [0]
    both = threading.Barrier(2, timeout=20)

    def meet(n: int) -> int:
        """Meet another."""
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        both.wait()
        with lock:
            now[0] -= 1
        return n

    agent = wb.Agent(told, tools=[meet], workbench=bench)
    came = agent.map([f"finish(meet({n}))" for n in range(6)], max_concurrency=2)
    assert [each.value for each in came] == list(range(6))
    assert most[0] == 2
    agent.close()
    with pytest.raises(UserError, match="max_concurrency=0"):
        agent.map(["finish(1)"], max_concurrency=0)


@pytest.fixture
def asking(bench):
    """An agent with a tool that a person has to let through."""

    def send(to: str) -> str:
        """Send."""
        return f"sent to {to}"

    made = wb.Agent(told, tools=[wb.Tool.from_function(send, approval=True)], workbench=bench)
    yield made
    made.close()


def test_blocking_code_is_not_held_up_by_a_run_that_waits_for_a_person(asking):
    first, second = asking.map(["finish(send('ana'))", "finish(2)"])
    assert (second.ok, second.value) == (True, 2)
    assert isinstance(first.error, ApprovalPending)
    first.run.pending[0].approve()
    assert first.run.result(10) == "sent to ana"


async def test_awaited_it_waits_for_the_person(asking, bench):
    work = asyncio.ensure_future(asking.amap(["finish(send('ana'))"]))
    while not (bench.last and bench.last.pending):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    bench.last.pending[0].approve()
    assert [each.value for each in await work] == ["sent to ana"]


def test_events_say_of_which_task_they_are(agent):
    seen = []
    agent.on("finish")(lambda event: seen.append((event["task_index"], event["value"])))
    agent.map(["finish('a')", "finish('b')"])
    assert sorted(seen) == [(0, "a"), (1, "b")]


async def test_cancelled_it_stops_all_of_them(agent, bench):
    work = asyncio.ensure_future(agent.amap(["while True:\n    pass", "while True:\n    pass"]))
    while len(bench.last.events() if bench.last else []) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    for run in bench.runs():
        await run.wait()
        assert run.status == "aborted"


async def test_awaited_it_is_the_same_and_the_agent_is_free_meanwhile(agent):
    came = await agent.amap(["finish(1)", "finish(2)"])
    assert [each.value for each in came] == [1, 2]
    assert not isinstance(came[0].error, AgentBusy)
