"""Workers live outside our interrupts and die with us. The owner is a process of its own here, which a test may interrupt and kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from workbench.sandbox.littrs_engine import AVAILABLE

OWNER = """
import asyncio, os, signal, sys
from workbench.sandbox import littrs_engine, warden
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
    print(*[process for process in warden._wardens[os.getpid()].watched], flush=True)
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
    assert owner.ask() == f"{['kept'] * (len(owner.workers) - 1)} False\n"
    assert all(map(alive, owner.workers))


def test_after_the_owner_is_killed_no_worker_is_left_not_even_a_busy_one(owner: Owner) -> None:
    assert len(owner.workers) == 2 + AVAILABLE
    assert all(map(alive, owner.workers))
    owner.process.kill()
    owner.process.wait()
    assert gone(owner.workers, 3)


def test_after_the_owner_ends_no_worker_is_left(owner: Owner) -> None:
    assert owner.process.stdin is not None
    owner.process.stdin.close()
    owner.process.wait(30)
    assert gone(owner.workers, 3)
