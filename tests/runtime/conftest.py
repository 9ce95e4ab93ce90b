"""Workbenches for the runtime's tests: in memory with system clocks, closed when a test ends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

import jsonschema
import pytest

from docs.schemas import generate
from workbench.adapters.memory import MemoryBlobStore, MemoryEventBus, MemoryKVStore, MemoryStateStore
from workbench.agents.fork import AGENT
from workbench.errors import StoreError
from workbench.loop import run_sync
from workbench.ports import Query
from workbench.record.entries import StoredEntry
from workbench.record.envelope import SCHEMA
from workbench.runtime.workbench import Workbench

VALIDATOR = jsonschema.Draft202012Validator(json.loads(generate.SCHEMA.read_text()))


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
        if isinstance(bench.store, MemoryStateStore):
            hold_against_the_schema(run_sync(some_entries(bench.store)))
        with contextlib.suppress(StoreError):
            bench.close()


async def some_entries(store: MemoryStateStore) -> list[StoredEntry]:
    """An entry of each kind and phase of what a test has recorded."""
    found = {}
    async for stored in MemoryStateStore.read(store, Query()):
        found.setdefault(stored.columns[:2], stored)
    return list(found.values())


def hold_against_the_schema(entries: list[StoredEntry]) -> None:
    """What a test has recorded fulfils the published schema, unless the test is about records that do not."""
    for stored in entries:
        data = json.loads(stored.data)
        if data.get("schema") == SCHEMA:
            VALIDATOR.validate(data)


@pytest.fixture
def bench(benches) -> Workbench:
    """A workbench in memory."""
    return benches()
