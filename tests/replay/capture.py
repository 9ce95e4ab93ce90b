"""Captures the records in this directory: `python -m tests.replay.capture [name …]`. They are kept as they are for ever.

A record that is there already is left alone: it was written by the version of its day, and every later version must read it, find that it
holds and decide again what was decided. A new kind of run gets a new record.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import workbench as wb
from tests.replay.graphs import ASKING, FAN, look, send
from workbench.errors import RunError
from workbench.loop import run_sync
from workbench.profiles import for_tests
from workbench.runtime.pending import Pending

HERE = Path(__file__).parent
TOOLS = [look, send]

SHAPE = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}


def agent(bench: wb.Workbench, *replies: str, engine: str = "monty", schema: dict[str, object] | None = None, turns: int = 10) -> wb.Run:
    """A finished run of an agent with this script."""
    made = wb.Agent(wb.models.Scripted(replies), tools=TOOLS, engine=engine, schema=schema, max_iterations=turns, workbench=bench)
    run = made.start("Add the squares of 1 and 2.")
    run_sync(run.wait())
    made.close()
    return run


def code(text: str) -> str:
    """A reply with this code in it."""
    return f"```python\n{text}\n```"


def success(bench: wb.Workbench) -> wb.Run:
    """Two blocks, calls, a caught error, and an answer."""
    first = "total = 0\nfor n in [1, 2]:\n    total += look(n)\ntry:\n    look('x')\nexcept Exception as error:\n    print(error)"
    return agent(bench, "<think>easy</think>" + code(first), code("print(total)"), code("finish({'total': total + send(1)})"))


def failure(bench: wb.Workbench) -> wb.Run:
    """All turns used, with an error and a reply that cannot be used among them."""
    return agent(bench, code("1 / 0"), "", code("print(look(3))"), turns=3)


def correction(bench: wb.Workbench) -> wb.Run:
    """An answer of the wrong shape, and then one of the right."""
    return agent(bench, code("finish({'total': 'five'})"), code("finish({'total': look(1) + look(2)})"), schema=SHAPE)


def promotion(bench: wb.Workbench) -> wb.Run:
    """A sandbox that begins on littrs, where there is one, and is moved to monty."""
    return agent(
        bench, code("x = look(2)\nprint(x)"), code("rows = sorted([(2, 'b'), (1, 'a')])\nprint(rows, x / 3)"), "Done.", engine="auto"
    )


def fan(bench: wb.Workbench) -> wb.Run:
    """Branches, a retry, a join, a round back."""
    run = wb.start(FAN, 3, tools=TOOLS, workbench=bench)
    run.result(20)
    return run


def fork(bench: wb.Workbench) -> wb.Run:
    """A fork of the fan with another result."""
    run = fan(bench)
    changed = next(entry for entry in run.entries() if entry.header.name == "read" and entry.phase == "finished")
    made = run.fork(changed.seq, edit=[2, 5], confirm=True)
    made.result(20)
    return made


def agent_fork(bench: wb.Workbench) -> wb.Run:
    """A fork of a failed agent with other code."""
    made = failure(bench).fork(step=3, code="finish(look(3))")
    made.result(20)
    return made


@wb.task
async def wait(value: int, ctx: object) -> int:
    """Long enough to be stopped or broken off."""
    await ctx.call_tool("send", {"n": value})  # type: ignore[attr-defined]
    await asyncio.sleep(60)
    return value


WAITING = wb.AgentGraph("waiting", nodes=[wait], edges=[("Start", "wait"), ("wait", "End")])


def stopped(bench: wb.Workbench) -> wb.Run:
    """Stopped while a Task was running."""
    run = wb.start(WAITING, 1, tools=TOOLS, workbench=bench)
    run_sync(until(run, 4))
    run.stop("enough")
    run_sync(run.wait())
    return run


def unknown(bench: wb.Workbench) -> wb.Run:
    """Broken off in a Task that is not idempotent; a person says that it had happened."""
    run = wb.start(WAITING, 2, tools=TOOLS, workbench=bench)
    run_sync(until(run, 4))
    run_sync(broken_off(bench, run.id))
    again = bench.open(run.id).resume(graph=WAITING, tools=TOOLS)
    while not again.pending:
        run_sync(asyncio.sleep(0.01))
    again.pending[0].happened(42, note="I saw it")
    again.result(20)
    return again


LETTERS = """
out = []
for n in [1, 2, 3]:
    try:
        out.append(send(n))
    except Exception as error:
        out.append(str(error))
