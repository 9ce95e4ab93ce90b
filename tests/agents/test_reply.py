"""A reply asks for what it says, however it is written; nothing of it is dropped silently."""

import pytest

from workbench.agents.reply import read_reply


@pytest.mark.parametrize(
    "reply",
    [
        "```python\nx = 1\n```",
        "```py\nx = 1\n```",
        "```\nx = 1\n```",
        "```Python\nx = 1\n```",
        "```python3\nx = 1\n```",
        "``` python\nx = 1\n```",
        "```python title=step\nx = 1\n```",
        "```python\r\nx = 1\r\n```",
        "Words before.\n\n```python\nx = 1\n```\nWords after.",
        "```python\nx = 1",
        "<code>x = 1</code>",
        "<code>\nx = 1\n</code>",
        "<code>x = 1",
        "  ```python\nx = 1\n  ```",
        "````python\nx = 1\n````",
    ],
)
def test_every_notation_of_code_is_code(reply):
    assert read_reply(reply).code == "x = 1"


@pytest.mark.parametrize("language", ["json", "bash", "text", "javascript"])
def test_a_fence_in_another_language_is_not_run(language):
    reply = read_reply(f"```{language}\nrm -rf /\n```\nThat was it.")
    assert reply.code is None
    assert reply.answered


def test_a_fence_inside_a_string_does_not_end_the_code():
    code = 'text = """\n```\ninside\n```\n"""\nfinish(text)'
    assert read_reply(f"```python\n{code}\n```\nDone.").code == code


def test_a_closing_tag_inside_a_string_does_not_end_the_code():
    code = "finish('</code>')"
    assert read_reply(f"<code>{code}</code>").code == code


def test_code_that_is_not_python_ends_at_its_first_fence():
    assert read_reply("```python\nx = = 1\n```\nand\n```\n").code == "x = = 1"


def test_the_first_of_several_blocks_runs_and_the_model_is_told():
    reply = read_reply("```python\na = 1\n```\n```python\nb = 2\n```")
    assert reply.code == "a = 1"
    assert "2 blocks" in reply.notes[0]


def test_an_empty_block_is_an_empty_program():
    assert read_reply("```python\n```").code == ""


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ('{"n": 3}', {"n": 3}),
        ("[1, 2]", [1, 2]),
        ('"text"', "text"),
        ("7", 7),
        ('```json\n{"n": 3}\n```', {"n": 3}),
        ("just words", "just words"),
    ],
)
def test_the_body_of_a_finish_tag_is_the_answer(body, answer):
    reply = read_reply(f"I am done. <finish>{body}</finish>")
    assert (reply.answered, reply.answer) == (True, answer)


def test_a_broken_body_is_fed_back():
    reply = read_reply('<finish>{"n": 3</finish>')
    assert not reply.answered
    assert "not valid JSON" in (reply.problem or "")


def test_a_finish_tag_inside_code_is_only_text():
    reply = read_reply("```python\nprint('<finish>1</finish>')\n```")
    assert reply.code == "print('<finish>1</finish>')"
    assert not reply.answered


def test_with_code_and_a_tag_the_code_runs_and_the_model_is_told():
    reply = read_reply("```python\nx = 1\n```\n<finish>2</finish>")
    assert (reply.code, reply.answered) == ("x = 1", False)
    assert "tag was not read" in reply.notes[0]


@pytest.mark.parametrize(("reply", "answer"), [("4", 4), ("hi", "hi"), ("  It is 4.\n", "It is 4."), ('```json\n{"a": 1}\n```', {"a": 1})])
def test_a_reply_of_words_is_the_answer(reply, answer):
    assert read_reply(reply).answer == answer


def test_an_empty_reply_is_fed_back():
    assert "empty" in (read_reply(" \n ").problem or "")


def test_code_inside_a_thought_is_not_run():
    reply = read_reply("<think>maybe\n```python\nboom()\n```\n</think>\n```python\nx = 1\n```")
    assert reply.code == "x = 1"
    assert reply.thinking == ("maybe\n```python\nboom()\n```",)


def test_an_agents_own_tag_and_think_are_both_thoughts():
    reply = read_reply("<plan.a>one</plan.a><think>two</think>3", thinking_tag="plan.a")
    assert (reply.thinking, reply.answer) == (("one", "two"), 3)


def test_a_thought_that_is_never_closed_runs_nothing():
    reply = read_reply("<think>```python\nboom()\n```")
    assert reply.code is None
    assert reply.problem is not None


@pytest.mark.parametrize("hostile", ["```python\n" + "-" * 100_000 + "1\n```", "<finish>" + "[" * 100_000 + "</finish>", "[" * 100_000])
def test_hostile_nesting_does_not_hurt_the_reader(hostile):
    read_reply(hostile)


@pytest.mark.parametrize(
    ("reply", "prose"),
    [
        ("First a look.\n```python\nx = 1\n```", "First a look."),
        ("Before.\n\n```python\nx = 1\n```\nAfter.", "Before.\n\n\nAfter."),
        ("<think>hm</think>Now:\n<code>x = 1</code>", "Now:"),
        ("Like\n```json\n{}\n```\nso\n```python\nx = 1\n```", "Like\n```json\n{}\n```\nso"),
        ("That was all. <finish>42</finish>", "That was all."),
        ("```python\nx = 1\n```", ""),
        ("Forty-two.", ""),
        ("", ""),
    ],
)
def test_what_is_said_beside_the_code_is_prose_and_an_answer_is_not(reply, prose):
    assert read_reply(reply).prose == prose


@pytest.mark.parametrize(
    "reply", ["Let me: ```python\nx = 1\n```", "1. ```\nx = 1\n```", "So ```py x = 1```", "```json\n{}\n```\nand ```Python\nx\n```"]
)
def test_code_that_does_not_begin_a_line_is_neither_run_nor_the_answer(reply):
    read = read_reply(reply)
    assert (read.code, read.answered) == (None, False)
    assert "on a line of its own" in read.problem


@pytest.mark.parametrize(
    "reply", ["```json\n{}```", "Use `x` or ``y``.", "It said:\n\n```text\nall good\n```", "```text\nx```\nthat was it"]
)
def test_a_fence_that_holds_no_code_does_not_hinder_an_answer(reply):
    assert read_reply(reply).answered
