"""Checks that committed notebooks carry no outputs; `--fix` strips them.

Outputs make diffs unreadable and can hold what a run has seen. Only nbformat's own fields are touched.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def strip(notebook: dict[str, Any]) -> bool:
    """Remove outputs, execution counts and widget state; return whether there were any."""
    found = notebook.get("metadata", {}).pop("widgets", None) is not None
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and (cell["outputs"] or cell["execution_count"] is not None):
            cell["outputs"], cell["execution_count"], found = [], None, True
    return found


def main() -> int:
    """Return 1 if a notebook has outputs and was not fixed."""
    faulty = 0
    for path in sorted(Path(__file__).resolve().parents[1].glob("notebooks/**/*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        notebook = json.loads(path.read_text())
        if not strip(notebook):
            continue
        if "--fix" in sys.argv:
            path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        else:
            sys.stderr.write(f"{path.name} has outputs; run make format\n")
            faulty = 1
    return faulty


if __name__ == "__main__":
    raise SystemExit(main())
