"""What people were asked, as a frame; frames to read, and frames as files."""

from __future__ import annotations

import asyncio
import sys

import pandas as pd
import pytest

import workbench as wb
from workbench import frames
from workbench.current import set_current
from workbench.errors import ConfigurationError, UserError
from workbench.frames import parquet
from workbench.graph.nodes import human
from workbench.loop import run_sync
from workbench.profiles import for_tests


def send(to: str) -> str:
    """Send."""
    return to


@pytest.fixture
def bench(current_bench):
    return current_bench


@pytest.fixture
def sends(bench):
    """An agent that sends three letters, as a policy lets it; it has been approved, edited and refused."""
    code = (
        "out = []\nfor to in ['ana', 'ben', 'cy']:\n    try:\n        out.append(send(to))\n    except Exception as error:\n"
        "        out.append('no')\nfinish(out)"
    )
    policy = "tool == 'send' -> require_approval"
    agent = wb.Agent(wb.models.Scripted([f"```python\n{code}\n```"]), tools=[send], policy=policy, workbench=bench)
    run = agent.start("send <b>letters</b>")
    run_sync(run.asked()).approve(actor="Ada")
    run_sync(run.asked()).approve({"to": "bob"}, note="Ben has left")
    run_sync(run.asked()).reject("not Cy")
    assert run.result(5) == ["ana", "bob", "no"]
    agent.close()
    return run


def asking(**options):
    ask = human("ask", "Well?", schema={"type": "string"}, **options)
    return wb.AgentGraph("asking", nodes=[ask], edges=[("Start", "ask"), ("ask", "End")])


def test_each_question_has_a_row_with_what_came_of_it(sends):
    found = wb.frames.approvals()
    assert list(found.decision) == ["approved", "approved", "rejected"]
    assert list(found.actor[:1]) == ["Ada"]
    assert list(found.edited.fillna(False)) == [False, True, False]
    assert list(found["args"]) == [{"to": "ana"}, {"to": "ben"}, {"to": "cy"}]
    assert found["value"][1] == {"to": "bob"}
    assert list(found.note[1:]) == ["Ben has left", "not Cy"]
    assert (found.rule.notna().all(), found.tool.unique().tolist(), found.open.any()) == (True, ["send"], False)
    assert (found.wait_s > 0).all()


def test_it_has_its_types_and_joins_on_the_execution_that_asked(sends):
    found = wb.frames.approvals()
    assert {column: str(dtype) for column, dtype in found.dtypes.items()} == {c.name: c.dtype for c in frames.APPROVALS}
    joined = found.merge(wb.frames.executions(), on=["run_id", "exec_id"], suffixes=("", "_execution"))
    assert joined.name.unique().tolist() == ["task_execute"]


def test_what_is_open_withdrawn_expired_and_answered_is_told_apart(bench):
    @wb.task(idempotent=True)
    async def hasty(value, ctx):
        try:
            return await asyncio.wait_for(ctx.ask_human("Hasty?"), 0.05)
        except TimeoutError:
            return None

    open_ = wb.start(asking(), 0, workbench=bench)
    run_sync(open_.asked())
    answered = wb.start(asking(), 0, workbench=bench)
    run_sync(answered.asked()).answer("yes")
    answered.result(5)
    wb.start(asking(timeout=0.01, default="none"), 0, workbench=bench).result(5)
    wb.start(wb.AgentGraph("h", nodes=[hasty], edges=[("Start", "hasty"), ("hasty", "End")]), workbench=bench).result(5)
    found = wb.frames.approvals()
    assert list(found.open) == [True, False, False, False]
    assert list(found.decision.fillna("")) == ["", "answered", "expired", ""]
    assert list(wb.frames.runs().status) == ["waiting", "completed", "completed", "completed"]
    assert list(wb.frames.approvals(since=found.asked_at[1]).decision.fillna("")) == ["answered", "expired", ""]
    open_.stop()


def test_a_run_gives_its_own_frames_wherever_it_lies(sends, bench):
    other = for_tests(2)
    set_current(other)
    try:
        assert len(sends.frame("approvals")) == 3
        assert sends.frame().run_id.unique().tolist() == [sends.id]
        assert sends.frame("costs").executions.sum() > 0
        with pytest.raises(UserError, match="there is no frame 'things'"):
            sends.frame("things")
    finally:
        set_current(bench)
        other.close()


def test_a_styled_frame_reads_in_words_and_units_and_holds_no_markup_of_others(sends):
    styled = wb.frames.style(wb.frames.runs())
    html = styled.to_html()
    assert "✓ completed" in html
    assert "send &lt;b&gt;letters" in html
    assert "<b>letters" not in html
    assert sends.id not in html
    assert sends.id[:8] in html
    assert styled.data.equals(wb.frames.runs())
    assert "✕ rejected" in wb.frames.style(wb.frames.approvals()).to_html()
    assert wb.frames.style(wb.frames.costs("node")).to_html()


@pytest.mark.parametrize("name", ["runs", "executions", "events", "tool_calls", "messages", "approvals", "verdicts"])
def test_a_frame_is_read_back_from_its_file(sends, tmp_path, monkeypatch, name):
    monkeypatch.setattr(parquet, "ROWS", 2)
    frame = getattr(wb.frames, name)(run=sends)
    assert wb.frames.to_parquet(tmp_path / "frame.parquet", name, run=sends) == len(frame) > 0
    back = pd.read_parquet(tmp_path / "frame.parquet")
    assert list(back) == list(frame)
    assert list(back.run_id) == list(frame.run_id)
    stamp = next(column for column in frame if isinstance(frame[column].dtype, pd.DatetimeTZDtype))
    assert list(back[stamp].dropna()) == list(frame[stamp].dropna())


def test_a_frame_that_there_is_not_and_a_missing_package_are_told(sends, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="there is no frame 'costs'"):
        wb.frames.to_parquet(tmp_path / "frame.parquet", "costs")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"agent-workbench\[parquet\]"):
        wb.frames.to_parquet(tmp_path / "frame.parquet")


def test_of_a_run_that_cannot_be_read_there_are_headers_and_a_warning(tmp_path):
    home = tmp_path / "home"
    bench = wb.connect(home=home, encryption="memory:")
    run = wb.start(asking(), 0, workbench=bench)
    run_sync(run.asked()).answer("yes")
    run.result(5)
    bench.close()
    bench = wb.connect(home=home)
    (row,) = wb.frames.runs().itertuples()
    assert (row.run_id, row.status, row.error_code, row.tasks) == (run.id, "completed", "key_unavailable", 1)
    assert len(wb.frames.events()) == row.entries
    with pytest.warns(UserWarning, match=r"what \d+ entries say is missing here"):
        assert len(wb.frames.executions()) == 0
    bench.close()
    set_current(None)
