"""JupyterLab as a person uses it: Run All, the view of a run while it works, ■, and the view's own Stop button."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.lab import READY, Lab, NotebookPage, opened
from tests.notebook.executed import NOTEBOOKS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SECONDS = 2.0
"""How long a cell may go on after a click."""

SETUP = '''import workbench as wb
%load_ext workbench
precious = list(range(17))
model = wb.models.Scripted(["""First a look around, then round and round.

```python
print("about to spin")
greeting = "hello"
```""", """```python
while True:
    pass
```"""])'''

SPIN = "%%agent -m model -o run\nSpin until somebody stops it"

CHECK = "print(len(precious), run.status, run.verify().entries > 1)"

INTERRUPT = "button[data-command='notebook:interrupt-kernel'], jp-button[data-command='notebook:interrupt-kernel']"


def spinning(notebook: NotebookPage) -> None:
    """Run the first two cells and wait until the view shows that the second step runs."""
    notebook.run_cell(0)
    notebook.done(0)
    notebook.run_cell(1)
    view = notebook.page.locator(".wb-run")
    expect(view).to_be_visible(timeout=30_000)
    expect(view).to_contain_text("while True", timeout=20_000)
    expect(view.get_by_role("button", name="Stop")).to_be_visible()


def ended(notebook: NotebookPage, reason: str) -> None:
    """The cell says in one line that the run was stopped, the static view is in the place of the live one, and the kernel goes on."""
    page = notebook.page
    expect(page.locator(".wb-run")).to_have_count(0)
    shown, error = notebook.outputs(1)
    assert "application/vnd.workbench.run+json" in shown["data"]
    assert error["ename"] == "RunStopped"
    assert error["evalue"].endswith(f"was stopped: {reason}")
    assert len(error["traceback"]) == 1
    expect(page.locator(".jp-Cell").nth(1).locator("section")).to_contain_text("stopped while running 2 lines")
    notebook.run_cell(2)
    notebook.done(2)
    assert "".join(notebook.outputs(2)[0]["text"]) == "17 aborted True\n"


def test_run_all_cells_of_the_quickstart(lab: Lab, browser: Browser) -> None:
    shutil.copytree(NOTEBOOKS, lab.root / "notebooks", ignore=shutil.ignore_patterns(".*"))
    with opened(lab, browser, "notebooks/01_quickstart.ipynb") as notebook:
        notebook.run_all()
        notebook.done(seconds=120)
        content = notebook.content()
        outputs = [output for cell in content["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]]
        assert [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"] == []
        (agent,) = [n for n, cell in enumerate(content["cells"]) if "%%agent" in cell["source"][:7]]
        notebook.scroll_to(agent)
        view = notebook.page.locator(".jp-Cell").nth(agent).locator("section")
        expect(view).to_contain_text("done")
        expect(view).to_contain_text("Gentoo")
        expect(view).to_contain_text("scripted:")
        expect(notebook.page.locator(".wb-run")).to_have_count(0)
        notebook.shot("quickstart-light")
        notebook.theme("JupyterLab Dark")
        notebook.scroll_to(agent)
        notebook.shot("quickstart-dark")
        notebook.command("docmanager:save")
        notebook.page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    saved = lab.read("notebooks/01_quickstart.ipynb")
    assert len(json.dumps(saved)) < 300_000
    assert "widget-view" not in json.dumps(saved), "what is kept needs no widget"
    assert "widgets" not in saved["metadata"]
    assert Path(lab.home / "workbench" / "records.db").is_file()


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_interrupt_button_stops_a_run_that_spins(lab: Lab, browser: Browser, theme: str) -> None:
    lab.write("interrupt.ipynb", SETUP, SPIN, CHECK)
    with opened(lab, browser, "interrupt.ipynb", f"JupyterLab {theme}") as notebook:
        spinning(notebook)
        notebook.shot(f"running-{theme.lower()}")
        seconds = notebook.press(notebook.page.locator(INTERRUPT).first, 1)
        assert seconds < SECONDS
        ended(notebook, "interrupted by the user")
        notebook.shot(f"stopped-{theme.lower()}")


def test_the_stop_button_of_the_view_works_while_the_cell_waits(lab: Lab, browser: Browser) -> None:
    lab.write("stop.ipynb", SETUP, SPIN, CHECK)
    with opened(lab, browser, "stop.ipynb") as notebook:
        spinning(notebook)
        view = notebook.page.locator(".wb-run")
        view.get_by_text("ran 2 lines").click()
        expect(view).to_contain_text("about to spin")
        expect(view).to_contain_text("First a look around, then round and round.")
        notebook.shot("opened")
        seconds = notebook.press(view.get_by_role("button", name="Stop").first, 1)
        assert seconds < SECONDS
        ended(notebook, "stopped in the notebook")


def test_a_background_run_is_watched_and_stopped_after_its_cell_is_done(lab: Lab, browser: Browser) -> None:
    lab.write("background.ipynb", SETUP, SPIN.replace("-o run", "-o run --background"), "run.show()", CHECK)
    with opened(lab, browser, "background.ipynb") as notebook:
        spinning(notebook)
        notebook.done(1, seconds=2)
        notebook.run_cell(2)
        views = notebook.page.locator(".wb-run")
        expect(views).to_have_count(2)
        expect(views.nth(1)).to_contain_text("while True")
        notebook.shot("background")
        views.nth(1).get_by_role("button", name="Stop").click()
        expect(views).to_have_count(0)
        for cell in (1, 2):
            (shown,) = notebook.outputs(cell)
            assert "stopped in the notebook" in "".join(shown["data"]["text/plain"])
        notebook.run_cell(3)
        notebook.done(3)
        assert "".join(notebook.outputs(3)[0]["text"]) == "17 aborted True\n"


def test_after_a_reload_the_run_is_drawn_live_again_where_it_is_asked_for(lab: Lab, browser: Browser) -> None:
    lab.write("again.ipynb", SETUP, SPIN.replace("-o run", "-o run --background"), "wb.open(run.id[:8]).show()", CHECK)
    with opened(lab, browser, "again.ipynb") as notebook:
        spinning(notebook)
        notebook.done(1, seconds=5)
        (shown,) = notebook.outputs(1)
        fallback = "".join(shown["data"]["text/plain"])
        assert "wb.open('" in fallback
        assert ".show() draws it anew" in fallback
        notebook.command("docmanager:save")
        notebook.page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
        notebook.reload()
        notebook.page.wait_for_function(READY, timeout=20_000)
        notebook.shot("reloaded")
        notebook.run_cell(2)
        view = notebook.page.locator(".jp-Cell").nth(2).locator(".wb-run")
        expect(view).to_contain_text("while True", timeout=20_000)
        notebook.shot("again")
        view.get_by_role("button", name="Stop").click()
        expect(notebook.page.locator(".jp-Cell").nth(2).locator("section")).to_contain_text("stopped while running 2 lines")
        notebook.run_cell(3)
        notebook.done(3)
        assert "".join(notebook.outputs(3)[0]["text"]) == "17 aborted True\n"


APPROVE = """%%tool --approval
def send_email(to: str, text: str) -> str:
    return f"sent {text!r} to {to}"
