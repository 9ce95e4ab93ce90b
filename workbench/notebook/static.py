"""The view that stays in the notebook after a run: HTML without script, Markdown, plain text, and where the record lies.

It is a pure function of a `View`. The HTML reads in order when a renderer strips its style and its drawing: headings, lists, tables and
preformatted text carry everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from workbench.notebook.assets import scoped_css
from workbench.notebook.detail import Detail, cut_note, fit, kept, left_out
from workbench.notebook.plain import call_text, error_title, facts, markdown, problem_text, request_text, text
from workbench.notebook.shown import Code, Problem, Text, duration_text, plain_code
from workbench.notebook.wire import LANES, Badge, Bar, Call, Change, Drawn, Request, Step, Summary, Table, View

HTML_LIMIT = 68_000
"""Bytes of one run's HTML. With Markdown, text and JSON encoding, one run stays below 100 KB of notebook."""

RUN_MIME = "application/vnd.workbench.run+json"

ROOMY = 600
"""With fewer characters a field, rows are not drawn as a table."""

NOT_HERE = ", which has no room here; run.view() draws it"

_SEP = '<span class="sep"> · </span>'
_WIDTH = 1000.0
_MARKS = 200
"""Beyond this many bars in a lane, those nearer to each other than one part in so many are drawn as one."""


def bundle(view: View, *, head_hash: str = "") -> dict[str, Any]:
    """Every form of the static view, by MIME type. `head_hash` is that of the last entry, so that a reader can check the record."""
    return {
        "text/html": static_html(view),
        "text/markdown": markdown(view),
        "text/plain": text(view),
        RUN_MIME: {"run_id": view["run"], "seq": view["seq"], "head_hash": head_hash},
    }


def static_html(view: View, limit: int = HTML_LIMIT) -> str:
    """The run as HTML of at most `limit` bytes; what does not fit is left out, and said to be."""
    return fit(view, _html, limit)


def _html(view: View, detail: Detail) -> str:
    scope, summary = f"wb-{view['run'][:8]}", view["summary"]
    steps = kept(view["steps"], detail.steps)
    missing = left_out(view, steps)
    parts = [
        f'<section class="{_e(scope)}"><style>{scoped_css(_e(scope))}</style>',
        f'<div class="head">{_badge(summary["badge"], " pill")}<h3>{_e(summary["title"])}</h3></div>',
        f'<p class="facts">{_SEP.join(f"<span>{_e(fact)}</span>" for fact in facts(summary))}</p>',
        f'<p class="hint">{_e(summary["hint"])}</p>' if summary["hint"] else "",
        _outcome(summary, detail),
        _timeline(view, detail),
        f'<p class="dim block">{_e(missing)}</p>' if missing else "",
        f'<div class="steps">{"".join(_step(step, detail) for step in steps)}</div></section>',
    ]
    return "".join(parts)


def _outcome(summary: Summary, detail: Detail) -> str:
    task = summary["task"]
    parts = []
    if task["text"].strip() != summary["title"]:
        clipped = detail.clip(task)
        parts.append(
            f'<details class="more block"><summary>The task</summary><p class="prose">{_e(clipped["text"])}</p>{_cut(clipped)}</details>'
        )
    if summary["answer"] is not None:
        parts.append(_text_block("Answer", detail.clip(summary["answer"]), "answer"))
    if summary["error"] is not None:
        parts.append(_problem_block(error_title(summary), summary["error"], detail))
    return "".join(parts)


def _step(step: Step, detail: Detail) -> str:
    aside = f'{_SEP}<span class="dim">{_e(step["aside"])}</span>' if step["aside"] else ""
    cells = [("num cost", step["cost"]), ("num took", step["took"])]
    line = f'<span class="say">{_SEP}{_e(step["headline"])}{aside}</span>'
    line += _SEP + _badge(step["badge"])
    line += "".join(f'<span class="{kind}">{_SEP if words else ""}{_e(words)}</span>' for kind, words in cells)
    opened = " open" if step["hold"] else ""
    body = "".join(_body(step, detail))
    return (
        f'<details class="step"{opened}><summary><span class="no">{step["number"]}</span>{line}</summary>'
        f'<div class="body">{body}</div></details>'
    )


def _body(step: Step, detail: Detail) -> Iterable[str]:
    error = step["error"]
    if step["thought"] is not None:
        thought = detail.clip(step["thought"])
        yield f'<div class="block"><h4>Thought</h4><p class="prose">{_e(thought["text"])}</p>{_cut(thought)}</div>'
    if step["reply"] is not None:
        yield _text_block("Reply", detail.clip(step["reply"]))
    if step["code"] is not None:
        yield _code(step["code"], error["line"] if error else None, detail)
    if step["calls"]:
        shown = step["calls"][: detail.calls]
        rest = step["calls_total"] - len(shown)
        more = f'<p class="dim">and {rest:,} more {"call" if rest == 1 else "calls"}</p>' if rest else ""
        yield f'<div class="block"><h4>Tool calls</h4><ol class="calls">{"".join(_call(call, detail) for call in shown)}</ol>{more}</div>'
    for asked in step["requests"][: detail.calls]:
        yield _request(asked, detail)
    if step["prints"] is not None:
        yield _text_block("Output", detail.clip(step["prints"]))
    if step["value"] is not None:
        yield _text_block("Value", detail.clip(step["value"]))
    if error is not None:
        yield _problem_block("Error", error, detail)
    if step["note"] is not None:
        yield f'<div class="block"><p class="prose dim">{_e(detail.clip(step["note"])["text"])}</p></div>'
    small = " · ".join(word for word in (step["engine"], step["tokens"]) if word)
    if small:
        yield f'<div class="block"><p class="dim">{_e(small)}</p></div>'


