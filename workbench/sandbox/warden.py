"""A small process that outlives this one by a moment and takes its sandbox workers along.

A worker that waits for us sees its input close when we die, but one that is busy does not look. A parent-death signal would not do: on
Linux it follows the thread that started the worker, and monty's pool starts its workers from threads that come and go. So one warden per
process holds a list of worker ids. When its input closes or its parent changes, which is how it learns of our death however we died, it
kills what is on the list and ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass

_CODE = """
import os, select, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
owner, pids, rest = int(sys.argv[1]), set(), b""
while os.getppid() == owner:
    if not select.select([0], [], [], 0.5)[0]:
        continue
    data = os.read(0, 65536)
    if not data:
        break
    *lines, rest = (rest + data).split(b"\\n")
    for line in lines:
        (pids.add if line[:1] == b"+" else pids.discard)(int(line[1:]))
for pid in pids:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
os.chdir("/")
for folder, folders, files in os.walk(sys.argv[2], topdown=False):
    for file in files:
        os.unlink(os.path.join(folder, file))
    os.rmdir(folder)
"""


@dataclass
class _Warden:
    process: subprocess.Popen[bytes]
    pipe: int
    watched: set[int]
    directory: str

    def tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it was killed; the next `watch` starts another
            os.write(self.pipe, line.encode())


_lock = threading.RLock()  # re-entrant: a collected engine may be forgotten in the middle of a `watch`
_wardens: dict[int, _Warden] = {}
"""This process's warden, by process id: a forked child starts its own."""


def watch(pid: int) -> None:
    """Kill `pid` when this process dies."""
    with _lock:
        warden = _warden()
        warden.watched.add(pid)
        warden.tell(f"+{pid}\n")


def forget(pid: int) -> None:
    """`pid` has ended; its number may soon belong to somebody else."""
    with _lock:
        if warden := _wardens.get(os.getpid()):
            warden.watched.discard(pid)
            warden.tell(f"-{pid}\n")


def empty_directory() -> str:
    """A directory with nothing in it, for workers to run in."""
    return os.path.join(directory(), "empty")


def directory() -> str:
    """A directory of this process's own, which the warden removes."""
    with _lock:
        return _warden().directory


def _warden() -> _Warden:
    warden = _wardens.get(os.getpid())
    if warden is not None and warden.process.poll() is None:
        return warden
    theirs, ours = os.pipe()
    directory = tempfile.mkdtemp(prefix="workbench-")
    os.mkdir(os.path.join(directory, "empty"), mode=0o500)
    process = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-I", "-S", "-c", _CODE, str(os.getpid()), directory],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        cwd=directory,
        start_new_session=True,
    )
    os.close(theirs)
    watched = warden.watched if warden is not None else set()
    for pid in watched:
        os.write(ours, f"+{pid}\n".encode())
    atexit.register(_dismiss, os.getpid())
    _wardens[os.getpid()] = _Warden(process, ours, watched, directory)
    return _wardens[os.getpid()]


def _dismiss(pid: int) -> None:
    """At our ordinary end: let the warden do its work, and do not leave it a zombie."""
    warden = _wardens.pop(os.getpid(), None) if pid == os.getpid() else None
    if warden is not None:
        os.close(warden.pipe)
        with contextlib.suppress(subprocess.TimeoutExpired):
            warden.process.wait(5)
