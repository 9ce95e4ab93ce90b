"""`%%tool --on main` in a real kernel: the tool runs in the thread that cells run in, and ■ ends it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.notebook.kernel import Kernel
from tests.notebook.test_magics import usage_error

COUNT = """%%tool --on main --timeout 20
def count() -> list:
    return [connection.execute('select 41 + 1').fetchone()[0], threading.current_thread() is threading.main_thread()]"""

SLEEP = """%%tool --on main
def sleeps() -> str:
    begun.touch()
    time.sleep(20)
    return 'slept'"""


@pytest.fixture
def ready(notebook: Kernel) -> Kernel:
    """A notebook whose tool uses a connection that was made in a cell, and that works in no other thread."""
    notebook.run("import sqlite3, threading, time\nconnection = sqlite3.connect(':memory:')").done()
    notebook.run(COUNT).done()
    notebook.run("model = scripted('finish(count())')").done()
    return notebook


@pytest.mark.parametrize("source", ["%%agent -m model -o run\ngo", "%%time\n%%agent -m model -o run\ngo"])
def test_it_runs_while_its_cell_waits(ready: Kernel, source: str) -> None:
    ready.run(source).done()
    assert ready.value("run.value") == [42, True]


def test_without_the_option_it_runs_elsewhere(ready: Kernel) -> None:
    ready.run(COUNT.replace("--on main", "")).done()
    ready.run("model = scripted('try:\\n    count()\\nexcept Exception as error:\\n    finish(str(error))')").done()
    ready.run("%%agent -m model -o run\ngo").done()
    assert "can only be used in that same thread" in ready.value("run.value")


def test_it_runs_between_cells_for_a_run_in_the_background(ready: Kernel) -> None:
    ready.run("%%agent -m model --background -o run\ngo").done()
    ready.wait_for("run.done")
    assert ready.value("run.value") == [42, True]


def test_it_runs_while_another_cell_awaits_or_blocks_for_the_run(ready: Kernel) -> None:
    ready.run("slow = scripted('finish(count())', delay=0.5)").done()
    ready.run("%%agent -m slow --background -o run\ngo").done()
    assert ready.value("await run") == [42, True]
    ready.run("%%agent -m slow --background -o run\ngo").done()
    assert ready.value("run.result()") == [42, True]


def test_an_agent_of_ones_own_gets_the_main_thread_too(ready: Kernel) -> None:
    ready.run("agent = wb.Agent(model)\nagent.tool(on='main')(count)").done()
    assert ready.value("agent.run('go')") == [42, True]
    ready.run("run = agent.start('go')").done()
    ready.wait_for("run.done")
    assert ready.value("run.value") == [42, True]
    ready.run("agent.close()").done()


def test_a_cell_that_computes_for_too_long_keeps_it_from_being_run(ready: Kernel) -> None:
    ready.run(
        "def busy_until_its_end():\n    end = time.monotonic() + 20\n"
        "    while run.live and time.monotonic() < end:\n        time.sleep(0.05)"
    ).done()
    ready.run("ran = []\ndef count() -> int:\n    ran.append(1)").done()
    ready.run("model = scripted('try:\\n    count()\\nexcept Exception as error:\\n    finish(str(error))')").done()
    ready.run("agent = wb.Agent(model)\nagent.tool(on='main', timeout=0.2)(count)\nrun = agent.start('go')\nbusy_until_its_end()").done()
    ready.wait_for("run.done")
    assert ready.value("(ran, 'nothing was run' in run.value)") == ([], True)
    ready.run("agent.close()").done()


@pytest.mark.parametrize("source", ["%%agent -m model -o run\ngo", "%%time\n%%agent -m model -o run\ngo"])
def test_the_interrupt_ends_it_and_its_run(ready: Kernel, tmp_path: Path, source: str) -> None:
    begun = tmp_path / "begun"
    ready.run(f"import pathlib\nbegun = pathlib.Path({str(begun)!r})\nmodel = scripted('finish(sleeps())')").done()
    ready.run(SLEEP).done()
    ready.begin(source)
    while not begun.exists():
        time.sleep(0.05)
    pressed = time.monotonic()
    ready.interrupt()
    ready.end(20)
    assert time.monotonic() - pressed < 2
    assert ready.value("(run.status, run.done)") == ("aborted", True)
    assert ready.value("connection.execute('select 1').fetchone()") == (1,), "the kernel goes on"


def test_an_async_tool_cannot_be_put_there_and_has_no_need_to(notebook: Kernel) -> None:
    said = usage_error(notebook.run("%%tool --on main\nasync def fetch() -> str:\n    return ''"))
    assert "make it a def, or leave on= out. In a notebook async tools run in the main thread anyway" in said
    assert "argument --on: invalid choice: 'gui'" in usage_error(notebook.run("%%tool --on gui\ndef f():\n    pass"))


def test_the_help_says_what_the_option_is_for(notebook: Kernel) -> None:
    (page,) = notebook.run("%%tool?").pages
    assert "--on <{main}>" in page
    assert "libraries that work nowhere else" in " ".join(page.split())
