"""A sandbox session and the record of its stream, kept in step: what the session has done since is stored with the run's next commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from workbench.record.envelope import AnyEntry, Header, SandboxEvent
from workbench.record.sandbox_items import SandboxItem
from workbench.record.values import Payload, Status, make_id
from workbench.runtime.data_plane import DataPlane
from workbench.runtime.lifetime import Lifetime
from workbench.sandbox.session import Session

PayloadChange = Callable[[Payload], Awaitable[Payload]]


class SandboxStream:
    """The writer of one session's stream. It outlives the runs that use it; each run takes it along as `life.streams`."""

    def __init__(self, session: Session, sandbox_id: str) -> None:
        self.session = session
        self.sandbox_id = sandbox_id
        self._plane: DataPlane | None = None

    def begin_anew(self, sandbox_id: str) -> None:
        """Go on under another id, with all of the past: the record of the old one was pruned with the runs that had used it."""
        self.sandbox_id = self.session.sandbox_id = sandbox_id

    async def attach(self, life: Lifetime) -> None:
        """Take the stream for this process and let the run's commits store it.

        Raises:
            LeaseHeld: another process uses the sandbox.
        """
        lease = await life.claim(self.sandbox_id)
        # From the store and not from the run before: what that one could not store is written again.
        seq, head = await life.plane.state.head(self.sandbox_id)
        life.streams[self.sandbox_id] = await life.plane.journal(self.sandbox_id, epoch=lease.epoch, seq=seq, head=head)
        self._plane = life.plane

    async def keep_text(self, text: str) -> dict[str, Any]:
        """Store a long text beside the run; what refers to it."""
        assert self._plane is not None, "attach is called first"
        blob = await self._plane.put_blob(text.encode("utf-8", "backslashreplace"), "text/plain; charset=utf-8")
        return blob.model_dump(mode="json")

    async def write_given(self, life: Lifetime) -> None:
        """Write what was put into the session before the run began, so that a run that dies early still has it."""
        if len(self.session.items) > max(1, life.streams[self.sandbox_id].seq):
            await self.write_new(life)

    async def write_new(self, life: Lifetime) -> None:
        """Write what the session has done since the last time; the run's next commit stores it. Each item is an entry, in order."""
        journal = life.streams[self.sandbox_id]
        for item in self.session.items[journal.seq :]:
            status: Status = "FAILED" if item.block is not None and item.block.error is not None else "SUCCEEDED"
            header = Header(
                lifetime_id=self.sandbox_id,
                exec_id=make_id(self.sandbox_id, journal.next_seq),
                name=item.action,
                status=status,
                created_at=life.clock.now(),
                session_id=life.state.session_id,
                tenant_id=life.state.tenant_id,
            )
            spilled = await _spilled(item, life.plane)
            journal.add(SandboxEvent(seq=journal.next_seq, phase=item.action, header=header, item=spilled))


async def read_stream(plane: DataPlane, sandbox_id: str) -> list[SandboxItem]:
    """A session's stream from the store, with blobs read in: what `Session(items=…)` rebuilds from."""
    return await items_of(plane, await plane.entries(sandbox_id))


async def items_of(plane: DataPlane, entries: Iterable[AnyEntry]) -> list[SandboxItem]:
    """The items of a stream's entries, with blobs read in."""
    return [await _loaded(entry.item, plane) for entry in entries if isinstance(entry, SandboxEvent)]


async def _spilled(item: SandboxItem, plane: DataPlane) -> SandboxItem:
    return await _mapped(item, plane.spill)


async def _loaded(item: SandboxItem, plane: DataPlane) -> SandboxItem:
    return await _mapped(item, plane.load)


async def _mapped(item: SandboxItem, change: PayloadChange) -> SandboxItem:
    value = None if item.value is None else await change(item.value)
    block = item.block
    if block is not None:
        calls = [
            call.model_copy(update={"args": await change(call.args), "result": None if call.result is None else await change(call.result)})
            for call in block.calls
        ]
        block = block.model_copy(update={"calls": tuple(calls)})
    return item.model_copy(update={"value": value, "block": block})
