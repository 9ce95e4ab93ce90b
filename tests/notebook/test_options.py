"""What an `%%agent` cell can be told, what it does unless it is told, and what Tab offers."""

from __future__ import annotations

import pytest

from tests.notebook.kernel import Kernel
from tests.notebook.test_magics import usage_error

SEND = "%%tool --approval\ndef send(to: str) -> str:\n    return f'sent to {to}'"
TRY = "try:\n    out = send('ana')\nexcept Exception as error:\n    out = str(error)\nfinish(out)"


def words(kernel: Kernel, source: str) -> set[str]:
    """What Tab offers at the end of a cell, as the words that would stand there."""
    reply = kernel.client.complete(source, len(source), reply=True, timeout=10)["content"]
    return {(source[: reply["cursor_start"]] + match).split(" ")[-1] for match in reply["matches"]}


def test_a_table_is_put_in_as_its_columns_and_first_rows(notebook: Kernel) -> None:
    notebook.run("import pandas as pd\nrows = pd.DataFrame({'n': range(50), 'city': 'Oslo'})\nmodel = scripted('finish(1)')").done()
    notebook.run("%%agent -m model -o run\nSum {{rows}} for me").done()
    task = notebook.value("run.entries()[0].input.inline")
    assert "50 rows; columns: n (int64), city (" in task
    assert "4,Oslo" in task
    assert "5,Oslo" not in task


def test_data_is_put_in_as_json_and_what_has_no_text_is_refused(notebook: Kernel) -> None:
    notebook.run("who = {'name': \"O'Neil\", 'ok': True}\nmodel = scripted('finish(1)')").done()
    notebook.run("%%agent -m model -o run\nGreet {{who}}").done()
    assert notebook.value("run.title") == 'Greet {"name": "O\'Neil", "ok": true}'
    notebook.run("handle = open('/dev/null')").done()
    assert "{{handle}} cannot be put into a text" in usage_error(notebook.run("%%agent -m model\n{{handle}}"))


def test_variables_are_put_into_the_sandbox_and_the_model_is_told(notebook: Kernel) -> None:
    notebook.run("rows = [{'n': 1}, {'n': 41}]\nextra = 0\nmodel = scripted(\"finish(sum(row['n'] for row in rows) + extra)\")").done()
    notebook.run("%%agent -m model --with rows,extra -o run\nSum them").done()
    assert notebook.value("run.value") == 42
    assert "`rows` (list of 2 dicts with 'n'), `extra` (int)" in notebook.value("run.entries()[0].input.inline")
    notebook.run("rows.append(1)").done()
    assert notebook.value("run.verify().entries") > 0


def test_what_the_sandbox_cannot_hold_is_refused_by_name(notebook: Kernel) -> None:
    notebook.run("handle = open('/dev/null')\nmodel = scripted('finish(1)')").done()
    assert "--with handle: the sandbox cannot hold it" in usage_error(notebook.run("%%agent -m model --with handle\ngo"))
    assert "--with names 'nothing'" in usage_error(notebook.run("%%agent -m model --with nothing\ngo"))


def test_a_cell_goes_on_with_the_conversation_of_the_last_one(notebook: Kernel) -> None:
    assert "there is no %%agent cell to go on with" in usage_error(notebook.run("%%agent --continue\ngo"))
    notebook.run("told = []\ndef model(messages):\n    told.append([m.content for m in messages][1:])\n    return 'hello'").done()
    notebook.run("%%agent -m model -o first\nI am Ana.").done()
    notebook.run("%%agent --continue -o second\nWho am I?").done()
    assert notebook.value("told[1]") == ["I am Ana.", "hello", "Who am I?"]
    assert notebook.value("second.state.manifest.resources['continues'] == first.id") is True
    notebook.run("%%agent\nWho am I?").done()
    assert notebook.value("told[2]") == ["Who am I?"]
    shown = notebook.run("second").done().displays[0]["text/html"]
    assert "goes on with run" in shown


def test_a_policy_judges_the_run(notebook: Kernel) -> None:
    notebook.run("%%tool\ndef double(n: int) -> int:\n    return 2 * n").done()
    notebook.run("words = 'sum(tool_calls) > 0 -> abort_lifetime'\nmodel = scripted('finish(double(1))')").done()
    cell = notebook.run("%%agent -m model --policy words -o run\ngo")
    assert cell.error is not None
    assert cell.error[0] == "RunStopped"
    assert notebook.value("[entry.verdict.action for entry in run.entries() if entry.kind == 'guardrail_event']") == ["abort_lifetime"]
    assert "cannot be read" in notebook.run("%%agent -m model --policy nowhere.yaml\ngo").errors


def test_without_a_person_what_asks_is_refused_unless_it_is_said_otherwise(notebook: Kernel) -> None:
    notebook.run(SEND).done()
    notebook.run(f"model = scripted({TRY!r})").done()
    notebook.run("%%agent -m model -o run\ngo").done()
    assert "nobody is there" in notebook.value("run.value")
    notebook.run("%%agent -m model --approve none -o run\ngo").done()
    assert notebook.value("run.value") == "sent to ana"
    notebook.run("%%agent -m model --approvals wait --background -o run\ngo").done()
    notebook.wait_for("bool(run.pending)")
    notebook.run("run.pending[0].approve()").done()
    assert notebook.value("await run") == "sent to ana"


