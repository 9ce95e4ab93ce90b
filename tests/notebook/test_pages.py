"""What the tabs of a view ask for is read from the store, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import workbench as wb
from workbench.errors import UserError
from workbench.loop import run_sync
from workbench.notebook.pages import Pages
from workbench.profiles import for_tests


@pytest.fixture
def run() -> Iterator[wb.Run]:
    bench = for_tests(1)
    agent = wb.Agent(wb.models.Scripted(["```python\nfinish(1)\n```"]), workbench=bench)
    run = agent.start("<img src=x> \u202e count")
    run.result(20)
    yield run
    agent.close()
    bench.close()


def test_the_record_has_a_row_an_entry_with_its_hash(run: wb.Run) -> None:
    page = run_sync(Pages(run).page("record", 0))
    assert [row["seq"] for row in page["rows"]] == list(range(1, page["total"] + 1))
    assert {row["kind"] for row in page["rows"]} >= {"lifetime event", "task execution", "plan execution"}
    assert all(len(row["hash"]) == 12 for row in page["rows"])
    assert run_sync(Pages(run).page("record", 3))["rows"] == page["rows"][3:]


def test_an_entry_is_the_stored_json_made_visible(run: wb.Run) -> None:
    (row,) = run_sync(Pages(run).page("entry", 0))["rows"]
    assert json.loads(row["body"]["text"])["seq"] == 1
    assert "\u202e" not in row["body"]["text"]
    assert run_sync(Pages(run).page("entry", 999))["rows"] == []


def test_the_messages_are_the_conversation_redacted(run: wb.Run) -> None:
    page = run_sync(Pages(run, lambda text: text.replace("count", "[redacted]")).page("messages", 0))
    assert [row["role"] for row in page["rows"]][:3] == ["system", "user", "assistant"]
    assert "[redacted]" in page["rows"][1]["body"]["text"]
    assert run_sync(Pages(run).page("messages", page["total"]))["rows"] == []


def test_the_graph_is_drawn_and_another_page_refused(run: wb.Run) -> None:
    (row,) = run_sync(Pages(run).page("graph", 0))["rows"]
    assert 'data-node="task_llm"' in row["svg"]
    with pytest.raises(UserError, match="no page 'secrets'"):
        run_sync(Pages(run).page("secrets", 0))
