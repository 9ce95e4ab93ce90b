"""What a worker has of us, which is nothing, and when it dies, which is with us.

For the second the owner is a process of its own, which a test may interrupt and kill.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import landlockpy
import pytest

from tests.sandbox.test_hostile import worker_of
from workbench.sandbox import spare
from workbench.sandbox.littrs_engine import AVAILABLE
from workbench.sandbox.session import Session

Open = Callable[..., Session]
CONFINE = Path(spare.__file__).with_name("confine.py")
ENGINES = ["littrs", "monty"] if AVAILABLE else ["monty"]

OWNER = """
import asyncio, os, signal, sys
from workbench.sandbox import littrs_engine, spare, warden
from workbench.sandbox.session import Session

signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))  # as a kernel: it survives, its workers must too

async def host(name, args, kwargs):
    return None

async def main():
    engines = ["littrs", "monty"] if littrs_engine.AVAILABLE else ["monty"]
    idle = [Session(name, engine=name) for name in engines]
    for session in idle:
        await session.run("x = 'kept'", host)
    busy = Session("busy", engine="monty")
    await busy.run("x = 1", host)
    running = asyncio.create_task(busy.run("while True: pass", host))
    await asyncio.sleep(0.3)
    while engines != ["monty"] and not spare._waiting:
        await asyncio.sleep(0.05)
    engines = [session._engine for session in [*idle, busy]]
    workers = [engine._process.pid if engine.name == "littrs" else engine._pid for engine in engines]
    workers += [worker.process.pid for worker in spare._waiting.values()]
    assert set(workers) <= warden._wardens[os.getpid()].watched
    print(*workers, flush=True)
    while True:
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            return
        print([(await session.run("x", host)).value for session in idle], running.done(), flush=True)

asyncio.run(main())
"""


class Owner:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, text=True
        )
        self.workers = [int(pid) for pid in self.line().split()]

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def ask(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.line()


@pytest.fixture
def owner() -> Iterator[Owner]:
    started = Owner()
    with started.process:
        yield started
        started.process.kill()


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: list[int], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(alive, pids))


def test_an_interrupt_of_the_whole_process_group_leaves_sessions_alive(owner: Owner) -> None:
    os.killpg(owner.process.pid, signal.SIGINT)
    assert owner.line() == "interrupted\n"
    assert owner.ask() == f"{['kept'] * (1 + AVAILABLE)} False\n"
    assert list(map(alive, owner.workers)) == [True] * len(owner.workers)


def test_after_the_owner_is_killed_no_worker_is_left_not_even_a_busy_one(owner: Owner) -> None:
    assert len(owner.workers) == 2 + 2 * AVAILABLE  # an idle one of each engine, a busy one, and littrs' spare
    assert all(map(alive, owner.workers))
    owner.process.kill()
    owner.process.wait()
    assert gone(owner.workers, 3)


def test_after_the_owner_ends_no_worker_is_left(owner: Owner) -> None:
    assert owner.process.stdin is not None
    owner.process.stdin.close()
    owner.process.wait(30)
    assert gone(owner.workers, 3)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}


async def test_a_worker_has_no_environment_no_directory_and_no_descriptor_of_ours(
    engine: str, open_session: Open, host: Any, tmp_path: Path
) -> None:
    secret = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(secret, True)
    session = open_session(engine)
    await session.run("x = 1", host)
    process = f"/proc/{worker_of(session)}"
    held = {fd: os.readlink(f"{process}/fd/{fd}") for fd in os.listdir(f"{process}/fd")}
    os.close(secret)
    assert sorted(held) == ["0", "1", "2"]
    assert [path for path in held.values() if path.startswith("/") and path != "/dev/null"] == []
    assert os.listdir(f"{process}/cwd") == []
    assert environment_of(worker_of(session)) == b""
    assert os.getsid(worker_of(session)) != os.getsid(0) or engine == "monty"


async def test_a_worker_can_gain_no_privilege_open_nothing_and_start_nothing(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    await session.run("x = 1", host)
    pid = worker_of(session)
    assert status_of(pid)["NoNewPrivs"] == "1"
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (3, 3)
    assert resource.prlimit(pid, resource.RLIMIT_NPROC) == (0, 0)
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    assert resource.prlimit(pid, resource.RLIMIT_FSIZE) == (0, 0)
    assert resource.prlimit(pid, resource.RLIMIT_AS)[0] < 4 * 2**30


async def test_a_worker_ignores_the_interrupt_of_jupyter(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    await session.run("x = 'kept'", host)
    pid = worker_of(session)
    assert int(status_of(pid)["SigIgn"], 16) & 1 << (signal.SIGINT - 1)
    os.kill(pid, signal.SIGINT)
    assert ((await session.run("x", host)).value, worker_of(session)) == ("kept", pid)


def confined(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program as monty's launcher does."""
    arguments = [sys.executable, "-I", "-S", str(CONFINE), spare.landlock_library(), *command]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=30, env={"SECRET": "1"})


def test_a_confined_program_has_an_empty_environment() -> None:
    assert "SECRET" not in confined("/bin/sh", "-c", "export -p").stdout
    assert confined("/bin/sh", "-c", "echo runs").stdout == "runs\n"


if landlockpy.supported():

    @pytest.mark.parametrize(
        "script", ["read x < /etc/passwd", "echo > /tmp/hostile", "kill -0 $PPID", "cd /etc && read x < passwd", "/usr/bin/env"]
    )
    def test_the_kernel_refuses_a_confined_program_files_signals_and_other_programs(script: str) -> None:
        assert confined("/bin/sh", "-c", f"{script} && echo done").stdout == ""
        assert subprocess.run(["/bin/sh", "-c", f"{script} > /dev/null && echo done"], check=False, capture_output=True).stdout == b"done\n"

    def test_the_kernel_refuses_a_confined_program_the_network() -> None:
        script = f"""
import sys
sys.path.insert(0, {str(CONFINE.parent)!r})
import socket, confine
confine.confine({spare.landlock_library()!r})
socket.create_connection(("127.0.0.1", 1))
"""
        done = subprocess.run([sys.executable, "-I", "-S", "-c", script], check=False, capture_output=True, text=True)
        assert "PermissionError" in done.stderr
