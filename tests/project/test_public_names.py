"""The public names: one table, each loaded when it is first used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import workbench

PUBLIC = workbench._PUBLIC


def test_the_table_is_sorted() -> None:
    assert list(PUBLIC) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_loads(name: str) -> None:
    program = f"import workbench; assert workbench.{name} is not None"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_dir_shows_every_public_name() -> None:
    assert set(PUBLIC) <= set(dir(workbench))


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Agnet'; it has .*AgentGraph"):
        _ = workbench.Agnet


def test_the_version_is_the_distributions_own() -> None:
    assert workbench.__version__ == version("agent-workbench")