"""

MAIL = '''model = wb.models.Scripted(["""The figures are in. I send them to the board.

```python
finish(send_email(to="board@example.org", text="NVDA rose most"))
```"""])'''


def test_a_call_is_approved_with_a_click_while_its_cell_waits(lab: Lab, browser: Browser) -> None:
    lab.write("approve.ipynb", SETUP, APPROVE, MAIL, "%%agent -m model -o run\nSend the figures", "print(run.value)")
    with opened(lab, browser, "approve.ipynb") as notebook:
        for number in (0, 1, 2):
            notebook.run_cell(number)
            notebook.done(number)
        notebook.run_cell(3)
        card = notebook.page.locator(".wb-run .ask.open")
        expect(card).to_be_visible(timeout=30_000)
        notebook.scroll_to(3)
        notebook.shot("approval")
        card.get_by_text("Change the arguments").click()
        area = card.locator("textarea.text")
        area.fill(area.input_value().replace("NVDA rose most", "NVDA rose 10.6 %"))
        card.get_by_role("button", name="Approve edited").click()
        notebook.done(3)
        notebook.scroll_to(3)
        notebook.shot("approved")
        notebook.run_cell(4)
        notebook.done(4)
        assert "".join(notebook.outputs(4)[0]["text"]) == "sent 'NVDA rose 10.6 %' to board@example.org\n"


def test_a_page_that_is_loaded_again_can_still_interrupt(lab: Lab, browser: Browser) -> None:
    lab.write("reload.ipynb", SETUP, SPIN, CHECK)
    with opened(lab, browser, "reload.ipynb") as notebook:
        spinning(notebook)
        notebook.command("docmanager:save")
        notebook.reload()
        notebook.page.locator(INTERRUPT).first.click()
        notebook.page.wait_for_function(READY, timeout=5_000)
        notebook.run_cell(2)
        notebook.done(2)
        assert "".join(notebook.outputs(2)[0]["text"]) == "17 aborted True\n"


LOOKED_AT = """%%tool
import time
from pathlib import Path
import matplotlib.pyplot as plt

def plot(title: str) -> str:
    for day in range(1, 6):
        print(f"day {day} of 5 read")
    while not Path("go on").exists():
        time.sleep(0.05)
    plt.figure(figsize=(5, 2))
    plt.plot([187.2, 188.0, 186.1, 188.8, 189.5])
    plt.title(title)
    return "drawn"
"""

PLOTTING = '''model = wb.models.Scripted(["""I will plot the week.

```python
print("plotting")
finish(plot(title="AAPL"))
```"""])'''


def test_what_code_and_tools_print_is_seen_while_they_do_and_their_plot_stays(lab: Lab, browser: Browser) -> None:
    lab.write("work.ipynb", SETUP, LOOKED_AT, PLOTTING, "%%agent -m model -o run\nPlot the week")
    with opened(lab, browser, "work.ipynb") as notebook:
        for cell in range(3):
            notebook.run_cell(cell)
            notebook.done(cell)
        notebook.run_cell(3)
        view = notebook.page.locator(".wb-run")
        expect(view.locator(".calls .said pre")).to_contain_text("day 5 of 5 read", timeout=30_000)
        expect(view).to_contain_text("plotting")
        view.locator(".calls .said").scroll_into_view_if_needed()
        notebook.shot("prints-live-light")
        (lab.root / "go on").write_text("")
        notebook.done(3)
        (shown,) = notebook.outputs(3)
        assert "application/vnd.workbench.run+json" in shown["data"], "and nothing else is in the cell"
        for theme in ("JupyterLab Light", "JupyterLab Dark"):
            notebook.theme(theme)
            notebook.page.locator(".jp-Cell section details").last.evaluate("(each) => (each.open = true)")
            plot = notebook.page.locator(".jp-Cell section .calls img")
            expect(plot).to_be_visible()
            assert plot.evaluate("(img) => img.naturalWidth") > 300
            plot.scroll_into_view_if_needed()
            notebook.shot(f"prints-static-{theme.split()[1].lower()}")