def _call(call: Call, detail: Detail) -> str:
    error, result = call["error"], detail.clip(call["result"]) if call["result"] else None
    out = problem_text(_clipped(error, detail)) if error else result["text"] if result else None
    badge = "" if call["badge"]["tone"] == "ok" else " " + _badge(call["badge"])
    came = "" if out is None else f'<pre class="out">→ {_e(out)}</pre>'
    if call["table"] is not None and detail.text >= ROOMY:
        came = f'<div class="out">{_rows(call["table"])}</div>'
    made = _e(call_text(call["tool"], detail.clip(call["args"])))
    said = "" if call["prints"] is None else _said(detail.clip(call["prints"]))
    said += "".join(_picture(picture, detail) for picture in call["pictures"])
    more = _cut(result) if result else _trace(error, detail)
    return f'<li><pre>{made}</pre><span class="meta dim">{_e(call["took"])}{badge}</span>{said}{came}{more}</li>'


def _said(prints: Text) -> str:
    return f'<div class="said"><small>printed</small><pre>{_e(prints["text"].rstrip(), pre=True)}</pre>{_cut(prints)}</div>'


def _picture(picture: Drawn, detail: Detail) -> str:
    if not detail.pictures or not picture["src"]:
        return f'<p class="said dim">{_e(picture["alt"])}{_e(NOT_HERE) if picture["src"] else ""}</p>'
    return f'<img class="said" src="{_e(picture["src"])}" alt="{_e(picture["alt"])}">'


def _rows(table: Table) -> str:
    head = "".join(f"<th>{_e(name)}</th>" for name in table["head"])
    body = "".join(f"<tr>{''.join(f'<td>{_e(cell)}</td>' for cell in row)}</tr>" for row in table["rows"])
    rest = f'<p class="dim">the first {len(table["rows"])} of {table["total"]:,} rows</p>' if table["total"] > len(table["rows"]) else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def _request(asked: Request, detail: Detail) -> str:
    at, took = (f" at {asked['at']}" if asked["at"] else ""), (f", after {asked['took']}" if asked["took"] else "")
    about = request_text(asked, detail)
    parts = [f'<p class="question"><b>{_e(asked["title"])}</b></p>', f"<pre>{_e(about)}</pre>" if about and not asked["block"] else ""]
    if asked["block"] is not None:
        parts.append(_code(asked["block"], None, detail))
    decided = f'<p class="decided">{_e(asked["answer"])}<span class="dim">{_e(at)}{_e(took)}</span></p>'
    parts.append(decided if asked["answer"] else _unanswered(asked))
    if asked["note"] is not None:
        parts.append(f'<p class="prose dim">{_e(detail.clip(asked["note"])["text"])}</p>')
    if asked["changes"]:
        parts.append(f'<pre class="diff">{"".join(_change(change) for change in asked["changes"])}</pre>')
    if asked["value"] is not None:
        parts.append(f"<pre>→ {_e(detail.clip(asked['value'])['text'])}</pre>")
    return f'<div class="ask{" open" if asked["open"] else ""}">{"".join(parts)}</div>'


def _change(change: Change) -> str:
    kind = {"+": ' class="add"', "-": ' class="del"'}.get(change["sign"], "")
    return f"<span{kind}>{change['sign']} {_e(change['text'])}\n</span>"


def _unanswered(asked: Request) -> str:
    said = "".join(f'<p class="dim">{_e(words)}</p>' for words in (asked["why"], *asked["say"]) if words)
    return f"{said}<p>Waiting for an answer; in code: <code>{_e(asked['code'])}</code></p>"


def _code(code: Code, bad_line: int | None, detail: Detail) -> str:
    room = detail.text
    lines: list[list[str]] = [[]]
    for kind, words in code["tokens"]:
        for place, piece in enumerate(words[:room].split("\n")):
            if place:
                lines[-1].append("\n")
                lines.append([])
            if piece:
                lines[-1].append(f'<span class="{kind}">{_e(piece)}</span>' if kind else _e(piece))
        room -= len(words)
        if room <= 0:
            break
    body = "".join(f'<span class="l{" bad" if number == bad_line else ""}">{"".join(line)}</span>' for number, line in enumerate(lines, 1))
    shown = min(detail.text, len(plain_code(code)))
    note = f'<p class="dim">the first {shown:,} of {code["length"]:,} characters</p>' if shown < code["length"] else ""
    return f'<div class="block"><h4>Code</h4><pre class="code">{body}</pre>{note}</div>'


