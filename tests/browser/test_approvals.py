"""Approvals as a person gives them, in JupyterLab: one, one changed, one refused; the kernel killed in between; nothing done twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.lab import READY, Lab, NotebookPage, opened, serve

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SETUP = """import os, pathlib
import workbench as wb
%load_ext workbench
print(os.getpid())
model = wb.models.Scripted(['''I write to all three.

```python
out = []
for to in ["ana", "ben", "eve"]:
    try:
        out.append(send(to, amount=10))
    except Exception as error:
        out.append(str(error))
finish(out)
```'''])"""

TOOL = '''%%tool --approval
def send(to: str, amount: int) -> str:
    """Send an amount to a person."""
    with open("sent.txt", "a") as book:
        book.write(f"{to} {amount}\\n")
    return f"{to} got {amount}"
'''

LIST = """(run,) = [run for run in wb.runs() if run.pending]
print(run.status, [(each.tool, each.args) for each in run.pending])"""

RESUME = "run = wb.resume(run.id, model=model, tools=[send])\nrun.show()"

FINISHED = "print(run.result(30), run.verify().entries > 1)"


def run_cell(notebook: NotebookPage, *numbers: int) -> str:
    """Run cells and wait for them; what the last of them printed."""
    for number in numbers:
        notebook.run_cell(number)
        notebook.done(number)
    return "".join("".join(output.get("text", "")) for output in notebook.outputs(numbers[-1]))


@pytest.fixture
def notebook_7(tmp_path: Path) -> Iterator[Lab]:
    with serve(tmp_path, "notebook") as running:
        yield running


def test_in_notebook_7_too_a_tool_is_allowed_for_a_run_and_the_run_looked_through(notebook_7: Lab, browser: Browser) -> None:
    notebook_7.write("seven.ipynb", SETUP, TOOL, "%%agent -m model -o run\nSend ten to each", "run.view()")
    with opened(notebook_7, browser, "seven.ipynb", within="notebooks") as notebook:
        run_cell(notebook, 0, 1)
        notebook.run_cell(2)
        page = notebook.page
        card = page.locator(".wb-run .ask.open")
        expect(card).to_contain_text("'ana'", timeout=30_000)
        notebook.shot("notebook7-waiting")
        card.get_by_role("button", name="Always allow this tool").click()
        notebook.done(2)
        expect(page.locator("section").first).to_contain_text("and so is all further use of it in this run")
        notebook.run_cell(3)
        view = page.locator(".wb-run")
        expect(view).to_contain_text("done")
        for tab, told in (("Graph", "Been at: task_user"), ("Messages", "Send ten to each"), ("Record", "entries; press one to read it")):
            view.get_by_role("tab", name=tab).click()
            expect(view.get_by_role("tabpanel")).to_contain_text(told)
            notebook.page.wait_for_timeout(300)
            view.scroll_into_view_if_needed()
            notebook.shot(f"notebook7-{tab.lower()}")
        view.locator("button.line").nth(3).click()
        expect(view.locator(".entry")).to_contain_text('"schema": "workbench.envelope/1"')


def test_approve_edit_kill_reject_and_nothing_is_done_twice(lab: Lab, browser: Browser) -> None:
    lab.write("approvals.ipynb", SETUP, TOOL, "%%agent -m model -o run\nSend ten to each", LIST, RESUME, FINISHED)
    book = lab.root / "sent.txt"
    with opened(lab, browser, "approvals.ipynb") as notebook:
        pid = int(run_cell(notebook, 0))
        run_cell(notebook, 1)
        notebook.run_cell(2)
        page = notebook.page
        card = page.locator(".wb-run .ask.open")
        expect(card).to_contain_text("'ana'", timeout=30_000)
        notebook.scroll_to(2)
        notebook.shot("story-first")
        assert not book.exists()
        card.get_by_role("button", name="Approve", exact=True).click()

        expect(card).to_contain_text("'ben'", timeout=10_000)
        card.get_by_text("Change the arguments").click()
        card.locator("input.amount").fill("7")
        notebook.shot("story-edited")
        card.get_by_role("button", name="Approve edited").click()

        expect(card).to_contain_text("'eve'", timeout=10_000)
        assert book.read_text() == "ana 10\nben 7\n"
        os.kill(pid, signal.SIGKILL)
        page.locator(".jp-Dialog button.jp-mod-accept").click(timeout=30_000)  # "the kernel appears to have died"
        page.wait_for_function(READY, timeout=60_000)

        run_cell(notebook, 0, 1)
        assert run_cell(notebook, 3) == "interrupted [('send', {'to': 'eve', 'amount': 10})]\n"
        notebook.run_cell(4)
        notebook.done(4)
        again = page.locator(".jp-Cell").nth(4).locator(".wb-run")
        card = again.locator(".ask.open")
        expect(card).to_contain_text("'eve'", timeout=20_000)
        expect(again).to_contain_text("Approved by notebook")
        notebook.scroll_to(4)
        notebook.shot("story-resumed")
        card.get_by_label("A note").fill("not to eve")
        card.get_by_role("button", name="Reject").click()
        answer = run_cell(notebook, 5)
        notebook.shot("story-finished")
    assert answer == "['ana got 10', 'ben got 7', \"ToolDenied: notebook refused the call of 'send': not to eve\"] True\n"
    assert book.read_text() == "ana 10\nben 7\n"
