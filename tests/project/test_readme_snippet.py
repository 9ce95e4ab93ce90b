"""The README's cells and the code of the pages run as they stand, without a model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.notebook.kernel import kernel
from workbench.current import set_current
from workbench.profiles import for_tests

ROOT = Path(__file__).resolve().parents[2]


def test_the_cells_of_the_readme_run_in_order(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("## In a notebook")[2].partition("\n## ")[0]
    cells = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert len(cells) == 5
    with kernel(tmp_path, cwd=ROOT) as notebook:
        notebook.run("%unload_ext workbench\n%reset -f").done()
        for cell in cells:
            notebook.run(cell).done()
        assert notebook.value("run.value") == {"Adelie": 3701, "Chinstrap": 3733, "Gentoo": 5076}
        assert notebook.value("len(wb.frames.tool_calls(run=run))") == 3


@pytest.mark.parametrize("page", ["tools", "people"])
def test_the_code_of_a_page_runs_in_order(page: str) -> None:
    bench = for_tests(1)
    set_current(bench)
    names: dict[str, object] = {"__name__": "page"}
    for code in re.findall(r"^```python\n(.*?)^```$", (ROOT / f"docs/{page}.md").read_text(), re.DOTALL | re.MULTILINE):
        exec(code, names)
    set_current(None)
    bench.close()
