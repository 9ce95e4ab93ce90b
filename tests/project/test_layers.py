"""The arrows between packages, as pyproject.toml draws them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"pydantic", "httpx", "jsonschema", "genai_prices", "sqlalchemy", "obstore", "numpy", "pandas", "matplotlib"}
HEAVY |= {"IPython", "ipykernel", "ipywidgets", "anywidget"}


def test_no_import_goes_against_the_arrows() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"]
    check = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout + check.stderr


def imported(statement: str) -> set[str]:
    program = f"{statement}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert imported("import workbench") & HEAVY == set()


@pytest.mark.parametrize("module", ["workbench.record.state", "workbench.record.entries", "workbench.ports"])
def test_the_record_needs_pydantic_and_nothing_else_heavy(module: str) -> None:
    assert imported(f"import {module}") & HEAVY <= {"pydantic"}
