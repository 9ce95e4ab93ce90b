"""The run browser, two runs side by side, and a tool tried by hand: what the kernel's side of them does."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

import workbench as wb
from tests.notebook.kernel import Kernel
from tests.notebook.sample_run import SAMPLES
from tests.notebook.test_magics import usage_error
from tests.runtime.graphs import line
from workbench.errors import EffectsRepeat, UserError
from workbench.notebook.at_hand import model_of
from workbench.notebook.browse import RunBrowser, rows
from workbench.notebook.comparison import compared
from workbench.notebook.forking import ForkForm
from workbench.notebook.trying import TryTool
from workbench.notebook.view import RunView
from workbench.tools.printed import Picture, printing


@pytest.fixture
def bench(current_bench):
    return current_bench


@wb.tool(idempotent=True)
def look(key: str) -> str:
    """Look."""
    return key


def view_of(entries):
    view = RunView()
    for entry in entries:
        view.apply(entry)
    return view.full()


@pytest.fixture
def two(bench):
    """Two runs of an agent, the second with a tool call."""
    agent = wb.Agent(wb.models.Scripted(["```python\nfinish(look('a'))\n```"]), tools=[look], workbench=bench)
    agent.run("look at <b>it</b>")
    agent.close()
    agent = wb.Agent(wb.models.Scripted(["It is done."]), workbench=bench)
    agent.run("say")
    agent.close()
    return [run.id for run in reversed(bench.runs())]


def test_a_row_says_what_a_run_was_and_which_tools_it_called(two):
    newest, first = rows()
    assert (newest["title"], newest["tools"], newest["status"]) == ("say", [], "completed")
    assert (first["id"], first["tools"], first["calls"], first["steps"]) == (two[0], ["look"], 1, 1)


def test_presses_open_and_compare_and_what_goes_wrong_is_said(two):
    done = []

    browser = RunBrowser(
        open_run=lambda run: done.append(run.id),
        compare=lambda left, right: done.append((left.id, right.id)),
        fork=lambda run: done.append(["fork", run.id]),
    )
    browser._from_page(None, {"open": two[0]}, None)
    browser._from_page(None, {"compare": two}, None)
    browser._from_page(None, {"compare": [two[0]]}, None)
    browser._from_page(None, "nonsense", None)
    browser._from_page(None, {"fork": two[1]}, None)
    assert done == [two[0], (two[0], two[1]), ["fork", two[1]]]
    browser._from_page(None, {"open": "ffff"}, None)
    assert "there is no run 'ffff'" in browser.table.notice


@pytest.fixture
def form(bench):
    """The form for a run of two steps, whose second calls a tool, and what it has begun."""
    replies = ["```python\nx = 1\n```", "```python\nfinish(look('a'))\n```"]
    agent = wb.Agent(wb.models.Scripted(replies), tools=[look], workbench=bench)
    agent.run("look at it")
    run = bench.last
    begun, drawn = [], []

    def fork(run, *, confirm, **changes):
        begun.append({name: value for name, value in changes.items() if value is not None})
        return run.fork(confirm=confirm, **{name: value for name, value in changes.items() if value is not None})

    form = ForkForm(run, fork=fork, show=drawn.append)
    form.begun, form.drawn = begun, drawn
    yield form
    agent.close()


def test_the_form_of_a_fork_holds_what_was_and_gives_what_was_changed(form):
    assert [label for label, _ in form.step.options] == ["1 · x = 1", "2 · finish(look('a'))"]
    assert (form.step.value, form.code.value, form.prompt.value) == (2, "finish(look('a'))", "look at it")
    assert set(form.changes().values()) == {None}
    form.code.value = "finish(look('b'))"
    form.begin()
    (fork,) = form.drawn
    assert form.begun == [{"step": 2, "code": "finish(look('b'))"}]
    assert fork.result(10) == "b"
    assert f"run {fork.id[:8]} has begun" in form.came.value


def test_the_form_of_a_fork_gives_a_call_another_result_or_says_what_is_wrong_with_it(form):
    form.call.value = 0
    assert form.result.value == '"a"'
    form.result.value = "b"
    form.begin()
    assert "is to be JSON" in form.came.value
    assert form.drawn == []
    form.result.value = '"<b>"'
    form.begin()
    assert form.drawn[0].result(10) == "<b>"
    form.step.value = 1
    assert (form.call.options, form.result.disabled, form.code.value) == ((("no calls", -1),), True, "x = 1")


def test_a_fork_that_repeats_effects_is_begun_by_a_second_press(form):
    asked = []

    def fork(run, *, confirm, **changes):
        asked.append(confirm)
        if not confirm:
            raise EffectsRepeat(["pay(amount=<3>)"])
        return run

    form._fork = fork
    form.begin()
    assert "pay(amount=&lt;3&gt;)" in form.came.value
    assert (form.press.description, form.press.disabled, form.drawn) == ("Fork all the same", False, [])
    form.begin()
    assert (asked, len(form.drawn), form.press.description) == ([False, True], 1, "Fork")


def test_a_fork_says_whose_and_which_steps_it_has_taken_over(form):
    form.code.value = "finish(look('b'))"
    form.begin()
    (fork,) = form.drawn
    fork.result(10)
    view = view_of(fork.entries())
    assert view["summary"]["name"] == f"run {fork.id[:8]}, fork of {form._run.id[:8]}"
    assert [step["aside"] for step in view["steps"]] == ["taken over", ""]
    assert {step["aside"] for step in view_of(form._run.entries())["steps"]} == {""}


@pytest.mark.parametrize(("field", "value"), [("step", 1), ("code", "finish(2)"), ("prompt", "more"), ("model", "m"), ("result", "3")])
def test_another_fork_has_to_be_confirmed_anew(form, field, value):
    form.call.value = 0
    form._fork = lambda run, **_: (_ for _ in ()).throw(EffectsRepeat(["pay()"]))
    form.begin()
    assert form.press.description == "Fork all the same"
    getattr(form, field).value = value
    assert form.press.description == "Fork"
    confirmed = []
    form._fork = lambda run, *, confirm, **_: confirmed.append(confirm) or run
    form.begin()
    assert confirmed == [False]


@pytest.mark.parametrize(
    ("field", "value", "said"), [("code", "finish(", "on line 1"), ("code", " ", "no code"), ("prompt", "", "task is empty")]
)
def test_what_cannot_be_run_is_not_forked(form, field, value, said):
    getattr(form, field).value = value
    form.begin()
    assert said in form.came.value
    assert form.drawn == []


@pytest.mark.parametrize("odd", ["x" * 5_000, "a \u202e b", "half \ud800"])
def test_what_a_page_would_not_show_as_it_is_is_not_changed_in_the_form(bench, odd):
    given = "a" * 5_000 if "\ud800" in odd else odd
    agent = wb.Agent(wb.models.Scripted([f"```python\nfinish(look({given!r}))\n```"]), tools=[look], workbench=bench)
    agent.run(f"see {odd}")
    form = ForkForm(bench.last, fork=None, show=None)
    agent.close()
    assert (form.prompt.value, form.prompt.disabled, form.changes()["prompt"]) == ("", True, None)
    form.call.value = 0
    assert form.result.value == ""
    assert set(form.changes().values()) == {None}


def test_a_model_of_the_same_name_is_not_taken_for_the_runs(two, bench):
    run = wb.open(two[0])
    mine, other = wb.models.Scripted(["```python\nfinish(look('a'))\n```"]), wb.models.Scripted(["other"])
    assert model_of(run, other, {"client": other}) is None
    assert model_of(run, None, {"client": mine, "again": mine}) is mine
    assert model_of(run, None, {"client": mine, "twin": wb.models.Scripted(["```python\nfinish(look('a'))\n```"])}) is None


def test_a_run_without_steps_has_no_form(bench):
    run = wb.start(line(lambda_one), workbench=bench)
    run.result(10)
    with pytest.raises(UserError, match=r"fork\(at="):
        ForkForm(run, fork=None, show=None)


def lambda_one(x):
    return 1


def test_a_run_compared_with_itself_is_the_same():
    view = view_of(SAMPLES["finished"]())
    told = compared(view, view)
    assert told["text/plain"].startswith("All steps are the same.")
    assert "differs" not in told["text/markdown"]


def test_what_differs_is_told_by_sign_and_word_in_every_form():
    told = compared(view_of(SAMPLES["finished"]()), view_of(SAMPLES["failed"]()))
    assert told["text/plain"].startswith("3 of 3 steps differ: 1, 2, 3. They end differently.")
    assert "+ error   ModelUnavailable" in told["text/plain"]
    assert "```diff" in told["text/markdown"]
    assert "≠</b> differs" in told["text/html"]


def test_what_strangers_wrote_is_text_in_a_comparison_and_there_is_no_script():
    class Tags(HTMLParser):
        seen: set[str] = set()  # noqa: RUF012

        def handle_starttag(self, tag, attrs):
            self.seen.add(tag)
            assert not [name for name, _ in attrs if name.startswith("on")]

    for name, sample in SAMPLES.items():
        Tags().feed(compared(view_of(sample()), view_of(SAMPLES["finished"]()))["text/html"])
        assert not Tags.seen & {"script", "img", "iframe", "a", "form", "object"}, name


def test_in_a_notebook_two_runs_are_drawn_and_without_a_page_the_browser_says_so(notebook: Kernel) -> None:
    notebook.run("model = scripted('finish(1)', 'finish(2)')").done()
    notebook.run("%%agent -m model -o one\ngo").done()
    notebook.run("two = one.fork(step=1, code='finish(2)')\nawait two.wait()").done()
    shown = notebook.run("one.compare(two)").done().displays[0]
    assert "1 of 1 steps differ: 1. They end differently." in shown["text/plain"]
    assert "- finish(1)\n+ finish(2)" in shown["text/plain"]
    assert "%runs lists the runs" in usage_error(notebook.run("%runs --browse"))
    assert "no tool is named nothing" in usage_error(notebook.run("%try nothing"))


def typed(name: str, count: int = 1, *, loud: bool = False, tags: list[str] | None = None) -> dict[str, object]:
    """Say what came.

    Args:
        name: Whose.
    """
    if name == "none":
        raise ValueError("no <b>name</b>")
    return {"name": name, "count": count, "loud": loud, "tags": tags}


@pytest.fixture
def trying():
    """A form for a tool; its fields by name."""
    form = TryTool(wb.Tool.from_function(typed, approval=True))
    return form, {field["key"]: widget for field, widget in form._fields}


def test_a_tool_is_called_with_what_the_fields_hold_and_nothing_is_recorded(trying, bench):
    form, fields = trying
    fields["name"].value = "Ana"
    fields["count"].value = "3"
    fields["tags"].value = '["a"]'
    form.call()
    assert "✓ returned" in form.came.value
    assert "&#x27;count&#x27;: 3" in form.came.value
    assert bench.runs() == []


def test_an_error_and_a_value_that_does_not_fit_are_shown_as_text(trying):
    form, fields = trying
    fields["name"].value = "none"
    form.call()
    assert "✕ raised" in form.came.value
    assert "ValueError: no &lt;b&gt;name" in form.came.value
    assert "in typed: raise ValueError(" in form.came.value
    assert "<b>name</b>" not in form.came.value
    fields["count"].value = "many"
    form.call()
    assert "count is to be a whole number; got &#x27;many&#x27;" in form.came.value
    fields["tags"].value = "[1"
    fields["count"].value = "1"
    form.call()
    assert "tags is to be JSON" in form.came.value


def test_what_a_tried_tool_prints_is_shown_with_what_it_returned(capsys):
    def loud(name: str) -> str:
        """Say it."""
        print(f"<b>{name}</b>")
        printing().show("", Picture("image/png", b"\x89PNG", '<"figure">'))
        return "said"

    form = TryTool(wb.Tool.from_function(loud))
    form._fields[0][1].value = "Ana"
    form.call()
    assert "✓ returned" in form.came.value
    assert "&lt;b&gt;Ana&lt;/b&gt;" in form.came.value
    assert 'src="data:image/png;base64,iVBORw=="' in form.came.value
    assert 'alt="&lt;&quot;figure&quot;&gt;"' in form.came.value
    assert capsys.readouterr().out == ""


def test_a_number_that_is_missing_is_asked_for():
    def half(n: int) -> float:
        """Half."""
        return n / 2

    form = TryTool(wb.Tool.from_function(half))
    form.call()
    assert "n has to be filled in" in form.came.value


def test_the_form_says_that_a_try_is_part_of_no_record(trying):
    form, _ = trying
    texts = str([each.value for each in form.children[0].children[0].children if hasattr(each, "value")])
    assert "part of no record" in texts
    assert "you are that person" in texts
    assert "can be tried here" in repr(form)
