"""All ten events fire, in order, from the record; handlers are called in order and never disturb a run."""

import logging
import threading

import pytest

import workbench as wb
from workbench.agents.trace import describe
from workbench.errors import UserError
from workbench.record.events import EVENTS


def names(events):
    return [event["event"] for event in events]


def lookup(key: str) -> int:
    """Look up."""
    return {"a": 1}[key]


def test_the_events_of_a_run_are_in_order(agent, bench):
    agent("<think>hm</think>\n```python\nlookup('a')\n```", "```python\nfinish(2)\n```", raw=True, tools=[lookup]).run("go")
    assert names(bench.last.events()) == [
        *("iteration_start", "llm_request", "llm_response", "thinking", "code_generated"),
        *("tool_call", "tool_result", "code_executed"),
        *("iteration_start", "llm_request", "llm_response", "code_generated", "code_executed", "finish"),
    ]


def test_every_event_fires_somewhere(agent, bench):
    seen = []
    one = agent("<think>hm</think>```python\nlookup('b')\n```", "```python\nfinish(2)\n```", raw=True, tools=[lookup])
    for name in EVENTS:
        one.on(name)(lambda event: seen.append(event["event"]))
    one.run("go")
    assert set(seen) == set(EVENTS)
    assert seen == names(bench.last.events())


def test_events_carry_their_fields(agent, bench):
    agent("print(lookup(key='a'))", "finish(2)", tools=[lookup]).run("go")
    by_name = {event["event"]: event for event in reversed(bench.last.events())}
    assert by_name["iteration_start"]["iteration"] == 1
    assert by_name["iteration_start"]["max_iterations"] == 10
    assert by_name["llm_request"]["message_count"] == 2
    assert by_name["tool_call"]["args"] == {"key": "a"}
    assert by_name["tool_result"]["result"] == 1
    assert by_name["code_executed"]["output"] == "1\n"
    assert by_name["finish"]["value"] == 2


def test_the_request_that_follows_an_observation_counts_it(agent, bench):
    agent("x = 1", "finish(2)").run("go")
    assert [event["message_count"] for event in bench.last.events() if event["event"] == "llm_request"] == [2, 4]


def test_handlers_of_one_event_are_called_in_the_order_they_were_added(agent):
    seen = []
    one = agent("finish(2)")
    one.on("finish")(lambda event: seen.append("first"))
    one.on("finish")(lambda event: seen.append("second"))
    one.run("go")
    assert seen == ["first", "second"]


def test_handlers_run_on_a_thread_of_their_own_and_are_done_when_run_returns(agent):
    threads = set()
    one = agent("finish(2)")
    one.on("finish")(lambda event: threads.add(threading.current_thread().name))
    one.run("go")
    assert threads == {"workbench-handlers"}


def test_a_handler_that_raises_is_logged_and_the_others_go_on(agent, caplog):
    seen = []
    one = agent("finish(2)")

    @one.on("finish")
    def broken(event):
        raise ValueError("broken handler")

    one.on("finish")(lambda event: seen.append(event["value"]))
    with caplog.at_level(logging.ERROR):
        assert one.run("go") == 2
    assert seen == [2]
    assert "broken handler" in caplog.text


def test_an_interrupt_in_a_handler_stops_the_run(agent):
    one = agent("x = 1", "while True:\n    pass")

    @one.on("code_executed")
    def interrupt(event):
        raise KeyboardInterrupt

    with pytest.raises(wb.errors.RunStopped, match="handler"):
        one.run("go")


def test_an_unknown_event_is_refused_by_name(agent):
    with pytest.raises(UserError, match="code_executed"):
        agent("finish(2)").on("code_excuted")


def test_verbose_and_handlers_live_together(agent, capsys):
    seen = []
    one = agent("finish(2)", verbose=True)
    one.on("finish")(lambda event: seen.append(event["value"]))
    one.run("go")
    assert seen == [2]
    assert "finished: 2" in capsys.readouterr().err


async def test_iterating_a_run_gives_its_events_as_they_come(agent):
    run = await agent("x = 1", "finish(2)").astart("go")
    live = [event async for event in run]
    assert names(live)[0] == "iteration_start"
    assert live == run.events()


def test_an_answer_too_big_for_the_log_is_told_in_words(agent, bench, capsys):
    agent("print('y' * 10)\nfinish('x' * 1_200_000)", verbose=True).run("go")
    executed = next(event for event in bench.last.events() if event["event"] == "code_executed")
    assert "too big for the log" in executed["output"]
    assert "too big for the log" in "\n".join(describe(event) for event in bench.last.events())


def test_what_a_model_writes_cannot_act_on_the_terminal(agent, bench):
    agent("print('\\x1b[2J\\x07')\nfinish('\\x9b1m')", "\x1b]0;owned\x07", raw=False).run("\x1b[31mgo")
    told = "\n".join(describe(event) for event in bench.last.events())
    assert not [character for character in told if character < " " and character not in "\n\t"]
    assert "\x9b" not in told
