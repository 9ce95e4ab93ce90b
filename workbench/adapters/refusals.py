"""What a state store says when it refuses: one wording for every technology, so that a person reads the same sentence everywhere."""

from __future__ import annotations

from workbench.errors import LeaseHeld, RecordCorrupt, StaleEpoch
from workbench.ports import Lease
from workbench.record.entries import COLUMNS, StoredEntry

_EXEC_ID, _PHASE = (list(COLUMNS).index(name) for name in ("exec_id", "phase"))


def stale(lifetime_id: str, held: int | None, current: int | None) -> StaleEpoch:
    """The error of an append whose epoch is not the lifetime's current one."""
    if current is None:
        return StaleEpoch(f"{lifetime_id} has no lease; claim it before appending to it")
    return StaleEpoch(
        f"{lifetime_id} is at epoch {current} and this append carries {held}: another process has taken it over. Nothing was written; "
        "read what it did, or resume the run once that process has ended"
    )


def not_next(entry: StoredEntry, head: tuple[int, str]) -> RecordCorrupt:
    """The error of an entry that does not continue its lifetime."""
    what = f"is not its next entry, {head[0] + 1}" if entry.seq != head[0] + 1 else "does not carry the hash of the entry before it"
    return RecordCorrupt(
        f"entry {entry.seq} of {entry.lifetime_id} {what}; nothing was written", lifetime_id=entry.lifetime_id, seq=entry.seq
    )


def repeated(entry: StoredEntry) -> RecordCorrupt:
    """The error of an entry whose execution and phase the lifetime has already."""
    exec_id, phase = entry.columns[_EXEC_ID], entry.columns[_PHASE]
    return RecordCorrupt(
        f"entry {entry.seq} of {entry.lifetime_id} repeats phase {phase!r} of {exec_id}; nothing was written",
        lifetime_id=entry.lifetime_id,
        seq=entry.seq,
    )


def not_the_one(lifetime_id: str, found: tuple[int, str], told: tuple[int, str]) -> RecordCorrupt:
    """The error of a tombstone that does not describe its lifetime."""
    return RecordCorrupt(
        f"{lifetime_id} has {found[0]} entries and head {found[1]}, and was to be pruned with {told[0]} and {told[1]}; nothing was deleted",
        lifetime_id=lifetime_id,
        seq=found[0],
    )


def pruned(lifetime_id: str) -> RecordCorrupt:
    """The error of an append to a lifetime that was pruned."""
    return RecordCorrupt(f"{lifetime_id} was pruned, and nothing can follow it; nothing was written", lifetime_id=lifetime_id, seq=1)


def held_by(lease: Lease, now: float) -> LeaseHeld:
    """The error of a claim on a lifetime that somebody works on."""
    return LeaseHeld(
        f"{lease.lifetime_id} is held by {lease.owner} for another {lease.expires_at - now:.0f} s; stop that run, or wait until its "
        "process has ended"
    )
