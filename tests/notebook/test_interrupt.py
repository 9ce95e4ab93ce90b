"""■ in a real kernel: whatever a run is doing, its cell ends within two seconds, and nothing else is touched."""

from __future__ import annotations

import importlib.util
import time

import psutil
import pytest

from tests.notebook.kernel import Cell, Kernel

SECONDS = 2.0
"""How long ■ may take, from the press to the kernel's reply."""

SPIN = "while True:\\n    pass"
CALLS = "for number in range(9000):\\n    counts()"
"""The longest that littrs is given: it never gets a loop that could run for ever."""

PROGRAMS = [pytest.param("auto", SPIN), pytest.param("monty", SPIN), pytest.param("monty", CALLS)]
if importlib.util.find_spec("littrs"):
    PROGRAMS += [pytest.param("auto", CALLS), pytest.param("littrs", CALLS)]

TOOLS = """%%tool
import asyncio, time
def sleeps() -> str:
    started.append(1)
    time.sleep(20)
    return "slept"
def counts() -> int:
    started.append(1)
    return len(started)
async def waits() -> str:
    started.append(1)
    await asyncio.sleep(20)
    return "waited"
"""

MODELS = """
started = []
async def hanging(messages):
    started.append(1)
    await asyncio.sleep(20)
    return "never"
def blocking(messages):
    started.append(1)
    time.sleep(20)
    return "never"
def endless(messages):
    started.append(1)
    return fenced("counts()")
fine = scripted("finish('fine')")
"""


@pytest.fixture
def ready(notebook: Kernel) -> Kernel:
    """A notebook with a variable to lose, tools, models, and a sandbox that has been used."""
    notebook.run(MODELS + "\nprecious = 17").done()
    notebook.run(TOOLS).done()
    return notebook


def stopped(notebook: Kernel, cell: Cell, pressed: float) -> None:
    """The cell ended as a stopped one does, and the kernel goes on."""
    seconds = time.monotonic() - pressed
    assert cell.error is not None, cell
    assert cell.error[0] == "RunStopped", cell
    assert cell.error[1].endswith("was stopped: interrupted by the user")
    assert len(cell.traceback) == 1
    assert seconds < SECONDS
    assert [shown["text/plain"].split(":")[0] for shown in cell.displays] == ["■ stopped"]
    assert notebook.value("(run.status, run.done, precious)") == ("aborted", True, 17)
    assert notebook.value("run.verify().entries") > 1
    notebook.run("%%agent -m fine -o after\ngo").done()
    assert notebook.value("after.value") == "fine"


def busy(notebook: Kernel) -> list[psutil.Process]:
    """Which of the kernel's children use a processor now."""
    children = notebook.workers()
    for child in children:
        child.cpu_percent()
    time.sleep(0.4)
    return [child for child in children if child.is_running() and child.cpu_percent() > 20]


def press_when_working(notebook: Kernel, source: str, wait: float) -> tuple[Cell, float]:
    """Begin a cell, let it come to work, and press ■."""
    notebook.begin(source)
    notebook.taken_up()
    time.sleep(wait)
    pressed = time.monotonic()
    notebook.interrupt()
    return notebook.end(20), pressed


@pytest.mark.parametrize(("engine", "program"), PROGRAMS)
def test_a_busy_sandbox_is_stopped_and_its_worker_with_it(ready: Kernel, engine: str, program: str) -> None:
    ready.run(f'model = scripted("{program}")').done()
    cell, pressed = press_when_working(ready, f"%%agent -m model --engine {engine} -o run\ngo", 1.0)
    stopped(ready, cell, pressed)
    assert busy(ready) == []


