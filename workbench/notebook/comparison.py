"""Two runs side by side, step by step, as HTML without script, Markdown and text. What differs is marked by a sign and said in words.

A pure function of two `View`s, as the static view is of one. Steps are matched by their number; times, tokens and cost are shown and are no
difference.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from html import escape
from itertools import zip_longest
from typing import NamedTuple

from workbench.notebook.assets import COMPARE, scoped_css, small_css
from workbench.notebook.plain import call_text, facts, problem_text
from workbench.notebook.shown import plain_code
from workbench.notebook.wire import Step, View

STEPS = 100
"""So many steps are compared; runs that are longer are compared in code, by `run.diff`."""

LINES = 400
"""Lines of one step that are shown."""


class Line(NamedTuple):
    """A line of both, or what stands in its place on the other side."""

    left: str | None
    right: str | None

    @property
    def sign(self) -> str:
        """` ` same, `~` changed, `-` only left, `+` only right."""
        return "-" if self.right is None else "+" if self.left is None else " " if self.left == self.right else "~"


class Pair(NamedTuple):
    """The same step of both runs."""

    number: int
    word: str
    """`same`, `differs`, `only left` or `only right`."""
    lines: list[Line]


def compared(left: View, right: View) -> dict[str, str]:
    """Every form of the comparison, by MIME type."""
    pairs = list(_pairs(left, right))
    return {"text/html": _html(left, right, pairs), "text/markdown": _markdown(left, right, pairs), "text/plain": _text(left, right, pairs)}


def _pairs(left: View, right: View) -> Iterator[Pair]:
    for number, (ours, theirs) in enumerate(zip_longest(left["steps"][:STEPS], right["steps"][:STEPS]), start=1):
        lines = list(_aligned(_told(ours), _told(theirs)))
        same = all(line.sign == " " for line in lines)
        word = "only right" if ours is None else "only left" if theirs is None else "same" if same else "differs"
        yield Pair(number, word, lines[:LINES])


def _told(step: Step | None) -> list[str]:
    """What a step did, line by line; nothing that has to do with when or how fast."""
    if step is None:
        return []
    told = []
    if step["code"] is not None:
        told += plain_code(step["code"]).splitlines()
    for call in step["calls"]:
        came = problem_text(call["error"]) if call["error"] else call["result"]["text"] if call["result"] else ""
        told += [f"call    {call_text(call['tool'], call['args'])}", *([f"        → {came}"] if came else [])]
    for asked in step["requests"]:
        told += [f"asked   {asked['title']}", f"        → {asked['answer'] or 'not answered'}"]
    for label, text in (("reply", step["reply"]), ("output", step["prints"]), ("value", step["value"])):
        if text is not None:
            first, *rest = text["text"].splitlines() or [""]
            told += [f"{label:<8}{first}", *(f"        {line}" for line in rest)]
    if step["error"] is not None:
        told.append(f"error   {problem_text(step['error'])}")
    if not told:
        told.append(step["headline"])
    return told


def _aligned(left: list[str], right: list[str]) -> Iterator[Line]:
    """Lines beside each other: equal ones together, changed ones in pairs."""
    for _, start, end, other, last in difflib.SequenceMatcher(a=left, b=right, autojunk=False).get_opcodes():
        yield from (Line(ours, theirs) for ours, theirs in zip_longest(left[start:end], right[other:last]))


def _outcome(view: View) -> str:
    summary = view["summary"]
    if summary["answer"] is not None:
        return f"Answer: {summary['answer']['text']}"
    return f"Error: {problem_text(summary['error'])}" if summary["error"] is not None else ""


def _says(left: View, right: View, pairs: list[Pair]) -> str:
    """The comparison in a sentence."""
    other = [pair.number for pair in pairs if pair.word != "same"]
    ends = _outcome(left) == _outcome(right)
    if not other:
        return "All steps are the same" + ("." if ends else ", and they end differently.")
    named = ", ".join(map(str, other[:12])) + (", …" if len(other) > 12 else "")
    return f"{len(other)} of {len(pairs)} steps differ: {named}. They end {'the same way' if ends else 'differently'}."


def _html(left: View, right: View, pairs: list[Pair]) -> str:
    scope = f"wb-{left['run'][:8]}-{right['run'][:8]}"
    heads = "".join(
        f"<div><h4>{_e(side)} · run {_e(view['run'][:8])}</h4><h3>{_e(view['summary']['title'])}</h3>"
        f'<p class="dim"><span class="badge {view["summary"]["badge"]["tone"]}">{_e(view["summary"]["badge"]["icon"])} '
        f"{_e(view['summary']['badge']['word'])}</span> · {_e(' · '.join(facts(view['summary'])))}</p>"
        f'<p class="outcome">{_e(_outcome(view))}</p></div>'
        for side, view in (("Left", left), ("Right", right))
    )
    steps = "".join(_step(pair) for pair in pairs)
    style = scoped_css(scope) + small_css(COMPARE).replace(".wb-run", f".{scope}")
    return (
        f'<section class="{_e(scope)}"><style>{style}</style><p class="said">{_e(_says(left, right, pairs))}</p>'
        f'<div class="sides">{heads}</div><div class="steps">{steps}</div></section>'
    )


def _step(pair: Pair) -> str:
    sign = {"same": "=", "differs": "≠", "only left": "-", "only right": "+"}[pair.word]
    rows = "".join(
        f'<tr class="{_KIND[line.sign]}"><td class="sign">{_SIGN[line.sign]}</td>'
        f"<td><pre>{_e(line.left or '')}</pre></td><td><pre>{_e(line.right or '')}</pre></td></tr>"
        for line in pair.lines
    )
    opened = "" if pair.word == "same" else " open"
    head = '<tr><th class="sign"><span class="sep">sign</span></th><th>left</th><th>right</th></tr>'
    summary = f'<span class="no">{pair.number}</span><span class="say"><b>{sign}</b> {pair.word}</span>'
    table = f'<table class="lines"><thead>{head}</thead><tbody>{rows}</tbody></table>'
    return f'<details class="step"{opened}><summary>{summary}</summary>{table}</details>'


_KIND = {" ": "same", "~": "changed", "-": "gone", "+": "new"}
_SIGN = {" ": "", "~": "≠", "-": "-", "+": "+"}


def _markdown(left: View, right: View, pairs: list[Pair]) -> str:
    parts = [f"**{_says(left, right, pairs)}**"]
    for side, view in (("Left", left), ("Right", right)):
        parts.append(f"{side}: run `{view['run'][:8]}`, {view['summary']['badge']['word']}")
    for pair in pairs:
        if pair.word != "same":
            parts.append(f"Step {pair.number}: {pair.word}\n\n```diff\n{_diff(pair)}\n```")
    return "\n\n".join(parts)


def _text(left: View, right: View, pairs: list[Pair]) -> str:
    ends = [f"{side}: run {view['run'][:8]}: {_outcome(view)}" for side, view in (("left", left), ("right", right))]
    steps = [f"step {pair.number}: {pair.word}\n{_diff(pair)}" for pair in pairs if pair.word != "same"]
    return "\n".join([_says(left, right, pairs), *ends, *steps])[:8_000]


def _diff(pair: Pair) -> str:
    lines = []
    for line in pair.lines:
        if line.sign == " ":
            lines.append(f"  {line.left}")
        else:
            lines += [f"- {line.left}"] if line.left is not None else []
            lines += [f"+ {line.right}"] if line.right is not None else []
    return "\n".join(lines)


def _e(text: str) -> str:
    return escape(text, quote=True)
