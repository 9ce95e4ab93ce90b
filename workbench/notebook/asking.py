"""What a person is given to answer a question with: sentences, fields and buttons by what is asked, and the way to do it in code.

A kind this does not know has no buttons; it shows what is asked and how code answers it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from workbench.errors import UnencodableValue
from workbench.notebook import shown
from workbench.notebook.excerpts import Excerpts
from workbench.notebook.forms import form, note_field, options_of, value_field
from workbench.notebook.shown import FIELD, Redact
from workbench.notebook.wire import Choice, Field
from workbench.record.codec import decode_value
from workbench.record.envelope import HitlRequest
from workbench.record.values import Payload
from workbench.schemas import AnswerSchema
from workbench.visible import visible

OPTIONS = 6
"""As many choices as there are buttons for; a question with more has a field."""

_LOOK = "The call was begun and nobody knows whether it took effect. Look where its effect would show, then say which it was."
_PAUSED = "If it goes on, the rule that paused it holds no longer for this run; from code it can be given a new limit instead."


def drawn(
    asked: HitlRequest, texts: Excerpts, run_id: str, *, began: datetime | None, schema: Mapping[str, Any] | None, why: str
) -> dict[str, Any]:
    """A question as its card shows it; `wire.Request` says what each part is. `schema` is that of the called tool's arguments."""
    a_call, code = asked.kind not in ("question", "pause"), code_of(asked) if schema is None else None
    about = f"rule {asked.tool}" if asked.kind == "pause" else shown.payload_text(asked.args)
    fields = _fields(asked, texts.redact, schema)
    return {
        "id": asked.request_id,
        "kind": str(asked.kind),
        "title": texts.line(asked.title, 300),
        "tool": texts.line(asked.tool, 80) if a_call and code is None else "",
        "args": texts.whole(shown.arguments_text(asked.args) if a_call else about),
        "subject_hash": asked.subject_hash,
        "why": texts.line(why, 300),
        "say": _sentences(asked, fields, texts.redact),
        "expires_ms": None if asked.expires_at is None or began is None else round((asked.expires_at - began).total_seconds() * 1000),
        "block": None if code is None else shown.code_tokens(texts.redact(code)),
        "fields": fields,
        "choices": _choices(asked, fields),
        "code": _in_code(asked, run_id),
    }


def code_of(asked: HitlRequest) -> str | None:
    """The code that an approval is about, if it is about code."""
    if asked.kind != "approval" or asked.args.blob is not None:
        return None
    match asked.args.inline:
        case {"code": str(code), **rest} if not rest:
            return code
    return None


def wrong_arguments(schema: Mapping[str, Any] | None, value: Any) -> str:
    """What is wrong with arguments that a person has changed; empty when nothing is."""
    if schema is None:
        return ""
    return "; ".join(AnswerSchema(dict(schema)).check(value).problems)


def _sentences(asked: HitlRequest, fields: list[Field], redact: Redact) -> list[str]:
    """What to consider before answering."""
    said = [{"unknown_outcome": _LOOK, "pause": _PAUSED}[asked.kind]] if asked.kind in ("unknown_outcome", "pause") else []
    if asked.answer_schema is not None and any(field["reads"] == "json" for field in fields):
        schema = redact(json.dumps(asked.answer_schema, ensure_ascii=False))
        said.append(f"The answer must match this JSON Schema: {visible(schema)[:FIELD]}")
    return said


def _fields(asked: HitlRequest, redact: Redact, schema: Mapping[str, Any] | None) -> list[Field]:
    """What can be filled in."""
    match str(asked.kind):
        case "unknown_outcome":
            return [value_field("What the call returned, as JSON (empty: None)")]
        case "approval":
            return [*_editor(asked, redact, schema), note_field("A note; with a rejection, the agent is told")]
        case "pause":
            return [note_field("A note, for the record")]
        case "question":
            wanted = asked.answer_schema
            if wanted is None:
                return [value_field("Your answer; JSON is taken as data, anything else as text", reads="any")]
            if _options(wanted):
                return []
            if wanted.get("type") == "string":
                return [value_field("Your answer", reads="text")]
            if wanted.get("type") in ("integer", "number"):
                return [value_field("Your answer", reads=wanted["type"], needed=True)]
            if options := options_of(wanted):
                return [value_field("Your answer", reads="choice", options=options, needed=True)]
            return form(wanted) or [value_field("Your answer, as JSON")]
        case _:
            return []


def _editor(asked: HitlRequest, redact: Redact, schema: Mapping[str, Any] | None) -> list[Field]:
    """Fields for the arguments; none where they are not all JSON, hold something secret, or are too long to change by hand."""
    if schema is None and (code := code_of(asked)) is not None:
        same = redact(code) == visible(code) == code and len(code) <= FIELD
        return [value_field("The code", key="code", reads="code", start=code)] if same else []
    text = _editable(asked.args, redact)
    if not text:
        return []
    return form(schema, json.loads(text)) or [value_field("The arguments, as JSON", start=text)]


def _choices(asked: HitlRequest, fields: list[Field]) -> list[Choice]:
    """The buttons, in the order in which they stand."""
    stop = _choice("stop", "Stop the run")
    match str(asked.kind):
        case "unknown_outcome":
            return [_choice("happened", "It happened (give the result)", "value"), _choice("did_not_happen", "It did not (run it)"), stop]
        case "approval":
            what = "code" if code_of(asked) is not None else "this tool"
            always = [_choice("approved_always", f"Always allow {what} in this run", "note")]
            editable = any(field["name"] == "value" for field in fields)
            edited = [_choice("approved", "Approve edited", "value", "note", when="changed")] if editable else []
            return [_choice("approved", "Approve", "note"), *edited, _choice("rejected", "Reject", "note"), *always, stop]
        case "pause":
            return [_choice("unpaused", "Go on", "note"), stop]
        case "question":
            given = [_choice("answered", label, value=value) for label, value in _options(asked.answer_schema or {})]
            return [*(given or [_choice("answered", "Answer", "value")]), stop]
        case _:
            return []


def _in_code(asked: HitlRequest, run_id: str) -> str:
    """How to answer it from code, in this process or another."""
    if asked.kind == "pause":
        return f"wb.open({run_id[:8]!r}).unpause(limits={{{asked.tool[:60]!r}: …}})"
    how = {"unknown_outcome": "[0].did_not_happen()", "approval": "[0].approve()", "question": "[0].answer(…)"}.get(asked.kind, "")
    return f"wb.open({run_id[:8]!r}).pending{how}"


def _options(schema: Mapping[str, Any]) -> list[tuple[str, str]]:
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


def _choice(
    decision: str, label: str, *sends: Literal["value", "note"], value: str | None = None, when: Literal["", "changed"] = ""
) -> Choice:
    return {"decision": decision, "label": label, "value": value, "sends": list(sends), "when": when}
