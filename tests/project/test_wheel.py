"""The wheel: what is in it, what is not, and that it works where nothing else of ours is."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.notebook.executed import execute, outputs

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def content(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def run(python: Path, tmp_path: Path, program: str) -> str:
    """Run a program in an environment, isolated from this directory and this process's variables."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([python, "-I", "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_holds_every_module_and_widget(content: set[str]) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "workbench").rglob("*.py")}
    widgets = {f"workbench/notebook/widgets/{path.name}" for path in (ROOT / "widgets").iterdir()}
    assert modules | widgets | {"workbench/py.typed"} <= content


def test_the_wheel_holds_nothing_else_of_the_tree(content: set[str]) -> None:
    assert {name.split("/")[0] for name in content} == {"workbench", "agent_workbench-0.1.0.dist-info"}
    assert not [name for name in content if "__pycache__" in name or name.endswith((".pyc", ".ipynb"))]


def test_the_wheel_carries_its_licence_and_command(wheel: Path, content: set[str]) -> None:
    (entry_points,) = (name for name in content if name.endswith("entry_points.txt"))
    assert any(name.endswith("licenses/LICENSE") for name in content)
    assert "workbench = workbench.cli:main" in zipfile.ZipFile(wheel).read(entry_points).decode()


def test_the_installed_wheel_is_imported_from_its_own_place(wheel_env: Path, tmp_path: Path) -> None:
    where = run(wheel_env, tmp_path, "import workbench; print(workbench.__file__)")
    assert Path(where).is_relative_to(wheel_env.parents[1])


def test_every_public_name_loads_from_the_installed_wheel(wheel_env: Path, tmp_path: Path) -> None:
    program = "import workbench; print(*[name for name in workbench._PUBLIC if getattr(workbench, name) is None])"
    assert run(wheel_env, tmp_path, program) == ""


def test_the_installed_wheel_finds_its_widgets(wheel_env: Path, tmp_path: Path) -> None:
    program = "import importlib.resources as r; print(*sorted(p.name for p in (r.files('workbench') / 'notebook' / 'widgets').iterdir()))"
    assert run(wheel_env, tmp_path, program).split() == sorted(path.name for path in (ROOT / "widgets").iterdir())


@pytest.mark.parametrize("install", ["wheel", "editable"])
def test_the_quickstart_runs_from_an_install(install: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The editable install is the one that runs these tests."""
    python = request.getfixturevalue("wheel_env") if install == "wheel" else Path(sys.executable)
    where = "import workbench; print(workbench.__file__)"
    widget = (
        "from workbench.notebook.live import RunWidget\nshown = RunWidget(dict)\nprint(len(shown._esm), len(shown._css))\nshown.close()"
    )
    executed = execute(python, tmp_path, extra=[where, widget])
    assert [output for output in outputs(executed) if output["output_type"] == "error"] == []
    home, sizes = ("".join(cell["outputs"][0]["text"]).strip() for cell in executed["cells"][-2:])
    assert Path(home).is_relative_to(ROOT if install == "editable" else python.parents[1])
    assert all(int(size) > 1000 for size in sizes.split())
