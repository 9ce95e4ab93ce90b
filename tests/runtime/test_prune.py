"""Runs leave the store whole: as a file that another store takes in, or for good, with a tombstone in their place."""

from __future__ import annotations

import json
import sqlite3

import pytest

import workbench as wb
from tests.replay.graphs import DONE, FAN, look, send
from tests.runtime.records import stored
from workbench.adapters.memory import MemoryBlobStore, MemoryStateStore
from workbench.adapters.sql import SqlStateStore
from workbench.errors import BlobCorrupt, BlobMissing, RecordCorrupt, RunPruned, UserError
from workbench.loop import run_sync

TOOLS = [look, send]


@pytest.fixture
def big(benches):
    """A bench that puts almost every value into a blob."""
    return benches(spill_bytes=60)


@wb.task(idempotent=True)
async def speak(value):
    return str(value) * 100


SPEAKING = wb.AgentGraph("speaking", nodes=[speak], edges=[("Start", "speak"), ("speak", "End")])


def spoken(bench, value):
    run = wb.start(SPEAKING, value, workbench=bench)
    run.result(5)
    return run


@pytest.fixture
def agent_run(bench):
    agent = wb.Agent(
        wb.models.Scripted(["```python\nx = look(2)\n```", "```python\nfinish(x)\n```"] * 3), tools=TOOLS, engine="monty", workbench=bench
    )
    run = agent.start("Look.")
    run.result(20)
    yield agent, run
    agent.close()


# Prune


def test_a_pruned_run_is_gone_and_says_what_it_was(bench):
    run = wb.start(FAN, 3, tools=TOOLS, workbench=bench)
    run.result(10)
    verified = run.verify()
    pruned = bench.prune(run.id)
    assert (pruned.runs, pruned.entries) == (1, verified.entries)
    with pytest.raises(RunPruned, match=f"{verified.entries} entries, the last with hash {verified.head}"):
        run.verify()
    with pytest.raises(RunPruned, match="was pruned"):
        bench.open(run.id)
    assert bench.runs() == []


def test_a_run_that_has_not_ended_is_not_pruned_and_neither_are_the_others_given(bench):
    done = spoken(bench, 1)
    waiting = wb.start(wb.AgentGraph("asking", nodes=[ask], edges=[("Start", "ask"), ("ask", "End")]), workbench=bench)
    with pytest.raises(UserError, match="has not ended"):
        bench.prune(done.id, waiting.id)
    assert done.verify().entries == 5
    waiting.stop()


@wb.task
async def ask(value, ctx):
    return await ctx.ask_human("Well?")


def test_a_record_that_does_not_hold_is_not_pruned(bench):
    run = spoken(bench, 1)
    log = bench.store._log
    log[1] = log[1].__class__(**{**{name: getattr(log[1], name) for name in log[1].__slots__}, "hash": "f" * 64})
    with pytest.raises(RecordCorrupt):
        bench.prune(run.id)
    assert len(log) == 5


def test_blobs_go_with_the_last_run_that_refers_to_them(big):
    one, two, same = spoken(big, "a"), spoken(big, "b"), spoken(big, "a")
    assert len(big.blobs._blobs) == 2
    assert big.prune(one.id, two.id).blobs == 1
    assert same.value == "a" * 100
    assert big.prune(same.id).blobs == 1
    assert big.blobs._blobs == {}


def test_no_blob_is_removed_while_a_run_is_going_on_and_the_next_prune_makes_up_for_it(big):
    waiting = wb.start(wb.AgentGraph("asking", nodes=[ask], edges=[("Start", "ask"), ("ask", "End")]), workbench=big)
    one, two = spoken(big, "a"), spoken(big, "b")
    assert big.prune(one.id).blobs == 0
    waiting.stop()
    run_sync(waiting.wait())
    assert big.prune(two.id).blobs == 2


def test_a_fork_does_not_need_its_original(bench):
    run = wb.start(FAN, 3, tools=TOOLS, workbench=bench)
    run.result(10)
    fork = run.fork(20, confirm=True)
    fork.result(10)
    bench.prune(run.id)
    assert fork.verify(graph=FAN).plans
    assert fork.fork(10, confirm=True).result(10) == fork.value


def test_a_sandbox_stream_goes_with_the_last_run_that_used_it(agent_run, bench):
    agent, first = agent_run
    second = agent.start("Again.")
    second.result(20)
    assert bench.prune(first.id).streams == 0
    assert second.verify().entries
    assert bench.prune(second.id).streams == 1
    assert bench.store._log == []


def test_an_agent_whose_runs_were_pruned_goes_on_with_its_variables(agent_run, bench):
    agent, first = agent_run
    bench.prune(first.id)
    third = wb.Agent(wb.models.Scripted(["```python\nfinish(x + 1)\n```"]), tools=TOOLS, workbench=bench).sharing_sandbox(agent)
    run = third.start("Go on.")
    assert run.result(20) == 5
    run.verify()


