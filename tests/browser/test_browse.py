"""The table of runs and the comparison in a real browser: found in the page, worked by keyboard, text as text, no violation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser import page as pages
from tests.browser.page import static_page, view_of
from tests.notebook.sample_run import IMG, SAMPLES
from workbench.notebook.assets import BROWSE, STATIC, small_css, small_js
from workbench.notebook.comparison import compared
from workbench.notebook.wire import BADGES

pytestmark = pytest.mark.browser

STATES = ("completed", "failed", "waiting", "running", "aborted", "interrupted")
HOST = pages.HOST.replace("view: data.view, delta: {}, notice: {}", 'rows: data.rows, notice: ""').replace(
    "widget.initialize({ model });", ""
)


def row(number: int, title: str, **more: Any) -> dict[str, Any]:
    status = STATES[number % 6]
    model = ("openai:gpt-5-mini", "ollama:llama")[number % 2]
    started = f"2026-11-{1 + number % 30:02} 10:00"
    shown = {"model": model, "started": started, "took": "3.2 s", "steps": 3, "calls": 2, "cost": f"${number / 100}", "usd": number / 100}
    made = {"id": f"{number:08x}-0000", "title": title, "status": status, "badge": BADGES[status], "tools": ["send"] * (number % 3 == 0)}
    return made | shown | more


ROWS = [row(number, f"Task number {number}") for number in range(29)] + [row(29, f"The last {IMG}")]


def table(browser: Browser, theme: Any = "light", width: int = 1000) -> Page:
    """A page with the table."""
    page = browser.new_page(viewport={"width": width, "height": 700}, color_scheme=theme)
    data = json.dumps({"rows": ROWS, "esm": small_js("dom.js", "browse.js")}).replace("<", "\\u003c")
    body = f'<div id="first"></div><script type="application/json" id="data">{data}</script><script type="module">{HOST}</script>'
    page.set_content(pages._page(f"<style>{small_css(STATIC, BROWSE)}</style>{body}", theme))
    page.wait_for_function("window.ready")
    return page


def test_runs_are_found_by_words_status_model_and_tool(browser: Browser) -> None:
    page = table(browser)
    expect(page.get_by_text("30 of 30 runs")).to_be_visible()
    page.get_by_label("Search").fill("task 0000000F")
    expect(page.get_by_text("1 of 30 runs")).to_be_visible()
    page.get_by_label("Search").fill("")
    page.get_by_label("Status").select_option("failed")
    page.get_by_label("Model").select_option("ollama:llama")
    expect(page.get_by_text("5 of 30 runs")).to_be_visible()
    page.get_by_label("Tool").select_option("send")
    expect(page.get_by_text("0 of 30 runs")).to_be_visible()
    page.close()


def test_runs_are_found_by_day_and_cost(browser: Browser) -> None:
    page = table(browser)
    page.get_by_label("From", exact=True).fill("2026-11-11")
    expect(page.get_by_text("20 of 30 runs")).to_be_visible()
    page.get_by_label("To", exact=True).fill("2026-11-20")
    expect(page.get_by_text("10 of 30 runs")).to_be_visible()
    page.get_by_label("Cost from $").fill("0.15")
    expect(page.get_by_text("5 of 30 runs")).to_be_visible()
    page.get_by_label("Cost from $").fill("")
    expect(page.get_by_text("10 of 30 runs")).to_be_visible()
    page.close()


def test_one_run_is_forked(browser: Browser) -> None:
    page = table(browser)
    fork = page.get_by_role("button", name="Fork…")
    expect(fork).to_be_disabled()
    page.get_by_label("choose run 00000001").check()
    fork.click()
    page.get_by_label("choose run 00000004").check()
    expect(fork).to_be_disabled()
    assert page.evaluate("host.sent") == [{"fork": "00000001-0000"}]
    page.close()


def test_a_run_is_opened_and_two_are_compared_by_keyboard(browser: Browser) -> None:
    page = table(browser)
    compare = page.get_by_role("button", name="Compare")
    expect(compare).to_be_disabled()
    page.get_by_label("choose run 00000001").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_label("choose run 00000004").focus()
    page.keyboard.press("Space")
    expect(compare).to_be_enabled()
    compare.press("Enter")
    assert page.evaluate("host.sent") == [{"open": "00000001-0000"}, {"compare": ["00000001-0000", "00000004-0000"]}]
    page.close()


def test_a_title_is_text_and_new_rows_keep_what_was_searched(browser: Browser) -> None:
    page = table(browser)
    page.get_by_label("Search").fill("last")
    assert page.locator("img").count() == 0
    expect(page.get_by_role("button", name="The last")).to_be_visible()
    page.evaluate("(rows) => host.model.set('rows', rows)", [*ROWS, row(30, "The last one")])
    expect(page.get_by_text("2 of 31 runs")).to_be_visible()
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1000, 500])
def test_table_and_comparison_have_no_violation(browser: Browser, theme: Any, width: int) -> None:
    page = table(browser, theme, width)
    out = pages.ROOT / "out" / "screenshots"
    out.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=out / f"browse-{theme}-{width}.png", full_page=True)
    assert violations(page) == []
    left, right = (view_of(SAMPLES[name]()).full() for name in ("finished", "failed"))
    page.set_content(static_page(compared(left, right)["text/html"], theme))
    page.screenshot(path=out / f"compare-{theme}-{width}.png", full_page=True)
    assert violations(page) == []
    page.close()


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong in the section, by WCAG 2 AA."""
    found = Axe().run(page, context="section", options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]})
    return [f"{each['id']}: {[node['target'] for node in each['nodes']][:3]}" for each in found.response["violations"]]
