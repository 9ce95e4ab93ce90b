"""What a view of a run is made of: the one definition of what goes from Python to the page.

A `View` is everything; a `Patch` is what has changed since a version. Both are JSON. Lists only grow, and their items are known by
`index`, so a patch names an item by its index and carries the fields that changed; calls and requests inside a step likewise. Applying a
patch is assignment, nothing more, and applying one twice changes nothing.

What comes back from the page: `{"type": "stop"}`, `{"type": "refresh"}` (send the whole view again) and
`{"type": "decide", "request_id", "decision", "subject_hash", "value_json", "note"}`; `value_json` and `note` are None where there is none.
What only a reader of a tab needs is asked for with `{"type": "page", "what", "after"}` and comes as a message of its own, a `Page`; it is
no part of the view and is in no saved notebook.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from workbench.notebook.shown import Code, Problem, Text

Reads = Literal["text", "json", "any", "integer", "number", "choice", "code"]
Tone = Literal["ok", "bad", "wait", "busy", "calm"]
Lane = Literal["model", "sandbox", "tools", "tasks", "human"]
LANES: tuple[Lane, ...] = ("model", "sandbox", "tools", "tasks", "human")
"""In the order they are drawn; a lane without bars is left out."""


class Badge(TypedDict):
    """A status as icon and word; the tone chooses the colour and never says more than they do."""

    icon: str
    word: str
    tone: Tone


def _badge(icon: str, word: str, tone: Tone) -> Badge:
    return {"icon": icon, "word": word, "tone": tone}


BADGES: dict[str, Badge] = {
    # of a run
    "pending": _badge("○", "queued", "calm"),
    "running": _badge("●", "running", "busy"),
    "waiting": _badge("◐", "waiting for you", "wait"),
    "paused": _badge("○", "paused", "calm"),
    "completed": _badge("✓", "done", "ok"),
    "failed": _badge("✕", "failed", "bad"),
    "aborted": _badge("■", "stopped", "calm"),
    "interrupted": _badge("◌", "interrupted", "wait"),
    # of a step or call
    "done": _badge("✓", "done", "ok"),
    "error": _badge("✕", "error", "bad"),
    "refused": _badge("✕", "refused", "bad"),
    "limit": _badge("✕", "limit hit", "bad"),
    "unusable": _badge("!", "not usable", "wait"),
    "unaccepted": _badge("!", "not accepted", "wait"),
    "unknown": _badge("?", "outcome unknown", "wait"),
    "skipped": _badge("○", "skipped", "calm"),
    "rejected": _badge("✕", "rejected", "bad"),
    "retried": _badge("↻", "tried again", "calm"),
    "superseded": _badge("○", "superseded", "calm"),
}
"""Status → how it is drawn."""

EXECUTIONS: dict[str, str] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "done",
    "FAILED": "failed",
    "WAITING": "waiting",
    "REJECTED": "rejected",
    "CANCELLED": "aborted",
    "SKIPPED": "skipped",
    "UNKNOWN": "unknown",
}
"""An execution's status in the record → the name of its badge."""

BLOCKS: dict[str, str] = {"ok": "done", "finished": "done", "interrupted": "interrupted", "refused": "refused", "limit": "limit"}
"""How a sandbox block ended → the name of its badge; anything else is an error."""

DECISIONS: dict[str, str] = {
    "happened": "It happened, says {}",
    "did_not_happen": "It did not happen, says {}",
    "approved": "Approved by {}",
    "approved_always": "Approved by {}, and so is all further use of it in this run",
    "rejected": "Rejected by {}",
    "answered": "Answered by {}",
    "expired": "Nobody decided in time",
    "unpaused": "Let go on by {}",
    "stop": "Stopped by {}",
}
"""A decision in words; the braces stand for who made it."""


class Table(TypedDict):
    """Rows of a result that is a list of records."""

    head: list[str]
    rows: list[list[str]]
    total: int


class Drawn(TypedDict):
    """A picture that a tool displayed."""

    src: str
    """A data URL; empty for one that is too big to be sent."""
    alt: str


class Call(TypedDict):
    """A tool call inside a step."""

    index: int
    tool: str
    args: Text
    """As they stand between the parentheses."""
    prints: Text | None
    """What it has printed so far, or did."""
    pictures: list[Drawn]
    result: Text | None
    table: Table | None
    """The result, where it is rows."""
    error: Problem | None
    badge: Badge
    took: str


class Choice(TypedDict):
    """A button of a question: the decision it stands for."""

    decision: str
    label: str
    value: str | None
    """The value it always sends, as JSON."""
    sends: list[Literal["value", "note"]]
    """Which fields are sent with it."""
    when: Literal["", "changed"]
    """Whether it can be pressed only when a field of the value has been changed."""


