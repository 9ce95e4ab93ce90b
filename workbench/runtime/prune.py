"""Prune: delete whole lifetimes that have ended, and leave a tombstone of each.

A tombstone says how many entries there were and the last hash, so an exported copy can still be told to be the one that was pruned. What
only the pruned runs referred to goes with them: sandbox streams that no other run uses, and blobs. A fork holds its own copy of what it
began with, so it is no reason to keep its original.

Shred, in an encrypted store: delete the keys alone. Headers and hashes stay; what the entries say can be read by nobody.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from workbench.errors import KeyUnavailable, RunShredded, UserError
from workbench.ports import Query, Tombstone
from workbench.record.entries import decode_entry
from workbench.record.state import RunState, apply
from workbench.runtime.replay import blobs_of, linked, refuse_absent, stored_stream, streams_of

if TYPE_CHECKING:
    from workbench.runtime.workbench import Workbench


class Pruned(NamedTuple):
    """What was deleted."""

    runs: int
    streams: int
    entries: int
    blobs: int


class Shredded(NamedTuple):
    """Whose keys were deleted."""

    runs: int
    streams: int
    shared_streams: int
    """Sandbox streams that other runs use too: they can still be read, with what these runs did in them."""


class _Found(NamedTuple):
    tombstone: Tombstone
    streams: frozenset[str]


async def prune(bench: Workbench, run_ids: Sequence[str]) -> Pruned:
    """Prune these runs.

    Raises:
        UserError: one of them has not ended; nothing is deleted.
        RecordCorrupt: the record of one does not hold, and a tombstone must not vouch for it; nothing is deleted.
        UnknownRun, RunPruned: there is none, or it has been pruned.
    """
    found = [await _found_or_shredded(bench, run_id) for run_id in dict.fromkeys(run_ids)]
    streams = set[str]().union(*(each.streams for each in found))
    used = await _used_streams(bench, {each.tombstone.lifetime_id for each in found}) if streams else set()
    stale = [await _found(bench, stream, ended=False) for stream in sorted(streams - used)]
    for each in (*found, *stale):
        if each.tombstone.entries:
            await bench.store.prune(each.tombstone)
    removed = await _remove_blobs(bench)
    entries = sum(each.tombstone.entries for each in (*found, *stale))
    return Pruned(len(found), sum(each.tombstone.entries > 0 for each in stale), entries, removed)


async def shred(bench: Workbench, run_ids: Sequence[str]) -> Shredded:
    """Delete the keys of these runs, and of the sandbox streams that only they use.

    Raises:
        UserError: the store is not encrypted, or one of the runs has not ended; nothing is deleted.
        RunShredded, UnknownRun, RunPruned
    """
    if bench.vault is None:
        raise UserError("this store is not encrypted, so there is no key to delete; `workbench prune` deletes a run")
    found = [await _found(bench, run_id, ended=True) for run_id in dict.fromkeys(run_ids)]
    shredded = {each.tombstone.lifetime_id for each in found}
    streams = set[str]().union(*(each.streams for each in found))
    used = await _used_streams(bench, shredded) if streams else set()
    gone = [await bench.vault.shred(lifetime_id) for lifetime_id in (*shredded, *sorted(streams - used))]
    return Shredded(sum(gone[: len(shredded)]), sum(gone[len(shredded) :]), len(streams & used))


async def _found(bench: Workbench, lifetime_id: str, *, ended: bool) -> _Found:
    state, head = RunState(), ""
    blobs: dict[str, None] = {}
    streams: set[str] = set()
    async for stored in stored_stream(bench.plane, lifetime_id):
        entry = decode_entry(stored)
        apply(state, entry)
        head = stored.hash
        blobs |= dict.fromkeys(ref.sha256 for ref in blobs_of(stored))
        streams |= {*streams_of(entry)}
    if ended and not state.seq:
        await refuse_absent(bench.plane, lifetime_id)
    if ended and not state.terminal:
        raise UserError(
            f"run {lifetime_id} has not ended ({state.status}); stop it, or resume it and let it end, before it is pruned or shredded"
        )
    pruned_at = bench.clock.now().isoformat(timespec="microseconds")
    return _Found(Tombstone(lifetime_id, state.seq, head, pruned_at, tuple(blobs)), frozenset(streams))


async def _found_or_shredded(bench: Workbench, run_id: str) -> _Found:
    """A run to be pruned. Of a shredded one, which has ended, only the hashes are checked: what it referred to nobody knows."""
    try:
        return await _found(bench, run_id, ended=True)
    except RunShredded:
        count, head = await linked(bench.plane, run_id)
        return _Found(Tombstone(run_id, count, head, bench.clock.now().isoformat(timespec="microseconds")), frozenset())


async def _used_streams(bench: Workbench, pruned: set[str]) -> set[str]:
    """The sandbox streams of all other runs."""
    query = Query(kinds=["lifetime_event"], phases=["created"])
    used = set[str]()
    async for stored in bench.store.read(query):
        if stored.lifetime_id not in pruned:
            with contextlib.suppress(RunShredded):  # one that nobody can read needs no stream
                used |= {*streams_of(decode_entry(stored))}
    return used


async def _remove_blobs(bench: Workbench) -> int:
    """Delete the blobs of pruned lifetimes that nothing refers to any more. While runs are going on none is deleted, since one of them may
    have put the same value down and not yet have said so in its record; the next prune looks again."""
    left = {digest for tombstone in (await bench.store.tombstones()).values() for digest in tombstone.blobs}
    if not left or await bench.store.leases():
        return 0
    async for stored in bench.store.read(Query()):
        try:
            left -= {ref.sha256 for ref in blobs_of(stored)}
        except RunShredded:
            continue
        except KeyUnavailable:
            return 0  # it may refer to any of them
        if not left:
            return 0
    return sum([await bench.blobs.remove(digest) for digest in sorted(left)])
