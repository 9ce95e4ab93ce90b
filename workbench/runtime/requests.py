"""What a person is asked: the requests that runs put into their records."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from workbench.record.codec import sha256, to_json
from workbench.record.envelope import HitlKind, HitlRequest
from workbench.record.values import Payload, make_id
from workbench.runtime.lifetime import Lifetime


def unknown_outcome(life: Lifetime, subject_id: str, name: str, args: Payload) -> HitlRequest:
    """The question whether an effect happened before its process died.

    After "it did not happen" it was tried again. If that attempt too was cut off, it is a new question.
    """
    lifetime_id = life.journal.lifetime_id
    ids = (make_id(lifetime_id, "request", subject_id, attempt) for attempt in itertools.count())
    request_id = next(each for each in ids if each not in life.answers or life.answers[each].decision != "did_not_happen")
    title = f"{name!r} was started, and its process ended before an outcome was recorded. Did it happen?"
    return _request("unknown_outcome", request_id, title, name, args)


def approval(life: Lifetime, call_id: str, name: str, args: Payload) -> HitlRequest:
    """The question whether a tool may be called with these arguments."""
    request_id = make_id(life.journal.lifetime_id, "approval", call_id)
    return _request("approval", request_id, f"The run wants to call {name!r}. May it?", name, args)


def question(
    life: Lifetime, subject_id: str, name: str, text: str, *, about: Payload, schema: dict[str, Any] | None, timeout: float | None
) -> HitlRequest:
    """A question of the author's own. Its time runs from when it is first asked; a process that goes on with the run keeps that."""
    request_id = make_id(life.journal.lifetime_id, "question", subject_id)
    asked = life.state.requests.get(request_id)
    if asked is not None:
        return asked
    expires_at = None if timeout is None else life.clock.now() + timedelta(seconds=timeout)
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
