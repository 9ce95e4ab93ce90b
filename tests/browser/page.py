"""Pages that host a view outside Jupyter: the live widget with a stand-in for anywidget's model, and the static HTML as it is.

`python -m tests.browser.page [sample …]` draws every sample in light and dark, wide and narrow, into out/screenshots/.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.notebook.sample_run import SAMPLES
from workbench.notebook.assets import LIVE, STATIC, small_css, small_js
from workbench.notebook.static import static_html
from workbench.notebook.view import RunView
from workbench.record.envelope import AnyEntry

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
LAB = {
    "light": "--jp-layout-color0:#fff;--jp-ui-font-family:system-ui,sans-serif;--jp-code-font-family:monospace;background:#fff",
    "dark": "--jp-layout-color0:#111;--jp-ui-font-family:system-ui,sans-serif;--jp-code-font-family:monospace;background:#111",
}
HOST = """
const data = JSON.parse(document.getElementById("data").textContent);
const listeners = [];
const state = { view: data.view, delta: {}, notice: {} };
const model = {
  get: (name) => state[name],
  set: (name, value) => {
    state[name] = value;
    for (const [event, act] of [...listeners]) if (event === `change:${name}`) act();
  },
  on: (event, act) => listeners.push([event, act]),
  off: (event, act) => {
    const at = listeners.findIndex((each) => each[0] === event && each[1] === act);
    if (at >= 0) listeners.splice(at, 1);
  },
  save_changes: () => {},
  send: (message) => host.sent.push(message),
};
const { default: widget } = await import(URL.createObjectURL(new Blob([data.esm], { type: "text/javascript" })));
const host = (window.host = { model, state, sent: [], listeners });
host.open = (id) => widget.render({ model, el: document.getElementById(id) });
widget.initialize({ model });
host.close = host.open("first");
window.ready = true;
"""


def view_of(entries: list[AnyEntry]) -> RunView:
    """The view of a record."""
    view = RunView()
    for entry in entries:
        view.apply(entry)
    return view


def live_page(view: Any, theme: str = "light") -> str:
    """A page with the live widget, as JupyterLab would hold it."""
    data = json.dumps({"view": view, "esm": small_js()}).replace("<", "\\u003c")
    body = f'<div id="first"></div><div id="second"></div><script type="application/json" id="data">{data}</script>'
    return _page(f'<style>{small_css(STATIC, LIVE)}</style>{body}<script type="module">{HOST}</script>', theme)


def static_page(html: str, theme: str = "light") -> str:
    """A page with the static view."""
    return _page(html, theme)


def _page(body: str, theme: str) -> str:
    light = str(theme == "light").lower()
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>run</title></head>'
        f'<body data-jp-theme-light="{light}" style="margin:12px;{LAB[theme]}">{body}</body></html>'
    )


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser that talks to nobody."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        try:
            yield browser
        finally:
            browser.close()


def show(page: Page, html: str) -> None:
    """Load a page and wait until its widget, if any, is drawn."""
    page.goto("about:blank")  # content that is set keeps the window, so what the page before left there would be taken for this one's
    page.set_content(html)
    if 'id="data"' in html:
        page.wait_for_function("window.ready")


def main() -> None:
    out = ROOT / "out" / "screenshots"
    out.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for theme in ("light", "dark"):
            for width in (1600, 1080, 500):
                page = browser.new_page(viewport={"width": width, "height": 700}, color_scheme=theme)  # type: ignore[arg-type]
                for name in sys.argv[1:] or SAMPLES:
                    view = view_of(SAMPLES[name]()).full()
                    for kind, html in (("live", live_page(view, theme)), ("static", static_page(static_html(view), theme))):
                        show(page, html)
                        page.screenshot(path=out / f"{name}-{kind}-{theme}-{width}.png", full_page=name not in ("long", "heavy"))
                page.close()


if __name__ == "__main__":
    main()
