"""A view is made one entry at a time; patches rebuild it; every text in it is capped, visible and redacted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.notebook.sample_run import SAMPLES, Recorder, answered, finished, hostile, long, payload, waiting
from workbench.notebook import shown
from workbench.notebook.shown import FIELD
from workbench.notebook.view import RunView
from workbench.notebook.wire import BADGES, BLOCKS, DECISIONS, EXECUTIONS, merge
from workbench.record.envelope import Decision
from workbench.record.sandbox_items import BlockStatus
from workbench.record.values import LifetimeStatus, Payload, Status

SMALL = [name for name in SAMPLES if name not in ("long", "heavy")]


def view_of(entries: Any) -> RunView:
    view = RunView()
    for entry in entries:
        view.apply(entry)
    return view


def wire(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


def texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from texts(value)


@pytest.mark.parametrize("name", SMALL)
def test_patches_rebuild_the_view_at_every_entry(name: str) -> None:
    view, page = RunView(), None
    for entry in SAMPLES[name]():
        since = view.version
        view.apply(entry)
        page = merge(page, wire(view.delta(since))) if page else wire(view.full())
        assert page == wire(view.full())


@given(st.data())
def test_a_patch_from_any_version_brings_any_page_up_to_date(data: st.DataObject) -> None:
    entries = SAMPLES[data.draw(st.sampled_from(SMALL))]()
    seen = data.draw(st.integers(1, len(entries)))
    asked = data.draw(st.integers(0, seen))
    view = view_of(entries[:seen])
    page = wire(view.full())
    versions = [view.version]
    for entry in entries[seen:]:
        view.apply(entry)
        versions.append(view.version)
    patch = wire(view.delta(min(asked, versions[0])))
    assert merge(merge(page, patch), patch) == wire(view.full())


def test_a_patch_carries_only_what_has_changed() -> None:
    view = view_of(long(40)[:-6])
    since = view.version
    view.apply(long(40)[len(long(40)) - 6])
    assert len(json.dumps(view.delta(since))) < 1_500 < len(json.dumps(view.full()))


@pytest.mark.parametrize("name", SAMPLES)
def test_every_text_is_capped_and_says_how_long_it_was(name: str) -> None:
    full = wire(view_of(SAMPLES[name]()).full())
    assert max(len(text) for text in texts(full)) <= 2 * FIELD
    for step in full["steps"]:
        for field in (step["thought"], step["prints"], step["value"], *(call["args"] for call in step["calls"])):
            if field is not None:
                assert field["cut"] == (field["length"] > len(field["text"]))
    assert len(json.dumps(full)) < 4_000_000


@pytest.mark.parametrize(
    ("table", "states"),
    [(BADGES, LifetimeStatus), (EXECUTIONS, Status), ({**BLOCKS, "error": "error"}, BlockStatus), (DECISIONS, Decision)],
)
def test_every_state_has_a_word(table: dict[str, Any], states: Any) -> None:
    assert set(get_args(states)) <= set(table)
    assert all(BADGES[badge]["word"] and BADGES[badge]["icon"] for badge in (*EXECUTIONS.values(), *BLOCKS.values()))


def test_the_summary_says_what_the_state_says() -> None:
    view = view_of(finished())
    summary, totals = view.full()["summary"], view.state.totals
    assert summary["badge"]["word"] == "done"
    assert summary["tokens"] == f"{totals.tokens_in:,} tokens in ({totals.cached_tokens:,} cached), {totals.tokens_out:,} out"
    assert (summary["steps"], summary["calls"], summary["cost"], summary["took"]) == ("3 steps", "3 calls", "$0.0012", "3.8 s")
    assert summary["answer"] is not None
    assert "'best': 'NVDA'" in summary["answer"]["text"]


def test_steps_say_in_one_line_what_they_did() -> None:
    assert [step["headline"] for step in view_of(finished()).full()["steps"]] == [
        "ran 7 lines, called get_price \u00d73",
        "ran 4 lines",
        "ran 3 lines, answered",
    ]


def test_an_error_holds_its_step_open_and_names_its_line() -> None:
    step = view_of(finished()).full()["steps"][1]
    assert (step["hold"], step["badge"]["word"]) == (True, "error")
    assert step["error"] is not None
    assert (step["error"]["type"], step["error"]["line"]) == ("NameError", 3)


def test_an_open_question_waits_in_its_step_until_it_is_answered() -> None:
    asked, after = view_of(waiting()).full(), view_of(answered()).full()
    assert (asked["summary"]["badge"]["word"], asked["summary"]["asks"]) == ("waiting for you", 1)
    assert asked["steps"][1]["requests"][0]["open"] is True
    assert asked["steps"][1]["calls"][0]["badge"]["word"] == "outcome unknown"
    assert after["steps"][1]["requests"][0]["answer"] == "It happened, says ana"
    assert after["steps"][1]["calls"][0]["badge"]["word"] == "done"


def test_nothing_is_drawn_as_working_while_a_person_is_asked() -> None:
    bars = view_of(answered()).full()["timeline"]
    human = next(bar for bar in bars if bar["lane"] == "human")
    assert human["end_ms"] is not None
    for bar in bars:
        if bar["lane"] != "human":
            assert bar["end_ms"] is not None
            assert bar["end_ms"] <= human["start_ms"] or bar["start_ms"] >= human["end_ms"]


def test_an_end_leaves_nothing_running() -> None:
    for name in ("stopped", "failed", "finished"):
        view = view_of(SAMPLES[name]()).full()
        assert view["summary"]["live"] is False
        assert all(bar["end_ms"] is not None for bar in view["timeline"])
        assert all(step["badge"]["tone"] != "busy" for step in view["steps"])


def test_a_dead_process_is_told_and_the_next_entry_takes_it_back() -> None:
    view = view_of(waiting()[:-2])
    view.interrupted()
    assert view.full()["summary"]["badge"]["word"] == "interrupted"
    view.apply(waiting()[-2])
    assert view.full()["summary"]["badge"]["word"] == "running"


def test_pieces_show_while_they_arrive_and_the_record_replaces_them() -> None:
    run = Recorder()
    run.begin()
    view = view_of(run.entries)
    exec_id = run.start("task_llm", 0)
    view.apply(run.entries[-1])
    for piece in ("I wi", "ll look.", "x" * 3 * FIELD):
        view.feed({"type": "text", "exec_id": exec_id, "text": piece})
    reply = view.full()["steps"][0]["reply"]
    assert reply is not None
    assert (len(reply["text"]), reply["length"], reply["cut"]) == (FIELD, 12 + 3 * FIELD, True)
    run.finish(exec_id, "task_llm", 0, output={"thinking": ["I will look."]})
    view.apply(run.entries[-1])
    view.feed({"type": "text", "exec_id": exec_id, "text": "late"})
    step = view.full()["steps"][0]
    assert (step["reply"], step["thought"] and step["thought"]["text"]) == (None, "I will look.")


def test_secrets_are_taken_out_of_every_text_before_it_is_cut() -> None:
    view = RunView(lambda text: text.replace("onerror", "[redacted]"))
    for entry in hostile():
        view.apply(entry)
    assert [text for text in texts(wire(view.full())) if "onerror" in text] == []


def test_characters_that_act_on_their_surroundings_are_shown() -> None:
    assert shown.visible("\x1b[31mred\x1b[0m a\x00b \u202egnp \ud800 c\r\nd") == "red a\u2400b \\u202egnp \\ud800 c\nd"


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ({"$tuple": [1, {"$decimal": "1.50"}]}, "(1, Decimal('1.50'))"),
        ({"$alien": 1}, "(this value cannot be read: unknown type tag '$alien' in the record"),
        ({"$int": hex(10**6000)}, "(a value with a number too long to print)"),
        ({"key": ["x" * 60, "y" * 60]}, "{\n    'key': [\n        'xxx"),
    ],
)
def test_values_are_shown_as_python_writes_them(encoded: Any, text: str) -> None:
    assert shown.payload_text(Payload(inline=encoded)).startswith(text)


def test_strings_and_blobs_say_what_they_are() -> None:
    assert shown.payload_text(payload("a\nb")) == "'a\\nb'"
    assert shown.payload_text(payload("a\nb"), plain=True) == "a\nb"
    steps = view_of(SAMPLES["graph"]()).full()["steps"]
    assert steps[2]["value"] is not None
    assert steps[2]["value"]["text"] == "(2.4 MB, stored in blob 9f86d081884c)"


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0 ms"), (999.6, "1.0 s"), (59_949, "59.9 s"), (61_000, "1 min 01 s"), (7.3e6, "2 h 01 min"), (9e8, "10 d 10 h")]
)
def test_durations_read_well(ms: float, text: str) -> None:
    assert shown.duration_text(ms) == text


@pytest.mark.parametrize(
    ("money", "text"),
    [
        ((0, 0, 0), ""),
        ((0, 0, 5), "$0"),
        ((0, 1, 5), "unpriced"),
        ((410_000, 0, 5), "$0.00041"),
        ((50, 1, 5), "\u2265 $0.000000050, partly unpriced"),
        ((5_250_000_000, 0, 5), "$5.25"),
    ],
)
def test_money_is_never_shown_as_free_when_its_price_is_unknown(money: tuple[int, int, int], text: str) -> None:
    assert shown.money_text(*money) == text
