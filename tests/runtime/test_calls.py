"""Effects through the context: one intent, one outcome, answered from the record, and asked about when nobody knows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

import workbench as wb
from tests.runtime.graphs import line
from workbench.adapters.memory import MemoryStateStore
from workbench.adapters.sql import SqlStateStore
from workbench.errors import RunFailed, RunInterrupted, RunStopped, ToolFailed, ToolInputInvalid, ToolOutputInvalid, UserError
from workbench.loop import run_sync
from workbench.ports import InboxItem, Query
from workbench.record.entries import decode_entry
from workbench.record.envelope import HitlResponse
from workbench.record.state import fold
from workbench.tools.printed import Picture, printing


@wb.tool
def add(a: int, b: int = 1) -> int:
    return a + b


@wb.tool
def bad(a: int) -> int:
    raise ValueError(f"no {a}")


class Cut(MemoryStateStore):
    """A store that lets nothing more in after its process is said to have died."""

    dead = False

    async def append(self, entries, epochs):
        if self.dead:
            await asyncio.sleep(60)
        await super().append(entries, epochs)


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def calls_of(run):
    return [(e.phase, e.call.tool, e.call.ordinal, e.header.status) for e in run.entries() if e.kind == "tool_call"]


def cut_off(benches, body, tools=(), *, idempotent_task=True):
    """A run of `body` in a workbench that is closed as soon as `body` sets its event, and what is needed to resume it."""
    store, reached = MemoryStateStore(), threading.Event()
    first, second = benches(state=store), benches(state=store)
    graph = line(wb.task(name="body", idempotent=idempotent_task)(body))
    run = wb.start(graph, workbench=first, tools=tools, resources=reached)
    assert reached.wait(5)
    first.close()
    with pytest.raises(RunInterrupted):
        run.result(5)
    return second, run.id, {"graph": graph, "tools": tools}


def test_the_intent_is_durable_before_the_tool_runs_and_the_outcome_follows(benches, tmp_path):
    bench = benches(state=run_sync(sql(tmp_path / "records.db")))
    seen = []

    @wb.tool
    async def look() -> int:
        other = SqlStateStore(f"sqlite:///{tmp_path / 'records.db'}")
        seen.extend([decode_entry(stored).phase async for stored in other.read(Query(kinds=["tool_call"]))])
        await other.close()
        return 1

    async def body(x, ctx):
        return await ctx.call_tool("look", {})

    run = wb.start(line(body), workbench=bench, tools=[look])
    assert run.result(5) == 1
    assert seen == ["intent"]
    assert [call[0] for call in calls_of(run)] == ["intent", "outcome"]


async def sql(path):
    return SqlStateStore(f"sqlite:///{path}")


def test_calls_have_one_outcome_each_in_order_with_their_ordinals(bench):
    async def body(x, ctx):
        return [await ctx.call_tool("add", {"a": n}) for n in range(3)]

    run = wb.start(line(body), workbench=bench, tools=[add])
    assert run.result(5) == [1, 2, 3]
    assert calls_of(run) == [(p, "add", n, s) for n in range(3) for p, s in (("intent", "RUNNING"), ("outcome", "SUCCEEDED"))]


def test_calls_made_side_by_side_keep_the_order_in_which_they_were_made(bench):
    async def body(x, ctx):
        return await asyncio.gather(*(ctx.call_tool("add", {"a": n}) for n in range(20)))

    run = wb.start(line(body), workbench=bench, tools=[add])
    assert run.result(5) == list(range(1, 21))
    assert [call[2] for call in calls_of(run) if call[0] == "intent"] == list(range(20))
    assert run.verify()


@pytest.mark.parametrize(
    ("name", "args", "kind"),
    [("add", {"a": "x"}, ToolInputInvalid), ("add", {}, ToolInputInvalid), ("nothing", {}, wb.ToolError), ("bad", {"a": 1}, ToolFailed)],
)
def test_a_refused_or_failing_call_is_recorded_with_its_error(bench, name, args, kind):
    async def body(x, ctx):
        with pytest.raises(kind):
            await ctx.call_tool(name, args)

    run = wb.start(line(body), workbench=bench, tools=[add, bad])
    run.result(5)
    assert calls_of(run) == [("intent", name, 0, "RUNNING"), ("outcome", name, 0, "FAILED")]


def test_what_a_tool_prints_is_kept_with_its_outcome_whatever_that_is(bench, capsys):
    @wb.tool
    def says(word: str) -> str:
        print(word)
        return word

    @wb.tool
    def fails() -> str:
        print("got this far", file=sys.stderr)
        raise ValueError

    @wb.tool(timeout=0.2)
    async def hangs() -> str:
        print("waiting")
        await asyncio.sleep(60)

    async def body(x, ctx):
        await asyncio.to_thread(ctx.resources.wait, 5)
        print("a node's own")
        for tool, args in (("says", {"word": "hello"}), ("fails", {}), ("hangs", {})):
            with contextlib.suppress(wb.ToolError):
                await ctx.call_tool(tool, args)

    hushed = threading.Event()
    run = wb.start(line(body), workbench=bench, tools=[says, fails, hangs], resources=hushed)
    run.hush()
    hushed.set()
    run.result(5)
    assert [e.call.prints for e in run.entries() if e.phase == "outcome"] == ["hello\n", "got this far\n", "waiting\n"]
    assert capsys.readouterr() == ("a node's own\n", "")


def test_a_printed_name_that_is_no_text_breaks_nothing(bench):
    @wb.tool
    def lists() -> str:
        print(os.fsdecode(b"caf\xe9.txt"))
        return "listed"

    async def body(x, ctx):
        return await ctx.call_tool("lists", {})

    run = wb.start(line(body), workbench=bench, tools=[lists])
    assert run.result(5) == "listed"
    assert "caf\\udce9.txt\n" in [e.call.prints for e in run.entries() if e.phase == "outcome"]
    assert run.verify()


def test_a_call_that_is_cut_off_keeps_what_it_had_printed(bench):
    printed = threading.Event()

    @wb.tool
    async def hangs() -> str:
        print("this far")
        printed.set()
        await asyncio.sleep(60)

    async def body(x, ctx):
        await ctx.call_tool("hangs", {})

    run = wb.start(line(body), workbench=bench, tools=[hangs])
    assert printed.wait(5)
    run.stop("enough")
    with pytest.raises(RunStopped):
        run.result(5)
    assert [(e.header.status, e.call.prints) for e in run.entries() if e.phase == "outcome"] == [("UNKNOWN", "this far\n")]


def test_a_replay_keeps_what_the_calls_that_it_does_not_make_had_printed(bench, capsys):
    @wb.tool
    def draws() -> str:
        print("drawing")
        printing().show("", Picture("image/png", b"\x89PNG", "<Figure>"))
        return "drawn"

    async def body(x, ctx):
        return await ctx.call_tool("draws", {})

    run = wb.start(line(body), workbench=bench, tools=[draws])
    run.result(5)
    again = run.replay()
    again.result(5)
    kept = [[(e.call.prints, e.call.pictures) for e in each.entries() if e.phase == "outcome"] for each in (run, again)]
    assert kept[0] == kept[1]
    assert capsys.readouterr().out == "drawing\n", "once"


def test_a_big_picture_is_spilled_like_any_value_and_found_again(bench):
    data = b"\x89PNG\r\n\x1a\n" + bytes(2_000_000)

    @wb.tool
    def draws() -> str:
        printing().show("", Picture("image/png", data, "<Figure>"))
        return "drawn"

    async def body(x, ctx):
        await ctx.call_tool("draws", {})

    run = wb.start(line(body), workbench=bench, tools=[draws])
    run.result(5)
    (picture,) = next(e.call.pictures for e in run.entries() if e.phase == "outcome")
    assert picture.blob is not None
    assert run_sync(bench.plane.value(picture)) == {"type": "image/png", "data": data, "text": "<Figure>"}
    assert run.verify()


def test_a_call_refused_beforehand_is_recorded_and_not_made(bench):
    async def body(x, ctx):
        await ctx.call_tool("add", {"args": [1, 2, 3]}, refused=ToolInputInvalid("too many"))

    run = wb.start(line(body), workbench=bench, tools=[add])
    with pytest.raises(RunFailed, match="too many"):
        run.result(5)
    assert [call[3] for call in calls_of(run)] == ["RUNNING", "FAILED"]


def test_what_the_tool_returns_is_what_the_record_holds(bench):
    rows = [1, (2, 3)]

    async def body(x, ctx):
        value = await ctx.effect("rows", {}, give)
        assert value == rows
        assert value is not rows
        return type(value[1]).__name__

    async def give():
        return rows

    assert wb.start(line(body), workbench=bench).result(5) == "tuple"


@pytest.mark.parametrize(("error", "kind"), [(ValueError("no"), ToolFailed), (KeyError("k"), ToolFailed), (None, ToolOutputInvalid)])
def test_an_effect_has_an_outcome_whatever_it_raises(bench, error, kind):
    async def perform():
        if error is None:
            return object()
        raise error

    async def body(x, ctx):
        with pytest.raises(kind):
            await ctx.effect("post", {}, perform)

    run = wb.start(line(body), workbench=bench)
    run.result(5)
    assert calls_of(run) == [("intent", "post", 0, "RUNNING"), ("outcome", "post", 0, "FAILED")]


def test_a_call_that_outlives_its_task_has_an_unknown_outcome_and_breaks_nothing(bench):
    late = []

    async def slow():
        await asyncio.sleep(0.05)

    async def body(x, ctx):
        late.append(asyncio.ensure_future(ctx.effect("slow", {}, slow)))
        await asyncio.sleep(0.01)

    async def after(x, ctx):
        await asyncio.sleep(0.1)
        with pytest.raises(UserError, match="finished before"):
            await late[0]

    run = wb.start(line(body, after), workbench=bench)
    run.result(5)
    assert [call[3] for call in calls_of(run)] == ["RUNNING", "UNKNOWN"]
    assert run.verify()


def test_a_context_kept_beyond_its_task_can_do_nothing(bench):
    kept = []

    async def body(x, ctx):
        kept.append(ctx)

    async def after(x):
        with pytest.raises(UserError, match="has finished"):
            await kept[0].call_tool("add", {"a": 1})

    run = wb.start(line(body, after), workbench=bench, tools=[add])
    run.result(5)
    assert calls_of(run) == []


def test_a_task_that_times_out_in_a_call_leaves_its_outcome_unknown(bench):
    async def hang():
        await asyncio.sleep(60)

    @wb.task(timeout=0.05)
    async def body(x, ctx):
        await ctx.effect("hang", {}, hang)

    run = wb.start(line(body), workbench=bench)
    with pytest.raises(RunFailed, match="did not finish"):
        run.result(5)
    assert [call[3] for call in calls_of(run)] == ["RUNNING", "UNKNOWN"]


def test_on_resume_recorded_outcomes_are_answered_and_nothing_is_made_twice(benches):
    made = []

    async def effect(n):
        made.append(n)
        return n

    async def body(x, ctx):
        values = [await ctx.effect("send", {"n": n}, lambda n=n: effect(n)) for n in range(3)]
        with pytest.raises(ToolFailed, match="no 7"):
            await ctx.call_tool("bad", {"a": 7})
        if not ctx.resources.is_set():
            ctx.resources.set()
            await asyncio.sleep(60)
        return values

    second, run_id, objects = cut_off(benches, body, [bad])
    done = threading.Event()
    done.set()
    run = second.resume(run_id, **objects, resources=done)
    assert run.result(5) == [0, 1, 2]
    assert made == [0, 1, 2]
    assert len(calls_of(run)) == 8
    assert run.verify()


@pytest.mark.parametrize("has_outcome", [True, False])
@pytest.mark.parametrize(("name", "args"), [("send", {"n": 2}), ("post", {"n": 1}), ("send", {"n": 1.0}), ("send", {})])
def test_a_call_that_differs_from_the_recorded_one_is_a_divergence(benches, has_outcome, name, args):
    async def reach(ctx):
        ctx.resources.set()
        if not has_outcome:
            await asyncio.sleep(60)

    async def body(x, ctx):
        if ctx.resources.is_set():
            return await ctx.effect(name, args, lambda: reach(ctx), idempotent=True)
        await ctx.effect("send", {"n": 1}, lambda: reach(ctx), idempotent=True)
        return await asyncio.sleep(60)

    second, run_id, objects = cut_off(benches, body)
    done = threading.Event()
    done.set()
    run = second.resume(run_id, **objects, resources=done)
    with pytest.raises(RunFailed, match="replay differs") as caught:
        run.result(5)
    assert caught.value.error_code == "replay_divergence"


def unknown(benches, *, idempotent=False, timeout=None):
    """A resumed run that had a call in flight, and the list of calls it makes from now on."""
    made, waiting = [], []

    async def send(ctx):
        made.append(ctx.exec_id)
        if not waiting:
            waiting.append(True)
            ctx.resources.set()
            await asyncio.sleep(60)
        return "sent"

    @wb.task(idempotent=True, timeout=timeout)
    async def body(x, ctx):
        return await ctx.effect("send", {"to": "a"}, lambda: send(ctx), idempotent=idempotent)

    store, reached = MemoryStateStore(), threading.Event()
    first, second = benches(state=store), benches(state=store)
    run = wb.start(line(body), workbench=first, resources=reached)
    assert reached.wait(5)
    first.close()
    made.clear()
    return second.resume(run.id, graph=line(body), resources=reached), made


def test_an_idempotent_call_in_flight_is_made_again_under_the_same_key(benches):
    run, made = unknown(benches, idempotent=True)
    assert run.result(5) == "sent"
    assert len(made) == 1
    intents = [entry for entry in run.entries() if entry.phase == "intent"]
    assert len(intents) == 1


def test_an_unknown_call_waits_for_a_person_and_no_limit_runs_meanwhile(benches):
    run, made = unknown(benches, timeout=0.2)
    until(lambda: run.pending)
    time.sleep(0.4)
    assert (run.status, made) == ("waiting", [])
    (pending,) = run.pending
    assert (pending.tool, pending.args) == ("send", {"to": "a"})
    assert "Did it happen" in pending.title
    pending.happened("answered", note="the log says so", actor="ann")
    assert run.result(5) == "answered"
    assert made == []


def test_the_limit_runs_again_once_the_person_has_answered(benches):
    run, _ = unknown(benches, timeout=0.2)
    until(lambda: run.pending)

    run.pending[0].did_not_happen()
    assert run.result(5) == "sent"


def test_what_did_not_happen_is_done(benches):
    run, made = unknown(benches)
    until(lambda: run.pending)
    run.pending[0].did_not_happen()
    assert run.result(5) == "sent"
    assert len(made) == 1
    assert run.verify()


def test_a_person_who_does_not_know_stops_the_run(benches):
    run, made = unknown(benches)
    until(lambda: run.pending)
    run.pending[0].stop(actor="ann")
    with pytest.raises(RunStopped, match="ann"):
        run.result(5)
    assert (made, fold(run.entries()).status) == ([], "aborted")
    assert run.verify()


def test_the_first_decision_counts_and_the_second_is_refused(benches):
    run, _ = unknown(benches)
    until(lambda: run.pending)
    (pending,) = run.pending
    pending.happened(1)
    for again in (lambda: pending.happened(2), pending.did_not_happen, pending.stop):
        with pytest.raises(UserError, match="already decided by"):
            again()
    assert run.result(5) == 1


def test_the_answer_and_who_gave_it_are_in_the_record(benches):
    run, _ = unknown(benches)
    until(lambda: run.pending)
    run.pending[0].happened(b"\x00", note="seen", actor="ann")
    assert run.result(5) == b"\x00"
    (answer,) = [entry.response for entry in run.entries() if entry.phase == "answered"]
    assert (answer.actor, answer.note, answer.decision) == ("ann", "seen", "happened")


def test_a_big_answer_is_spilled_like_any_value(benches):
    run, _ = unknown(benches)
    until(lambda: run.pending)
    run.pending[0].happened("x" * 1_200_000)
    assert len(run.result(5)) == 1_200_000
    assert max(len(entry.model_dump_json()) for entry in run.entries()) < 10_000


def decision(request, **changes):
    fields = {"request_id": request.request_id, "decision": "happened", "actor": "x", "subject_hash": request.subject_hash}
    return HitlResponse(**{**fields, **changes})


def test_a_decision_about_another_text_is_refused_and_the_run_goes_on(benches):
    run, _ = unknown(benches)
    until(lambda: run.pending)
    (pending,) = run.pending
    with pytest.raises(UserError, match="another text"):
        run_sync(run.decide(decision(pending.request, subject_hash="0" * 64)))
    with pytest.raises(UserError, match="does not ask"):
        run_sync(run.decide(decision(pending.request, request_id="nothing")))
    pending.happened(3)
    assert run.result(5) == 3


@pytest.mark.parametrize("data", [b"not json", b"{}", None])
def test_a_decision_that_a_faulty_process_put_into_the_inbox_hurts_nobody(benches, data):
    run, _ = unknown(benches)
    until(lambda: run.pending)
    request = run.pending[0].request
    wrong = decision(request, subject_hash="0" * 64).model_dump_json().encode() if data is None else data
    assert run_sync(run.workbench.store.put_decision(InboxItem(request.request_id, run.id, wrong)))
    time.sleep(0.5)
    assert run.status == "waiting"
    assert not run.workbench.custody._housekeeping.done()
    run.stop("nobody can answer it")
    with pytest.raises(RunStopped):
        run.result(5)


def test_housekeeping_survives_a_store_in_trouble_and_keeps_the_lease(benches):
    class Troubled(MemoryStateStore):
        trouble = False
        renewed = 0

        async def renew(self, owner, ttl):
            if self.trouble:
                raise wb.errors.StoreError("busy")
            self.renewed += 1
            return await super().renew(owner, ttl)

    store = Troubled()
    bench = benches(state=store, lease_seconds=0.6)

    async def forever(x):
        await asyncio.sleep(60)

    run = wb.start(line(forever), workbench=bench)
    store.trouble = True
    time.sleep(0.5)
    store.trouble = False
    until(lambda: store.renewed > 1)
    assert run.status == "running"
    run.stop()


@pytest.mark.parametrize("decision", ["happened", "did_not_happen", "stop"])
def test_a_task_cut_off_that_is_not_idempotent_is_asked_about(benches, decision):
    ran = []

    async def body(x, ctx):
        ran.append(True)
        if not ctx.resources.is_set():
            ctx.resources.set()
            await asyncio.sleep(60)
        return "ran again"

    second, run_id, objects = cut_off(benches, body, idempotent_task=False)
    done = threading.Event()
    done.set()
    run = second.resume(run_id, **objects, resources=done)
    until(lambda: run.pending)
    pending = run.pending[0]
    assert pending.args == {"value": None}, "what the Task was given"
    if decision == "stop":
        pending.stop()
        with pytest.raises(RunStopped):
            run.result(5)
    else:
        pending.happened("it was done") if decision == "happened" else pending.did_not_happen()
        assert run.result(5) == ("it was done" if decision == "happened" else "ran again")
    assert len(ran) == (2 if decision == "did_not_happen" else 1)


def test_a_run_that_waits_can_be_closed_and_resumed_and_asks_once(benches):
    run, _ = unknown(benches)
    until(lambda: run.pending)
    bench = run.workbench
    graph = run._life.graph
    bench.close()
    third = benches(state=bench.store)
    resumed = third.resume(run.id, graph=graph, resources=threading.Event())
    until(lambda: resumed.pending)
    assert len([entry for entry in resumed.entries() if entry.phase == "requested"]) == 1
    resumed.pending[0].happened("late")
    assert resumed.result(5) == "late"


def test_an_attempt_that_is_cut_off_again_is_asked_about_again(benches):
    made, store = [], MemoryStateStore()

    async def send():
        made.append(True)
        await asyncio.sleep(60 if len(made) < 3 else 0)

    async def body(x, ctx):
        await ctx.effect("send", {}, send)

    graph = line(wb.task(name="body", idempotent=True)(body))
    run = wb.start(graph, workbench=benches(state=store))
    for attempts in (1, 2):
        until(lambda attempts=attempts: len(made) == attempts)
        run.workbench.close()
        run = benches(state=store).resume(run.id, graph=graph)
        until(lambda run=run: run.pending)
        run.pending[0].did_not_happen()
    run.result(5)
    assert len(made) == 3
    assert len([entry for entry in run.entries() if entry.phase == "requested"]) == 2


DECIDE = """
import json, sys, workbench as wb
bench = wb.connect(home=sys.argv[1])
run = wb.open(sys.argv[2])
pending = run.pending[0]
out = {"status": run.status, "tool": pending.tool, "args": pending.args}
getattr(pending, sys.argv[3])(*json.loads(sys.argv[4]))
try:
    pending.happened(0)
