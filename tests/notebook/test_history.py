"""`%runs`, `%approve`, `%replay` and `%fork` in a real kernel."""

from __future__ import annotations

import pytest

from tests.notebook.kernel import Kernel
from tests.notebook.test_magics import usage_error

PAYING = '''
import workbench as wb

paid = []


@wb.tool(approval=True)
def pay(amount: int) -> int:
    """Pay."""
    paid.append(amount)
    return amount


def asks(task, code="finish(pay(amount=3))"):
    """A run that waits for a person."""
    global run, clerk
    clerk = wb.models.Scripted(["```python\\n" + code + "\\n```"] * 2, name="clerk")
    run = wb.Agent(clerk, tools=[pay]).start(task)
    while not run.pending:
        pass
'''


@pytest.fixture
def paying(notebook: Kernel) -> Kernel:
    notebook.run(PAYING).done()
    notebook.run("for old in wb.runs(1000):\n    for request in old.pending:\n        request.stop()").done()
    return notebook


def test_runs_are_found_by_status_text_model_and_tool(paying: Kernel) -> None:
    paying.run("asks('pay the gardener'); run.pending[0].approve(); run.result(); asks('pay the baker')").done()
    found = "list(get_ipython().run_line_magic('runs', {!r})['title'])"
    assert paying.value(found.format("-s waiting")) == ["pay the baker"]
    assert paying.value(found.format("-t GARDENER -l 1")) == ["pay the gardener"]
    assert paying.value(found.format("-m clerk --tool pay -l 1")) == ["pay the gardener"], "the baker's call has not been made"
    assert paying.value(found.format("-m nobody")) == []


def test_runs_are_found_by_time_and_cost(paying: Kernel) -> None:
    paying.run("asks('pay'); run.pending[0].approve(); run.result(); begun = wb.frames.runs(run=run).started_at[0]").done()
    assert paying.value("run.id in list(get_ipython().run_line_magic('runs', f\"--since '{begun}' -l 1000\").run_id)") is True
    assert paying.value("run.id in list(get_ipython().run_line_magic('runs', f\"--until '{begun}' -l 1000\").run_id)") is False
    assert paying.value("run.id in list(get_ipython().run_line_magic('runs', '--cost 0 -l 1000').run_id)") is True
    assert paying.value("run.id in list(get_ipython().run_line_magic('runs', '--until 9999-01-01 -l 1000').run_id)") is True
    assert "--cost is a number" in usage_error(paying.run("%runs --cost much"))
    for wrong in ("--since soon", "--since ''", "--until NaT"):
        assert "is a time, such as" in usage_error(paying.run(f"%runs {wrong}"))


def test_the_only_waiting_run_is_approved_with_other_arguments(paying: Kernel) -> None:
    paying.run("asks('pay')").done()
    assert "May it? Yes." in paying.run("%approve --value '{\"amount\": 2}' --note 'less will do'").done().printed
    assert paying.value("(run.result(10), paid)") == (2, [2])


def test_a_call_is_rejected_with_a_note(paying: Kernel) -> None:
    code = "try:\n  pay(amount=1)\nexcept Exception as error:\n  finish(str(error))"
    paying.run(f"asks('pay', {code!r})").done()
    paying.run("%approve --reject --note 'not today'").done()
    assert paying.value("(run.result(10), paid)") == ("ToolDenied: notebook refused the call of 'pay': not today", [])


def test_what_cannot_be_decided_is_told_in_one_line(paying: Kernel) -> None:
    assert usage_error(paying.run("%approve")) == "0 runs wait for a person"
    paying.run("asks('pay')").done()
    assert "there is no number 2" in usage_error(paying.run("%approve -n 2"))
    assert "--value is JSON" in usage_error(paying.run("%approve --value nothing"))
    assert "there is no run" in usage_error(paying.run("%approve zzz"))


def test_a_fork_runs_the_cells_code_in_place_of_the_step(paying: Kernel) -> None:
    paying.run("asks('pay'); run.pending[0].approve(); run.result()").done()
    paying.run("spare = wb.models.Scripted([])").done()
    refused = paying.run("get_ipython().run_cell_magic('fork', f'{run.id} --step 1 -m spare', 'finish(1)')")
    assert "may make them happen again" in f"{refused.errors}{refused.error}"
    forked = paying.run(
        "get_ipython().run_cell_magic('fork', f'{run.id} --step 1 -m spare --confirm -o other', 'finish(len(\"abc\"))')"
    ).done()
    assert forked.errors == ""
    assert paying.value("(other.result(10), run.value, paid)") == (3, 3, [3])
    assert paying.value("wb.frames.runs(run=other)['forked_from'][0] == run.id") is True


def test_a_fork_takes_another_result_and_without_a_step_a_form_that_needs_a_page(paying: Kernel) -> None:
    paying.run("asks('pay'); run.pending[0].approve(); run.result()").done()
    magic = "get_ipython().run_line_magic('fork', run.id + ' %s')"
    assert "--step 1" in usage_error(paying.run(magic % ""))
    for option in ("--prompt more", "--confirm", "-m clerk", "-o other"):
        assert "say which step" in usage_error(paying.run(magic % option))
    assert "by their place" in usage_error(paying.run(magic % "--step 1 --result 7"))
    paying.run("other_result = '{\"0\": 40}'").done()
    paying.run("get_ipython().run_line_magic('fork', f\"{run.id} --step 1 --result '{other_result}' -o other\")").done()
    another = paying.run("clerk = wb.models.Scripted([], name='clerk')\n" + magic % "--step 1 --confirm")
    assert "cannot be made from its name" in usage_error(another)
    assert paying.value("(other.result(10), run.value, paid)") == (40, 3, [3])


def test_a_run_is_named_by_the_variable_that_holds_it(paying: Kernel) -> None:
    paying.run("asks('pay')").done()
    assert "approve" not in paying.run("%approve run").errors
    assert paying.value("run.result(10)") == 3
    refused = paying.run("%fork run --step 1").errors
    assert "entry 11: the call pay(amount=3)" in refused
    assert "--confirm lets it" in refused
    paying.run("%fork run --step 1 --confirm -o other\nwhile not other.pending:\n    pass\nother.pending[0].approve()").done()
    assert paying.value("(other.result(10), paid)") == (3, [3, 3])


def test_options_that_would_do_nothing_are_refused(paying: Kernel) -> None:
    assert "filters of its own" in usage_error(paying.run("%runs --browse --status failed"))
    for line in ("%fork 4f --step 1 -o 1x", "%%agent -m model -o class\ngo"):
        assert "is no name of a variable" in usage_error(paying.run(line))
    assert "invalid choice: 'done'" in paying.run("%runs --status done").errors


def test_a_playback_calls_nothing_and_needs_a_page(paying: Kernel) -> None:
    paying.run("asks('pay'); run.pending[0].approve(); run.result()").done()
    assert "needs a page" in usage_error(paying.run("get_ipython().run_line_magic('replay', run.id)"))
    slow = "get_ipython().kernel._allow_stdin = True\nget_ipython().run_line_magic('replay', f'{run.id} --speed 0')"
    assert "a number above 0" in usage_error(paying.run(slow))
    played = paying.run(slow.replace("--speed 0", "--speed 1000")).done()
    assert any("application/vnd.jupyter.widget-view+json" in display for display in played.displays)
    assert paying.value("paid") == [3]
