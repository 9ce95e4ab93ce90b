"""Nodes: whatever a Task or Plan does, synchronous or not, it is one entry in the record, and other runs go on."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time

import pytest

import workbench as wb
from tests.runtime.graphs import choosing, kinds_of, line
from workbench.adapters.memory import MemoryBlobStore
from workbench.errors import RunFailed, RunStopped, UnknownRun
from workbench.loop import run_sync, submit
from workbench.models.prices import table_version
from workbench.ports import Query
from workbench.profiles import for_tests
from workbench.record.codec import encode_value
from workbench.record.envelope import NextTask
from workbench.record.values import Payload, Usage
from workbench.runtime.data_plane import RUN_TOPIC


class Awkward(BaseException):
    """Not an Exception."""

    def __str__(self) -> str:
        raise ValueError("no text")


def healthy(bench) -> bool:
    """Whether the runtime still runs something."""
    return bool(wb.start(line(lambda_free), 20, workbench=bench).result(5) == 21)


def lambda_free(x):
    return x + 1


async def async_free(x):
    await asyncio.sleep(0)
    return x + 1


def test_plain_and_async_tasks_work_the_same(bench):
    for step in (lambda_free, async_free):
        assert wb.start(line(step), 1, workbench=bench).result(5) == 2


def test_plain_and_async_plans_work_the_same(bench):
    def plain(given):
        return "End" if given.value > 0 else PlainFail

    async def waiting(given):
        return wb.PlanResult.to("End", given.value * 10)

    assert wb.start(choosing(lambda_free, wb.plan(plain)), 1, workbench=bench).result(5) == 2
    assert wb.start(choosing(lambda_free, wb.plan(waiting)), 1, workbench=bench).result(5) == 20


def PlainFail():  # noqa: N802 - a value no plan may return
    """Never called."""


def test_a_plain_task_runs_outside_the_runtimes_thread_and_in_one_thread_a_run(bench):
    threads = []

    def first(x):
        threads.append(threading.current_thread())

    def second(x):
        threads.append(threading.current_thread())

    wb.start(line(first, second), workbench=bench).result(5)
    assert threads[0] is threads[1]
    assert threads[0].name != "workbench-runtime"


def test_a_plan_in_a_thread_sees_its_tasks_finish_in_the_store(bench):
    seen = []

    def look(given):
        seen.append(kinds_of(bench.open(given.executions[0].header.lifetime_id)))
        return "End"

    wb.start(choosing(lambda_free, wb.plan(look)), 1, workbench=bench).result(5)
    assert seen[0][-1] == "task_execution/finished/lambda_free"


def test_what_follows_from_a_finish_is_stored_with_it_in_one_transaction(benches):
    batches = []

    class Watching(type(benches().store)):
        async def append(self, entries, epochs):
            batches.append([entry.columns[:4] for entry in entries])
            await super().append(entries, epochs)

    bench = benches(state=Watching())
    wb.start(line(lambda_free, async_free), 1, workbench=bench).result(5)
    assert [len(batch) for batch in batches] == [1, 1, 3, 3]


@pytest.mark.parametrize("kind", [ValueError, KeyError, asyncio.CancelledError, GeneratorExit, Awkward, RecursionError, StopIteration])
@pytest.mark.parametrize("is_async", [False, True])
def test_whatever_a_task_raises_is_recorded_and_ends_the_run(bench, kind, is_async):
    def bad(x):
        raise kind("no")

    async def bad_async(x):
        raise kind("no")

    run = wb.start(line(bad_async if is_async else bad), workbench=bench)
    with pytest.raises(RunFailed):
        run.result(5)
    assert "finished" in kinds_of(run)[-2]
    assert run.status == "failed"
    assert run.verify().entries == len(run.entries())
    assert healthy(bench)


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError, GeneratorExit, Awkward])
@pytest.mark.parametrize("is_async", [False, True])
def test_whatever_a_plan_raises_is_recorded_and_ends_the_run(bench, kind, is_async):
    def bad(given):
        raise kind("no")

    async def bad_async(given):
        raise kind("no")

    run = wb.start(choosing(lambda_free, wb.plan(bad_async if is_async else bad)), 1, workbench=bench)
    with pytest.raises(RunFailed):
        run.result(5)
    assert "plan_execution" in kinds_of(run)[-2]
    assert healthy(bench)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("in_plan", [False, True])
@pytest.mark.parametrize("inline", [False, True])
def test_an_interrupt_raised_by_a_node_stops_the_run_and_spares_the_loop(benches, kind, is_async, in_plan, inline):
    bench = benches(inline=inline)

    def bad(x):
        raise kind

    async def bad_async(x):
        raise kind

    node = bad_async if is_async else bad
    run = wb.start(choosing(lambda_free, wb.plan(node)) if in_plan else line(node), 1, workbench=bench)
    with pytest.raises(RunStopped, match=kind.__name__):
        run.result(5)
    assert run.status == "aborted"
    assert healthy(bench)


def test_the_store_error_of_another_run_is_a_tasks_own_failure(bench):
    def look(x):
        bench.open("nothing")

    run = wb.start(line(look), workbench=bench)
    with pytest.raises(RunFailed) as caught:
        run.result(5)
    assert caught.value.error_code == UnknownRun.code


def test_the_stop_of_another_run_is_a_tasks_own_failure(bench):
    async def other(x):
        raise RunStopped("run 2 was stopped")

    run = wb.start(line(other), workbench=bench)
    with pytest.raises(RunFailed):
        run.result(5)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("nowhere", "no edge leads"),
        ("lambda_free", "no edge leads"),
        (["End", "End"], "only PARALLEL edges"),
        ([], "chose nothing"),
        (wb.PlanResult(next_tasks=(NextTask(name="End"), NextTask(name="End"))), "only PARALLEL edges"),
        (7, "int"),
    ],
)
def test_a_choice_that_the_graph_does_not_allow_fails_the_run(bench, choice, message):
    async def wrong(given):
        return choice

    run = wb.start(choosing(lambda_free, wb.plan(wrong)), 1, workbench=bench)
    with pytest.raises(RunFailed, match=message):
        run.result(5)
    assert run.verify()


def test_a_plan_may_end_the_run_in_failure_with_a_code(bench):
    async def refuse(given):
        return wb.PlanResult.fail("too_dear", "it costs too much")

    with pytest.raises(RunFailed, match="too much") as caught:
        wb.start(choosing(lambda_free, wb.plan(refuse)), 1, workbench=bench).result(5)
    assert caught.value.error_code == "too_dear"


def test_an_async_task_is_held_to_its_limit(bench):
    @wb.task(timeout=0.05)
    async def slow(x):
        await asyncio.sleep(30)

    run = wb.start(line(slow), workbench=bench)
    with pytest.raises(RunFailed, match=r"slow.*0\.05 s") as caught:
        run.result(5)
    assert caught.value.error_code == "timeout"


def test_a_plain_task_past_its_limit_is_left_behind_and_the_run_goes_on_to_its_end(bench):
    release = threading.Event()

    @wb.task(timeout=0.05)
    def stuck(x):
        release.wait(30)

    run = wb.start(line(stuck), workbench=bench)
    with pytest.raises(RunFailed, match="stuck"):
        run.result(5)
    release.set()
    assert healthy(bench)


def test_a_timeout_error_of_the_tasks_own_is_not_the_limit(bench):
    @wb.task(timeout=5)
    async def own(x):
        raise TimeoutError("the service")

    with pytest.raises(RunFailed, match="the service") as caught:
        wb.start(line(own), workbench=bench).result(5)
    assert caught.value.error_code == "node_failed"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_failed_task_says_where_its_own_code_raised(bench, is_async):
    async def later(x):
        return lambda_halved(x)

    with pytest.raises(RunFailed, match="ZeroDivisionError") as caught:
        wb.start(line(later if is_async else lambda_halved), 0, workbench=bench).result(5)
    (error,) = [entry.result.error for entry in caught.value.run.entries() if entry.kind == "task_execution" and entry.phase == "finished"]
    assert error.trace[-1].endswith("in lambda_halved: return 1 / x")
    assert len(error.trace) == (2 if is_async else 1), "none of the runtime's own frames"
    assert "in lambda_halved: return 1 / x" in caught.value.__notes__[0]


def lambda_halved(x):
    return 1 / x


@pytest.mark.parametrize("is_async", [False, True])
def test_a_plan_is_held_to_its_limit(bench, is_async):
    def slow(given):
        time.sleep(0.4)

    async def slow_async(given):
        await asyncio.sleep(30)

    plan = wb.plan(timeout=0.05)(slow_async if is_async else slow)
    with pytest.raises(RunFailed, match="did not choose"):
        wb.start(choosing(lambda_free, plan), 1, workbench=bench).result(5)


def test_the_next_node_receives_what_the_record_holds_and_not_the_object_itself(bench):
    kept = []

    async def make(x):
        kept.append({"rows": [1, (2, 3)]})
        return kept[0]

    async def take(value):
        kept.append(value)
        value["rows"].append("changed")

    run = wb.start(line(make, take), workbench=bench)
    run.result(5)
    assert kept[1] is not kept[0]
    assert kept[0] == {"rows": [1, (2, 3)]}
    assert type(kept[1]["rows"][1]) is tuple


def test_a_value_without_a_faithful_form_fails_the_task_by_name(bench):
    async def bad(x):
        return {"a": [object()]}

    with pytest.raises(RunFailed, match="object"):
        wb.start(line(bad), workbench=bench).result(5)


@pytest.mark.parametrize(("excess", "inline"), [(-1, True), (0, True), (1, False)])
def test_a_result_above_one_megabyte_goes_to_a_blob(bench, excess, inline):
    text = "x" * (1_000_000 - 2 + excess)  # two quotes are part of the encoded form

    async def big(x):
        return text

    async def length(value):
        return len(value)

    run = wb.start(line(big, length), workbench=bench)
    assert run.result(5) == len(text)
    (output,) = [entry.result.output for entry in run.entries() if entry.header.name == "big" and entry.phase == "finished"]
    assert (output.blob is None) == inline
    assert run.verify()


class CountingBlobs(MemoryBlobStore):
    """Remembers the size of every blob that was loaded."""

    def __init__(self):
        super().__init__()
        self.loaded = []

    async def get(self, ref):
        self.loaded.append(ref.size_bytes)
        return await super().get(ref)


def test_a_value_in_a_blob_is_loaded_by_those_who_look_at_it(benches):
    blobs = CountingBlobs()

    def small(value):
        return len(value)

    run = wb.start(line(lambda_big, small), 1, workbench=benches(blobs=blobs))
    assert run.result(5) == 2_000_000
    assert len(blobs.loaded) == 1, "the second task, and not the implicit plan before it"


def test_a_plan_loads_only_the_values_it_looks_at(benches):
    blobs = CountingBlobs()

    async def sizes(value):
        return value

    async def work(size):
        return "x" * size

    fan = wb.plan(name="fan")(lambda given: wb.PlanResult.each("work", given.value))
    pick = wb.plan(name="pick")(lambda given: wb.PlanResult.to("End", len(given.outputs[1])))
    graph = wb.AgentGraph(
        "picky",
        nodes=[wb.task(sizes), fan, wb.task(work), pick],
        edges=[("Start", "sizes"), ("sizes", "fan"), wb.Edge("fan", "work", "PARALLEL"), wb.Edge("work", "pick", "JOIN"), ("pick", "End")],
    )
    run = wb.start(graph, [2_000_000, 3_000_000, 4_000_000], workbench=benches(blobs=blobs))
    assert run.result(5) == 3_000_000
    assert blobs.loaded == [3_000_002]


@pytest.mark.parametrize("profile", ["live", "inline"])
@pytest.mark.parametrize("plan", ["plain", "waiting", "typed"])
def test_outputs_are_the_same_sequence_to_every_plan_live_and_on_replay(profile, plan):
    def plain(given: wb.PlanInput):
        return wb.PlanResult.to("End", [isinstance(given.outputs, list), given.outputs == [3], given.outputs[-1:], len(given.outputs)])

    async def waiting(given: wb.PlanInput):
        return plain(given)

    def typed(given: wb.PlanInput[int]):
        return plain(given)

    bench = for_tests() if profile == "inline" else wb.connect(state="memory:", blobs="memory:")
    run = wb.start(choosing(lambda_three, wb.plan({"plain": plain, "waiting": waiting, "typed": typed}[plan])), 1, workbench=bench)
    assert run.result(5) == [False, True, [3], 1]
    assert run.verify().plans == 1


def lambda_three(x):
    return 3


def test_an_output_looked_at_on_the_loop_is_an_error_and_holds_nobody_up(bench):
    class Late(Exception):
        def __str__(self):
            return f"got {self.args[0].value}"

    def choose(given: wb.PlanInput):
        raise Late(given)

    with pytest.raises(RunFailed, match="could not be read"):
        wb.start(choosing(lambda_big, wb.plan(choose)), 1, workbench=bench).result(5)
    assert healthy(bench)


def lambda_big(x):
    return "x" * 2_000_000


@pytest.mark.parametrize(("damage", "code"), [("lose", "blob_missing"), ("change", "blob_corrupt")])
def test_a_damaged_blob_is_a_typed_error_where_it_is_read(bench, damage, code):
    async def big(x):
        return "x" * 2_000_000

    def harm(x, ctx):
        (key,) = bench.blobs._blobs
        if damage == "lose":
            bench.blobs._blobs.clear()
        else:
            bench.blobs._blobs[key] = b'"other"'

    async def later(value):
        return value

    graph = wb.AgentGraph(
        "damage",
        nodes=[wb.task(big), plan := wb.plan(lambda_plan), wb.task(later)],
        edges=[("Start", "big"), ("big", plan.name), (plan.name, "later"), ("later", "End")],
    )
    bench.blobs.get = damaged(bench.blobs, harm)
    with pytest.raises(RunFailed) as caught:
        wb.start(graph, workbench=bench).result(5)
    assert caught.value.error_code == code


def lambda_plan(given):
    return "later"


def damaged(blobs, harm):
    """`get` after the blob has come to harm."""
    get = type(blobs).get

    async def read(ref):
        if blobs._blobs and blobs._blobs.get(ref.sha256) != b'"other"':
            harm(None, None)
        return await get(blobs, ref)

    return read


def test_a_plans_own_arguments_are_spilled_too(bench):
    async def big(given):
        return wb.PlanResult(next_tasks=(NextTask(name="End", args=Payload(inline=encode_value("y" * 1_500_000))),))

    run = wb.start(choosing(lambda_free, wb.plan(big)), 1, workbench=bench)
    assert run.result(5) == "y" * 1_500_000
    assert max(len(entry.model_dump_json()) for entry in run.entries()) < 10_000


def test_the_conversation_takes_messages_only(bench):
    async def says(x, ctx):
        ctx.say("hello")

    with pytest.raises(RunFailed, match="Message"):
        wb.start(line(says), workbench=bench).result(5)


def test_a_price_that_is_none_fails_the_task_and_not_the_record(bench):
    async def counts(x, ctx):
        ctx.usage(wb.models.client.Usage(), model="m", cost_usd="cheap")

    run = wb.start(line(counts), workbench=bench)
    with pytest.raises(RunFailed):
        run.result(5)
    assert run.verify()


def test_a_deep_recursion_in_a_task_is_its_own_failure(bench):
    def deep(x):
        return deep(x) if sys.getrecursionlimit() else None

    with pytest.raises(RunFailed, match="RecursionError"):
        wb.start(line(deep), 1, workbench=bench).result(10)
    assert healthy(bench)


def test_what_is_announced_and_kept_of_a_large_result_is_a_small_reference(bench):
    told = []

    async def listen():
        async for message in bench.bus.subscribe(RUN_TOPIC):
            told.append(json.dumps(message))

    listening = submit(listen())
    run = wb.start(line(big, wb.task(idempotent=True)(length)), 0, workbench=bench)
    assert run.result(10) == 3_000_000
    listening.cancel()
    assert told
    assert max(map(len, told)) < 100
    stored = run_sync(everything(bench, run.id))
    assert max(len(entry.data) for entry in stored) < 5_000


async def big(value):
    return "x" * 3_000_000


async def length(value):
    return len(value)


async def everything(bench, run_id):
    return [stored async for stored in bench.store.read(Query(lifetime_ids=[run_id]))]


def test_a_node_keeps_bytes_beside_the_record_and_another_reads_them(bench):
    @wb.task(idempotent=True)
    async def draw(value, ctx):
        ref = await ctx.blob(b"\x89PNG", "image/png")
        return ref.model_dump()

    @wb.task(idempotent=True)
    async def look(value, ctx):
        return (await ctx.read_blob(value)).hex()

    run = wb.start(line(draw, look), 0, workbench=bench)
    assert run.result(5) == b"\x89PNG".hex()
    run.verify()
    assert "image/png" in str(run.entries()[2].result.output.inline)


def test_a_cost_says_which_price_table_it_is_by(bench):
    @wb.task(idempotent=True)
    async def spend(value, ctx):
        ctx.usage(Usage(tokens_in=1), model="m", cost_usd="0.1", price_table=table_version())
        return value

    run = wb.start(line(spend), 0, workbench=bench)
    run.result(5)
    assert run.entries()[2].telemetry.price_table.startswith("genai-prices ")
