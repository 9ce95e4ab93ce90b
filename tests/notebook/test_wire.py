"""A view is made one entry at a time; patches rebuild it; every text in it is capped, visible and redacted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.notebook.sample_run import SAMPLES, Recorder, answered, finished, hostile, long, payload, picture, waiting
from workbench.notebook import shown
from workbench.notebook.asking import drawn
from workbench.notebook.excerpts import PICTURE, PICTURE_ROOM, Excerpts
from workbench.notebook.shown import FIELD
from workbench.notebook.view import RunView
from workbench.notebook.wire import BADGES, BLOCKS, DECISIONS, EXECUTIONS, merge
from workbench.record.envelope import DECISIONS as ALLOWED
from workbench.record.envelope import Decision, HitlRequest
from workbench.record.sandbox_items import BlockStatus
from workbench.record.values import ErrorInfo, LifetimeStatus, Payload, Status
from workbench.visible import visible

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


def test_what_a_tool_prints_shows_in_its_call_while_it_is_at_it() -> None:
    run = Recorder()
    run.begin()
    run.think(0, "go")
    block = run.run_code(0, "save()")
    call_id = run.intent(block, "save", 0, {})
    view = view_of(run.entries)
    seen = view.version
    for piece in ("one\n", "two\n"):
        view.feed({"type": "print", "exec_id": call_id, "text": piece})
    (step,) = wire(view.delta(seen))["steps"]
    assert step["calls"] == [{"index": 0, "prints": {"text": "one\ntwo\n", "length": 8, "cut": False}}]
    run.outcome(block, "save", 0, {}, 1, prints="one\ntwo\nthree\n")
    view.apply(run.entries[-1])
    view.feed({"type": "print", "exec_id": call_id, "text": "late"})
    (call,) = view.full()["steps"][0]["calls"]
    assert call["prints"] == {"text": "one\ntwo\nthree\n", "length": 14, "cut": False}
    assert view.full()["steps"][0]["prints"] is None, "the block printed nothing"


def test_only_bytes_of_a_picture_pass_for_one_and_no_run_sends_more_than_it_has_room_for() -> None:
    texts = Excerpts(str)
    png = b"\x89PNG\r\n\x1a\n"
    shown = [
        picture(png, "<Figure>"),
        picture(b"<svg onload=x>", "<Figure>", "image/svg+xml"),
        payload("no picture"),
        picture(png + b"x" * PICTURE, "big"),
    ]
    assert [texts.picture(each)["src"] != "" for each in shown] == [True, False, False, False]
    assert texts.picture(shown[-1])["alt"] == "big (400.0 kB, not drawn here)"
    many = [texts.picture(picture(png + b"x" * 200_000, "one of many"))["src"] != "" for _ in range(100)]
    assert many.count(True) == PICTURE_ROOM // len(Excerpts(str).picture(picture(png + b"x" * 200_000, ""))["src"])


def test_secrets_are_taken_out_of_every_text_before_it_is_cut() -> None:
    view = RunView(lambda text: text.replace("onerror", "[redacted]"))
    for entry in hostile():
        view.apply(entry)
    assert [text for text in texts(wire(view.full())) if "onerror" in text] == []


def test_characters_that_act_on_their_surroundings_are_shown() -> None:
    assert visible("\x1b[31mred\x1b[0m a\x00b \u202egnp \ud800 c\r\nd") == "red a\u2400b \\u202egnp \\ud800 c\nd"


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


def test_a_model_is_named_whatever_the_schema_of_the_answer_holds() -> None:
    run = Recorder()
    run.begin(schema={"$defs": {"Row": {"type": "object"}}, "items": {"$ref": "#/$defs/Row"}}, max_iterations=7)
    run.start("task_llm")
    summary = view_of(run.entries).full()["summary"]
    assert (summary["model"], summary["steps"]) == ("openai:gpt-5-mini", "1 of 7 steps")


def test_what_was_stopped_says_what_it_was_doing() -> None:
    step = view_of(SAMPLES["stopped"]()).full()["steps"][1]
    assert (step["headline"], step["badge"]["word"], step["error"]) == (
        "stopped while running 3 lines, called search_news, get_price",
        "stopped",
        None,
    )
    assert [call["badge"]["word"] for call in step["calls"]] == ["done", "outcome unknown"]
    run = Recorder()
    run.begin()
    run.cancel(run.start("task_llm"), "task_llm", "stopped", "stopped by ana")
    assert view_of(run.entries).full()["steps"][0]["headline"] == "stopped while asking the model"


def test_branches_rounds_and_attempts_tell_executions_of_one_node_apart() -> None:
    steps = view_of(SAMPLES["branches"]()).full()["steps"]
    assert [(step["aside"], step["badge"]["word"]) for step in steps] == [
        ("", "done"),
        ("branch 1 of 4", "tried again"),
        ("branch 2 of 4", "done"),
        ("branch 3 of 4", "done"),
        ("branch 4 of 4", "superseded"),
        ("branch 1 of 4, attempt 2", "done"),
        ("", "done"),
    ]
    assert (steps[1]["hold"], steps[4]["error"]) == (False, None)
    assert steps[4]["note"] is not None
    assert steps[4]["note"]["text"] == "Its outcome no longer counts: enough other branches had arrived."


def test_bars_that_overlap_stand_in_rows_of_their_own() -> None:
    bars = view_of(SAMPLES["branches"]()).full()["timeline"]
    assert [bar["row"] for bar in bars if bar["lane"] == "tasks"] == [0, 0, 1, 2, 3, 0, 0]
    for bar in bars:
        others = [each for each in bars if each is not bar and (each["lane"], each["row"]) == (bar["lane"], bar["row"])]
        assert all((each["end_ms"] or 0) <= bar["start_ms"] or each["start_ms"] >= (bar["end_ms"] or 0) for each in others)


def test_an_error_is_traced_to_its_step_although_others_came_after_it() -> None:
    run = Recorder()
    run.created("x", kind="graph")
    lost = ErrorInfo(code="node_failed", message="the first is lost")
    first, second = run.start("one"), run.start("two")
    run.finish(first, "one", error=lost)
    run.finish(second, "two", output=2)
    run.ended("failed", error=lost)
    assert view_of(run.entries).full()["summary"]["failed_step"] == 1


def test_an_interrupted_run_says_how_to_go_on_and_nothing_in_it_seems_to_run() -> None:
    view = view_of(SAMPLES["running"]())
    view.interrupted()
    full = view.full()
    hint = "No process works on this run any more. wb.resume('6f1c2b7e', tools=[get_price, send_email]) goes on from its record"
    assert full["summary"]["hint"].startswith(hint)
    assert (full["steps"][1]["badge"]["word"], full["steps"][1]["headline"][:19]) == ("interrupted", "was running 3 lines")
    assert [call["badge"]["word"] for call in full["steps"][1]["calls"]] == ["done", "outcome unknown"]
    assert {bar["badge"]["word"] for bar in full["timeline"]} == {"done", "interrupted"}
    run = Recorder()
    run.entries = SAMPLES["running"]()
    run.resumed()
    view.apply(run.entries[-1])
    full = view.full()
    assert (full["summary"]["hint"], full["steps"][1]["badge"]["word"], full["summary"]["live"]) == ("", "running", True)


def test_the_clock_of_an_ended_run_is_its_record_s() -> None:
    view = view_of(finished()[:-1])
    view.tick(finished()[-1].header.created_at.replace(year=2027))
    view.apply(finished()[-1])
    assert view.full()["summary"]["took"] == "3.8 s"


def ask(kind: Any, args: Any = None, **more: Any) -> Any:
    run = Recorder()
    run.created("x", kind="graph")
    run.ask(run.start("one"), "send", args, kind=kind, title="May I?", **more)
    return view_of(run.entries).full()["steps"][0]["requests"][0]


@pytest.mark.parametrize(
    ("kind", "schema", "labels", "reads"),
    [
        ("unknown_outcome", None, ["It happened (give the result)", "It did not (run it)"], ["json"]),
        ("approval", None, ["Approve", "Approve edited", "Reject", "Always allow this tool in this run"], ["json", "text"]),
        ("pause", None, ["Go on"], ["text"]),
        ("question", None, ["Answer"], ["any"]),
        ("question", {"type": "string"}, ["Answer"], ["text"]),
        ("question", {"type": "object"}, ["Answer"], ["json"]),
        ("question", {"type": "integer"}, ["Answer"], ["integer"]),
        (
            "question",
            {"type": "object", "properties": {"ok": {"type": "boolean"}, "n": {"type": "number"}}},
            ["Answer"],
            ["choice", "number"],
        ),
        ("question", {"type": "boolean"}, ["Yes", "No"], []),
        ("question", {"enum": ["a", 2, None]}, ["a", "2", "null"], []),
        ("question", {"enum": list(range(7))}, ["Answer"], ["choice"]),
    ],
)
def test_what_is_asked_decides_what_there_is_to_press(kind: Any, schema: Any, labels: list[str], reads: list[str]) -> None:
    asked = ask(kind, {"to": "ana"}, answer_schema=schema)
    assert [choice["label"] for choice in asked["choices"]] == [*labels, "Stop the run"]
    assert [field["reads"] for field in asked["fields"]] == reads
    decided = {choice["decision"] for choice in asked["choices"]}
    assert decided <= set(ALLOWED[kind])
    names = {field["name"] for field in asked["fields"]}
    assert {name for choice in asked["choices"] for name in choice["sends"]} == names


def test_arguments_that_are_more_than_json_are_not_offered_for_change() -> None:
    assert [field["name"] for field in ask("approval", {"of": (1, 2)})["fields"]] == ["note"]
    assert [field["name"] for field in ask("approval", {"of": [1, 2]})["fields"]] == ["value", "note"]
    assert [field["name"] for field in ask("approval", {"of": "\u202ex"})["fields"]] == ["note"]


def test_a_kind_nobody_knows_yet_says_how_code_answers_it() -> None:
    request = HitlRequest.model_construct(
        request_id="r",
        kind="vote",
        title="Which?",
        tool="poll",
        args=payload({"a": 1}),
        subject_hash="cd",
        answer_schema=None,
        expires_at=None,
    )
    card = drawn(request, Excerpts(str), Recorder().run_id, began=None, schema=None, why="")
    assert (card["choices"], card["fields"], card["code"]) == ([], [], "wb.open('6f1c2b7e').pending")
    assert (card["title"], card["tool"], card["args"]["text"]) == ("Which?", "poll", "a=1")


def test_a_question_about_the_whole_run_leaves_an_ended_step_as_it_was() -> None:
    run = Recorder()
    run.created("x", kind="graph")
    run.finish(run.start("one"), "one", output=1)
    request = run.ask("", "budget", {"rule": "budget"}, kind="pause", title="The run is paused: it has cost $2. May it go on?")
    step = view_of(run.entries).full()["steps"][0]
    assert (step["badge"]["word"], step["hold"], step["requests"][0]["args"]["text"]) == ("done", True, "rule budget")
    run.answer(request, "unpaused")
    step = view_of(run.entries).full()["steps"][0]
    assert (step["hold"], step["requests"][0]["answer"]) == (False, "Let go on by ana")


def test_a_decision_names_who_made_it() -> None:
    said = {decision: words.format("ana") for decision, words in DECISIONS.items()}
    assert said["approved"] == "Approved by ana"
    assert said["expired"] == "Nobody decided in time"
