"""What the cells of a notebook share, and how runs in the background and in other shells behave."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.notebook.kernel import Kernel, isolated

SLOW = "%%tool\nimport time\ndef slow(seconds: float) -> str:\n    time.sleep(seconds)\n    return 'slept'"


@pytest.mark.parametrize("engine", ["auto", "monty"])
def test_variables_of_the_sandbox_live_from_one_agent_cell_to_the_next(notebook: Kernel, engine: str) -> None:
    notebook.run("first = scripted('kept = [1, 2]\\nfinish(kept)')\nsecond = scripted('finish(kept + [3])')").done()
    notebook.run(f"%%agent -m first --engine {engine}\ngo").done()
    notebook.run(f"%%agent -m second --engine {engine} -o run\ngo").done()
    assert notebook.value("run.value") == [1, 2, 3]


def test_each_engine_has_variables_of_its_own(notebook: Kernel) -> None:
    notebook.run("first = scripted('kept = 1\\nfinish(kept)')\nsecond = scripted('finish(kept)')").done()
    notebook.run("%%agent -m first\ngo").done()
    cell = notebook.run("%%agent -m second --engine monty -n 1 -o run\ngo")
    assert cell.error is not None
    assert "NameError" in cell.displays[0]["text/plain"] + cell.displays[0]["text/html"]


def test_the_model_given_last_goes_on(notebook: Kernel) -> None:
    notebook.run("model = scripted('finish(3)')").done()
    notebook.run("%%agent -m model\ngo").done()
    notebook.run("%%agent -o run\ngo again").done()
    assert notebook.value("run.value") == 3


def test_a_background_run_gives_the_cell_back_at_once_and_is_drawn_when_it_ends(notebook: Kernel) -> None:
    notebook.run(SLOW).done()
    notebook.run("model = scripted('finish(slow(seconds=2))')").done()
    cell = notebook.run("%%agent -m model --background -o run\ngo").done()
    assert notebook.value("run.live") is True
    assert notebook.value("await run") == "slept"
    notebook.settle()
    (shown,) = cell.displays
    assert "slept" in shown["text/plain"]
    assert "text/html" in shown


def test_a_second_agent_cell_is_refused_while_the_agent_works(notebook: Kernel) -> None:
    notebook.run(SLOW).done()
    notebook.run("model = scripted('finish(slow(seconds=2))')").done()
    notebook.run("%%agent -m model --background -o run\ngo").done()
    refused = notebook.run("%%agent\ngo")
    assert refused.errors.startswith("UsageError: this agent is busy with <Run ")
    assert notebook.value("await run") == "slept"
    notebook.run("%%agent\ngo").done()


def test_the_cell_waits_for_its_run_and_no_longer(notebook: Kernel) -> None:
    notebook.run(SLOW).done()
    notebook.run("model = scripted('finish(slow(seconds=0.5))')").done()
    cell = notebook.run("%%agent -m model\ngo").done()
    assert 0.5 <= cell.seconds < 5


def test_a_run_is_shown_again_by_name_and_by_id(notebook: Kernel) -> None:
    notebook.run("model = scripted('finish(\"found\")')").done()
    notebook.run("%%agent -m model -o run\ngo").done()
    for source in ("run", "run.show()", "wb.open(run.id).show()", "wb.last"):
        (shown,) = notebook.run(source).done().displays
        assert "found" in shown["text/plain"]
    assert len(notebook.run("run.show()\nrun").done().displays) == 1, "once a cell"


def test_a_run_stopped_in_code_raises_in_its_cell(notebook: Kernel) -> None:
    notebook.run("%%tool\ndef stop_it() -> str:\n    mine.stop('enough')\n    import time\n    time.sleep(5)\n    return 'never'").done()
    notebook.run("model = scripted('finish(stop_it())')").done()
    cell = notebook.run("%%agent -m model -o mine\ngo")
    assert cell.error is not None
    assert cell.error[0] == "RunStopped"
    assert cell.error[1].endswith("was stopped: enough")
    assert cell.seconds < 4


PLAIN = """
import json
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
import workbench as wb

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "workbench")
shell.user_ns["model"] = wb.models.Scripted(["```python\\nx = add(a=20, b=22)\\n```", "```python\\nfinish(x)\\n```"])
with capture_output() as shown:
    shell.run_cell_magic("tool", "", "def add(a: int, b: int) -> int:\\n    return a + b\\n")
    magic = shell.run_cell_magic("agent", "-m model -o bound", "Add them")
    cell = shell.run_cell("%%agent -m model\\nAdd them again")
    background = shell.run_cell_magic("agent", "--background", "And again")
    live = background.live
    shell.run_cell("wb.last.show()")
    waited = background.result()
    wrong = shell.run_cell("%%agent --loud\\ngo")
print(json.dumps({
    "magic": magic.value, "bound": shell.user_ns["bound"] is magic, "cell": cell.result.value, "waited": waited,
    "wrong": type(wrong.error_in_exec).__name__, "success": cell.success,
}))
"""


def test_the_magics_work_in_plain_ipython_too(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PLAIN]
    done = subprocess.run(command, env=isolated(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen == {"magic": 42, "bound": True, "cell": 42, "waited": 42, "wrong": "UsageError", "success": True}
    assert done.stderr == ""


DIES = """
import os
import workbench as wb

def leave() -> str:
    os._exit(0)

wb.Agent(wb.models.Scripted(["```python\\nleave()\\n```"]), tools=[leave]).run("Leave in the middle")
"""


def test_a_run_whose_process_died_says_so_and_how_to_go_on(own_kernel: Kernel, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES], env=isolated(tmp_path), cwd=tmp_path, check=False, timeout=60)
    (shown,) = own_kernel.run("(left,) = wb.runs()\nleft.show()").done().displays
    assert shown["text/plain"].startswith("\u25cc interrupted: Leave in the middle")
    assert "No process works on this run any more. wb.resume('" in shown["text/plain"]
    assert "tools=[leave])" in shown["text/html"]
