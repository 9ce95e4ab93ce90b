"""Export and import: a run as one JSON file, with everything its record refers to.

    format     "workbench.export/1"
    run        the run's id
    records    the run's record and those of its sandbox streams: `id`, `entries` (how many), `head` (the last hash), and `log`, which has
               for each entry its `hash` and its stored bytes as `data`; where these are encrypted, in base64, and `key` opens them
    blobs      the values that were too big for the log: `uri`, `size_bytes`, `sha256`, `media_type`, and `data` in base64

The bytes are the stored ones, so hashes can be checked without reading anything into them. An import checks all of it before it writes: the
chain, the count, the last hash, that each entry can follow, and every blob. It writes under the ids that the run had; what is there already
is left alone. Whoever has the export of an encrypted run can read it: it is the file's job to be read.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.errors import BlobCorrupt, RecordCorrupt, UserError
from workbench.record.codec import GENESIS, chain, sha256
from workbench.record.entries import StoredEntry, columns_of, decode_entry, verify_entry
from workbench.record.state import RunState, apply
from workbench.record.values import BlobRef
from workbench.runtime.replay import blobs_of, refuse_absent, stored_stream, streams_of

if TYPE_CHECKING:
    from workbench.runtime.workbench import Workbench

FORMAT = "workbench.export/1"


async def export(bench: Workbench, run_id: str) -> bytes:
    """A run as a file.

    Raises:
        RecordCorrupt, BlobMissing, BlobCorrupt: its record does not hold, so it is not exported.
        UserError: it has not ended, and somebody works on it.
    """
    if bench.works_on(run_id):
        raise UserError(f"run {run_id} is still going on; export it when it has ended")
    run = [stored async for stored in stored_stream(bench.plane, run_id)]
    if not run:
        await refuse_absent(bench.plane, run_id)
    streams = dict.fromkeys(stream for stored in run for stream in streams_of(decode_entry(stored)))
    logs = [run, *[[stored async for stored in stored_stream(bench.plane, stream)] for stream in streams]]
    refs = {ref.sha256: ref for log in logs for stored in log for ref in blobs_of(stored)}
    blobs = [{**ref.model_dump(exclude={"key"}), "data": _b64(await bench.blobs.get(ref))} for _, ref in sorted(refs.items())]
    records = [await _written(bench, log) for log in logs if log]
    return (json.dumps({"format": FORMAT, "run": run_id, "records": records, "blobs": blobs}, ensure_ascii=False, indent=1) + "\n").encode()


async def _written(bench: Workbench, log: list[StoredEntry]) -> dict[str, Any]:
    lines = [{"hash": stored.hash, "data": _b64(stored.data) if stored.sealed else stored.data.decode()} for stored in log]
    record = {"id": log[0].lifetime_id, "entries": len(log), "head": log[-1].hash, "log": lines}
    if bench.vault is not None and any(stored.sealed for stored in log):
        record["key"] = _b64(await bench.vault.key_of(log[0].lifetime_id))
    return record


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def take_in(bench: Workbench, file: bytes) -> str:
    """Write an exported run into the store, after checking all of it; the run's id.

    Raises:
        UserError: it is no export, or one of a newer version.
        RecordCorrupt, BlobCorrupt: names the first entry or blob that does not hold; nothing is written.
    """
    content = _content(file)
    keys = {str(record.get("id")): _key(record) for record in content["records"] if record.get("key") is not None}
    if keys and bench.vault is None:
        raise UserError("this run is encrypted, and this store is not: wb.connect(encryption='env:WORKBENCH_KEY'), then import it")
    logs = [_checked_log(bench, record, keys.get(str(record.get("id")))) for record in content["records"]]
    blobs = {data_of["sha256"]: _checked_blob(data_of) for data_of in content["blobs"]}
    missing = {ref.sha256 for log in logs for stored in log for ref in blobs_of(stored)} - blobs.keys()
    if missing:
        raise BlobCorrupt(f"the export lacks the blob sha256:{min(missing)}, to which its record refers; nothing was written")
    if logs[0][0].lifetime_id != content["run"]:
        raise _altered(content["run"], 1, "the export's first record is another run's")
    fresh = [log for log in logs if not await _is_there(bench, log)]
    for ref, data in blobs.values():
        await bench.blobs.put(data, ref.media_type)
    for log in fresh:
        if bench.vault is not None and (key := keys.get(log[0].lifetime_id)) is not None:
            await bench.vault.adopt(log[0].lifetime_id, key)
    epochs = {log[0].lifetime_id: (await bench.custody.claim(log[0].lifetime_id)).epoch for log in fresh}
    try:
        await bench.store.append([stored for log in fresh for stored in log], epochs)
    finally:
        for lifetime_id in epochs:
            await bench.store.release(lifetime_id, bench.owner)
    return str(content["run"])


def _content(file: bytes) -> dict[str, Any]:
    try:
        content = json.loads(file)
    except (ValueError, RecursionError) as error:
        raise UserError(f"this is no exported run: it is not JSON ({error})") from error
    kind = content.get("format") if isinstance(content, dict) else None
    if kind != FORMAT:
        raise UserError(f"this is no exported run that this version reads: its format is {kind!r}, and not {FORMAT!r}")
    wanted = {"records": list, "blobs": list, "run": str}
    wrong = [name for name, type_ in wanted.items() if not isinstance(content.get(name), type_)]
    if wrong or not content["records"]:
        raise UserError(f"this export is damaged: {', '.join(wrong) or 'records'} cannot be read")
    return {**content}


def _key(record: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(record["key"], validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise UserError(f"this export is damaged: the key of a record cannot be read ({error})") from error


def _stored(text: str, key: bytes | None) -> bytes:
    return text.encode() if key is None or text.startswith("{") else base64.b64decode(text, validate=True)


def _checked_log(bench: Workbench, record: Mapping[str, Any], key: bytes | None) -> list[StoredEntry]:
    """The entries of one record, as they were stored.

    Raises:
        RecordCorrupt: names the first that does not hold.
    """
    try:
        lifetime_id, count, head = str(record["id"]), int(record["entries"]), str(record["head"])
        lines = [(str(line["hash"]), _stored(str(line["data"]), key)) for line in record["log"]]
    except (KeyError, TypeError, ValueError, UnicodeEncodeError) as error:
        raise UserError(f"this export is damaged: a record of it cannot be read ({type(error).__name__}: {error})") from error
    log: list[StoredEntry] = []
    state, last = RunState(), GENESIS
    for seq, (entry_hash, data) in enumerate(lines, start=1):
        bare = StoredEntry(lifetime_id, seq, last, entry_hash, data, ())
        if bare.hash != chain(last, data):
            raise _altered(lifetime_id, seq, "it has been altered")
        if bench.vault is not None and key is not None and bare.sealed:
            bare = bench.vault.opened(bare, key)
        stored = replace(bare, columns=columns_of(decode_entry(bare)))
        apply(state, verify_entry(stored, lifetime_id, last, seq - 1))
        log.append(stored)
        last = entry_hash
    if (len(log), last) != (count, head) or not log:
        raise _altered(lifetime_id, len(log) + 1, f"the export says that it has {count} entries and ends with hash {head}")
    return log


def _checked_blob(described: Mapping[str, Any]) -> tuple[BlobRef, bytes]:
    try:
        ref = BlobRef(**{name: described[name] for name in BlobRef.model_fields if name != "key"})
        data = base64.b64decode(described["data"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise UserError(f"this export is damaged: a blob of it cannot be read ({error})") from error
    if sha256(data) != ref.sha256 or len(data) != ref.size_bytes or ref.uri != f"sha256:{ref.sha256}":
        raise BlobCorrupt(f"the blob {ref.uri} of the export has been altered; nothing was written")
    return ref, data


async def _is_there(bench: Workbench, log: list[StoredEntry]) -> bool:
    """Whether the store has this record, or a longer one of the same stream, which other runs have gone on with.

    Raises:
        RecordCorrupt: it has another one under this id.
    """
    seq, head = await bench.store.head(log[0].lifetime_id)
    if seq == 0:
        return False
    known = [stored.hash async for stored in stored_stream(bench.plane, log[0].lifetime_id)]
    if known[: len(log)] == [stored.hash for stored in log]:
        return True
    raise _altered(log[0].lifetime_id, min(seq, len(log)), f"the store has another record under this id, which ends with hash {head}")


def _altered(lifetime_id: str, seq: int, why: str) -> RecordCorrupt:
    return RecordCorrupt(f"entry {seq} of {lifetime_id} in the export: {why}; nothing was written", lifetime_id=lifetime_id, seq=seq)
