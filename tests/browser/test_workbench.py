"""In JupyterLab: a tool is tried by hand, a block of code is changed before it runs, and runs are found, opened, compared and forked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.lab import Lab, NotebookPage, opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SETUP = """import workbench as wb
%load_ext workbench
model = wb.models.Scripted(["```python\\nx = double(n=1)\\nprint(x)\\n```", "```python\\nfinish(x)\\n```"])"""
TOOL = '''%%tool --idempotent
def double(n: int, loud: bool = False) -> str:
    """Double a number.

    Args:
        n: Any whole number.
    """
    return f"{2 * n}{'!' if loud else ''}"'''
CODE = "%%agent -m model --approve code -o run\nDouble it"
PLAIN = "%%agent -m model -o other\nDouble it again"


@pytest.fixture
def notebook(lab: Lab, browser: Browser) -> Iterator[NotebookPage]:
    lab.write("work.ipynb", SETUP, TOOL, CODE, PLAIN, "%runs --browse", "print(run.value, len(wb.runs()))", "%try double")
    with opened(lab, browser, "work.ipynb") as page:
        yield page


def test_a_tool_is_tried_code_is_changed_and_runs_are_compared_and_forked(notebook: NotebookPage) -> None:
    page = notebook.page
    notebook.run_cell(0)
    notebook.done(0)
    notebook.run_cell(1)
    notebook.done(1)
    assert "widget-view" not in str(notebook.outputs(1)), "what is kept of a tool needs no widget"
    notebook.run_cell(6)
    notebook.done(6)
    page.get_by_text("Try double", exact=True).click()
    page.get_by_label("n", exact=True).fill("21")
    page.get_by_role("button", name="Call double()").click()
    expect(page.get_by_text("str: '42'")).to_be_visible(timeout=10_000)
    notebook.shot("try-a-tool")

    notebook.run_cell(2)
    view = page.locator(".wb-run")
    expect(view.get_by_text("The agent wants to run this code. May it?")).to_be_visible(timeout=20_000)
    notebook.shot("approve-code")
    view.locator(".ask details summary").first.click()
    view.locator("textarea").first.fill("x = double(n=5)\nprint(x)")
    view.get_by_role("button", name="Approve edited").click()
    expect(view.locator(".ask.open").get_by_text("finish(x)")).to_be_visible(timeout=20_000)
    view.get_by_role("button", name="Always allow code in this run").click()
    notebook.done(2)

    notebook.run_cell(3)
    notebook.done(3)
    notebook.run_cell(4)
    table = page.locator(".wb-run table.runs")
    expect(table.locator("tbody tr")).to_have_count(2, timeout=20_000)
    for tick in table.get_by_role("checkbox").all():
        tick.check()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("steps differ", exact=False).first).to_be_visible(timeout=20_000)
    notebook.shot("runs-compared")
    table.get_by_role("button", name="Double it again").click()
    expect(page.locator(".jp-OutputArea section h3", has_text="Double it again").last).to_be_visible(timeout=20_000)

    page.get_by_role("button", name="Refresh", exact=True).click()
    table.get_by_role("checkbox").last.uncheck()
    page.get_by_role("button", name="Fork…").click()
    expect(page.get_by_text("Nothing before it is done again.")).to_be_visible(timeout=20_000)
    page.get_by_label("Code", exact=True).fill("finish(double(n=50, loud=True))")
    page.get_by_role("button", name="Fork", exact=True).click()
    expect(page.locator(".wb-run .answer").last).to_contain_text("100!", timeout=20_000)
    notebook.shot("run-forked")

    notebook.run_cell(5)
    notebook.done(5)
    assert "".join(notebook.outputs(5)[0]["text"]) == "10 3\n"
