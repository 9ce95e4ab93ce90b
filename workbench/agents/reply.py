"""A model's reply → what it asks for. Pure, and never wrong about where code ends.

    thinking     the text of `<think>` and the agent's own tag; removed before anything else is looked for
    code         the first fence marked python, py, python3 or nothing, or the first `<code>` tag; it runs
    finish tag   `<finish>…</finish>` outside code; read when there is no code
    text         a reply with neither is itself the answer, unless it has code in a place where code does not run

Whatever of a reply is not used is said in `notes`, which the model is shown with the result.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from workbench.sandbox.source import parse

_OPEN = re.compile(r"^[ \t]*(?P<fence>`{3,})[ \t]*(?P<language>[\w+.-]*)[^\n`]*\n|<code>", re.MULTILINE)
_PYTHON = frozenset({"", "py", "python", "python3", "py3"})
_ASTRAY = re.compile(r"[^\s`][ \t]*`{3,}[ \t]*py(?:thon)?3?\b|\A[^`]*[^\s`][ \t]*`{3,}[ \t]*\n", re.IGNORECASE)
"""Code that was meant to run and does not stand where it would."""

_FINISH = re.compile(r"<finish>(.*?)</finish>", re.DOTALL)
_SOLE_FENCE = re.compile(r"\s*```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```\s*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What one reply asks for: `code`, or an answer, or neither because of a `problem`."""

    code: str | None = None
    answered: bool = False
    answer: Any = None
    thinking: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str | None = None
    """Why the reply cannot be used, in words for the model."""
    prose: str = ""
    """What is said beside the code or the tag, for people; empty where the text is itself the answer."""


def read_reply(content: str, thinking_tag: str | None = None) -> Reply:
    """Read one reply."""
    thinking, text = without_thinking(content, thinking_tag)
    blocks, prose = _blocks(text)
    tag = _FINISH.search(prose)
    if blocks:
        notes = []
        if len(blocks) > 1:
            notes.append(f"Your reply had {len(blocks)} blocks of code; only the first one was run. Send one block at a time.")
        if tag:
            notes.append("Your reply had code and a <finish> tag; the code was run and the tag was not read.")
        return Reply(code=blocks[0], thinking=thinking, notes=tuple(notes), prose=prose.strip())
    if tag:
        return replace(_tagged(tag.group(1), thinking), prose=(prose[: tag.start()] + prose[tag.end() :]).strip())
    answer = prose.strip()
    if not answer:
        return Reply(thinking=thinking, problem="Your reply was empty. Write Python to go on, or finish with the answer.")
    if _ASTRAY.search(answer):
        problem = (
            "Your reply has a code fence that does not begin a line, so nothing was run. Put ```python on a line of its own to have code "
            "run, or finish with the answer."
        )
        return Reply(thinking=thinking, problem=problem)
    fence = _SOLE_FENCE.fullmatch(answer)
    return Reply(answered=True, answer=_json_or_text(fence.group(1) if fence else answer), thinking=thinking)


def without_thinking(content: str, tag: str | None = None) -> tuple[tuple[str, ...], str]:
    """The thoughts of one reply, and its text without them."""
    names = "|".join(re.escape(name) for name in dict.fromkeys(["think", tag or "think"]))
    thoughts: list[str] = []

    def take(match: re.Match[str]) -> str:
        thoughts.append(match.group(2).strip())
        return ""

    # A thought that is never closed is a thought to the end: it must not be run.
    rest = re.sub(rf"<({names})>(.*?)(?:</\1>|\Z)", take, content.replace("\r\n", "\n"), flags=re.DOTALL)
    return tuple(thoughts), rest


def _blocks(text: str) -> tuple[list[str], str]:
    """The Python blocks in order, and the text around them. Blocks in other languages belong to the text."""
    blocks: list[str] = []
    prose: list[str] = []
    here = 0
    while opening := _OPEN.search(text, here):
        tagged = opening.group("fence") is None
        code, after = _until_close(text, opening.end(), "</code>" if tagged else opening.group("fence"))
        if tagged or opening.group("language").lower() in _PYTHON:
            prose.append(text[here : opening.start()])
            blocks.append(code)
        else:
            prose.append(text[here:after])
        here = after
    prose.append(text[here:])
    return blocks, "".join(prose)


def _until_close(text: str, start: int, mark: str) -> tuple[str, int]:
    """The code from `start` to its closing mark, and where the text goes on.

    The mark may stand inside a string of the code, so the first close that leaves valid Python counts; failing that, the first close; and
    a block that is never closed ends with the text.
    """
    pattern = re.escape(mark) if mark == "</code>" else rf"^[ \t]*{mark}[ \t]*$"
    closes = list(re.finditer(pattern, text[start:], re.MULTILINE))
    for close in closes[:20]:
        code = text[start : start + close.start()]
        if parse(code.strip("\n")) is not None:
            return code.strip("\n"), start + close.end()
    if closes:
        return text[start : start + closes[0].start()].strip("\n"), start + closes[0].end()
    return text[start:].strip("\n"), len(text)


def _tagged(body: str, thinking: tuple[str, ...]) -> Reply:
    fence = _SOLE_FENCE.fullmatch(body)
    text = (fence.group(1) if fence else body).strip()
    try:
        return Reply(answered=True, answer=json.loads(text), thinking=thinking)
    except (ValueError, RecursionError) as error:
        if text[:1] in ("{", "[", '"'):
            problem = (
                f"The body of your <finish> tag is not valid JSON ({error}). Send it again, corrected, or call the finishing function."
            )
            return Reply(thinking=thinking, problem=problem)
    return Reply(answered=True, answer=text, thinking=thinking)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
