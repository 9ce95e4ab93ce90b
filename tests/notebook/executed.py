"""A copy of a notebook, executed by nbclient with a kernel of any environment's Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.notebook.kernel import isolated

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

path = sys.argv[1]
notebook = nbformat.read(path, as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, path)
"""


def execute(python: str | Path, place: Path, *, name: str = "01_quickstart", extra: Sequence[str] = ()) -> dict[str, Any]:
    """Execute a notebook, and `extra` cells after it, in a copy beside its data under `place`; nothing else is found from there.

    The store is `place/home/workbench`. Returns the executed notebook.
    """
    shutil.copytree(NOTEBOOKS, place / "notebooks", ignore=shutil.ignore_patterns(".*"))
    path = place / "notebooks" / f"{name}.ipynb"
    notebook = json.loads(path.read_text())
    for number, source in enumerate(extra):
        cell = {"cell_type": "code", "id": f"extra{number}", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        notebook["cells"].append(cell)
    path.write_text(json.dumps(notebook))
    env = isolated(place / "home", "PYTHONPATH", "VIRTUAL_ENV") | {"PATH": os.defpath}
    done = subprocess.run(
        [python, "-I", "-c", EXECUTE, str(path)], cwd=path.parent, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    executed: dict[str, Any] = json.loads(path.read_text())
    return executed


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Every output of every cell."""
    return [output for cell in notebook["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]]
