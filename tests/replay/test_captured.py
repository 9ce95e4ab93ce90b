"""Records captured by earlier versions: they are read, they hold, and every choice in them is made again. In CI, for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import workbench as wb
from tests.replay.capture import GRAPHS, RECORDS
from tests.replay.graphs import DONE
from workbench.errors import RecordCorrupt, ReplayDivergence
from workbench.profiles import for_tests
from workbench.record.codec import GENESIS, chain

FILES = sorted(Path(__file__).parent.glob("*.json"))

ENDS = {"agent_failure": "failed", "stopped": "aborted"}


@pytest.fixture
def bench():
    made = for_tests(1)
    yield made
    made.close()


def taken(bench, file) -> wb.Run:
    run = bench.import_run(file)
    DONE.clear()
    return run


def graph_of(run):
    manifest = run.state.manifest
    return GRAPHS.get(manifest.graph_id) if manifest.kind == "graph" else None


def test_each_kind_of_run_has_its_record():
    assert [path.stem for path in FILES] == sorted(RECORDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_captured_record_holds_and_its_choices_are_made_again(bench, path):
    run = taken(bench, path.read_bytes())
    verified = run.verify(graph=graph_of(run))
    assert verified.plans is not None
    assert verified.plans > 0 or path.stem == "stopped"
    assert run.status == ENDS.get(path.stem, "completed")
    assert run.events() is not None
    assert not DONE


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_captured_record_that_is_exported_again_is_the_same_file(bench, path):
    run = taken(bench, path.read_bytes())
    assert json.loads(bench.export(run.id)) == json.loads(path.read_bytes())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_choice_flipped_by_somebody_who_knows_the_hashes_is_found_at_its_entry(bench, path):
    content = json.loads(path.read_bytes())
    log = content["records"][0]["log"]
    chosen = [seq for seq, line in enumerate(log, start=1) if '"kind":"plan_execution"' in line["data"] and '"edited"' not in line["data"]]
    for seq in chosen:
        run = for_tests(2).import_run(json.dumps(flipped(content, seq)).encode())
        with pytest.raises((ReplayDivergence, RecordCorrupt)) as caught:
            run.verify(graph=graph_of(run))
        assert caught.value.seq == seq
        run.workbench.close()


def flipped(content, seq):
    """The export with one more argument in a choice, and every hash after it made anew."""
    record = {**content["records"][0], "log": [dict(line) for line in content["records"][0]["log"]]}
    entry = json.loads(record["log"][seq - 1]["data"])
    if entry["result"].get("error"):
        entry["result"]["error"]["code"] = "other"
    else:
        entry["result"]["next_tasks"][0]["args"] = {"inline": "flipped"}
    record["log"][seq - 1]["data"] = json.dumps(entry)
    head = GENESIS
    for line in record["log"]:
        head = line["hash"] = chain(head, line["data"].encode())
    return {**content, "records": [{**record, "head": head}, *content["records"][1:]]}
