"""The memory adapters keep the promises of their ports."""

import pytest

from tests.conformance.blob_store import BlobStoreSuite
from tests.conformance.event_bus import EventBusSuite
from tests.conformance.kv_store import KVStoreSuite
from tests.conformance.state_store import StateStoreSuite
from workbench.adapters.memory import MemoryBlobStore, MemoryEventBus, MemoryKVStore, MemoryStateStore


class TestMemoryStateStore(StateStoreSuite):
    @pytest.fixture
    def open_store(self):
        return MemoryStateStore


class TestMemoryEventBus(EventBusSuite):
    @pytest.fixture
    def open_bus(self):
        return MemoryEventBus


class TestMemoryBlobStore(BlobStoreSuite):
    @pytest.fixture
    def open_blobs(self):
        return MemoryBlobStore


class TestMemoryKVStore(KVStoreSuite):
    @pytest.fixture
    def open_kv(self):
        return MemoryKVStore
