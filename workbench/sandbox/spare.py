"""One littrs worker more than is needed: started ahead, confined, and waiting for its limits, so that a session starts at once.

It holds nothing of any session. It counts among the idle ones (`idle.MAX_IDLE`) and dies with us like any other worker.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from workbench.sandbox import warden

_SCRIPT = Path(__file__).with_name("littrs_worker.py")


class Worker(NamedTuple):
    """A process, and our end of its standard input."""

    process: subprocess.Popen[bytes]
    connection: socket.socket

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()
        warden.forget(self.process.pid)


_lock = threading.Lock()
_waiting: dict[int, Worker] = {}
"""By process id: a forked child must not take its parent's."""


def take(extension: str) -> Worker:
    """The spare worker, or a new one."""
    with _lock:
        worker = _waiting.pop(os.getpid(), None)
    if worker is not None and worker.process.poll() is None:
        return worker
    if worker is not None:
        worker.end()
    return _start(extension)


def prepare(extension: str) -> None:
    """Have a spare worker from now on, if there is none."""
    with _lock:
        if os.getpid() in _waiting:
            return
        _waiting[os.getpid()] = _start(extension)
    atexit.unregister(drop)
    atexit.register(drop)


def drop() -> None:
    """End the spare worker, if there is one."""
    with _lock:
        worker = _waiting.pop(os.getpid(), None)
    if worker is not None:
        with contextlib.suppress(OSError):
            worker.end()


def _start(extension: str) -> Worker:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", "-S", str(_SCRIPT), extension, landlock_library()],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            cwd=warden.empty_directory(),
            start_new_session=True,
        )
    warden.watch(process.pid)
    ours.setblocking(False)
    return Worker(process, ours)


def landlock_library() -> str:
    """The folder that landlockpy is installed in, found without importing it; empty where it is not."""
    spec = importlib.util.find_spec("landlockpy") if sys.platform == "linux" else None
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    return str(Path(folders[0]).parent) if folders else ""