class Field(TypedDict):
    """Something to fill in before a decision."""

    name: Literal["value", "note"]
    key: str
    """The property of the value that it is; empty for the whole value."""
    label: str
    help: str
    reads: Reads
    """How it is read; `any` is JSON where it can be, else text; a `choice` is one of the options."""
    start: str
    """What stands in it."""
    given: bool
    """Whether what stands in it was given, or is what it would be by default."""
    needed: bool
    options: list[tuple[str, str]]
    """Of a choice: label and JSON."""


class Change(TypedDict):
    """A line that a person took away (`-`) or put in (`+`), or one beside these."""

    sign: str
    text: str


class Request(TypedDict):
    """A question to a person, inside a step."""

    index: int
    id: str
    kind: str
    title: str
    why: str
    """Why a person is asked."""
    say: list[str]
    """What to consider."""
    expires_ms: int | None
    """When it is decided without anybody, since the run's beginning."""
    block: Code | None
    """The code it is about, where it is about code."""
    fields: list[Field]
    choices: list[Choice]
    """None for a question that only code can answer."""
    code: str
    """How to answer it in code."""
    tool: str
    args: Text
    subject_hash: str
    open: bool
    answer: str
    """The decision in words, and whose it was; empty while there is none."""
    at: str
    value: Text | None
    changes: list[Change]
    """What the answer changed of what was asked."""
    note: Text | None
    asked_ms: int
    """Since the run's beginning."""
    took: str
    """From question to answer."""


class Step(TypedDict):
    """One turn of an agent, or one Task of another graph."""

    index: int
    number: int
    headline: str
    aside: str
    """Which branch, round and attempt it is; empty for the only one."""
    badge: Badge
    hold: bool
    """Whether it stays open when the next step begins: something in it went wrong, or waits."""
    start_ms: int
    end_ms: int | None
    """Since the run's beginning; None while it runs."""
    took: str
    tokens: str
    cost: str
    thought: Text | None
    reply: Text | None
    """What the model has written so far; afterwards only a reply that was of no use."""
    code: Code | None
    asking: list[int]
    """The lines of the code that may be the one that waits for a person."""
    engine: str
    """Which engine ran the code, and why."""
    prints: Text | None
    value: Text | None
    error: Problem | None
    note: Text | None
    """What the model was told about a reply or an answer that was of no use; what was cut or not run."""
    calls: list[Call]
    calls_total: int
    requests: list[Request]


class Bar(TypedDict):
    """Something on the timeline."""

    index: int
    lane: Lane
    row: int
    """Within its lane: bars that overlap stand in different rows."""
    step: int
    """The index of its step."""
    label: str
    start_ms: int
    end_ms: int | None
    badge: Badge


class Summary(TypedDict):
    """The run in one line, its task and what came of it."""

    title: str
    name: str
    """The word run and the beginning of its id, as people and magics name it."""
    task: Text
    badge: Badge
    live: bool
    """Whether anything can still follow."""
    steps: str
    model: str
    tokens: str
    cost: str
    calls: str
    started: str
    elapsed_ms: int
    """From the beginning to the latest entry, or to the latest tick of a live view."""
    took: str
    asks: int
    """How many questions to a person are open."""
    answer: Text | None
    error: Problem | None
    failed_step: int | None
    """The number of the step the error came from."""
    reason: str
    hint: str
    """How to go on, where nobody works on the run."""
    resumed: int


class Way(TypedDict):
    """The way taken through the graph."""

    now: list[str]
    times: dict[str, int]
    taken: dict[str, int]
    """How often each edge was taken, by `source->target`."""


class View(TypedDict):
    """All there is to draw."""

    version: int
    run: str
    seq: int
    summary: Summary
    way: Way
    timeline: list[Bar]
    steps: list[Step]


class Patch(TypedDict):
    """What has changed in a view between two versions."""

    since: int
    version: int
    run: str
    seq: int
    summary: dict[str, Any]
    way: dict[str, Any]
    timeline: list[dict[str, Any]]
    steps: list[dict[str, Any]]


class Page(TypedDict):
    """Some of what a tab shows."""

    what: Literal["graph", "messages", "record", "entry"]
    after: int
    total: int
    rows: list[dict[str, Any]]


def merge(view: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Apply a patch to a view in place; the page does the same in run.js."""
    if patch["version"] <= view["version"]:
        return view
    view["summary"].update(patch["summary"])
    view["way"].update(patch["way"])
    _merge_items(view["timeline"], patch["timeline"])
    _merge_items(view["steps"], patch["steps"])
    view["seq"], view["version"] = patch["seq"], patch["version"]
    return view


def _merge_items(items: list[dict[str, Any]], changed: list[dict[str, Any]]) -> None:
    for change in changed:
        if change["index"] == len(items):
            items.append({})
        item = items[change["index"]]
        for name, value in change.items():
            if name in ("calls", "requests"):
                _merge_items(item.setdefault(name, []), value)
            else:
                item[name] = value
