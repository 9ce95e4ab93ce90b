"""The live and static view of a run in a real browser, outside Jupyter: what strangers wrote stays text, and the page keeps its manners."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.page import live_page, show, static_page, view_of
from tests.notebook.sample_run import IMG, MAIL, SAMPLES, answered, approval, finished, long, questions, running, waiting
from workbench.agents.codeact import CODEACT
from workbench.notebook.static import static_html
from workbench.notebook.view import RunView
from workbench.record.envelope import AnyEntry

pytestmark = pytest.mark.browser

THEMES = ["light", "dark"]
OPEN_ALL = "() => document.querySelectorAll('details').forEach((each) => (each.open = true))"
PUSH = "(delta) => host.model.set('delta', delta)"
CONTRAST = """
() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const over = (color, below) => {
    canvas.fillStyle = below; canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const css = (rgb) => `rgb(${rgb.join()})`;
  const ground = (node) => node ? over(getComputedStyle(node).backgroundColor, css(ground(node.parentElement))) : [255, 255, 255];
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad = [];
  const walk = document.createTreeWalker(document.querySelector("section"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.checkVisibility() || node.closest("style, .sep, :disabled")) continue;
    const below = ground(node);
    const [a, b] = [light(over(getComputedStyle(node).color, css(below))), light(below)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push([walk.currentNode.data, (a + 0.05) / (b + 0.05)]);
  }
  return bad;
}
"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


class Watched:
    """A page that follows a record, entry by entry."""

    def __init__(self, page: Page, entries: list[AnyEntry]) -> None:
        self.page = page
        self.view = RunView()
        for entry in entries:
            self.view.apply(entry)
        show(page, live_page(self.view.full()))

    def push(self, entries: list[AnyEntry], pieces: list[dict[str, Any]] | None = None) -> None:
        since = self.view.version
        for entry in entries:
            self.view.apply(entry)
        for piece in pieces or []:
            self.view.feed(piece)
        self.page.evaluate(PUSH, json.loads(json.dumps(self.view.delta(since))))

    def open_steps(self) -> list[int]:
        return self.page.eval_on_selector_all(".step", "(steps) => steps.flatMap((s, i) => (s.open ? [i + 1] : []))")


def test_what_a_tool_prints_is_in_its_call_as_it_comes_with_the_newest_line_in_sight(page: Page) -> None:
    entries = SAMPLES["printed"]()
    watched = Watched(page, entries)
    call_id = entries[-1].header.exec_id
    watched.push([], [{"type": "print", "exec_id": call_id, "text": "".join(f"line {n}\n" for n in range(200))}])
    said = page.locator(".calls li").nth(2).locator(".said pre")
    assert said.inner_text().endswith("line 199\n")
    top, height, whole = said.evaluate("(pre) => [pre.scrollTop, pre.clientHeight, pre.scrollHeight]")
    assert whole > height
    assert abs(top) < 1, "from the end, where the newest line is"
    assert page.locator(".calls img").evaluate("(img) => img.naturalWidth") == 640
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.locator(".calls img").evaluate(
        "(img) => img.getBoundingClientRect().right <= img.closest('li').getBoundingClientRect().right"
    )


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("kind", ["live", "static"])
def test_what_strangers_wrote_stays_text(page: Page, kind: str, theme: str) -> None:
    view = view_of(SAMPLES["hostile"]()).full()
    show(page, live_page(view, theme) if kind == "live" else static_page(static_html(view), theme))
    page.evaluate(OPEN_ALL)
    page.wait_for_timeout(200)
    assert page.evaluate("[window.pwned, document.title]") == [None, "run"]
    assert page.evaluate("[...document.images].map((each) => each.src.slice(0, 22))") == ["data:image/png;base64,"]
    assert page.locator("section").inner_text().count(IMG) > 12
    assert page.locator("section script, section img:not(.said), section iframe").count() == 0


@pytest.mark.parametrize("name", ["finished", "answered", "failed", "graph", "branches", "hostile"])
def test_a_page_that_followed_looks_like_one_that_opened_at_the_end(browser: Browser, page: Page, name: str) -> None:
    entries = SAMPLES[name]()
    followed = Watched(page, entries[:1])
    for entry in entries[1:]:
        followed.push([entry])
    other = browser.new_page()
    show(other, live_page(view_of(entries).full()))
    for each in (page, other):
        each.evaluate(OPEN_ALL)
        each.wait_for_timeout(100)
    assert page.locator("#first").inner_text() == other.locator("#first").inner_text()
    other.close()


def test_a_view_opened_later_draws_everything_without_python(page: Page) -> None:
    entries = waiting()
    watched = Watched(page, entries[:8])
    watched.push(entries[8:])
    page.evaluate("() => host.open('second')")
    assert page.locator("#second .step").count() == 2
    assert page.locator("#second .ask.open button").count() == 3
    assert page.evaluate("host.sent") == []


def test_a_gap_asks_for_the_whole_view(page: Page) -> None:
    entries = finished()
    watched = Watched(page, entries[:8])
    for entry in entries[8:]:
        watched.view.apply(entry)
    page.evaluate(PUSH, json.loads(json.dumps(watched.view.delta(watched.view.version - 1))))
    assert {"type": "refresh"} in page.evaluate("host.sent")
    page.evaluate("(view) => host.model.set('view', view)", json.loads(json.dumps(watched.view.full())))
    assert page.get_by_role("status").inner_text() == "✓done"
    assert page.locator(".step").count() == 3


def test_the_newest_step_is_open_and_a_failed_one_stays_so(page: Page) -> None:
    entries = finished()
    starts = [place for place, entry in enumerate(entries) if entry.header.name == "task_llm" and entry.phase == "started"]
    watched = Watched(page, entries[: starts[0] + 1])
    assert watched.open_steps() == [1]
    watched.push(entries[starts[0] + 1 : starts[1] + 1])
    assert watched.open_steps() == [2]
    watched.push(entries[starts[1] + 1 : starts[2] + 1])
    assert watched.open_steps() == [2, 3]
    watched.push(entries[starts[2] + 1 :])
    assert watched.open_steps() == [2]


def test_what_a_person_opened_or_closed_stays_so(page: Page) -> None:
    entries = finished()
    starts = [place for place, entry in enumerate(entries) if entry.header.name == "task_llm" and entry.phase == "started"]
    watched = Watched(page, entries[: starts[1] + 1])
    page.locator(".step summary").nth(0).click()
    page.locator(".step summary").nth(1).press("Enter")
    assert watched.open_steps() == [1]
    watched.push(entries[starts[1] + 1 :])
    assert watched.open_steps() == [1]


def test_text_streams_into_its_step(page: Page) -> None:
    entries = running()
    started = next(place for place, entry in enumerate(entries) if entry.header.name == "task_llm")
    watched = Watched(page, entries[: started + 1])
    for text in ("I need ", "the prices"):
        watched.push([], [{"type": "text", "exec_id": entries[started].header.exec_id, "text": text}])
    assert "Reply so far\nI need the prices" in page.locator(".step").inner_text()
    watched.push(entries[started + 1 : started + 2])
    assert "Reply so far" not in page.locator(".step").inner_text()


def test_300_steps_are_windowed_and_all_within_reach(page: Page) -> None:
    show(page, live_page(view_of(long(300)).full()))
    assert page.locator(".step").count() == 100
    for _ in range(3):
        page.locator("button.earlier").click()
    assert page.locator(".step").count() == 301
    assert page.locator("button.earlier").is_hidden()
    numbers = page.eval_on_selector_all(".step .no", "(all) => all.map((each) => Number(each.textContent))")
    assert numbers == list(range(1, 302))


def test_a_growing_run_stays_windowed_and_does_not_scroll(page: Page) -> None:
    entries = long(260)
    watched = Watched(page, entries[:100])
    page.mouse.wheel(0, 4000)
    page.wait_for_timeout(100)
    before = page.evaluate("scrollY")
    watched.push(entries[100:180])
    assert page.evaluate("scrollY") == before
    page.evaluate("document.getElementById('first').style.marginTop = '-20000px'")
    for start in range(180, len(entries) - 6, 80):
        watched.push(entries[start : start + 80])
    assert page.locator(".step").count() <= 200


def test_a_decision_is_sent_once_with_what_was_shown(page: Page) -> None:
    watched = Watched(page, waiting())
    card = page.locator(".ask.open")
    assert "Did the call of send_email happen" in card.inner_text()
    card.locator("textarea").fill("{sent: 2}")
    card.get_by_role("button", name="It happened").click()
    assert "This is not JSON" in card.get_by_role("alert").inner_text()
    assert page.evaluate("host.sent") == []
    card.locator("textarea").fill('{"sent": 2}')
    card.get_by_role("button", name="It happened").click()
    assert card.locator("button:disabled").count() == 3
    request_id = watched.view.full()["steps"][1]["requests"][0]["id"]
    assert page.evaluate("host.sent") == [
        {
            "type": "decide",
            "request_id": request_id,
            "decision": "happened",
            "value_json": '{"sent": 2}',
            "note": None,
            "subject_hash": "cd" * 32,
        }
    ]
    watched.push(answered()[len(waiting()) :])
    assert page.locator(".ask.open").count() == 0


def test_other_decisions_need_no_result_and_a_refusal_lets_one_try_again(page: Page) -> None:
    Watched(page, waiting())
    page.get_by_role("button", name="It did not (run it)").click()
    sent = page.evaluate("host.sent")
    assert [(each["decision"], each["value_json"]) for each in sent] == [("did_not_happen", None)]
    page.evaluate("() => host.model.set('notice', { id: 1, text: 'already decided by ben' })")
    assert page.locator(".notice").inner_text() == "already decided by ben"
    assert page.locator(".ask.open button:disabled").count() == 0


def sent(page: Page) -> list[tuple[str, Any, Any]]:
    return [(each["decision"], each["value_json"], each["note"]) for each in page.evaluate("host.sent")]


def test_a_call_is_approved_as_it_is_or_as_changed_or_rejected_with_a_note(page: Page) -> None:
    for act in ("as it is", "changed", "rejected"):
        Watched(page, approval())
        card = page.locator(".ask.open")
        edited = card.get_by_role("button", name="Approve edited")
        assert edited.is_disabled()
        if act == "changed":
            card.get_by_text("Change the arguments").click()
            card.locator("textarea.to").fill('["ana@example.org"]')
            card.locator("input.copies").fill("2")
            card.locator("select.urgent").select_option("yes")
            edited.click()
        elif act == "rejected":
            card.locator("textarea.note").fill("not to the board")
            card.get_by_role("button", name="Reject").click()
        else:
            card.get_by_role("button", name="Approve", exact=True).click()
        ((decision, value, note),) = sent(page)
        changed = MAIL | {"to": ["ana@example.org"], "copies": 2, "urgent": True}
        assert decision == ("rejected" if act == "rejected" else "approved")
        assert (value and json.loads(value)) == (changed if act == "changed" else None)
        assert note == ("not to the board" if act == "rejected" else None)
        assert card.locator("button:enabled, :is(textarea, input, select):enabled").count() == 0


def test_questions_take_a_press_or_a_text_or_json(page: Page) -> None:
    Watched(page, questions())
    cards = page.locator(".ask.open")
    cards.nth(0).get_by_role("button", name="decline").click()
    cards.nth(1).get_by_role("button", name="No").click()
    cards.nth(2).locator("textarea").fill("12")
    percent = cards.nth(3).locator("input.percent")
    for wrong, said in (("five", "percent: five is not a number"), ("", "percent is needed")):
        percent.fill(wrong)
        cards.nth(3).get_by_role("button", name="Answer").click()
        assert cards.nth(3).get_by_role("alert").inner_text() == said
    percent.fill("5")
    cards.nth(4).locator("textarea").fill("not {json}")
    for place in (2, 3, 4):
        cards.nth(place).get_by_role("button", name="Answer").click()
    assert [value for _, value, _ in sent(page)] == ['"decline"', "false", '"12"', '{"percent": 5}', '"not {json}"']
    assert {decision for decision, _, _ in sent(page)} == {"answered"}


def test_a_kind_without_buttons_says_how_code_answers_it(page: Page) -> None:
    view = view_of(approval()).full()
    view["steps"][1]["requests"][0].update(choices=[], fields=[], code="wb.open('6f1c2b7e').pending")
    show(page, live_page(view))
    card = page.locator(".ask.open")
    assert card.locator("button").count() == 0
    assert "Answer it in code: wb.open('6f1c2b7e').pending" in card.inner_text()


@pytest.mark.parametrize("kind", ["live", "static"])
def test_the_bars_of_branches_do_not_lie_on_each_other(page: Page, kind: str) -> None:
    view = view_of(SAMPLES["branches"]()).full()
    lab = "<style>.host svg { height: auto; max-width: 100% }</style>"  # as JupyterLab has it
    show(page, live_page(view) if kind == "live" else static_page(f'{lab}<div class="host">{static_html(view)}</div>'))
    heights = page.eval_on_selector_all(".track", "(tracks) => tracks.map((track) => track.getBoundingClientRect().height)")
    assert heights == [20, 7 + 13 * 4]
    drawn = page.eval_on_selector_all(".track svg", "(rows) => rows.map((row) => row.getBoundingClientRect().height)")
    assert drawn == ([] if kind == "live" else [13] * 5)
    if kind == "live":
        tops = page.eval_on_selector_all(".bar.tasks", "(bars) => [...new Set(bars.map((bar) => bar.offsetTop))].sort((a, b) => a - b)")
        assert tops == [4, 17, 30, 43]


def test_a_short_run_has_the_whole_timeline(page: Page) -> None:
    entries = SAMPLES["questions"]()
    show(page, live_page(view_of(entries).full() | {"summary": view_of(entries).full()["summary"] | {"live": False}}))
    assert page.locator(".axis").inner_text().split() == ["0", "500", "ms"]
    ends = page.eval_on_selector_all(".bar", "(bars) => Math.max(...bars.map((bar) => bar.getBoundingClientRect().right))")
    track = page.eval_on_selector(".track", "(track) => track.getBoundingClientRect().right")
    assert abs(ends - track) <= 2


def test_a_headline_is_never_cut(page: Page) -> None:
    view = view_of(finished()).full()
    view["steps"][0]["headline"] = "ran 7 lines, called " + ", ".join(f"a_rather_long_name_{number}" for number in range(9))
    for html in (live_page(view), static_page(static_html(view))):
        show(page, html)
        say = page.locator(".say").first
        assert say.evaluate("(node) => node.scrollWidth <= node.clientWidth && getComputedStyle(node).textOverflow === 'clip'")
        assert "a_rather_long_name_8" in say.inner_text()


def test_a_live_clock_and_its_timeline_agree(page: Page) -> None:
    Watched(page, running())
    page.wait_for_timeout(1300)
    facts, axis = page.locator(".facts span").nth(1), page.locator(".axis span").last
    assert facts.inner_text() == axis.inner_text()


def test_what_is_being_typed_survives_an_update(page: Page) -> None:
    watched = Watched(page, waiting())
    page.locator("textarea").type('{"se')
    watched.view.tick(watched.view.state.created_at.replace(year=2027))  # type: ignore[union-attr]
    watched.push([])
    page.keyboard.type('nt": 2}')
    assert page.locator("textarea").input_value() == '{"sent": 2}'


def test_stop_is_pressed_once(page: Page) -> None:
    Watched(page, running())
    page.get_by_role("button", name="Stop").click()
    assert page.get_by_role("button", name="Stopping…").is_disabled()
    assert page.evaluate("host.sent") == [{"type": "stop"}]


def test_the_timeline_is_worked_by_keyboard_and_selects_a_step(page: Page) -> None:
    Watched(page, finished())
    bars = page.locator(".bar")
    assert page.locator(".bar[tabindex='0']").count() == 1
    bars.first.focus()
    page.keyboard.press("ArrowRight")
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label == "code, step 1, 627 ms, done"
    page.keyboard.press("Enter")
    assert page.locator(".step").first.get_attribute("open") is not None
    page.locator(".more > summary").last.click()
    page.locator("tbody tr").first.wait_for()
    assert page.locator("tbody tr").count() == bars.count()


def test_copy_takes_the_code_without_line_numbers(browser: Browser) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.route("https://run.test/", lambda route: route.fulfill(content_type="text/html", body=live_page(view_of(finished()).full())))
    page.goto("https://run.test/")
    page.wait_for_function("window.ready")
    page.get_by_role("button", name="Copy the code").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").startswith("best = max(change, key=change.get)\nrows = [")
    context.close()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", ["waiting", "failed", "finished", "branches", "questions", "decided"])
def test_every_text_has_contrast(page: Page, name: str, theme: str) -> None:
    view = view_of(SAMPLES[name]()).full()
    for html in (live_page(view, theme), static_page(static_html(view), theme)):
        show(page, html)
        page.evaluate(OPEN_ALL)
        page.wait_for_timeout(200)
        assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("scheme", THEMES)
def test_without_a_host_the_readers_preference_decides(browser: Browser, scheme: Any) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.set_content(f"<html><body>{static_html(view_of(finished()).full())}</body></html>")
    ground = page.eval_on_selector("section", "(node) => getComputedStyle(node).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 28)"}[scheme]
    page.emulate_media(media="print")
    assert page.eval_on_selector("section", "(node) => getComputedStyle(node).backgroundColor") == "rgb(255, 255, 255)"
    page.close()


def test_motion_is_left_out_for_those_who_ask(browser: Browser) -> None:
    page = browser.new_page(reduced_motion="reduce")
    show(page, live_page(view_of(running()).full()))
    animated = "() => document.getAnimations().length"
    assert page.evaluate(animated) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(animated) > 0
    page.close()


def test_nothing_is_wider_than_a_narrow_page(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 420, "height": 700})
    for name in ("waiting", "hostile", "failed", "branches", "approval", "decided", "questions"):
        view = view_of(SAMPLES[name]()).full()
        for html in (live_page(view), static_page(static_html(view))):
            show(page, html)
            page.evaluate(OPEN_ALL)
            page.wait_for_timeout(100)
            assert page.evaluate("document.documentElement.scrollWidth") == 420
    page.close()


def test_a_closed_view_listens_no_more(page: Page) -> None:
    Watched(page, running())
    before = page.evaluate("host.listeners.length")
    page.evaluate("() => host.close()")
    assert page.evaluate("host.listeners.length") == before - 4


def test_an_emptied_view_says_where_the_run_is(page: Page) -> None:
    show(page, live_page({}))
    assert page.locator("#first").inner_text() == "This run has ended; run.show() draws it."


def tabbed(page: Page, rows: dict[str, dict[str, Any]]) -> None:
    """Answer what a tab asks for, as the kernel would."""
    page.evaluate(
        """(rows) => {
            host.model.send = (message) => {
                host.sent.push(message);
                const page = rows[message.what];
                const hear = host.listeners.filter(([event]) => event === "msg:custom");
                if (page) hear.forEach(([, act]) => act({ what: message.what, ...page, after: message.after }));
            };
        }""",
        rows,
    )


def test_the_graph_shows_where_the_run_has_been_and_is(page: Page) -> None:
    view = view_of(running()).full()
    view["way"] = {"now": ["task_execute"], "times": {"task_user": 1, "task_execute": 2}, "taken": {"Start->task_user": 1}}
    show(page, live_page(view))
    tabbed(page, {"graph": {"total": 1, "rows": [{"svg": CODEACT.to_svg()}]}})
    page.get_by_role("tab", name="Graph").click()
    lit = page.evaluate("""() => {
        const root = document.querySelector(".graph").shadowRoot;
        const names = (kind, what) => [...root.querySelectorAll(`.${kind}[data-${what}]`)].map((node) => node.dataset[what]);
        return [names("now", "node"), names("was", "node"), names("was", "edge")];
    }""")
    assert lit == [["task_execute"], ["Start", "task_user", "task_execute"], ["Start->task_user"]]
    assert "Now at task_execute." in page.get_by_role("tabpanel").inner_text()


def test_a_drawing_with_anything_that_acts_is_not_shown(page: Page) -> None:
    for hostile in ("<script>window.pwned = 1</script>", '<g onload="window.pwned = 1"/>', '<a href="https://e"/>', "<foreignObject/>"):
        show(page, live_page(view_of(running()).full()))
        tabbed(page, {"graph": {"total": 1, "rows": [{"svg": f'<svg xmlns="http://www.w3.org/2000/svg">{hostile}</svg>'}]}})
        page.get_by_role("tab", name="Graph").click()
        assert page.evaluate("document.querySelector('.graph').shadowRoot.textContent").endswith("This is no drawing of a graph.")
        assert page.evaluate("window.pwned") is None


def test_the_record_is_asked_for_page_by_page_as_it_is_scrolled(page: Page) -> None:
    view = view_of(running()).full() | {"seq": 10_000}
    show(page, live_page(view))
    tabbed(page, {"record": {"total": 100, "rows": [{"seq": "7", "kind": "tool call", "what": IMG, "at": "09:30", "hash": "ab12"}] * 100}})
    page.get_by_role("tab", name="Record").click()
    assert page.evaluate("host.sent") == [{"type": "page", "what": "record", "after": 0}]
    page.locator(".record").evaluate("(box) => { box.scrollTop = 24 * 5000 }")
    page.wait_for_function("host.sent.length > 1")
    assert page.evaluate("host.sent.at(-1).after") in (4900, 5000)
    assert page.locator("button.line").count() < 80
    assert page.evaluate("[window.pwned, document.images.length]") == [None, 0]


def test_messages_come_a_page_at_a_time(page: Page) -> None:
    show(page, live_page(view_of(running()).full()))
    said = {"role": "user", "step": 3, "body": {"text": IMG, "length": len(IMG), "cut": False}}
    tabbed(page, {"messages": {"total": 3, "rows": [said, said]}})
    page.get_by_role("tab", name="Messages").click()
    assert page.locator(".messages li").count() == 2
    page.get_by_role("button", name="Show more").click()
    assert page.evaluate("host.sent.map((each) => each.after)") == [0, 2]
    assert page.locator(".messages li").all_inner_texts()[0].endswith(IMG)


def test_steps_are_gone_through_with_j_and_k_and_jupyterlab_leaves_these_keys_alone(page: Page) -> None:
    Watched(page, finished())
    page.locator(".step > summary").first.focus()
    for key in ("j", "j", "k"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.querySelector('.no').textContent") == "2"
    assert page.locator("section").get_attribute("data-lm-suppress-shortcuts") == "true"


def test_a_block_of_code_is_shown_coloured_and_changed_with_its_difference_before_the_eyes(page: Page) -> None:
    Watched(page, SAMPLES["decided"]())
    card = page.locator(".ask.open")
    assert card.locator("pre.code .k").first.inner_text() == "for"
    card.get_by_text("Change the code").click()
    card.locator("textarea.code").fill("for name in old:\n    print(name)")
    assert card.locator(".diff .del").inner_text().strip() == "-     delete(name)"
    assert card.locator(".diff .add").inner_text().strip() == "+     print(name)"
    card.get_by_role("button", name="Approve edited").click()
    assert sent(page) == [("approved", '{"code": "for name in old:\\n    print(name)"}', None)]


def test_what_a_person_changed_and_rows_are_drawn(page: Page) -> None:
    view = view_of(SAMPLES["decided"]()).full()
    for html in (live_page(view), static_page(static_html(view))):
        show(page, html)
        page.evaluate(OPEN_ALL)
        card = page.locator(".ask").first
        assert "Approved by ana at 2026-03-02" in card.inner_text()
        assert card.locator(".diff .add").all_inner_texts()[-1].strip() == "+ subject='Prices, week 9'"
        assert page.locator(".calls table th").all_inner_texts() == ["symbol", "first", "last", "risen"]
