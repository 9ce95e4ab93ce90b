"""Workbench: the four ports and the lifetimes that this process owns."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from workbench.errors import ConfigurationError, KeyUnavailable, RunShredded, ToolBindingError, UnknownRun, UserError
from workbench.graph.graph import AgentGraph
from workbench.guardrails.policy import restored
from workbench.loop import run_sync
from workbench.owner import owner_id
from workbench.ports import BlobStore, EventBus, KVStore, Lease, Query, StateStore, Vault
from workbench.record.entries import decode_entry
from workbench.record.envelope import AnyEntry, LifetimeEvent, Manifest
from workbench.record.values import make_id
from workbench.runtime.archive import export, take_in
from workbench.runtime.binding import Binding, graph_binding
from workbench.runtime.clock import Clock, SystemClock, random_id
from workbench.runtime.control_plane import ControlPlane
from workbench.runtime.custody import Custody
from workbench.runtime.data_plane import SPILL_BYTES, DataPlane
from workbench.runtime.executor import Executor
from workbench.runtime.fork import RunKind
from workbench.runtime.lifetime import Lifetime
from workbench.runtime.prune import Pruned, Shredded, prune, shred
from workbench.runtime.replay import refuse_absent
from workbench.runtime.run import Run

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
PARK_SECONDS = 1.0
"""How long a run that only waits for people stays in memory."""


class Workbench:
    """Where runs are started, found and resumed.

    `kinds` say how runs other than of plain graphs are made live again and forked, by the kind in their manifest. `inline` runs synchronous
    code on the loop: the deterministic test profile.
    """

    def __init__(
        self,
        *,
        state: StateStore,
        bus: EventBus,
        blobs: BlobStore,
        kv: KVStore,
        vault: Vault | None = None,
        clock: Clock | None = None,
        new_id: Callable[[], str] = random_id,
        inline: bool = False,
        kinds: Mapping[str, RunKind] | None = None,
        package: str = "",
        owner: str | None = None,
        tenant_id: str = "default",
        spill_bytes: int = SPILL_BYTES,
        lease_seconds: float = LEASE_SECONDS,
        park_seconds: float | None = PARK_SECONDS,
    ) -> None:
        self.store = state
        self.bus = bus
        self.blobs = blobs
        self.kv = kv
        self.vault = vault
        """The keys of an encrypted store."""
        self.clock = clock or SystemClock()
        self.new_id = new_id
        self.inline = inline
        self.owner = owner or owner_id()
        self.tenant_id = tenant_id
        """On whose behalf runs are started; what rules and costs of a tenant add up."""
        self.session_id = new_id()
        """Links the runs that this process starts."""
        self.plane = DataPlane(state, bus, blobs, vault=vault, spill_bytes=spill_bytes)
        self.last: Run | None = None
        """The run started or resumed most recently."""
        self._kinds = dict(kinds or {})
        self._package = package
        self.custody = Custody(
            self.plane,
            ControlPlane(Executor(inline=inline)),
            self.clock,
            owner=self.owner,
            lease_seconds=lease_seconds,
            park_seconds=None if inline else park_seconds,
        )
        """The runs that this process owns."""
        self._resuming = asyncio.Lock()

    def start(self, binding: Binding, value: Any = None) -> Run:
        """Start a run and return it; its first entry is stored by then."""
        return run_sync(self.astart(binding, value))

    async def astart(self, binding: Binding, value: Any = None) -> Run:
        """`start`, on the runtime's loop."""
        given = await self.plane.payload(value)
        lifetime_id = self.new_id()
        lease = await self.custody.claim(lifetime_id)
        try:
            life = self.custody.lifetime(binding, await self.plane.journal(lifetime_id, epoch=lease.epoch))
            life.state.session_id = self.session_id
            life.state.tenant_id = self.tenant_id
            life.write(
                LifetimeEvent,
                phase="created",
                to_status="running",
                header=life.header(lifetime_id, "created", "PENDING"),
                manifest=binding.manifest(self._package),
                input=given,
            )
            await life.commit()
        except BaseException:
            binding.tools.close()
            await self.store.release(lifetime_id, self.owner)
            raise
        return self._drive(life)

    def resume(self, run_id: str, **objects: Any) -> Run:
        """Go on with an unfinished run whose process has died. A run that is live here is returned as it is.

        Raises:
            UnknownRun, LeaseHeld, ToolBindingError
            UserError: the run has ended; what follows would be a fork.
        """
        return run_sync(self.aresume(run_id, **objects))

    async def aresume(self, run_id: str, *, accept_changes: bool = False, **objects: Any) -> Run:
        """`resume`, on the runtime's loop."""
        async with self._resuming:
            if (owned := self.custody.get(run_id)) is not None:
                return Run(self, run_id, owned)
            manifest = await self._manifest(run_id)
            binding = await self.bind(manifest, accept_changes=accept_changes, **objects)
            await self.custody.free_the_dead()
            lease = await self.custody.claim(run_id)
            try:
                return self._drive(await self._taken_up(run_id, binding, lease))
            except BaseException:
                await self.store.release(run_id, self.owner)
                raise

    async def begin(self, binding: Binding, entries: Sequence[AnyEntry], streams: Iterable[Sequence[AnyEntry]] = ()) -> Run:
        """Start a run with these as its first entries: a fork. `streams` are sandbox streams that are stored in the same transaction."""
        journals = []
        for each in (entries, *streams):
            lease = await self.custody.claim(each[0].header.lifetime_id)
            journals.append(await self.plane.journal(lease.lifetime_id, epoch=lease.epoch))
            for entry in each:
                journals[-1].add(entry)
        life = self.custody.lifetime(binding, journals[0])
        for entry in entries:
            life.take_in(entry)
        life.forked = True
        await self.plane.commit(*journals)
        return self._drive(life)

    async def _taken_up(self, run_id: str, binding: Binding, lease: Lease) -> Lifetime:
        """The lifetime as its record stands, with the entry that says who goes on with it."""
        life = await self.custody.read(run_id, binding, lease.epoch)
        if life.state.terminal:
            raise UserError(f"run {run_id} has ended ({life.state.status}); there is nothing to resume")
        life.write(
            LifetimeEvent,
            phase="resumed",
            to_status="running",
            header=life.header(make_id(run_id, "resumed", life.journal.next_seq), "resumed", "RUNNING"),
        )
        await life.commit()
        return life

    def open(self, run_id: str) -> Run:
        """A run by its id, or by a beginning of it that no other run shares.

        Raises:
            UnknownRun: there is none, or there are several.
        """
        return run_sync(self.aopen(run_id))

    def runs(self, limit: int = 20) -> list[Run]:
        """The newest runs first."""
        return run_sync(self.aruns(limit))

    def export(self, run_id: str) -> bytes:
        """A run as one file, with the sandbox streams and blobs its record refers to; see `workbench.runtime.archive`."""
        return run_sync(export(self, run_id))

    def import_run(self, file: bytes) -> Run:
        """Write an exported run into the store, once all of it has been found to hold.

        Raises:
            RecordCorrupt, BlobCorrupt: names the first entry or blob that does not hold; nothing is written.
        """
        return Run(self, run_sync(take_in(self, file)))

    def prune(self, *run_ids: str) -> Pruned:
        """Delete whole runs that have ended, and what only they refer to. A tombstone is left of each; see `workbench.runtime.prune`."""
        return run_sync(prune(self, run_ids))

    def shred(self, *run_ids: str) -> Shredded:
        """Delete the keys of runs that have ended: what they say can then be read by nobody, and their hashes still hold.

        Raises:
            UserError: the store is not encrypted, or a run has not ended; nothing is deleted.
        """
        return run_sync(shred(self, run_ids))

    async def is_gone(self, lifetime_id: str) -> bool:
        """Whether a lifetime has been pruned or shredded, so that nothing can follow it."""
        if lifetime_id in await self.store.tombstones():
            return True
        if self.vault is None or await self.store.data_key(lifetime_id) is not None:
            return False
        return any([stored.sealed async for stored in self.store.read(Query(lifetime_ids=[lifetime_id], newest_first=True, limit=1))])

    def rotate(self) -> int:
        """Encrypt all data keys with the newest master key; how many were encrypted with another.

        Raises:
            UserError: the store is not encrypted.
            KeyUnavailable: the master key of one is not at hand.
        """
        if self.vault is None:
            raise UserError("this store is not encrypted: wb.connect(encryption='env:WORKBENCH_KEY')")
        return run_sync(self.vault.rotate())

    def works_on(self, run_id: str) -> bool:
        """Whether the run is live in this process."""
        return self.custody.get(run_id) is not None

    def close(self) -> None:
        """Break off live runs (they can be resumed), give up leases and close the stores."""
        run_sync(self.aclose())

    async def aclose(self) -> None:
        """`close`, on the runtime's loop."""
        await self.custody.close()
        for port in (self.store, self.bus, self.blobs, self.kv):
            await port.close()

    def _drive(self, life: Lifetime) -> Run:
        self.last = Run(self, life.journal.lifetime_id, self.custody.drive(life))
        return self.last

    async def _manifest(self, run_id: str) -> Manifest:
        query = Query(lifetime_ids=[run_id], kinds=["lifetime_event"], phases=["created"], limit=1)
        async for stored in self.store.read(query):
            entry = decode_entry(stored)
            if isinstance(entry, LifetimeEvent) and entry.manifest is not None:
                return entry.manifest
        raise UnknownRun(f"there is no run {run_id!r} in this store; `wb.runs()` lists what there is")

    def kind(self, manifest: Manifest) -> RunKind | None:
        """How runs of this kind are made live again; None for runs of plain graphs.

        Raises:
            ConfigurationError: it is not known here.
        """
        if manifest.kind != "graph" and manifest.kind not in self._kinds:
            raise ConfigurationError(f"this workbench cannot go on with runs of kind {manifest.kind!r}; use one from wb.connect()")
        return self._kinds.get(manifest.kind)

    async def known_graph(self, run_id: str) -> AgentGraph | None:
        """The graph of a run whose kind has one of its own."""
        with contextlib.suppress(ConfigurationError, UnknownRun, KeyUnavailable, RunShredded):
            kind = self.kind(await self._manifest(run_id))
            return None if kind is None else kind.graph
        return None

    async def bind(self, manifest: Manifest, *, accept_changes: bool, **objects: Any) -> Binding:
        """The live objects of a recorded run; `objects` are those that the record only names.

        Raises:
            ToolBindingError: they lack something, or it has changed.
        """
        binding = await self._bind(manifest, accept_changes=accept_changes, **objects)
        return binding if manifest.policy is None else replace(binding, policy=restored(manifest.policy))

    async def _bind(self, manifest: Manifest, *, accept_changes: bool, **objects: Any) -> Binding:
        kind = self.kind(manifest)
        if kind is not None:
            return await kind.bind(manifest, workbench=self, accept_changes=accept_changes, **objects)
        graph = objects.pop("graph", None)
        if not isinstance(graph, AgentGraph):
            raise UserError(f"this run is of the graph {manifest.graph_id!r}; give it: resume(run_id, graph=…)")
        changed = [name for name, code in manifest.resources["nodes"].items() if graph.source_hashes().get(name) != code]
        if (graph.hash != manifest.graph_hash or changed) and not accept_changes:
            what = f"its nodes {changed}" if changed else "its structure"
            raise ToolBindingError(
                f"graph {graph.name!r} has changed since the run began ({what}). A fork is a new run in the changed "
                "graph: run.fork(graph=…). To go on with this run all the same, give accept_changes=True"
            )
        binding = graph_binding(graph, title=manifest.title, inline=self.inline, **objects)
        missing = [tool for tool in manifest.resources["tools"] if tool["name"] not in binding.tools.tools]
        if missing:
            names = ", ".join(tool["name"] for tool in missing)
            sources = "\n\n".join(tool["source"] or f"# the source of {tool['name']} was not recorded" for tool in missing)
            raise ToolBindingError(
                f"the run cannot be resumed with these tools; missing: {names}. Give them as tools=[{names}]:\n\n{sources}"
            )
        return binding

    async def aopen(self, run_id: str) -> Run:
        """`open`, on the runtime's loop."""
        if not isinstance(run_id, str):
            raise UserError(f"a run is opened by its id, as text; got {type(run_id).__name__}. `wb.runs()` lists what there is")
        if (owned := self.custody.get(run_id)) is not None:
            return Run(self, run_id, owned)
        matches = [found async for found in self._ids() if found.startswith(run_id)]
        if not matches and run_id in await self.store.tombstones():
            await refuse_absent(self.plane, run_id)
        if len(matches) != 1 or not run_id:
            many = (
                f"several runs begin with {run_id!r}: {', '.join(matches[:5])}" if matches else f"there is no run {run_id!r} in this store"
            )
            raise UnknownRun(f"{many}; `wb.runs()` lists what there is")
        return Run(self, matches[0], self.custody.get(matches[0]))

    async def aruns(self, limit: int = 20) -> list[Run]:
        """`runs`, on the runtime's loop."""
        return [Run(self, found, self.custody.get(found)) async for found in self._ids(limit)]

    async def _ids(self, limit: int | None = None) -> Any:
        query = Query(kinds=["lifetime_event"], phases=["created"], newest_first=True, limit=limit)
        async for stored in self.store.read(query):
            yield stored.lifetime_id
