"""Custody: the lifetimes that this process owns, their leases, and who is in memory.

A lifetime that only waits for people is parked: its nodes are cancelled, its state is let go, and of it stay its binding and the number of
its lease. The record has all the rest. An answer, a time that is over or an order to stop wakes it: the record is read as after a crash,
without an entry of its own, since nothing was lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.errors import StoreError, UserError, WorkbenchError
from workbench.owner import is_dead
from workbench.ports import Lease
from workbench.record.values import LifetimeStatus
from workbench.runtime.binding import Binding
from workbench.runtime.clock import Clock
from workbench.runtime.control_plane import ControlPlane
from workbench.runtime.crowd import Collector
from workbench.runtime.data_plane import DataPlane, Journal
from workbench.runtime.guard import Guard
from workbench.runtime.lifetime import Lifetime
from workbench.runtime.parking import only_waits, seconds_to_sleep

logger = logging.getLogger(__name__)

INBOX_SECONDS = 0.2
"""How often decisions made in other processes are looked for while a run waits for one."""


@dataclass(slots=True, eq=False)
class Owned:
    """One lifetime that this process owns, in memory or parked."""

    lifetime_id: str
    binding: Binding
    epoch: int
    life: Lifetime | None
    """None while it is parked."""
    ended: asyncio.Future[None]
    """Set at the very end, whatever the end is."""
    status: LifetimeStatus = "running"
    """What it was parked as."""
    begun_at: Mapping[str, float] = field(default_factory=dict)
    """When the executions began that were parked with it, by the process's monotonic clock."""
    lost: Exception | None = None
    """Why it could not be woken."""
    stop_reason: str | None = None
    """An order to stop that came while it was parked."""
    hushed: bool = False
    """Whether somebody is shown what its tools print, so that it need not be printed here too."""
    wanted: bool = False
    """Whether something has come while it was being parked."""
    waking: bool = False
    """Whether its record is being read."""
    task: asyncio.Task[None] | None = None
    """What drives it, sleeps until a time is over, or wakes it."""

    @property
    def broken(self) -> Exception | None:
        """Why this process cannot go on with it; the record stands and can be resumed."""
        return self.lost if self.life is None else self.life.broken


