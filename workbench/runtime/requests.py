"""What a person is asked: the requests that runs put into their records."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from workbench.record.codec import decode_value, encode_value, sha256, to_json
from workbench.record.envelope import DECISIONS, Decision, HitlKind, HitlRequest, HitlResponse
from workbench.record.values import Payload, make_id
from workbench.schemas import AnswerSchema

if TYPE_CHECKING:
    from workbench.runtime.lifetime import Lifetime


APPROVED: tuple[Decision, ...] = ("approved", "approved_always")


def unknown_outcome(life: Lifetime, subject_id: str, name: str, args: Payload) -> HitlRequest:
    """The question whether an effect happened before its process died.

    After "it did not happen" it was tried again. If that attempt too was cut off, it is a new question.
    """
    lifetime_id = life.journal.lifetime_id
    ids = (make_id(lifetime_id, "request", subject_id, attempt) for attempt in itertools.count())
    request_id = next(each for each in ids if each not in life.answers or life.answers[each].decision != "did_not_happen")
    title = f"{name!r} was started, and its process ended before an outcome was recorded. Did it happen?"
    return _request("unknown_outcome", request_id, title, name, args)


def approval(life: Lifetime, call_id: str, name: str, args: Payload, title: str | None = None) -> HitlRequest:
    """The question whether a tool may be called with these arguments, or whatever else `title` asks."""
    return _request("approval", approval_id(life, call_id), title or f"The run wants to call {name!r}. May it?", name, args)


def pause(life: Lifetime) -> HitlRequest:
    """The question whether a run that a guardrail has paused may go on."""
    assert life.state.pause is not None
    paused = life.state.pause
    about = Payload(inline=encode_value({"rule": paused.rules[0]}))
    return _request("pause", paused.request_id, f"The run is paused: {paused.why}. May it go on?", paused.rules[0], about)


def approval_id(life: Lifetime, call_id: str) -> str:
    """The id of the question whether a call may be made."""
    return make_id(life.journal.lifetime_id, "approval", call_id)


def misfit(request: HitlRequest, response: HitlResponse) -> str | None:
    """Why a decision is none about this request, or None if it is one."""
    allowed = [decision for decision in DECISIONS[request.kind] if decision != "expired"]  # which is the clock's to say
    if response.decision not in allowed:
        return f"a request of kind {request.kind!r} is decided by {', '.join(allowed)}, not by {response.decision!r}"
    if response.subject_hash != request.subject_hash:
        return "it was made about another text than the one asked; look at it again"
    if response.decision == "answered" and request.answer_schema is not None:
        value = None if response.value is None else decode_value(response.value.inline)
        problems = AnswerSchema(request.answer_schema).check(value).problems
        return f"the answer does not have the expected shape: {'; '.join(problems)}" if problems else None
    if response.decision in APPROVED and response.value is not None and not isinstance(decode_value(response.value.inline), dict):
        return "changed arguments are a dict of names and values"
    return None


def question(
    life: Lifetime, subject_id: str, name: str, text: str, *, about: Payload, schema: dict[str, Any] | None, timeout: float | None
) -> HitlRequest:
    """A question of the author's own. Its time runs from when it is first asked; a process that goes on with the run keeps that."""
    request_id = make_id(life.journal.lifetime_id, "question", subject_id)
    asked = life.state.requests.get(request_id)
    expires_at = None if timeout is None else life.clock.now() + timedelta(seconds=timeout)
    if asked is not None:
        expires_at = asked.expires_at
    return _request("question", request_id, text, name, about).model_copy(update={"answer_schema": schema, "expires_at": expires_at})


def _request(kind: HitlKind, request_id: str, title: str, name: str, args: Payload) -> HitlRequest:
    return HitlRequest(
        request_id=request_id,
        kind=kind,
        title=title,
        tool=name,
        args=args,
        subject_hash=sha256(to_json([name, args.model_dump(mode="json"), title])),
    )
