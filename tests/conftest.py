"""Settings that hold for every test, and what tests of several directories begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from workbench.current import set_current
from workbench.profiles import for_tests
from workbench.runtime.workbench import Workbench

settings.register_profile("workbench", deadline=None, database=None)
"""No deadline, since a busy machine is no fault of the code; no database, so that a checkout stays as it was."""

settings.load_profile("workbench")


@pytest.fixture
def current_bench() -> Iterator[Workbench]:
    """A workbench of the test profile, the current one while the test runs."""
    bench = for_tests(1)
    set_current(bench)
    yield bench
    set_current(None)
    bench.close()