def test_a_pruned_run_leaves_nothing_of_itself_in_a_sqlite_file_but_its_tombstone(benches, tmp_path):
    bench = benches(state=run_sync(opened(tmp_path / "records.db")))
    run = spoken(bench, "secret words ")
    kept = spoken(bench, "kept")
    bench.prune(run.id)
    bench.close()
    with sqlite3.connect(tmp_path / "records.db") as db:
        assert {row[0] for row in db.execute("SELECT lifetime_id FROM entries")} == {kept.id}
        assert db.execute("SELECT lifetime_id, entries FROM tombstones").fetchall() == [(run.id, 5)]
    db.close()


async def opened(path):
    return SqlStateStore(f"sqlite:///{path.as_posix()}")


# Export and import


def test_an_exported_run_is_the_same_run_in_another_store(agent_run, bench, benches):
    _, run = agent_run
    other = benches()
    taken = other.import_run(bench.export(run.id))
    stream = run.state.manifest.resources["sandbox_id"]
    assert taken.verify() == run.verify()
    for lifetime in (run.id, stream):
        assert stored(other.store, lifetime) == stored(bench.store, lifetime)
    assert taken.value == run.value
    assert other.export(run.id) == bench.export(run.id)


def test_an_imported_run_is_forked_like_any(agent_run, bench, benches):
    _, run = agent_run
    taken = benches().import_run(bench.export(run.id))
    DONE.clear()
    assert taken.fork(step=2, code="finish(x * 2)", tools=TOOLS, model=wb.models.Scripted([])).result(20) == 8
    assert not DONE


def test_blobs_travel_with_the_run(big, benches):
    run = spoken(big, "a")
    other = benches(blobs=MemoryBlobStore())
    assert other.import_run(big.export(run.id)).value == "a" * 100


def test_what_is_there_already_is_left_alone(bench):
    run = spoken(bench, 1)
    before = stored(bench.store, run.id)
    assert bench.import_run(bench.export(run.id)).id == run.id
    assert stored(bench.store, run.id) == before


def test_an_import_that_another_record_stands_in_the_way_of_is_refused(bench, benches):
    run = spoken(bench, 1)
    other = benches()
    other.import_run(shortened(bench.export(run.id), 4))
    with pytest.raises(RecordCorrupt, match="another record under this id"):
        other.import_run(bench.export(run.id))


def shortened(file, count):
    content = json.loads(file)
    record = content["records"][0]
    record["log"] = record["log"][:count]
    record["entries"], record["head"] = count, record["log"][-1]["hash"]
    return json.dumps(content).encode()


def test_a_pruned_run_is_not_brought_back(bench):
    run = spoken(bench, 1)
    file = bench.export(run.id)
    bench.prune(run.id)
    with pytest.raises(RecordCorrupt, match="was pruned"):
        bench.import_run(file)


@pytest.mark.parametrize("chosen", range(0, 100, 4))
def test_any_changed_byte_of_an_export_is_found_and_nothing_is_written(big, benches, chosen):
    file = big.export(spoken(big, "a").id)
    places = [place for place in range(len(file)) if file[place : place + 1].isalnum()]
    place = places[len(places) * chosen // 100]
    altered = file[:place] + bytes([file[place] ^ 1]) + file[place + 1 :]
    other = benches(state=MemoryStateStore(), blobs=MemoryBlobStore())
    try:
        taken = other.import_run(altered)
    except (RecordCorrupt, BlobCorrupt, UserError):
        assert other.store._log == []
        assert other.blobs._blobs == {}
    else:  # only what says how a blob is to be read on its way in is no part of the record
        assert b"media_type" in file[place - 30 : place + 20]
        taken.verify()


@pytest.mark.parametrize("take", [lambda log: log[:-1], lambda log: log[1:], lambda log: [log[1], log[0], *log[2:]], lambda log: []])
def test_entries_that_are_missing_or_out_of_order_are_found(bench, benches, take):
    content = json.loads(bench.export(spoken(bench, 1).id))
    content["records"][0]["log"] = take(content["records"][0]["log"])
    with pytest.raises(RecordCorrupt, match="nothing was written"):
        benches().import_run(json.dumps(content).encode())


def test_a_missing_blob_is_named(big, benches):
    run = spoken(big, "a")
    content = json.loads(big.export(run.id))
    digest = content["blobs"].pop()["sha256"]
    with pytest.raises(BlobCorrupt, match=digest):
        benches().import_run(json.dumps(content).encode())
    big.blobs._blobs.clear()
    with pytest.raises(BlobMissing, match=digest):
        big.export(run.id)


@pytest.mark.parametrize("file", [b"", b"[]", b"{}", b'{"format": "workbench.export/9"}', b"\xff", b'{"format": "workbench.export/1"}'])
def test_what_is_no_export_is_refused_in_a_sentence(bench, file):
    with pytest.raises(UserError, match="export"):
        bench.import_run(file)


def test_a_run_that_is_going_on_is_not_exported(bench):
    waiting = wb.start(wb.AgentGraph("asking", nodes=[ask], edges=[("Start", "ask"), ("ask", "End")]), workbench=bench)
    with pytest.raises(UserError, match="still going on"):
        bench.export(waiting.id)
    waiting.stop()
