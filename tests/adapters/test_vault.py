"""An encrypted store keeps the promises of its port, and so does one that was not always encrypted."""

import pytest

from tests.conformance.state_store import StateStoreSuite
from workbench.adapters.cipher import new_key
from workbench.adapters.masterkeys import LocalKeys
from workbench.adapters.memory import MemoryStateStore
from workbench.adapters.vault import SealedState, Vault
from workbench.errors import KeyUnavailable, RecordCorrupt
from workbench.ports import InboxItem


def keys(*given):
    return LocalKeys(given or [new_key()], "the test")


class TestSealedState(StateStoreSuite):
    @pytest.fixture
    def open_store(self):
        def opened(clock):
            store = MemoryStateStore(clock)
            return SealedState(store, Vault(store, keys()))

        return opened


async def test_a_decision_is_kept_encrypted_and_bound_to_its_request():
    store = MemoryStateStore()
    sealed = SealedState(store, Vault(store, keys()))
    await sealed.put_decision(InboxItem("request", "run", b"yes"))
    (kept,) = await store.decisions("run")
    assert b"yes" not in kept.data
    assert await sealed.decisions("run") == [InboxItem("request", "run", b"yes")]
    await store.put_decision(kept._replace(request_id="another"))
    with pytest.raises(RecordCorrupt, match="another has been altered"):
        await sealed.decisions("run")


async def test_a_data_key_belongs_to_its_lifetime():
    store, master = MemoryStateStore(), keys()
    vault = Vault(store, master)
    await vault.seal("one")
    kept = await store.data_key("one")
    await store.put_data_key(kept._replace(lifetime_id="two"))
    with pytest.raises(KeyUnavailable, match="has been altered"):
        await vault.opener("two")


async def test_two_processes_that_seal_a_lifetime_at_once_use_one_key():
    store, master = MemoryStateStore(), keys()
    one, two = Vault(store, master), Vault(store, master)
    await one.seal("run")
    await two.seal("run")
    assert await one.key_of("run") == await two.key_of("run")
