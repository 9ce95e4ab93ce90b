"""In an encrypted store nobody finds a word of what was said without the key, and with it nothing is different."""

from __future__ import annotations

import base64
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import workbench as wb
from tests.conformance.samples import lifetime, tasks
from tests.stories.sealed import CANARY, CODE, begin, tools
from workbench.adapters.cipher import new_key
from workbench.adapters.masterkeys import LocalKeys, name_of, written
from workbench.adapters.memory import MemoryStateStore
from workbench.adapters.vault import Vault
from workbench.cli import main
from workbench.current import set_current
from workbench.errors import ConfigurationError, KeyUnavailable, RecordCorrupt, RunPruned, RunShredded, UserError
from workbench.loop import run_sync
from workbench.ports import Query
from workbench.record.codec import chain

A = lifetime(0)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def key_file(tmp_path):
    """A file with one key."""
    return write_keys(tmp_path / "keys", new_key())


@pytest.fixture
def home(tmp_path):
    yield tmp_path / "home"
    set_current(None)


def write_keys(path, *keys):
    path.write_text("# newest first\n" + "".join(written(key) + "\n" for key in keys))
    path.chmod(0o600)
    return path


def connected(home, key_file):
    return closing(wb.connect(home=home, encryption=f"file:{key_file}"))


def finished(home, key_file):
    """The id of a run that has ended on an encrypted store, and nothing open any more."""
    run = begin(home, f"file:{key_file}")
    run.pending[0].approve(note=CANARY)
    assert run.result(20)[0] == f"sent {CANARY}"
    run.workbench.close()
    return run.id


def forms(word):
    """A word as it may lie on a disk."""
    raw = word.encode()
    yield from (raw, raw.hex().encode(), raw.hex().upper().encode(), word.encode("utf-16-le"), word.encode("utf-16-be"))
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4]


def found(home):
    """The files in which the canary stands."""
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert kept
    return [path.name for path in kept if any(form in path.read_bytes() for form in forms(CANARY))]


def test_the_search_finds_what_is_not_encrypted(home):
    with closing(wb.connect(home=home)) as bench:
        agent = wb.Agent(wb.models.Scripted(["It is done."]), workbench=bench)
        agent.run(f"Say {CANARY}")
        agent.close()
    assert found(home) == ["records.db"]


