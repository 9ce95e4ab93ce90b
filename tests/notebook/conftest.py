"""Kernels for the tests: one that they share, and as many of their own as they need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.kernel import Kernel, kernel


@pytest.fixture(scope="session")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel, without keys or a model, whose store nobody else uses."""
    with kernel(tmp_path_factory.mktemp("kernel")) as made:
        yield made


@pytest.fixture
def notebook(shared_kernel: Kernel) -> Kernel:
    """The shared kernel with the extension loaded anew: no tools, no model, an empty sandbox."""
    shared_kernel.run("%reload_ext workbench").done()
    return shared_kernel


@pytest.fixture
def own_kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel that the test may harm."""
    with kernel(tmp_path) as made:
        yield made
