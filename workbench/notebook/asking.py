"""What a person is given to answer a question with: sentences, fields and buttons by what is asked, and the way to do it in code.

A kind this does not know has no buttons; it shows what is asked and how code answers it.
"""

from __future__ import annotations

import json
from typing import Any

from workbench.errors import UnencodableValue
from workbench.notebook import shown
from workbench.notebook.excerpts import Excerpts
from workbench.notebook.shown import FIELD, Redact
from workbench.notebook.wire import Choice, Field
from workbench.record.codec import decode_value
from workbench.record.envelope import HitlRequest
from workbench.record.values import Payload
from workbench.visible import visible

OPTIONS = 6
"""As many choices as there are buttons for; a question with more has a field."""

_LOOK = "The call was begun and nobody knows whether it took effect. Look where its effect would show, then say which it was."
_PAUSED = "If it goes on, the rule that paused it holds no longer for this run; from code it can be given a new limit instead."
_STOP: Choice = {"decision": "stop", "label": "Stop the run", "value": None}


def drawn(asked: HitlRequest, texts: Excerpts, run_id: str) -> dict[str, Any]:
    """A question as its card shows it; `wire.Request` says what each part is."""
    a_call = asked.kind not in ("question", "pause")
    about = f"rule {asked.tool}" if asked.kind == "pause" else shown.payload_text(asked.args)
    return {
        "id": asked.request_id,
        "kind": str(asked.kind),
        "title": texts.line(asked.title, 300),
        "tool": texts.line(asked.tool, 80) if a_call else "",
        "args": texts.whole(shown.arguments_text(asked.args) if a_call else about),
        "subject_hash": asked.subject_hash,
        "say": _sentences(asked, texts.redact),
        "fields": _fields(asked, texts.redact),
        "choices": _choices(asked),
        "code": _in_code(asked, run_id),
    }


def _sentences(asked: HitlRequest, redact: Redact) -> list[str]:
    """What to consider before answering."""
    said = [{"unknown_outcome": _LOOK, "pause": _PAUSED}[asked.kind]] if asked.kind in ("unknown_outcome", "pause") else []
    if asked.answer_schema is not None and asked.answer_schema != {"type": "string"} and not _options(asked.answer_schema):
        schema = redact(json.dumps(asked.answer_schema, ensure_ascii=False))
        said.append(f"The answer must match this JSON Schema: {visible(schema)[:FIELD]}")
    if asked.expires_at is not None:
        said.append(f"It is decided without you after {asked.expires_at:%Y-%m-%d %H:%M:%S} UTC.")
    return said


def _fields(asked: HitlRequest, redact: Redact) -> list[Field]:
    """What can be filled in."""
    match str(asked.kind):
        case "unknown_outcome":
            return [_value("What the call returned, as JSON (empty: None)", "happened")]
        case "approval":
            arguments = _editable(asked.args, redact)
            changed = [_value("Change the arguments (as JSON) before approving", "approved", start=arguments)]
            return [*(changed if arguments else []), _note("A note (with a rejection, the agent is told)", "approved", "rejected")]
        case "pause":
            return [_note("A note, for the record", "unpaused")]
        case "question":
            kind = None if asked.answer_schema is None else asked.answer_schema.get("type")
            if asked.answer_schema is not None and _options(asked.answer_schema):
                return []
            if asked.answer_schema is None:
                return [_value("Your answer; JSON is taken as data, anything else as text", "answered", reads="any")]
            if kind == "string":
                return [_value("Your answer", "answered", reads="text")]
            return [_value("Your answer, as JSON", "answered")]
        case _:
            return []


def _choices(asked: HitlRequest) -> list[Choice]:
    """The buttons, the most harmless first wherever one has an effect."""
    match str(asked.kind):
        case "unknown_outcome":
            return [_choice("happened", "It happened (give the result)"), _choice("did_not_happen", "It did not (run it)"), _STOP]
        case "approval":
            return [_choice("approved", "Approve"), _choice("rejected", "Reject"), _STOP]
        case "pause":
            return [_choice("unpaused", "Go on"), _STOP]
        case "question":
            options = _options(asked.answer_schema or {})
            given = [_choice("answered", label, value) for label, value in options]
            return [*(given or [_choice("answered", "Answer")]), _STOP]
        case _:
            return []


def _in_code(asked: HitlRequest, run_id: str) -> str:
    """How to answer it from code, in this process or another."""
    if asked.kind == "pause":
        return f"wb.open({run_id[:8]!r}).unpause(limits={{{asked.tool[:60]!r}: …}})"
    how = {"unknown_outcome": "  # .did_not_happen()", "approval": "  # .approve()", "question": "  # .answer(…)"}.get(asked.kind, "")
    return f"wb.open({run_id[:8]!r}).pending{how}"


def _options(schema: dict[str, Any]) -> list[tuple[str, str]]:
    """Each answer the schema allows and its JSON, where there are few."""
    if schema.get("type") == "boolean" and "enum" not in schema:
        return [("Yes", "true"), ("No", "false")]
    allowed = schema.get("enum")
    if not isinstance(allowed, list) or not 0 < len(allowed) <= OPTIONS:
        return []
    return [(visible(item if isinstance(item, str) else json.dumps(item))[:60] or "(empty)", json.dumps(item)) for item in allowed]


def _editable(args: Payload, redact: Redact) -> str:
    """The arguments as JSON; empty where that is not all they are, or they are too long to change by hand."""
    try:
        value = decode_value(args.inline)
        text = json.dumps(value, indent=2, ensure_ascii=False)
        whole = args.blob is None and isinstance(value, dict) and bool(value) and json.loads(text) == value
    except (UnencodableValue, ValueError, TypeError):
        return ""
    return text if whole and len(text) <= FIELD and redact(text) == visible(text) == text else ""


def _choice(decision: str, label: str, value: str | None = None) -> Choice:
    return {"decision": decision, "label": label, "value": value}


def _value(label: str, *decisions: str, reads: Any = "json", start: str = "") -> Field:
    return {"name": "value", "label": label, "reads": reads, "start": start, "decisions": list(decisions)}


def _note(label: str, *decisions: str) -> Field:
    return {"name": "note", "label": label, "reads": "text", "start": "", "decisions": list(decisions)}
