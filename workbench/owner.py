"""Who owns a lifetime: one string a process, from which another process on the same machine can tell that it has died.

A lease ends by itself, but waiting for that after every crash would be tiresome: where the operating system can say for certain that the
owner is gone, its leases are free at once. Certain means Linux, the same boot, the same process namespace, and a pid that is absent or
belongs to a process started at another time. Everywhere else the answer is "not known to be dead" and the lease runs out.
"""

from __future__ import annotations

import os
import socket
import uuid
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


def owner_id() -> str:
    """`machine/pid/start time/nonce`; a new one each call."""
    return f"{_machine()}/{os.getpid()}/{_start_time(os.getpid()) or '-'}/{uuid.uuid4().hex[:8]}"


def is_dead(owner: str) -> bool:
    """Whether the process behind an owner id is certainly gone. Of an id of another form nothing is certain."""
    machine, _, process = owner.partition("/")
    pid, _, started = process.rpartition("/")[0].partition("/")
    return machine == _machine() and pid.isdecimal() and started.isdecimal() and _start_time(int(pid)) != started


@cache
def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return socket.gethostname().replace("/", "-")
    return f"{boot}:{namespace}"


def _start_time(pid: int) -> str | None:
    """The start time of a process in clock ticks since boot, or None if there is none (a zombie has ended, whoever has yet to reap it)."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