def test_a_canary_is_nowhere_on_the_disk_while_it_runs_after_a_kill_and_at_its_end(home, key_file):
    command = [sys.executable, "-m", "tests.stories.sealed", str(home), f"file:{key_file}"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    run_id = child.stdout.readline().strip()
    assert found(home) == []
    assert list((home / "blobs").rglob("*"))
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    child.stdout.close()
    assert found(home) == []
    with connected(home, key_file):
        run = wb.resume(run_id, tools=tools(), model=wb.models.Scripted([CODE]))
        run.pending[0].approve({"word": f"{CANARY} edited"}, note=CANARY)
        assert run.result(20) == [f"sent {CANARY} edited", (CANARY * 2)[:40]]
        run.verify()
        assert found(home) == []
    assert found(home) == []


def test_with_the_key_a_run_is_read_replayed_forked_exported_and_imported(home, key_file, tmp_path):
    run_id = finished(home, key_file)
    with connected(home, key_file) as bench:
        run = wb.open(run_id)
        assert run.title == f"Say {CANARY}"
        for frame in (wb.frames.messages, wb.frames.executions, wb.frames.tool_calls):
            assert CANARY in frame(run=run).to_csv()
        assert run.verify().unreadable is None
        again = run.replay(tools=tools(), model=wb.models.Scripted([CODE]))
        run_sync(again.asked()).approve()
        assert again.result(20) == run.value
        assert run.diff(again)["same"]
        file = bench.export(run_id)
        head = run.verify().head
    assert found(home) == []
    other = write_keys(tmp_path / "other keys", new_key())
    with connected(tmp_path / "elsewhere", other) as bench:
        taken = bench.import_run(file)
        assert (taken.verify().head, taken.title) == (head, f"Say {CANARY}")
    assert found(tmp_path / "elsewhere") == []
    with closing(wb.connect(home=tmp_path / "plain")) as bench, pytest.raises(UserError, match="this run is encrypted"):
        bench.import_run(file)


def test_without_the_key_there_are_headers_and_hashes_and_an_error_that_says_what_to_do(home, key_file, tmp_path, capsys):
    run_id = finished(home, key_file)
    wrong = write_keys(tmp_path / "wrong", new_key())
    for encryption, said in ((None, "connect with its key"), (f"file:{wrong}", "add it there")):
        with closing(wb.connect(home=home, encryption=encryption)):
            run = wb.open(run_id)
            with pytest.raises(KeyUnavailable, match=said):
                run.entries()
            assert said in repr(run)
            checked = run.verify()
            assert said in checked.unreadable
            assert len(wb.frames.events(run=run)) == checked.entries
            assert main(["runs"]) == 0
            assert run_id in capsys.readouterr().out
    assert name_of(base64.b64decode(wrong.read_text().splitlines()[1])) in checked.unreadable


def test_after_a_rotation_the_old_key_is_not_needed_and_what_is_stored_is_the_same(home, tmp_path):
    old, new = new_key(), new_key()
    key_file = write_keys(tmp_path / "keys", old)
    run_id = finished(home, key_file)
    with connected(home, key_file):
        before = wb.open(run_id).verify()
    write_keys(key_file, new, old)
    with connected(home, key_file) as bench:
        assert bench.rotate() == 3  # those of the run, of its sandbox and of the blobs
        assert bench.rotate() == 0
    write_keys(key_file, new)
    with connected(home, key_file):
        assert wb.open(run_id).verify() == before
        assert wb.open(run_id).title == f"Say {CANARY}"
    write_keys(key_file, old)
    with connected(home, key_file), pytest.raises(KeyUnavailable):
        wb.open(run_id).entries()


def test_a_shredded_run_can_be_read_by_nobody_and_its_chain_still_holds(home, key_file):
    run_id, kept = finished(home, key_file), finished(home, key_file)
    with connected(home, key_file) as bench:
        before = wb.open(run_id).verify()
        wrapped = run_sync(bench.store.data_key(run_id)).wrapped
        assert bench.shred(run_id) == (1, 1, 0)
        run = wb.open(run_id)
        with pytest.raises(RunShredded, match="read by nobody"):
            run.entries()
        after = run.verify(head=before.head)
        assert (after.entries, after.head) == (before.entries, before.head)
        assert "shredded" in after.unreadable
        assert wb.open(kept).title == f"Say {CANARY}"
        with pytest.raises(RunShredded):
            bench.shred(run_id)
        assert bench.prune(run_id).entries == before.entries
        with pytest.raises(RunPruned):
            wb.open(run_id)
    assert not [path.name for path in home.rglob("*") if path.is_file() and wrapped in path.read_bytes()]


def test_a_fork_reads_its_own_copy_when_its_original_has_been_shredded(home, key_file):
    run_id = finished(home, key_file)
    with connected(home, key_file) as bench:
        run = wb.open(run_id)
        fork = run.fork(at=len(run.entries()) - 1, tools=tools(), model=wb.models.Scripted([CODE]))
        assert fork.result(20) == run.value
        before = fork.verify()
        bench.shred(run_id)
        assert fork.verify() == before
        (big,) = [e.call.result for e in fork.entries() if e.kind == "tool_call" and e.phase == "outcome" and e.call.tool == "big"]
        assert run_sync(bench.plane.value(big)) == CANARY * 100_000
    assert found(home) == []


def test_an_agent_whose_run_was_shredded_goes_on_in_a_sandbox_of_a_new_name(home, key_file):
    with connected(home, key_file) as bench:
        agent = wb.Agent(wb.models.Scripted(["```python\nx = 41\nfinish(x)\n```"]), workbench=bench)
        agent.run("first")
        first = bench.last
        assert bench.shred(first.id) == (1, 1, 0)
        again = wb.Agent(wb.models.Scripted(["```python\nfinish(x + 1)\n```"]), workbench=bench).sharing_sandbox(agent)
        assert again.run("second") == 42
        bench.last.verify()
        assert "shredded" in first.verify().unreadable
        agent.close()


async def test_nothing_follows_a_shredded_lifetime():
    store = MemoryStateStore()
    vault = Vault(store, LocalKeys([new_key()], "the test"))
    seal = await vault.seal(A)
    body = tasks(A, 1)[0]
    sealed = dataclasses.replace(body, data=seal(1, body.data))
    sealed = dataclasses.replace(sealed, hash=chain(sealed.prev_hash, sealed.data))
    await store.append([sealed], {A: (await store.claim(A, "me", 60)).epoch})
    await vault.shred(A)
    with pytest.raises(RunShredded):
        await vault.seal(A)


def test_a_run_that_goes_on_or_is_not_encrypted_is_not_shredded(home, key_file):
    run = begin(home, f"file:{key_file}")
    with pytest.raises(UserError, match="has not ended"):
        run.workbench.shred(run.id)
    run.stop()
    run.workbench.close()
    with closing(wb.connect(home=home)) as bench, pytest.raises(UserError, match="not encrypted"):
        bench.shred(run.id)


def test_one_changed_byte_and_two_exchanged_entries_are_named(home, key_file):
    run_id = finished(home, key_file)
    with closing(sqlite3.connect(home / "records.db")) as db:
        db.execute("DROP TRIGGER entries_refuse_update")
        (data,) = db.execute("SELECT data FROM entries WHERE lifetime_id = ? AND seq = 3", (run_id,)).fetchone()
        db.execute("UPDATE entries SET data = ? WHERE lifetime_id = ? AND seq = 3", (data[:-1] + bytes([data[-1] ^ 1]), run_id))
        db.commit()
    with connected(home, key_file), pytest.raises(RecordCorrupt, match="entry 3 of"):
        wb.open(run_id).verify()


def test_an_entry_cannot_be_put_in_the_place_of_another_even_with_its_hash_made_anew(home, key_file):
    run_id = finished(home, key_file)
    with connected(home, key_file) as bench:
        key = run_sync(bench.vault.key_of(run_id))
        stored = run_sync(_all(bench, run_id))
        moved = dataclasses.replace(stored[2], data=stored[3].data)
        with pytest.raises(RecordCorrupt, match="does not open it"):
            _ = bench.vault.opened(moved, key).body


async def _all(bench, run_id):
    return [stored async for stored in bench.store.read(Query(lifetime_ids=[run_id]))]


def test_a_store_that_was_not_always_encrypted_is_read_as_a_whole(home, key_file):
    with closing(wb.connect(home=home)) as bench:
        agent = wb.Agent(wb.models.Scripted(["It is done."]), workbench=bench)
        old = agent.start("in clear")
        old.result(20)
        agent.close()
    new = finished(home, key_file)
    with connected(home, key_file):
        assert {run.title for run in wb.runs()} == {"in clear", f"Say {CANARY}"}
        assert [wb.open(run_id).verify().unreadable for run_id in (old.id, new)] == [None, None]
    with closing(wb.connect(home=home)):
        assert wb.open(old.id).title == "in clear"


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("", 0o600, "has no key"),
        ("c2hvcnQ=\n", 0o600, "not 32 bytes"),
        (written(bytes(32)), 0o644, "chmod 600"),
        (None, 0, "cannot be read"),
    ],
)
def test_a_key_file_that_cannot_be_meant_is_refused(tmp_path, content, mode, said):
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(ConfigurationError, match=said):
        wb.connect(home=tmp_path / "home", encryption=f"file:{path}")