finish(out)
"""


def people(bench: wb.Workbench) -> wb.Run:
    """A call approved, one changed, one refused."""
    tool = replace(wb.Tool.of(send), approval=True)
    made = wb.Agent(wb.models.Scripted([code(LETTERS)]), tools=[tool], engine="monty", workbench=bench)
    run = made.start("Send three.")
    asked(run).approve(actor="Ada")
    asked(run).approve({"n": 20}, note="more", actor="Ada")
    asked(run).reject("enough", actor="Ada")
    run.result(20)
    made.close()
    return run


def code_approved(bench: wb.Workbench) -> wb.Run:
    """Every block is asked about: one changed, one refused, the rest allowed."""
    replies = [code("x = look(1)"), code("send(1)"), code("print(x)"), code("finish(x)")]
    made = wb.Agent(wb.models.Scripted(replies), tools=TOOLS, engine="monty", approve="code", workbench=bench)
    run = made.start("Look.")
    asked(run).approve({"code": "x = look(2)"})
    asked(run).reject("no letters")
    asked(run).approve_always()
    run.result(20)
    made.close()
    return run


def question(bench: wb.Workbench) -> wb.Run:
    """A person is asked twice: one answer, and one time that ran out."""
    run = wb.start(ASKING, "draft", workbench=bench)
    asked(run).answer("better")
    run.result(20)
    return run


def pause(bench: wb.Workbench) -> wb.Run:
    """A guardrail warns and pauses; a person gives it a new limit."""
    replies = [code("look(1)"), code("look(2)"), code("finish(look(3))")]
    policy = wb.Policy.parse(
        """
kind: GuardrailPolicy
version: 1
rules:
- {id: first, when: "tool == 'look'", on: [tool_call], action: warn}
- {id: few, when: "sum(tool_calls) > 1", on: [tool_call], scope: lifetime, action: pause_lifetime}
"""
    )
    made = wb.Agent(wb.models.Scripted(replies), tools=TOOLS, engine="monty", policy=policy, workbench=bench)
    run = made.start("Look thrice.")
    asked(run).unpause(actor="Ada", limits={"few": 10})
    run.result(20)
    made.close()
    return run


def conversation(bench: wb.Workbench) -> wb.Run:
    """The second run of a conversation."""
    made = wb.Agent(wb.models.Scripted(["Hello.", code("finish(look(4))")]), tools=TOOLS, engine="monty", workbench=bench)
    made.chat("I am Ana.")
    made.chat("What is 4?")
    made.close()
    assert bench.last is not None
    return bench.last


def asked(run: wb.Run) -> Pending:
    """What the run asks next."""
    pending = run_sync(run.asked())
    assert pending is not None
    return pending


async def until(run: wb.Run, seq: int) -> None:
    """Wait until the run's record has so many entries."""
    while (await run.workbench.store.head(run.id))[0] < seq:  # noqa: ASYNC110 - no event says so
        await asyncio.sleep(0.001)


async def broken_off(bench: wb.Workbench, run_id: str) -> None:
    """End the run's driver as the end of its process would."""
    task = bench.custody.get(run_id).task
    assert task is not None
    task.cancel()
    await asyncio.wait({task})


RECORDS: dict[str, Callable[[wb.Workbench], wb.Run]] = {
    "agent_success": success,
    "agent_failure": failure,
    "schema_correction": correction,
    "sandbox_promotion": promotion,
    "parallel_join_retry": fan,
    "fork_of_a_graph": fork,
    "fork_of_an_agent": agent_fork,
    "stopped": stopped,
    "unknown_outcome": unknown,
    "calls_decided": people,
    "code_decided": code_approved,
    "questions": question,
    "paused": pause,
    "conversation": conversation,
}

GRAPHS = {"fan": FAN, "waiting": WAITING, "asking": ASKING}
"""The graphs of the records that are not an agent's, by name."""


def capture(name: str) -> bytes:
    """A run of this kind, exported."""
    bench = for_tests(sorted(RECORDS).index(name) + 100)
    try:
        return bench.export(RECORDS[name](bench).id)
    finally:
        bench.close()


def main(names: list[str]) -> None:
    """Capture what is not there yet."""
    for name in names or list(RECORDS):
        path = HERE / f"{name}.json"
        if path.exists():
            print(f"{path.name} is there, and stays as it is")
        else:
            path.write_bytes(capture(name))
            print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except RunError as error:
        sys.exit(str(error))
