"""What a view shows of text that is still arriving, which no record keeps."""

from __future__ import annotations

from tests.notebook.sample_run import SAMPLES, Recorder
from workbench.notebook.view import RunView


def test_a_block_that_is_run_again_after_a_crash_shows_its_prints_from_the_beginning() -> None:
    run, view = Recorder(), RunView()
    run.entries = SAMPLES["running"]()
    for entry in run.entries:
        view.apply(entry)
    (block,) = view.state.running
    view.feed({"type": "print", "exec_id": block, "text": "one\ntwo\n"})
    run.resumed()
    view.apply(run.entries[-1])
    view.feed({"type": "print", "exec_id": block, "text": "one\n"})
    prints = view.full()["steps"][1]["prints"]
    assert prints is not None
    assert prints["text"] == "one\n"
