"""What cannot be meant is refused when an agent is made, not in the middle of a run."""

import pytest

import workbench as wb
from workbench.errors import UserError


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "gpt-5"}, "did you mean 'openai:gpt-5'"),
        ({"engine": "foo"}, "'auto', 'littrs', 'monty'"),
        ({"max_iterations": "3"}, "whole number from 0"),
        ({"max_iterations": -1}, "whole number from 0"),
        ({"temperature": "hot"}, "number from 0"),
        ({"temperature": float("nan")}, "number from 0"),
        ({"max_tokens": 0}, "whole number from 1"),
        ({"tools": ["search"]}, "not a tool"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_with_what_to_give(settings, words):
    with pytest.raises(UserError, match=words):
        wb.Agent(**settings)


@pytest.mark.parametrize("task", ["", " \n"])
def test_an_empty_task_is_refused(agent, task):
    with pytest.raises(UserError, match="the task is empty"):
        agent("finish(1)").run(task)


def test_one_tool_needs_no_list(agent):
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    assert agent("finish(add(1, 2))", tools=add).run("add") == 3
