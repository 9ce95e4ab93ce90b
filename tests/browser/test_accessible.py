"""The views are held against WCAG 2 AA by axe-core: running, waiting and finished, in light and dark, live and saved."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.page import live_page, show, static_page, view_of
from tests.browser.test_run_widget import OPEN_ALL
from tests.notebook.sample_run import SAMPLES
from workbench.notebook.static import static_html

pytestmark = pytest.mark.browser

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RUN = """() => axe.run("section", { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }).then(({ violations, passes }) => ({
    passed: passes.length,
    found: violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ").slice(0, 400)}`),
}))"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    yield page
    page.close()


def found(page: Page) -> Any:
    page.evaluate(OPEN_ALL)
    page.wait_for_timeout(150)
    page.evaluate(AXE)
    told = page.evaluate(RUN)
    assert told["passed"] > 5
    return told["found"]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["running", "waiting", "approval", "decided", "questions", "failed", "finished"])
def test_a_live_view_has_no_violation(page: Page, name: str, theme: str) -> None:
    show(page, live_page(view_of(SAMPLES[name]()).full(), theme))
    assert found(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["decided", "failed", "finished"])
def test_a_saved_view_has_no_violation(page: Page, name: str, theme: str) -> None:
    show(page, static_page(static_html(view_of(SAMPLES[name]()).full()), theme))
    assert found(page) == []
