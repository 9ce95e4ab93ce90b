"""Workbenches for the runtime's tests: in memory with system clocks, closed when a test ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from workbench.adapters.memory import MemoryBlobStore, MemoryEventBus, MemoryKVStore, MemoryStateStore
from workbench.agents.fork import AGENT
from workbench.errors import StoreError
from workbench.runtime.workbench import Workbench


@pytest.fixture
def benches() -> Iterator[Callable[..., Workbench]]:
    """Make a workbench on any ports; it is closed when the test ends, whatever state it is in."""
    made: list[Workbench] = []

    def make(**options) -> Workbench:
        ports = {"state": MemoryStateStore(), "bus": MemoryEventBus(), "blobs": MemoryBlobStore(), "kv": MemoryKVStore()}
        made.append(Workbench(**{**ports, "kinds": {"agent": AGENT}, **options}))
        return made[-1]

    yield make
    for bench in made:
        with contextlib.suppress(StoreError):
            bench.close()


@pytest.fixture
def bench(benches) -> Workbench:
    """A workbench in memory."""
    return benches()
