"""A real JupyterLab on loopback, and a page of it in a headless browser."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page

from tests.notebook.kernel import isolated

OUT = Path(__file__).resolve().parents[2] / "out" / "screenshots"
"""Where screenshots go."""

SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "docmanager-extension/plugin": {"autosave": False},
}

READY = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
STATES = """() => jupyterapp.shell.currentWidget.content.widgets.filter((cell) => cell.model.type === 'code')
    .map((cell) => cell.model.executionState + ' ' + cell.model.executionCount)"""


class Lab:
    """A running server: its address, its root directory, and where its kernels keep their store."""

    def __init__(self, url: str, token: str, root: Path, home: Path) -> None:
        self.url = url
        self.token = token
        self.root = root
        self.home = home
        self.log = root.parent / "server.log"
        """What the server and its kernels wrote."""

    def write(self, name: str, *sources: str) -> None:
        """Put a notebook of code cells into the root directory."""
        cells = [
            {"cell_type": "code", "id": f"cell{number}", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
            for number, source in enumerate(sources)
        ]
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        content = {"cells": cells, "metadata": {"kernelspec": kernelspec}, "nbformat": 4, "nbformat_minor": 5}
        (self.root / name).write_text(json.dumps(content))

    def read(self, name: str) -> dict[str, Any]:
        """A notebook as it was saved last."""
        content: dict[str, Any] = json.loads((self.root / name).read_text())
        return content


class NotebookPage:
    """A notebook open in a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.console: list[str] = []
        """What the page has complained of."""
        page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))

    def command(self, name: str, **args: Any) -> None:
        """Do what a menu entry does."""
        self.page.evaluate("([name, args]) => jupyterapp.commands.execute(name, args)", [name, args])

    def run_all(self) -> None:
        """Run ▸ Run All Cells, with the mouse."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()

    def run_cell(self, number: int) -> None:
        """Run one cell; returns at once."""
        self.page.evaluate("(number) => { jupyterapp.shell.currentWidget.content.activeCellIndex = number }", number)
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell') }")

    def done(self, *numbers: int, seconds: float = 60) -> None:
        """Wait until the code cells of these numbers, or all, have run."""
        deadline = time.monotonic() + seconds
        while True:
            states = self.page.evaluate(STATES)
            chosen = [states[number] for number in numbers] or states
            if all(state.startswith("idle ") and not state.endswith("null") for state in chosen):
                return
            assert time.monotonic() < deadline, states
            self.page.wait_for_timeout(50)

    def content(self) -> dict[str, Any]:
        """The notebook as the page holds it."""
        content: dict[str, Any] = self.page.evaluate("() => jupyterapp.shell.currentWidget.context.model.toJSON()")
        return content

    def outputs(self, number: int) -> list[dict[str, Any]]:
        """What one code cell has put out."""
        cells = [cell for cell in self.content()["cells"] if cell["cell_type"] == "code"]
        shown: list[dict[str, Any]] = cells[number]["outputs"]
        return shown

    def press(self, button: Locator, cell: int) -> float:
        """Click a button; the seconds from the click, as the page saw it, until the cell was done."""
        button.evaluate(
            "(node) => node.addEventListener('click', () => (window.clicked = performance.now()), { capture: true, once: true })"
        )
        button.click()
        self.page.wait_for_function("() => window.clicked")
        watch = """(number) => new Promise((done) => {
            const cell = jupyterapp.shell.currentWidget.content.widgets.filter((cell) => cell.model.type === 'code')[number];
            const look = () => cell.model.executionState === 'idle' ? done((performance.now() - clicked) / 1000) : setTimeout(look, 10);
            look();
        })"""
        return float(self.page.evaluate(watch, cell))

    def scroll_to(self, number: int) -> None:
        """Bring a cell, counted with the text cells, to the top of the page; cells far away are not in the page at all."""
        self.page.evaluate("(number) => jupyterapp.shell.currentWidget.content.scrollToItem(number, 'start')", number)

    def theme(self, name: str) -> None:
        """Change the theme and wait until it is there."""
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_function("(dark) => document.body.dataset.jpThemeLight === String(!dark)", arg="Dark" in name)
        self.page.wait_for_function("() => !document.getElementById('jupyterlab-splash')")

    def reload(self) -> None:
        """Load the page again, its kernel being busy."""
        self.page.reload()
        self.page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel")

    def show_of(self, name: str) -> str:
        """What the page shows, kept in OUT as a picture and as text with the notebook; for the message of a failure."""
        self.shot(f"failed-{name}")
        texts = self.page.locator(".jp-OutputArea").all_inner_texts()
        states = self.page.evaluate(STATES)
        content = json.dumps(self.content(), indent=1)
        shown = "\n".join([f"cells: {states}", *(f"--- output of cell {number}\n{text}" for number, text in enumerate(texts))])
        (OUT / f"failed-{name}.txt").write_text(f"{shown}\n\n--- console\n{chr(10).join(self.console)}\n\n--- notebook\n{content}\n")
        return f"the page showed (more in {OUT}/failed-{name}.*):\n{shown[:4000]}"

    def shot(self, name: str) -> None:
        """Keep a picture of the page."""
        OUT.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=OUT / f"{name}.png")


@contextmanager
def serve(place: Path, app: str = "jupyterlab") -> Iterator[Lab]:
    """A server with an empty root directory and everything it writes under `place`; ended by its own id. `app` is the module it runs:
    `jupyterlab` or `notebook`."""
    root, home = place / "root", place / "home"
    for directory in (root, home):
        directory.mkdir(parents=True)
    for name, settings in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    options = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    with (place / "server.log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", app, *options], env=isolated(home), cwd=root, stdout=log, stderr=log)
        try:
            lab = Lab(f"http://127.0.0.1:{port}", token, root, home)
            _wait(lab, server, place / "server.log")
            yield lab
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{lab.url}/api/status?token={lab.token}", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)


@contextmanager
def opened(lab: Lab, browser: Browser, name: str, theme: str = "JupyterLab Light", within: str = "lab/tree") -> Iterator[NotebookPage]:
    """A notebook of the server in a page of its own, its kernel ready; the kernel is ended with it. `within` is where the server has it:
    `lab/tree` for JupyterLab, `notebooks` for Notebook 7."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    try:
        page.goto(f"{lab.url}/{within}/{name}?token={lab.token}&reset")
        page.wait_for_function(READY, timeout=60_000)
        made = NotebookPage(page)
        made.theme(theme)
        try:
            yield made
        except Exception as error:
            log = lab.log.read_text()
            OUT.mkdir(parents=True, exist_ok=True)
            (OUT / f"failed-{Path(name).stem}.log").write_text(log)
            error.add_note(made.show_of(Path(name).stem))
            error.add_note(f"the server's log, with its kernels' (all of it in {OUT}/failed-{Path(name).stem}.log):\n{log[-3000:]}")
            raise
        page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    finally:
        page.close()