@pytest.mark.parametrize(
    ("model", "what"),
    [
        ("scripted('finish(sleeps())')", "a tool that sleeps in its thread"),
        ("scripted('finish(waits())')", "a tool that awaits on the kernel's loop"),
        ("hanging", "a model that does not answer"),
        ("blocking", "a model that blocks its thread"),
        ("scripted('finish(1)', delay=20)", "a model that streams slowly"),
        ("endless", "one step after the other"),
    ],
)
def test_whatever_the_run_does_it_is_stopped(ready: Kernel, model: str, what: str) -> None:
    ready.run(f"import asyncio, time\nmodel = {model}").done()
    cell, pressed = press_when_working(ready, "%%agent -m model -n 100000 -o run\ngo", 0.7)
    stopped(ready, cell, pressed)


def test_a_press_while_the_run_is_being_started_stops_it(ready: Kernel) -> None:
    ready.run("class Slow(wb.models.Scripted):\n    def spec(self):\n        time.sleep(0.6)\n        return super().spec()").done()
    ready.run("model = Slow(['never'], delay=20)").done()
    cell, pressed = press_when_working(ready, "%%agent -m model -o run\ngo", 0.3)
    stopped(ready, cell, pressed)


def test_pressing_twice_is_pressing_once(ready: Kernel) -> None:
    ready.run(f'spin = scripted("{SPIN}")').done()
    ready.begin("%%agent -m spin -o run\ngo")
    time.sleep(0.7)
    pressed = time.monotonic()
    ready.interrupt()
    ready.interrupt()
    stopped(ready, ready.end(20), pressed)


def test_a_cell_that_blocks_is_stopped_too(ready: Kernel) -> None:
    ready.run(f'spin = scripted("{SPIN}")').done()
    cell, pressed = press_when_working(ready, "%%time\n%%agent -m spin -o run\ngo", 0.7)
    assert time.monotonic() - pressed < SECONDS
    assert "CancelledError" not in str(cell)
    assert ready.value("run.status") == "aborted"
    assert busy(ready) == []


def test_another_run_in_the_background_is_not_touched(ready: Kernel) -> None:
    ready.run(f'spin = scripted("{SPIN}")').done()
    ready.run("other = wb.Agent(scripted('kept = counts()', 'finish((kept, wait_for_it()))'), tools=[counts])").done()
    ready.run("import threading\ngo_on = threading.Event()").done()
    ready.run("@other.tool\ndef wait_for_it() -> bool:\n    return go_on.wait(20)").done()
    ready.run("started.clear()\nbackground = other.start('go')").done()
    ready.wait_for("len(started) == 1")
    cell, pressed = press_when_working(ready, "%%agent -m spin -o run\ngo", 0.7)
    stopped(ready, cell, pressed)
    assert ready.value("background.live") is True
    ready.run("go_on.set()").done()
    assert ready.value("tuple(background.result())") == (1, True)
    assert "interrupted" not in ready.run("background.events()").done().value


def test_a_run_in_the_background_outlives_an_interrupt_of_the_kernel(ready: Kernel) -> None:
    ready.run("model = scripted('kept = counts()', 'finish(kept)', delay=1)").done()
    ready.run("%%agent -m model --background -o run\ngo").done()
    cell, _ = press_when_working(ready, "time.sleep(20)", 0.5)
    assert cell.error is not None
    assert cell.error[0] == "KeyboardInterrupt"
    assert ready.value("isinstance(await run, int)") is True


@pytest.mark.parametrize(("engine", "program"), PROGRAMS)
def test_no_worker_outlives_a_killed_kernel(own_kernel: Kernel, engine: str, program: str) -> None:
    own_kernel.run("started = []\nimport time").done()
    own_kernel.run(TOOLS).done()
    own_kernel.run(f'model = scripted("{program}")').done()
    own_kernel.run(f"%%agent -m model --background --engine {engine}\ngo").done()
    deadline = time.monotonic() + 20
    while not (own_kernel.value("len(started)") if program == CALLS else busy(own_kernel)):
        assert time.monotonic() < deadline, "no worker has begun"
    workers = own_kernel.workers()
    own_kernel.process.kill()
    _, alive = psutil.wait_procs(workers, timeout=3)
    assert workers
    assert alive == []
