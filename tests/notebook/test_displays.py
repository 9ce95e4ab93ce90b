"""What a tool prints, displays and plots is shown in its call and kept in its record; nothing of it is left in the cell."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.notebook.kernel import Kernel

PLOT = """%%tool
from IPython.display import HTML, clear_output, display

def report(title: str) -> str:
    import matplotlib.pyplot as plt
    import pandas as pd
    print("drawing", title)
    plt.plot([1, 3, 2])
    plt.title(title)
    clear_output()
    display(pd.DataFrame({"column": [1]}))
    display(HTML("<img src=x onerror=alert(1)>"))
    return "drawn"
"""


@pytest.fixture
def reported(notebook: Kernel) -> Kernel:
    notebook.run(PLOT).done()
    notebook.run("model = scripted('finish(report(title=\"Sales\"))')").done()
    return notebook


def test_prints_displays_and_open_figures_are_in_the_call_and_not_in_the_cell(reported: Kernel) -> None:
    cell = reported.run("%%agent -m model -o run\ngo").done()
    assert cell.printed == ""
    (shown,) = cell.displays
    html = shown["text/html"]
    assert "drawing Sales" in html
    assert "column" in html
    assert '<img class="said" src="data:image/png;base64,' in html
    assert "onerror" not in html, "of what is displayed without a picture, the text is kept"
    assert "| drawing Sales" in shown["text/markdown"]
    assert "| [<Figure size " in shown["text/markdown"].replace("\\", "")


def test_they_are_in_the_frame_and_in_the_events(reported: Kernel) -> None:
    reported.run("%%agent -m model -o run\ngo").done()
    assert "drawing Sales" in reported.value("run.frame('tool_calls').prints[0]")
    assert reported.value("['drawing Sales' in event.get('prints', '') for event in run.events() if event['event'] == 'tool_result']") == [
        True
    ]


def test_a_run_that_is_not_drawn_prints_and_displays_in_the_cell_too(reported: Kernel) -> None:
    cell = reported.run("value = wb.Agent(model, tools=[report]).run('go')").done()
    assert "drawing Sales" in cell.printed
    assert any("image/png" in bundle for bundle in cell.displays)


def test_an_async_tool_is_heard_too_and_its_neighbours_are_not(notebook: Kernel) -> None:
    notebook.run(
        "%%tool\nimport asyncio\nfrom IPython.display import display\n"
        "async def slow() -> str:\n    print('inside')\n    await asyncio.sleep(0.5)\n    display({'shown': 1})\n    return 'slept'"
    ).done()
    notebook.run("model = scripted('finish(slow())')").done()
    notebook.run("%%agent -m model --background -o run\ngo").done()
    cell = notebook.run("import asyncio, sys\nfor i in range(10):\n    print('outside', i)\n    await asyncio.sleep(0.1)\nawait run").done()
    assert "inside" not in cell.printed
    assert cell.printed.count("outside") == 10
    assert notebook.value("run.frame('tool_calls').prints[0]") == "inside\n{'shown': 1}\n"


def test_a_widget_is_left_in_the_cell_since_no_record_can_hold_it(notebook: Kernel) -> None:
    notebook.run(
        "%%tool\nimport ipywidgets\nfrom IPython.display import display\n"
        "def bar() -> str:\n    display(ipywidgets.IntProgress())\n    return 'moved'"
    ).done()
    notebook.run("model = scripted('finish(bar())')").done()
    cell = notebook.run("%%agent -m model\ngo").done()
    assert any("application/vnd.jupyter.widget-view+json" in bundle for bundle in cell.displays)


def test_what_was_printed_before_the_kernel_was_interrupted_stays(notebook: Kernel, tmp_path: Path) -> None:
    at_it = tmp_path / "at it"
    notebook.run(
        "%%tool\nimport time\nfrom pathlib import Path\n"
        f"def slow() -> str:\n    print('the tool, this far')\n    Path({str(at_it)!r}).touch()\n    time.sleep(20)\n    return 'slept'"
    ).done()
    notebook.run("model = scripted('print(\"the block, this far\")\\nslow()')").done()
    notebook.begin("%%agent -m model -o run\ngo")
    deadline = time.monotonic() + 20
    while not at_it.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    notebook.manager.interrupt_kernel()
    (shown,) = notebook.end().displays
    assert "the tool, this far" in shown["text/html"]
    assert "the block, this far" in shown["text/html"]


def test_an_agent_within_a_tool_prints_into_the_call_of_the_tool(notebook: Kernel) -> None:
    notebook.run(
        "%%tool\ndef asks() -> str:\n"
        "    def says() -> str:\n        print('the inner tool')\n        return 'said'\n"
        "    return wb.Agent(scripted('finish(says())'), tools=[says]).run('go')"
    ).done()
    notebook.run("model = scripted('finish(asks())')").done()
    cell = notebook.run("%%agent -m model -o run\ngo").done()
    assert cell.printed == ""
    assert notebook.value("run.frame('tool_calls').prints[0]") == "the inner tool\n"


def test_a_tool_that_fails_leaves_what_it_had_printed(notebook: Kernel) -> None:
    notebook.run("%%tool\ndef fails() -> str:\n    print('got this far')\n    raise ValueError('no further')").done()
    notebook.run("model = scripted('fails()', 'finish(1)')").done()
    (shown,) = notebook.run("%%agent -m model\ngo").done().displays
    assert shown["text/html"].index("got this far") < shown["text/html"].index("no further")