def test_a_key_may_come_from_the_environment(home, monkeypatch):
    monkeypatch.setenv("WORKBENCH_KEY", f"{written(new_key())},{written(new_key())}")
    monkeypatch.setenv("WORKBENCH_ENCRYPTION", "env:WORKBENCH_KEY")
    with closing(wb.connect(home=home)) as bench:
        agent = wb.Agent(wb.models.Scripted(["It is done."]), workbench=bench)
        agent.run(f"Say {CANARY}")
        agent.close()
    assert found(home) == []
    monkeypatch.delenv("WORKBENCH_KEY")
    with pytest.raises(ConfigurationError, match="has no key"):
        wb.connect(home=home)


def test_the_command_line_makes_keys_rotates_and_shreds(home, tmp_path, capsys, monkeypatch):
    assert main(["keys", "new"]) == 0
    old = base64.b64decode(capsys.readouterr().out)
    key_file = write_keys(tmp_path / "keys", old)
    run_id = finished(home, key_file)
    write_keys(key_file, new_key(), old)
    with connected(home, key_file):
        assert main(["keys", "rotate"]) == 0
        assert "3 data keys" in capsys.readouterr().out
        assert main(["shred", run_id[:8]]) == 0
        assert "1 runs and 1 sandbox streams shredded" in capsys.readouterr().out
        assert main(["runs"]) == 0
        assert "has been shredded" in capsys.readouterr().out
        assert main(["verify", run_id]) == 0
        assert "Only the hashes" in capsys.readouterr().out
