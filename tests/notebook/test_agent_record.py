"""The record that the agent itself writes is drawn as what it did."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

import workbench as wb
from workbench.errors import RunFailed
from workbench.notebook.view import RunView
from workbench.notebook.wire import View
from workbench.profiles import for_tests


@pytest.fixture
def bench() -> Iterator[wb.Workbench]:
    bench = for_tests(1)
    yield bench
    bench.close()


def price(symbol: str) -> float:
    """The price of a share."""
    return {"A": 1.5, "B": 2.5}[symbol]


def drawn(bench: wb.Workbench, *replies: str, **options: object) -> View:
    agent = wb.Agent(wb.models.Scripted(list(replies)), tools=[price], workbench=bench, **options)
    try:
        agent.run("compare A and B")
    except RunFailed:
        assert bench.last.entries()[-1].header.name == "ended"
    finally:
        agent.close()
    view = RunView()
    for entry in bench.last.entries():
        view.apply(entry)
    return view.full()


def block(code: str) -> str:
    return f"<thinking>I look.</thinking>\n```python\n{code}\n```"


def test_steps_code_calls_and_output(bench: wb.Workbench) -> None:
    view = drawn(bench, block("a = price('A')\nprint(a)\na + price('B')"), block("finish(a)"), thinking_tag="thinking")
    first, second = view["steps"]
    assert (first["headline"], second["headline"]) == ("ran 3 lines, called price \u00d72", "ran 1 line, answered")
    assert first["thought"] is not None
    assert first["thought"]["text"] == "I look."
    assert [call["args"]["text"] for call in first["calls"]] == ["symbol='A'", "symbol='B'"]
    assert (first["prints"], first["value"]) == ({"text": "1.5\n", "length": 4, "cut": False}, {"text": "4.0", "length": 3, "cut": False})
    assert view["summary"]["answer"] == {"text": "1.5", "length": 3, "cut": False}
    assert {bar["lane"] for bar in view["timeline"]} == {"model", "sandbox", "tools"}


def test_an_error_is_marked_on_its_line(bench: wb.Workbench) -> None:
    step = drawn(bench, block("a = 1\nprice('C')"), block("finish(1)"))["steps"][0]
    assert (step["badge"]["word"], step["calls"][0]["badge"]["word"]) == ("error", "error")
    assert step["error"] is not None
    assert (step["error"]["type"], step["error"]["line"]) == ("KeyError", 2)


def test_a_reply_that_cannot_be_used_says_what_the_model_was_told(bench: wb.Workbench) -> None:
    step = drawn(bench, "", block("finish(1)"))["steps"][0]
    assert (step["badge"]["word"], step["headline"]) == ("not usable", "the reply was not usable")
    assert step["note"] is not None


def test_an_answer_that_is_not_accepted_says_why(bench: wb.Workbench) -> None:
    view = drawn(bench, block("finish('one')"), block("finish(1)"), schema={"type": "integer"})
    assert [step["badge"]["word"] for step in view["steps"]] == ["not accepted", "done"]
    assert view["steps"][0]["note"] is not None
    assert "integer" in view["steps"][0]["note"]["text"]


def test_running_out_of_turns_is_the_runs_error_not_the_last_steps(bench: wb.Workbench) -> None:
    view = drawn(bench, block("1 + 1"), block("2 + 2"), max_iterations=2)
    assert [step["badge"]["word"] for step in view["steps"]] == ["done", "done"]
    assert (view["summary"]["badge"]["word"], view["summary"]["failed_step"]) == ("failed", None)
    assert view["summary"]["error"] is not None


def test_a_model_that_fails_is_the_error_of_its_step(bench: wb.Workbench) -> None:
    view = drawn(bench, block("1 + 1"))
    assert view["steps"][-1]["headline"] == "the model gave no reply"
    assert view["summary"]["failed_step"] == 2


def test_what_the_model_says_beside_its_code_is_its_thought(bench: wb.Workbench) -> None:
    replies = ("First a look\u2026\n```python\nprice('A')\n```", block("finish(1)").replace("</thinking>", "</thinking>Done."))
    view = drawn(bench, *replies, thinking_tag="thinking")
    thoughts = [step["thought"] and step["thought"]["text"] for step in view["steps"]]
    assert thoughts == ["First a look\u2026", "I look.\n\nDone."]


def test_an_answer_in_words_is_not_a_thought_too(bench: wb.Workbench) -> None:
    view = drawn(bench, "Forty-two.")
    assert view["steps"][0]["thought"] is None
    assert view["summary"]["answer"] == {"text": "Forty-two.", "length": 10, "cut": False}


def test_the_model_and_the_limit_are_named_with_a_schema_of_classes(bench: wb.Workbench) -> None:
    class Row(BaseModel):
        name: str

    class Table(BaseModel):
        rows: list[Row]

    view = drawn(bench, block("finish({'rows': [{'name': 'a'}]})"), schema=Table)
    assert view["summary"]["model"] == "scripted:script"
