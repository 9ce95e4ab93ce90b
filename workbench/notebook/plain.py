"""A run as Markdown and as plain text, for renderers that take no HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workbench.notebook.detail import Detail, cut_note, fit, kept, left_out
from workbench.notebook.shown import Problem, Text, plain_code
from workbench.notebook.wire import Badge, Call, Request, Step, Summary, View

MARKDOWN_LIMIT = 16_000
TEXT_LIMIT = 4_000


def markdown(view: View, limit: int = MARKDOWN_LIMIT) -> str:
    """The run as Markdown of at most `limit` bytes."""
    return fit(view, _markdown, limit)


def text(view: View, limit: int = TEXT_LIMIT) -> str:
    """The run as plain text of at most `limit` bytes: what came of it, and one line a step."""
    return fit(view, _text, limit)


def facts(summary: Summary) -> list[str]:
    """The run in a few words each."""
    resumed = f"resumed {summary['resumed']} times" if summary["resumed"] > 1 else "resumed once" if summary["resumed"] else ""
    words = (
        summary["steps"],
        summary["took"],
        summary["model"],
        summary["tokens"],
        summary["calls"],
        summary["cost"],
        summary["reason"],
        resumed,
    )
    return [word for word in (*words, summary["started"], summary["name"]) if word]


def error_title(summary: Summary) -> str:
    """What stands above the run's error."""
    return f"Error in step {summary['failed_step']}" if summary["failed_step"] else "Error"


def problem_text(error: Problem) -> str:
    """An error in one text."""
    where = f" on line {error['line']}" if error["line"] else ""
    return f"{error['type']}{where}: {error['message']['text']}"


def call_text(tool: str, args: Text) -> str:
    """A call as it would be written."""
    return f"{tool}({args['text']}{' …' if args['cut'] else ''})"


def request_text(asked: Request, detail: Detail) -> str:
    """What a question is about: a call, or a value; empty when it is about nothing more than its title."""
    args = detail.clip(asked["args"])
    return call_text(asked["tool"], args) if asked["tool"] else "" if args["text"] == "None" else args["text"]


def _headline(step: Step) -> str:
    return f"{step['headline']} ({step['aside']})" if step["aside"] else step["headline"]


def _markdown(view: View, detail: Detail) -> str:
    summary, steps = view["summary"], kept(view["steps"], detail.steps)
    parts = [f"### {_md(summary['title'])}", f"**{_word(summary['badge'])}** · " + " · ".join(_md(fact) for fact in facts(summary))]
    if summary["hint"]:
        parts.append(_md(summary["hint"]))
    if summary["task"]["text"].strip() != summary["title"]:
        parts.append(_fence("The task", detail.clip(summary["task"])))
    if summary["answer"] is not None:
        parts.append(_fence("Answer", detail.clip(summary["answer"])))
    if summary["error"] is not None:
        parts.append(_fence(error_title(summary), _error(summary["error"], detail)))
    if steps:
        head = ["| Step | | Took | Cost | Status |", "| ---: | --- | ---: | ---: | --- |"]
        parts.append("\n".join(head + [_row(step) for step in steps]))
    missing = left_out(view, steps)
    parts += [_md(missing)] if missing else []
    for step in steps:
        body = list(_body(step, detail))
        if body:
            parts += [f"#### Step {step['number']}: {_md(_headline(step))}", *body]
    return "\n\n".join(parts) + "\n"


def _row(step: Step) -> str:
    return f"| {step['number']} | {_md(_headline(step))} | {step['took']} | {_md(step['cost'])} | {_word(step['badge'])} |"


def _body(step: Step, detail: Detail) -> Iterable[str]:
    if step["thought"] is not None:
        yield _fence("Thought", detail.clip(step["thought"]))
    if step["reply"] is not None:
        yield _fence("Reply", detail.clip(step["reply"]))
    if step["code"] is not None:
        code = plain_code(step["code"])
        yield _fence("Code", detail.clip({"text": code, "length": step["code"]["length"], "cut": step["code"]["cut"]}), "python")
    if step["calls"]:
        shown = step["calls"][: detail.calls]
        rest = step["calls_total"] - len(shown)
        lines = [_call(call, detail) for call in shown] + ([f"and {rest:,} more calls"] if rest else [])
        words = "\n".join(lines)
        yield _fence("Tool calls", {"text": words, "length": len(words), "cut": False})
    for asked in step["requests"][: detail.calls]:
        yield _request(asked, detail)
    for label, field in (("Output", step["prints"]), ("Value", step["value"])):
        if field is not None:
            yield _fence(label, detail.clip(field))
    if step["error"] is not None:
        yield _fence("Error", _error(step["error"], detail))


def _call(call: Call, detail: Detail) -> str:
    line = call_text(call["tool"], detail.clip(call["args"]))
    if call["prints"] is not None:
        line = "\n".join([line, *(f"| {said}" for said in detail.clip(call["prints"])["text"].rstrip().split("\n"))])
    line = "\n".join([line, *(f"| [{picture['alt']}]" for picture in call["pictures"])])
    if call["error"] is not None:
        return f"{line}\n✕ {_error(call['error'], detail)['text']}"
    return f"{line}\n→ {detail.clip(call['result'])['text']}" if call["result"] is not None else f"{line}\n{_word(call['badge'])}"


def _request(asked: Request, detail: Detail) -> str:
    came = (
        asked["answer"] and f"{asked['answer']} at {asked['at']}".removesuffix(" at ")
    ) or f"waiting for an answer; in code: {asked['code']}"
    changed = "".join(f"\n{change['sign']} {change['text']}" for change in asked["changes"])
    words = f"{request_text(asked, detail)}\n{came}{changed}".lstrip("\n")
    return _fence(asked["title"], {"text": words, "length": len(words), "cut": False})


def _error(error: Problem, detail: Detail) -> Text:
    frames = detail.innermost(error["trace"]).splitlines()
    words = "\n  at ".join([problem_text({**error, "message": detail.clip(error["message"])}), *frames])
    return {"text": words, "length": len(words), "cut": False}


def _fence(label: str, words: Text, language: str = "") -> str:
    """A fenced block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall("`{3,}", words["text"])), default=2)
    fence, note = "`" * (longest + 1), cut_note(words)
    return f"**{_md(label)}**{f' ({note})' if note else ''}\n\n{fence}{language}\n{words['text'].rstrip()}\n{fence}"


def _word(badge: Badge) -> str:
    return f"{badge['icon']} {badge['word']}"


def _md(words: str) -> str:
    """Text as text: what Markdown or HTML would act on is escaped."""
    flat = " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", flat)


def _text(view: View, detail: Detail) -> str:
    summary, steps = view["summary"], kept(view["steps"], detail.steps)
    lines = [f"{_word(summary['badge'])}: {summary['title']}", " · ".join(facts(summary))]
    if summary["hint"]:
        lines.append(summary["hint"])
    if summary["answer"] is not None:
        lines.append(f"Answer: {detail.clip(summary['answer'])['text']}")
    if summary["error"] is not None:
        lines.append(f"{error_title(summary)}: {_error(summary['error'], detail)['text']}")
    lines += [f"{step['number']:>4}  {_headline(step)}  {step['took']}  {_word(step['badge'])}" for step in steps]
    missing = left_out(view, steps)
    return "\n".join([*lines, missing] if missing else lines)
