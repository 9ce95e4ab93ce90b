"""What a run takes along from the one before it: a conversation that ends with a reply, and a word on how that run ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from workbench.agents.observe import shortened
from workbench.record.codec import encode_value
from workbench.record.envelope import AnyEntry, LifetimeEvent, PlanExecution
from workbench.record.events import readable
from workbench.record.values import Message

MAX_ANSWER = 4_000
"""Characters of an earlier answer that the model is told again."""


def continued(entries: Sequence[AnyEntry], task: str) -> dict[str, Any]:
    """The input of a run that goes on with the conversation of another.

    What was said is taken up to the last reply: a turn that the model never answered, because it failed or was stopped, is not part of the
    conversation. An answer that was given by calling a finishing tool stands in no message, so the next task begins with it.
    """
    messages = [message for entry in entries for message in entry.messages if message.role != "system"]
    replies = [index for index, message in enumerate(messages) if message.role == "assistant"]
    said = messages[: replies[-1] + 1] if replies else []
    before = _outcome(entries) if said else None
    return {
        "task": task if before is None else f"({before})\n\n{task}",
        "history": [{"role": message.role, "content": message.content} for message in said],
    }


def opening(given: str | dict[str, Any], system: str) -> list[Message]:
    """The messages that a run begins with: its task, or that after a conversation."""
    task, history = (given, []) if isinstance(given, str) else (given["task"], given["history"])
    said = [Message(role=message["role"], content=message["content"]) for message in history]
    return [Message(role="system", content=system), *said, Message(role="user", content=task)]


def _outcome(entries: Sequence[AnyEntry]) -> str | None:
    """How a run ended, if its messages do not say so."""
    last = entries[-1]
    if not isinstance(last, LifetimeEvent) or last.phase != "ended":
        return "The task before has not ended."
    if last.to_status != "completed":
        why = last.error.message if last.error is not None else last.reason or "it was stopped"
        return f"The task before ended without an answer: {shortened(why, MAX_ANSWER)}"
    plans = [entry for entry in entries if isinstance(entry, PlanExecution) and "task_finish" in entry.result.next_task_names]
    if not plans or plans[-1].header.name != "plan_observe":
        return None
    answer = json.dumps(encode_value(readable(last.output)), ensure_ascii=False)
    return f"The task before ended with this answer: {shortened(answer, MAX_ANSWER)}"
