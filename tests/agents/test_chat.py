"""A conversation over several runs: each is a run of its own, and the model is told what was said."""

import pytest

import workbench as wb
from workbench.agents.codeact import CODEACT
from workbench.errors import MaxIterations, ModelError


class Told:
    """A model that answers from a list and keeps what it was asked."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.asked = []

    def __call__(self, messages):
        self.asked.append([(message.role, message.content) for message in messages if message.role != "system"])
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.fixture
def chatting(bench):
    """`chatting(*replies, **options)`: an agent, and what its model was told."""
    made = []

    def make(*replies, **options):
        told = Told(*replies)
        made.append(wb.Agent(told, workbench=bench, **options))
        return made[-1], told

    yield make
    for agent in made:
        agent.close()


def block(code):
    return f"```python\n{code}\n```"


def test_two_turns_share_what_was_said_and_the_variables(chatting, bench):
    agent, told = chatting("Hello Ana.", block("x = 41\nfinish(x)"), block("finish(x + 1)"))
    assert agent.chat("I am Ana.") == "Hello Ana."
    assert agent.chat("Remember a number.") == 41
    assert told.asked[1] == [("user", "I am Ana."), ("assistant", "Hello Ana."), ("user", "Remember a number.")]
    assert agent.chat("And one more?") == 42
    assert told.asked[2][-1] == ("user", "(The task before ended with this answer: 41)\n\nAnd one more?")
    bench.last.verify(graph=CODEACT)


def test_each_turn_is_a_run_that_says_which_it_continues(chatting, bench):
    agent, _ = chatting("one", "two")
    agent.chat("first")
    first = bench.last
    agent.chat("second")
    assert bench.last.title == "second"
    assert bench.last.state.manifest.resources["continues"] == first.id
    assert "continues" not in first.state.manifest.resources


def test_clearing_forgets_what_was_said_and_keeps_the_variables(chatting):
    agent, told = chatting(block("x = 1\nfinish(x)"), block("finish(x)"))
    agent.chat("first")
    agent.clear()
    assert agent.chat("second") == 1
    assert told.asked[1] == [("user", "second")]


def test_a_turn_that_the_model_never_answered_is_not_part_of_the_conversation(chatting):
    agent, told = chatting("one", ModelError("no connection"), "three")
    agent.chat("first")
    with pytest.raises(wb.errors.RunFailed):
        agent.chat("second")
    assert agent.chat("third") == "three"
    roles = [role for role, _ in told.asked[-1]]
    assert roles == ["user", "assistant", "user"]
    assert "ended without an answer" in told.asked[-1][-1][1]


def test_each_turn_has_all_its_iterations(chatting):
    agent, _ = chatting(
        block("x = 1"), block("finish(x)"), block("y = 2"), block("finish(y)"), block("z = 3"), block("z"), max_iterations=2
    )
    assert [agent.chat("one"), agent.chat("two")] == [1, 2]
    with pytest.raises(MaxIterations):
        agent.chat("three")


def test_tools_added_in_between_can_be_used(chatting):
    agent, _ = chatting("hello", block("finish(double(2))"))
    agent.chat("hi")

    @agent.tool
    def double(n: int) -> int:
        """Double."""
        return 2 * n

    assert agent.chat("double 2") == 4


def test_a_run_of_another_agent_is_gone_on_with(chatting, bench):
    first, _ = chatting("I am the first.")
    first.run("Who are you?")
    second, told = chatting("I am the second.")
    second.start("And you?", continuing=bench.open(bench.last.id)).result(5)
    assert told.asked[0][1] == ("assistant", "I am the first.")


async def test_awaited_it_is_the_same(chatting):
    agent, told = chatting("one", "two")
    assert [await agent.achat("first"), await agent.achat("second")] == ["one", "two"]
    assert len(told.asked[1]) == 3


def test_a_fork_of_a_later_turn_has_the_conversation(chatting, bench):
    agent, _ = chatting("one", "two")
    agent.chat("first")
    agent.chat("second")
    told = Told("other")
    fork = bench.last.fork(step=1, prompt="another question", model=told)
    assert fork.result(5) == "other"
    assert told.asked[0] == [("user", "first"), ("assistant", "one"), ("user", "another question")]
