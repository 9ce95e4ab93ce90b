"""A newcomer's first cells on this interpreter's ipykernel: `python -m tests.notebook.first_run`. `.ci/kernels` calls it for several."""

from __future__ import annotations

import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from tests.notebook.executed import execute, outputs
from tests.notebook.kernel import kernel

TOOL = "%%tool\ndef double(n: int) -> int:\n    return 2 * n"
AGENT = "%%agent -m model -o run\nDouble 21."


def main() -> int:
    """Run them and the quickstart; the exit code says whether all is as it should be."""
    with tempfile.TemporaryDirectory() as home:
        for place in ("first", "quickstart"):
            Path(home, place).mkdir()
        began = time.perf_counter()
        with kernel(Path(home, "first")) as notebook:
            notebook.run("model = scripted('finish(double(21))')").done()
            notebook.run("%reload_ext workbench").done()
            notebook.run(TOOL).done()
            cell = notebook.run(AGENT).done()
            seconds = time.perf_counter() - began
            first = notebook.value("run.value") == 42 and "loop" not in cell.errors
        done = execute(sys.executable, Path(home, "quickstart", "here"), name="01_quickstart")
        faults = [each for each in outputs(done) if each["output_type"] == "error" or each.get("name") == "stderr"]
    good = first and not faults
    print(f"ipykernel {version('ipykernel')}: {'ok' if good else f'FAULTS {faults}'}, first run in {seconds:.1f} s", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
