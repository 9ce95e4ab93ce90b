"""The program of the story in which a process dies at every entry of its record: branches, a retry, a person, a pause by a guardrail.

Every effect leaves a line on disk. `serve` forks a child for each command it reads, so that a child costs milliseconds; a child begins the
run or goes on with it, and kills itself just before or just after an entry of a given number is stored.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import workbench as wb
from workbench.adapters.memory import MemoryEventBus, MemoryKVStore
from workbench.adapters.objects import ObjectBlobStore
from workbench.adapters.sql import SqlStateStore
from workbench.loop import run_sync
from workbench.record.entries import StoredEntry
from workbench.record.envelope import HitlEvent
from workbench.runtime.workbench import Workbench
from workbench.schemas import AnswerSchema

EXPECTED = {"sent": [0, 10, 20], "approved": "yes", "paid": 30}
POLICY = '{"kind": "GuardrailPolicy", "rules": [{"id": "few", "when": "sum(tasks) > 4", "action": "pause_lifetime"}]}'

Moment = Literal["before", "after", "never"]

home = Path(os.devnull)


def note(line: str) -> None:
    """Leave a trace on disk, as an effect in the world does."""
    with (home / "log").open("a") as file:
        file.write(line + "\n")


def noted() -> list[str]:
    """The effects so far."""
    return (home / "log").read_text().splitlines()


@wb.task(idempotent=True)
async def begin(value: Any) -> Any:
    return value


@wb.plan
async def fork(given: wb.PlanInput) -> wb.PlanResult:
    return wb.PlanResult.each("send", range(3))


@wb.task(idempotent=True, retries=wb.RetryPolicy(attempts=3, first_wait=0.001))
async def send(n: int, ctx: Any) -> int:
    if n == 1 and ctx.attempt == 1:
        raise ConnectionError("the first attempt of this branch always fails")

    async def perform() -> int:
        note(f"send {n}")
        return n * 10

    sent: int = await ctx.effect("send", {"n": n}, perform)
    return sent


@wb.plan
async def gather(given: wb.PlanInput) -> wb.PlanResult:
    return wb.PlanResult.to("review", list(given.values))


@wb.task(idempotent=True)
async def review(sent: list[int], ctx: Any) -> dict[str, Any]:
    return {"sent": sent, "approved": await ctx.ask_human("Good?", schema={"type": "string"}, about=sent)}


@wb.task(idempotent=True)
async def pay(reviewed: dict[str, Any], ctx: Any) -> dict[str, Any]:
    async def perform() -> int:
        note("pay 30")
        return sum(reviewed["sent"])

    return {**reviewed, "paid": await ctx.effect("pay", {"n": 30}, perform)}


GRAPH = wb.AgentGraph(
    "crossed",
    nodes=[begin, fork, send, gather, review, pay],
    edges=[
        ("Start", "begin"),
        ("begin", "fork"),
        wb.Edge("fork", "send", "PARALLEL"),
        wb.Edge("send", "gather", "JOIN"),
        ("gather", "review"),
        ("review", "pay"),
        ("pay", "End"),
    ],
)


class DyingStore(SqlStateStore):
    """A store whose process dies at an entry."""

    def __init__(self, url: str, at: int, moment: Moment) -> None:
        super().__init__(url)
        self._at, self._moment = at, moment

    async def append(self, entries: Sequence[StoredEntry], epochs: Mapping[str, int]) -> None:
        reached = any(entry.seq >= self._at for entry in entries)
        if reached and self._moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        await super().append(entries, epochs)
        if reached and self._moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)


async def bench_of(at: int, moment: Moment) -> Workbench:
    store = DyingStore(f"sqlite:///{home / 'records.db'}", at, moment)
    return Workbench(state=store, bus=MemoryEventBus(), blobs=ObjectBlobStore(f"file:{home / 'blobs'}"), kv=MemoryKVStore())


def go(at: int, moment: Moment) -> None:
    """Begin the run, or go on with it; answer truthfully what it asks; write its value and how many entries it has."""
    bench = run_sync(bench_of(at, moment))
    runs = bench.runs()
    if not runs:
        run = wb.start(GRAPH, 0, policy=POLICY, workbench=bench)
    else:
        (run,) = runs
        run.verify(graph=GRAPH)
        run = run if run.done else run.resume(graph=GRAPH)
    while not run.done:
        for pending in run.pending:
            with contextlib.suppress(wb.errors.UserError):  # decided before an earlier death
                answer(pending)
        time.sleep(0.001)
    verified = run.verify(graph=GRAPH)
    asked = [entry.request.kind for entry in run.entries() if isinstance(entry, HitlEvent) and entry.request]
    (home / "end.json").write_text(json.dumps({"value": run.value, "entries": verified.entries, "asked": asked}))


def answer(pending: Any) -> None:
    match pending.request.kind:
        case "question":
            pending.answer("yes")
        case "pause":
            pending.unpause()
        case "unknown_outcome" if f"{pending.tool} {pending.args['n']}" in noted():
            pending.happened(30 if pending.tool == "pay" else pending.args["n"] * 10)
        case _:
            pending.did_not_happen()


def serve() -> None:
    """Fork a child for each command `home at moment`, and print how it ended."""
    AnswerSchema({"type": "string"}).check("what every child would import")
    wb.Policy.parse(POLICY)
    for line in sys.stdin:
        place, at, moment = line.split()
        pid = os.fork()
        if pid == 0:
            child(Path(place), int(at), moment)  # type: ignore[arg-type]
        print(os.waitpid(pid, 0)[1], flush=True)


def child(place: Path, at: int, moment: Moment) -> NoReturn:
    """What a forked process does."""
    global home  # noqa: PLW0603 - each child is a process of its own
    home = place
    (home / "log").touch()
    try:
        go(at, moment)
    except BaseException:  # noqa: BLE001 - told to the parent, and the child must end here
        (home / "error").write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    serve()
