"""`.ci/bootstrap` finds a Python by running it, and says so when there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "/usr/bin:/bin"

pytestmark = pytest.mark.slow


def bootstrap(tmp_path: Path, *, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it with no packages to be had, so that it stops after it has made the environment."""
    env = {"VENV": str(tmp_path / "venv"), "PATH": f"{path}:{SYSTEM}", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull} | variables
    return subprocess.run(["sh", ROOT / ".ci" / "bootstrap", "dev"], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A directory of interpreters: `python3.12` is a shim with nothing behind it, `python3.13` is this Python."""
    names = tmp_path / "names"
    names.mkdir()
    shim = names / "python3.12"
    shim.write_text("#!/bin/sh\necho 'python3.12: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    real = names / "python3.13"
    real.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    real.chmod(0o755)
    return names


def test_a_shim_with_nothing_behind_it_is_passed_over(tmp_path: Path, names: Path) -> None:
    done = bootstrap(tmp_path, path=names)
    assert f"with Python {sys.version_info[0]}.{sys.version_info[1]}" in done.stderr
    assert (tmp_path / "venv" / "bin" / "python").exists()


def test_a_failed_installation_is_tried_again(tmp_path: Path, names: Path) -> None:
    assert bootstrap(tmp_path, path=names).returncode != 0
    again = bootstrap(tmp_path, path=names)
    assert "made" not in again.stderr
    assert "installing" in again.stderr


@pytest.mark.parametrize("wanted", ["3.99", "python2", "false", "/nowhere/python"])
def test_a_python_that_does_not_fit_is_named_in_the_error(tmp_path: Path, names: Path, wanted: str) -> None:
    done = bootstrap(tmp_path, path=names, WORKBENCH_PYTHON=wanted)
    assert done.returncode == 1
    assert f"WORKBENCH_PYTHON={wanted} names no working Python" in done.stderr


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path, names: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "thesis.txt").write_text("mine")
    assert "is no virtual environment" in bootstrap(tmp_path, path=names).stderr
    assert (tmp_path / "venv" / "thesis.txt").read_text() == "mine"
