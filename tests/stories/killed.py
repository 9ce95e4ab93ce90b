"""The program that the kill story runs and kills: an agent with one idempotent and one non-idempotent tool.

`serve` is a process that has imported everything once and forks a child for each command it reads, before any loop has started, so that
a child costs milliseconds. A child either starts a run or resumes one, and answers what it is asked by looking into the log.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

import workbench as wb
from workbench.adapters import objects, sql  # noqa: F401 - what every child would import
from workbench.profiles import local

CALLS = 10

PROGRAM = f"""
total = 0
for n in range({CALLS}):
    total += look(n)
    total += send(n)
print(total)
"""

ANSWER = """
finish({"total": total, "sent": [send(n) for n in range(100, 103)]})
"""

EXPECTED = {"total": sum(n * n for n in range(CALLS)) + sum(2 * n for n in range(CALLS)), "sent": [200, 202, 204]}

log = Path(os.devnull)


def note(line: str) -> None:
    """Leave a trace on disk, as an effect in the world does."""
    with log.open("a") as file:
        file.write(line + "\n")


@wb.tool(idempotent=True)
def look(n: int) -> int:
    """Look something up."""
    note(f"look {n}")
    time.sleep(0.001)
    return n * n


@wb.tool(idempotent=False)
def send(n: int) -> int:
    """Send something, once."""
    note(f"send {n}")
    time.sleep(0.001)
    return 2 * n


def scripted() -> wb.models.Scripted:
    return wb.models.Scripted([f"```python\n{PROGRAM}\n```", f"```python\n{ANSWER}\n```"])


def begin(engine: str) -> None:
    """Start the run and write its answer."""
    agent = wb.Agent(scripted(), tools=[look, send], engine=engine, workbench=local(home=log.parent))
    finished(agent.run("Send what you see."))


def go_on() -> None:
    """Resume the run, answering truthfully, and write its answer; None if the first process died before there was a run."""
    bench = local(home=log.parent)
    runs = bench.runs()
    if not runs:
        finished(None)
        return
    (run,) = runs
    run.verify()
    if run.done:
        finished(run.value)
        return
    run = run.resume(tools=[look, send], model=scripted())
    while run.live:
        for pending in run.pending:
            n = pending.args["n"]
            happened = f"send {n}" in log.read_text().splitlines()
            with contextlib.suppress(wb.errors.UserError):  # decided before an earlier kill
                pending.happened(2 * n) if happened else pending.did_not_happen()
        time.sleep(0.002)
    finished(run.result())
    run.verify()


def finished(value: object) -> None:
    (log.parent / "answer.json").write_text(json.dumps(value))


def serve() -> None:
    """Fork a child for each command `home engine|resume seconds`, kill it after so many seconds, and print how it ended."""
    for line in sys.stdin:
        home, what, seconds = line.split()
        pid = os.fork()
        if pid == 0:
            child(Path(home), what)
        end = time.monotonic() + float(seconds)
        while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                end = math.inf
            time.sleep(0.0005)
        print(ended[1], flush=True)


def child(home: Path, what: str) -> NoReturn:
    """What a forked process does."""
    global log  # noqa: PLW0603 - each child is a process of its own
    log = home / "log"
    log.touch()
    try:
        go_on() if what == "resume" else begin(what)
    except BaseException:  # noqa: BLE001 - told to the parent, and the child must end here
        (home / "error").write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    serve()