except wb.errors.UserError as error:
    out["second"] = str(error)
print(json.dumps(out))
bench.close()
"""


@pytest.mark.parametrize(("how", "args", "value"), [("happened", ["told"], "told"), ("did_not_happen", [], "sent"), ("stop", [], None)])
def test_another_process_decides_through_the_inbox(tmp_path, how, args, value):
    made = []

    @wb.task(idempotent=True)
    async def body(x, ctx):
        return await ctx.effect("send", {"to": "b"}, send)

    async def send():
        made.append(True)
        if len(made) == 1:
            await asyncio.sleep(60)
        return "sent"

    first = wb.profiles.local(home=tmp_path)
    run = wb.start(line(body), workbench=first)
    until(lambda: made)
    first.close()
    second = wb.profiles.local(home=tmp_path)
    run = second.resume(run.id, graph=line(body))
    until(lambda: run.pending)
    command = [sys.executable, "-c", DECIDE, str(tmp_path), run.id[:8], how, json.dumps(args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["tool"], told["args"]) == ("waiting", "send", {"to": "b"})
    assert "already decided by" in told["second"]
    if how == "stop":
        with pytest.raises(RunStopped):
            run.result(5)
    else:
        assert run.result(5) == value
    second.close()


def test_no_limit_runs_while_one_of_several_calls_still_waits_for_a_person(benches):
    made, store = [], MemoryStateStore()

    async def send():
        made.append(True)
        await asyncio.sleep(60)

    @wb.task(idempotent=True, timeout=0.3)
    async def body(x, ctx):
        return await asyncio.gather(*(ctx.effect("send", {"n": n}, send) for n in range(2)))

    run = wb.start(line(body), workbench=benches(state=store))
    until(lambda: len(made) == 2)
    run.workbench.close()
    run = benches(state=store).resume(run.id, graph=line(body))
    until(lambda: len(run.pending) == 2)
    run.pending[0].happened("a")
    time.sleep(0.5)
    run.pending[0].happened("b")
    assert run.result(5) == ["a", "b"]


def test_a_resume_without_the_tools_of_the_run_names_them(benches):
    async def body(x, ctx):
        ctx.resources.set()
        await asyncio.sleep(60)

    second, run_id, objects = cut_off(benches, body, [add, bad])
    with pytest.raises(wb.errors.ToolBindingError, match="missing: bad"):
        second.resume(run_id, graph=objects["graph"], tools=[add])
    assert second.open(run_id).status == "interrupted"


@pytest.mark.parametrize("idempotent", [True, False])
def test_an_outcome_is_stored_though_nothing_follows_it(bench, idempotent):
    """The Task holds still after its call, so no later commit takes the outcome along."""
    hold = threading.Event()

    async def body(_, ctx):
        value = await ctx.effect("send", {}, lambda: asyncio.sleep(0, "sent"), idempotent=idempotent)
        await asyncio.to_thread(hold.wait, 10)
        return value

    run = wb.start(line(body), None, workbench=bench)
    until(lambda: ("outcome", "send", 0, "SUCCEEDED") in calls_of(run))
    hold.set()
    assert run.result() == "sent"
