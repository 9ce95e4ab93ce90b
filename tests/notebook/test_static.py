"""The static view: small whatever the record holds, inert, and readable when a renderer strips its style."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import mistune
import pytest

from tests.notebook.sample_run import IMG, SAMPLES
from workbench.notebook.static import HTML_LIMIT, RUN_MIME, bundle, static_html
from workbench.notebook.view import RunView
from workbench.notebook.wire import View

DROPPED = {"style", "script", "svg"}
KEPT = {
    "section",
    "div",
    "p",
    "h3",
    "h4",
    "pre",
    "span",
    "i",
    "b",
    "code",
    "ol",
    "li",
    "details",
    "summary",
    "small",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}


def view_of(name: str) -> View:
    view = RunView()
    for entry in SAMPLES[name]():
        view.apply(entry)
    return view.full()


DATA = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+")


class Sanitised(HTMLParser):
    """What a sanitiser leaves: no style, script or drawing, with their contents; no attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.pictures: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "img":  # it has no end
            self.pictures.append(dict(attrs))
            return
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not DROPPED & set(self.open):
            self.text += data


@pytest.mark.parametrize("name", SAMPLES)
def test_the_html_is_well_formed_inert_and_small(name: str) -> None:
    html = static_html(view_of(name))
    page = Sanitised(html)
    assert page.open == []
    assert page.tags <= KEPT | DROPPED | {"path", "img"}
    assert all(picture.keys() == {"class", "src", "alt"} and DATA.fullmatch(picture["src"] or "") for picture in page.pictures)
    assert "script" not in page.tags
    assert [name for name in page.attributes if name.startswith("on") or name in ("href", "src", "style", "id")] == []
    assert len(html.encode()) <= HTML_LIMIT


@pytest.mark.parametrize("name", SAMPLES)
def test_all_forms_together_take_less_than_100_kb_of_a_notebook(name: str) -> None:
    assert len(json.dumps(bundle(view_of(name)), ensure_ascii=False).encode()) <= 100_000


@pytest.mark.parametrize("name", SAMPLES)
def test_every_form_says_how_the_run_stands_in_words(name: str) -> None:
    view = view_of(name)
    forms = bundle(view)
    word = view["summary"]["badge"]["word"]
    assert word in Sanitised(forms["text/html"]).text
    assert word in forms["text/markdown"]
    assert word in forms["text/plain"]


def test_what_a_tool_printed_and_drew_is_in_its_call() -> None:
    view = view_of("printed")
    forms = bundle(view)
    html = Sanitised(forms["text/html"])
    assert [picture["alt"] for picture in html.pictures] == ["<Figure size 640x240 with 1 Axes>"]
    assert html.text.index("plot(") < html.text.index("3 symbols, 5 days") < html.text.index("'drawn'") < html.text.index("writing 12 kB")
    assert "| 3 symbols, 5 days\n" in forms["text/markdown"]
    assert "| [<Figure size 640x240 with 1 Axes>]\n→ 'drawn'" in forms["text/markdown"]


def test_a_picture_without_room_leaves_its_name_and_where_to_see_it() -> None:
    view = view_of("printed")
    (picture,) = view["steps"][0]["calls"][0]["pictures"]
    picture["src"] = "data:image/png;base64," + "A" * HTML_LIMIT
    html = Sanitised(static_html(view))
    assert html.pictures == []
    assert "<Figure size 640x240 with 1 Axes>, which has no room here; run.view() draws it" in html.text


def test_where_a_tool_raised_is_one_click_away() -> None:
    html = static_html(view_of("failed"))
    assert '<details class="more"><summary>Traceback</summary><pre>cell:7 in get_price: ' in html
    assert html.count("Traceback") == 1, "the model's failure is nobody's code"
    assert "got -1\n  at cell:7 in get_price: " in bundle(view_of("failed"))["text/markdown"]


def test_very_many_long_tracebacks_leave_a_saved_view_small() -> None:
    view = view_of("failed")
    call = view["steps"][1]["calls"][0]
    assert call["error"] is not None
    call["error"]["trace"] = "\n".join(f"cell:{line} in <deep>: " + "<" * 300 for line in range(12))
    view["steps"] = [{**view["steps"][1], "index": index, "calls": [call] * 100} for index in range(300)]
    assert len(static_html(view).encode()) <= HTML_LIMIT
    assert len(json.dumps(bundle(view), ensure_ascii=False).encode()) <= 100_000


def test_stripped_of_style_it_tells_the_whole_story_in_order() -> None:
    text = Sanitised(static_html(view_of("finished"))).text
    story = [
        "\u2713 done",
        "Compare the prices",
        "3 steps \u00b7 3.8 s",
        "Answer",
        "'best': 'NVDA'",
        "model 3.1 s",
        "Timeline as a table",
        "1 \u00b7 ran 7 lines",
        "\u2713 done \u00b7 $0.00041 \u00b7 2.0 s",
        "Thought",
        "Code",
        "for symbol in symbols:",
        "Tool calls",
        "get_price(symbol='AAPL', days=5)",
        "\u2192 {'symbol': 'AAPL'",
        "Output",
        "NVDA: +10.64%",
        "2 \u00b7 ran 4 lines",
        "NameError on line 3",
    ]
    places = [text.find(words) for words in story]
    assert -1 not in places
    assert places == sorted(places)


def test_code_keeps_its_lines_when_spans_mean_nothing() -> None:
    text = Sanitised(static_html(view_of("finished"))).text
    assert "best = max(change, key=change.get)\nrows = [(name, round(100 * value, 2)) for name, value in change.items()]\n" in text


def test_what_strangers_wrote_stays_text_in_every_form() -> None:
    forms = bundle(view_of("hostile"))
    assert Sanitised(forms["text/html"]).text.count(IMG) > 15
    rendered = mistune.create_markdown(escape=False, plugins=["table"])(forms["text/markdown"])
    assert isinstance(rendered, str)
    assert re.search(r"<(img|script)\b", rendered) is None
    assert IMG in forms["text/plain"]


def test_a_long_run_keeps_its_beginning_its_errors_and_its_end() -> None:
    view = view_of("long")
    html = static_html(view)
    drawn = [int(number) for number in re.findall(r'<span class="no">(\d+)</span>', html)]
    assert {1, 2, 40, 280, 300, 301} <= set(drawn)
    assert drawn == sorted(drawn)
    assert f"{301 - len(drawn)} of 301 steps are left out here" in html


def test_the_style_is_scoped_to_this_run() -> None:
    html = static_html(view_of("finished"))
    assert html.startswith('<section class="wb-6f1c2b7e"><style>.wb-6f1c2b7e{')


def test_the_bundle_points_to_the_record() -> None:
    view = view_of("finished")
    assert bundle(view, head_hash="ab" * 32)[RUN_MIME] == {"run_id": view["run"], "seq": view["seq"], "head_hash": "ab" * 32}


def test_plain_text_is_one_line_a_step() -> None:
    lines: list[Any] = bundle(view_of("failed"))["text/plain"].splitlines()
    assert lines[0].startswith("\u2715 failed: Compare")
    assert lines[2].startswith("Error in step 3: ModelUnavailable: 503")
    assert len(lines) == 6


def test_a_line_break_at_the_start_of_output_survives() -> None:
    view = view_of("finished")
    view["steps"][0]["prints"] = {"text": "\nindented", "length": 9, "cut": False}
    assert "<pre>\n\nindented</pre>" in static_html(view)
