"""Runs every notebook with another environment's Python: `python -m tests.notebook.every_notebook PYTHON`. `.ci/binder` calls it."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.notebook.executed import NOTEBOOKS, execute, outputs


def main(python: str) -> int:
    """Run them; the exit code says whether none has an error."""
    faulty = 0
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as place:
            began = time.perf_counter()
            done = execute(Path(python).absolute(), Path(place, "here"), name=path.stem)
            faults = [each for each in outputs(done) if each["output_type"] == "error"]
        faulty += bool(faults)
        print(f"{path.name}: {'ok' if not faults else f'FAULTS {faults}'}, {time.perf_counter() - began:.1f} s", flush=True)
    print(f"at most {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3:.0f} MB in one process")
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
