"""`%load_ext workbench` and back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.notebook.kernel import Kernel, isolated

SNAPSHOT = """
import json, sys, threading
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

shell = InteractiveShell.instance()

def snapshot():
    formatters = shell.display_formatter
    return {
        "magics": sorted(shell.magics_manager.magics["cell"]) + sorted(shell.magics_manager.magics["line"]),
        "transformers": len(shell.input_transformers_cleanup),
        "displays": len(formatters.ipython_display_formatter.type_printers) + len(formatters.mimebundle_formatter.type_printers),
        "configurables": sum(type(each).__module__.startswith("workbench") for each in shell.configurables),
        "matchers": len(shell.Completer.custom_matchers),
        "threads": threading.active_count(),
    }

before = snapshot()
with capture_output() as shown:
    shell.run_line_magic("load_ext", "workbench")
    loaded = snapshot()
    shell.run_line_magic("reload_ext", "workbench")
    reloaded = snapshot()
    import workbench
    workbench.load_ipython_extension(shell)
    twice = snapshot()
    shell.run_line_magic("unload_ext", "workbench")
after = snapshot()
seen = {"before": before, "loaded": loaded, "reloaded": reloaded, "twice": twice, "after": after}
print(json.dumps(seen | {"shown": shown.stdout + shown.stderr}))
"""


def in_ipython(program: str, home: Path) -> Any:
    """Run a program that prints JSON in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=isolated(home), cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def seen(home: Path) -> dict[str, Any]:
    """An IPython shell before and after the extension was loaded, loaded again and unloaded."""
    snapshots: dict[str, Any] = in_ipython(SNAPSHOT, home)
    return snapshots


def test_loading_adds_the_magics_and_unloading_leaves_ipython_as_it_was(seen: dict[str, Any]) -> None:
    assert set(seen["loaded"]["magics"]) - set(seen["before"]["magics"]) == {
        "tool",
        "agent",
        "_agent_awaited",
        "runs",
        "approve",
        "replay",
        "fork",
        "workbench",
        "try",
    }
    assert seen["before"] == seen["after"]


def test_loading_is_silent_and_starts_nothing(seen: dict[str, Any], home: Path) -> None:
    assert seen["shown"] == ""
    assert seen["loaded"]["threads"] == seen["before"]["threads"]
    assert not (home / "workbench").exists()


def test_loading_again_changes_nothing(seen: dict[str, Any]) -> None:
    assert seen["loaded"] == seen["reloaded"] == seen["twice"]


def test_the_magics_work_after_a_reload_and_are_gone_after_an_unload(own_kernel: Kernel) -> None:
    twice = own_kernel.run("%load_ext workbench").done()
    assert "already loaded" in twice.printed, "IPython's own words"
    own_kernel.run("%reload_ext workbench").done()
    own_kernel.run("model = scripted('finish(1)')").done()
    own_kernel.run("%%agent -m model\ngo").done()

    own_kernel.run("%unload_ext workbench").done()
    gone = own_kernel.run("%%agent -m model\ngo")
    assert "%%agent` not found" in gone.errors
    assert "<Run " in own_kernel.run("wb.last").done().value, "a run is plain text again"
    assert "<Run " in own_kernel.run("wb.last.show()").done().printed
    own_kernel.run("%load_ext workbench").done()
    own_kernel.run("%%agent -m model\ngo").done()