class Custody:
    """Drives, parks and wakes lifetimes, and keeps their leases."""

    def __init__(
        self, plane: DataPlane, control: ControlPlane, clock: Clock, *, owner: str, lease_seconds: float, park_seconds: float | None
    ) -> None:
        self._plane = plane
        self._control = control
        self._clock = clock
        self._owner = owner
        self._pid = os.getpid()
        self._lease_seconds = lease_seconds
        self._park_seconds = park_seconds
        self._owned: dict[str, Owned] = {}
        self._in_memory = 0
        self._collector = Collector()
        self._housekeeping: asyncio.Task[None] | None = None
        self._closed = False
        self._inbox_read = 0
        """How far the inbox has been looked through for live runs."""

    def get(self, lifetime_id: str) -> Owned | None:
        """A lifetime of this process that has not ended."""
        return self._owned.get(lifetime_id)

    async def claim(self, lifetime_id: str) -> Lease:
        """Take a lifetime for this process.

        Raises:
            LeaseHeld: another process is working on it.
            UserError: in a forked child, which must not write with its parent's connections.
        """
        if os.getpid() != self._pid:
            raise UserError("this process was forked from the one that connected; call wb.connect() in it")
        return await self._plane.state.claim(lifetime_id, self._owner, self._lease_seconds)

    async def free_the_dead(self) -> None:
        """Leases whose owner is known to be dead, of runs and of their sandboxes, stand in nobody's way."""
        for lease in (await self._plane.state.leases()).values():
            if is_dead(lease.owner):
                await self._plane.state.release(lease.lifetime_id, lease.owner)

    def lifetime(self, binding: Binding, journal: Journal) -> Lifetime:
        """A lifetime in memory, its record still to be taken in."""
        life = Lifetime(
            binding=binding,
            plane=self._plane,
            clock=self._clock,
            journal=journal,
            worker_id=self._owner,
            claim=self.claim,
            may_park=only_waits,
            park_seconds=self._park_seconds,
        )
        life.guard = None if binding.policy is None else Guard(life, binding.policy)
        return life

    async def read(self, lifetime_id: str, binding: Binding, epoch: int) -> Lifetime:
        """A lifetime in memory, as its record stands."""
        seq, head = await self._plane.state.head(lifetime_id)
        life = self.lifetime(binding, await self._plane.journal(lifetime_id, epoch=epoch, seq=seq, head=head))
        async for entry in self._plane.read(lifetime_id):
            life.take_in(entry)
        return life

    def drive(self, life: Lifetime) -> Owned:
        """Work on a lifetime until it has ended or is lost."""
        loop = asyncio.get_running_loop()
        owned = Owned(life.journal.lifetime_id, life.binding, life.journal.epoch, life, ended=loop.create_future())
        self._owned[owned.lifetime_id] = owned
        self._go_on(owned, life)
        if self._housekeeping is None or self._housekeeping.done():
            self._housekeeping = loop.create_task(self._housekeep())
        return owned

    def stop(self, owned: Owned, reason: str) -> None:
        """End a lifetime as soon as what is running has been cancelled."""
        if owned.life is not None and not owned.life.parking:
            owned.life.stop(reason)
        else:
            owned.stop_reason = owned.stop_reason or reason
            self._wake(owned)

    async def take_decisions(self, owned: Owned) -> None:
        """Hand decisions from the inbox to whoever waits for them."""
        if owned.life is not None and not owned.life.parking:
            await owned.life.take_decisions()
        else:
            self._wake(owned)

    async def close(self) -> None:
        """Break off all of them (they can be resumed) and give up their leases."""
        self._closed = True
        await asyncio.sleep(0)  # a task that is cancelled before its first step never runs, and could not end its lifetime
        tasks = [owned.task for owned in self._owned.values() if owned.task is not None]
        tasks += [self._housekeeping] if self._housekeeping is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        closed = WorkbenchError("its workbench was closed")
        await asyncio.gather(*(self._lose(owned, closed) for owned in list(self._owned.values())))

    def _go_on(self, owned: Owned, life: Lifetime) -> None:
        owned.wanted = owned.waking = False
        self._in_memory += 1
        self._collector.crowded(self._in_memory)
        owned.task = life.task = asyncio.get_running_loop().create_task(self._work(owned, life), name=f"run {owned.lifetime_id}")

    async def _work(self, owned: Owned, life: Lifetime) -> None:
        """Drive a lifetime to its end, or until it has nothing to do but wait."""
        parked = False
        try:
            parked = await self._control.drive(life)
        finally:
            self._in_memory -= 1
            self._collector.crowded(self._in_memory)
            if not parked:
                await self._end(owned, list(life.streams))
        if parked:
            self._park(owned, life)

    def _park(self, owned: Owned, life: Lifetime) -> None:
        owned.status = life.state.status
        owned.begun_at = {exec_id: life.begun_at[exec_id] for exec_id in life.state.running if exec_id in life.begun_at}
        owned.stop_reason = owned.stop_reason or life.stop_reason
        sleep = seconds_to_sleep(life)
        owned.life = owned.task = None
        if owned.wanted or owned.stop_reason is not None or sleep == 0:
            self._wake(owned)
        elif sleep is not None:
            owned.task = asyncio.get_running_loop().create_task(self._sleep(owned, sleep))

    async def _sleep(self, owned: Owned, seconds: float) -> None:
        await self._clock.sleep(seconds)
        owned.task = None
        self._wake(owned)

    def _wake(self, owned: Owned) -> None:
        """Bring a parked lifetime back into memory; one that is being parked or woken is looked at again afterwards."""
        owned.wanted = True
        if owned.life is not None or owned.waking or self._closed:
            return
        if owned.task is not None:
            owned.task.cancel()
        owned.waking = True
        owned.task = asyncio.get_running_loop().create_task(self._woken(owned))

    async def _woken(self, owned: Owned) -> None:
        try:
            life = await self.read(owned.lifetime_id, owned.binding, owned.epoch)
        except Exception as error:  # noqa: BLE001 - a store or a record that fails is told to whoever waits for the run
            logger.error("run %s waits in the store and could not be read: %s", owned.lifetime_id, error)  # noqa: TRY400
            await self._lose(owned, error)
            return
        life.begun_at.update(owned.begun_at)
        life.stop_reason, owned.stop_reason = owned.stop_reason, None
        owned.life = life
        life.hushed = owned.hushed
        self._go_on(owned, life)

    async def _lose(self, owned: Owned, why: Exception) -> None:
        owned.lost = why
        await self._end(owned, [])

    async def _end(self, owned: Owned, streams: list[str]) -> None:
        del self._owned[owned.lifetime_id]
        owned.ended.set_result(None)
        try:
            for held in (owned.lifetime_id, *streams):
                await self._plane.state.release(held, self._owner)
        except StoreError as error:
            logger.warning("the lease of run %s could not be given up and will run out: %s", owned.lifetime_id, error)

    async def _housekeep(self) -> None:
        """While there are any: keep their leases, and fetch decisions made in other processes. One question finds those for all; a run that
        begins to ask looks for itself."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while self._owned:
            await asyncio.sleep(INBOX_SECONDS)
            try:
                for position, lifetime_id in await self._plane.state.decided_after(self._inbox_read):
                    if (owned := self._owned.get(lifetime_id)) is not None:
                        await self.take_decisions(owned)
                    self._inbox_read = position
                if loop.time() - renewed > self._lease_seconds / 3:
                    await self._plane.state.renew(self._owner, self._lease_seconds)
                    renewed = loop.time()
            except StoreError as error:
                # The runs that write will notice; those that wait must not lose their lease to a moment's trouble.
                logger.warning("leases and decisions could not be looked after: %s", error)