def test_every_block_can_be_asked_about(notebook: Kernel) -> None:
    notebook.run("model = scripted('finish(1)')").done()
    assert "needs a person" in usage_error(notebook.run("%%agent -m model --approve code\ngo"))
    notebook.run("%%agent -m model --approve code --approvals wait --background -o run\ngo").done()
    notebook.wait_for("bool(run.pending)")
    notebook.run("run.pending[0].approve({'code': 'finish(2)'})").done()
    assert notebook.value("await run") == 2


def test_settings_are_shown_set_used_and_forgotten(notebook: Kernel) -> None:
    notebook.run("model = scripted('finish(1)')").done()
    shown = notebook.run("%workbench").done().value
    assert "max_iterations" in shown
    assert "how many turns" in shown
    notebook.run("%workbench max_iterations 3\n%config WorkbenchSettings.engine = 'monty'\n%workbench model model").done()
    notebook.run("%%agent -o run\ngo").done()
    recorded = notebook.value("{name: run.state.manifest.resources[name] for name in ('max_iterations', 'engine')}")
    assert recorded == {"max_iterations": 3, "engine": "monty"}
    assert notebook.run("%workbench").done().value.count("changed") == 3
    assert "changed" not in notebook.run("%workbench reset settings").done().value
    for wrong, said in (
        ("speed 3", "there is no setting 'speed'"),
        ("engine wasm", "engine cannot be 'wasm'; give auto, littrs, monty"),
        ("max_iterations x", "cannot be 'x'"),
        ("model nothing:at-all", "nothing"),
    ):
        assert said in usage_error(notebook.run(f"%workbench {wrong}"))
    assert "nofile.yaml" in notebook.run("%workbench policy nofile.yaml").errors
    assert "changed" not in notebook.run("%workbench").done().value
    notebook.run("get_ipython().config.pop('WorkbenchSettings')  # which %config has told the shell, for as long as it lives").done()


def test_a_reset_forgets_the_variables_and_the_conversation_and_keeps_the_tools(notebook: Kernel) -> None:
    notebook.run("%%tool\ndef double(n: int) -> int:\n    return 2 * n").done()
    notebook.run("model = scripted('x = 1\\nfinish(x)')\nagain = scripted('finish(x)', 'finish(double(2))')").done()
    notebook.run("%%agent -m model\ngo").done()
    notebook.run("%workbench reset").done()
    assert "there is no %%agent cell" in usage_error(notebook.run("%%agent -m again --continue\ngo"))
    notebook.run("%%agent -m again -o run\ngo").done()
    assert notebook.value("run.value") == 4


@pytest.mark.parametrize(
    ("source", "offered"),
    [
        ("%%agent --app", {"--approve", "--approvals"}),
        ("%%agent -m anthropic:claude-so", {"anthropic:claude-sonnet-4-5"}),
        ("%%agent -m mod", {"model"}),
        ("%%agent --engine m", {"monty"}),
        ("%%agent -t dou", {"double"}),
        ("%%agent -t double,tri", {"double,triple"}),
        ("%workbench max", {"max_iterations"}),
        ("%try tr", {"triple"}),
        ("%runs --status fa", {"failed"}),
        ("%%tool --ide", {"--idempotent"}),
    ],
)
def test_tab_offers_what_fits(notebook: Kernel, source: str, offered: set[str]) -> None:
    notebook.run("%%tool\ndef double(n: int) -> int:\n    return n\ndef triple(n: int) -> int:\n    return n").done()
    notebook.run("model = scripted('finish(1)')").done()
    assert words(notebook, source) == offered


def test_tab_offers_the_newest_runs_and_asks_nobody_else(notebook: Kernel) -> None:
    notebook.run("model = scripted('finish(1)')").done()
    notebook.run("%%agent -m model -o run\ngo").done()
    notebook.run(
        "import socket\ndef refuse(*args, **kwargs):\n    raise AssertionError('the network')\nkept = socket.socket.connect"
    ).done()
    notebook.run("socket.socket.connect = refuse").done()
    assert notebook.value("run.id[:8]") in words(notebook, "%replay ")
    notebook.run("socket.socket.connect = kept").done()


def test_after_an_unload_tab_offers_nothing_of_ours(notebook: Kernel) -> None:
    notebook.run("%unload_ext workbench").done()
    try:
        assert words(notebook, "%%agent --app") & {"--approve"} == set()
    finally:
        notebook.run("%load_ext workbench").done()


def test_many_tasks_show_their_progress_and_leave_nothing_behind(notebook: Kernel) -> None:
    notebook.run("seen = []\ndef model(messages):\n    return 'done'\nagent = wb.Agent(model)").done()
    cell = notebook.run("came = agent.map(['a', 'b', 'c'])").done()
    assert cell.displays == [{"text/plain": ""}]
    assert (cell.printed, cell.errors) == ("", "")
    assert notebook.run("came = await agent.amap(['a', 'b'])").done().displays == [{"text/plain": ""}]
    assert notebook.value("[each.value for each in came]") == ["done", "done"]
    assert notebook.run("came = agent.map(['a'], progress=False)").done().displays == []