def _timeline(view: View, detail: Detail) -> str:
    bars = view["timeline"]
    if len(bars) < 3:
        return ""
    total = max(1, view["summary"]["elapsed_ms"], *(bar["end_ms"] or 0 for bar in bars))
    lanes = "".join(
        _lane(lane, [bar for bar in bars if bar["lane"] == lane], total) for lane in LANES if any(bar["lane"] == lane for bar in bars)
    )
    axis = f'<div class="axis"><span>0</span>{_SEP}<span>{duration_text(total)}</span></div>'
    return f'<div class="time">{lanes}{axis}</div>{_table(bars, detail)}'


def _lane(lane: str, bars: list[Bar], total: int) -> str:
    spent = sum((bar["end_ms"] or total) - bar["start_ms"] for bar in bars)
    rows: list[list[tuple[str, float, float]]] = [[] for _ in range(1 + max(bar["row"] for bar in bars))]
    for bar in bars:
        tone, marks = bar["badge"]["tone"], rows[bar["row"]]
        kind = tone if tone in ("bad", "calm") else lane
        left, right = _WIDTH * bar["start_ms"] / total, _WIDTH * (total if bar["end_ms"] is None else bar["end_ms"]) / total
        if marks and marks[-1][0] == kind and left - marks[-1][2] < _WIDTH / _MARKS and len(bars) > _MARKS:
            marks[-1] = (kind, marks[-1][1], right)
        else:
            marks.append((kind, left, right))
    name = "you" if lane == "human" else lane
    track = "".join(_row(marks) for marks in rows)
    return f'<span class="lane"><span>{name}</span> <b>{duration_text(spent)}</b></span><div class="track">{track}</div>'


def _row(marks: list[tuple[str, float, float]]) -> str:
    drawn = [(kind, f"M{left:.1f} 1h{max(2.0, right - left - 1):.1f}v11H{left:.1f}z") for kind, left, right in marks]
    kinds = dict.fromkeys(kind for kind, _ in drawn)
    paths = "".join(f'<path class="mark {kind}" d="{"".join(d for each, d in drawn if each == kind)}"/>' for kind in kinds)
    return f'<svg viewBox="0 0 1000 13" preserveAspectRatio="none" height="13" aria-hidden="true">{paths}</svg>'


def _table(bars: list[Bar], detail: Detail) -> str:
    if not detail.rows:
        return ""
    rows = []
    for bar in bars[-detail.rows :]:
        took = "" if bar["end_ms"] is None else duration_text(bar["end_ms"] - bar["start_ms"])
        lane = "you" if bar["lane"] == "human" else bar["lane"]
        cells = [("", lane), ("", bar["label"]), ("", str(bar["step"] + 1))]
        cells += [("num", duration_text(bar["start_ms"])), ("num", took), ("", bar["badge"]["word"])]
        rows.append("<tr>" + "".join(f'<td class="{kind}">{_e(words)}</td>' if kind else f"<td>{_e(words)}</td>" for kind, words in cells))
    note = f'<p class="dim">the last {len(rows)} of {len(bars)}</p>' if len(rows) < len(bars) else ""
    head = "".join(f"<th>{name}</th>" for name in ("Lane", "What", "Step", "At", "Took", "Status"))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{'</tr>'.join([*rows, ''])}</tbody></table>"
    return f'<details class="more"><summary>Timeline as a table</summary>{table}{note}</details>'


def _text_block(label: str, words: Text, kind: str = "") -> str:
    return f'<div class="block {kind}"><h4>{label}</h4><pre>{_e(words["text"], pre=True)}</pre>{_cut(words)}</div>'


def _problem_block(label: str, error: Problem, detail: Detail) -> str:
    clipped = _clipped(error, detail)
    more = _cut(clipped["message"]) + _trace(error, detail)
    return f'<div class="block error"><h4>{label}</h4><pre>{_e(problem_text(clipped))}</pre>{more}</div>'


def _trace(error: Problem | None, detail: Detail) -> str:
    if error is None or not error["trace"]:
        return ""
    return f'<details class="more"><summary>Traceback</summary><pre>{_e(detail.innermost(error["trace"]))}</pre></details>'


def _clipped(error: Problem, detail: Detail) -> Problem:
    return {**error, "message": detail.clip(error["message"])}


def _badge(badge: Badge, shape: str = "") -> str:
    return f'<span class="badge {badge["tone"]}{shape}"><i aria-hidden="true">{badge["icon"]} </i>{badge["word"]}</span>'


def _cut(words: Text) -> str:
    note = cut_note(words)
    return f'<p class="dim">{note}</p>' if note else ""


def _e(words: str, *, pre: bool = False) -> str:
    """Escaped; at the start of a <pre>, a first line break is doubled, because HTML drops one there."""
    return ("\n" if pre and words.startswith("\n") else "") + escape(words)
