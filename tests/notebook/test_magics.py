"""`%%tool` and `%%agent` in a real kernel: what a cell defines, takes, shows and refuses."""

from __future__ import annotations

import re

import pytest

from tests.notebook.kernel import Cell, Kernel

TOOLS = "list(get_ipython().magics_manager.registry['WorkbenchMagics']._session.tools)"
TOOL = "get_ipython().magics_manager.registry['WorkbenchMagics']._session.tools"

DOUBLE = '''%%tool
def double(number: int) -> int:
    """Twice a number.

    Args:
        number: what is doubled
    """
    return 2 * number'''


def usage_error(cell: Cell) -> str:
    """The one line that a cell says when it was used wrongly."""
    lines = [line for line in cell.errors.splitlines() if line.strip()]
    assert len(lines) == 1, cell
    assert lines[0].startswith("UsageError: ")
    assert cell.error is None, "no traceback"
    assert cell.status == "error", "Run All stops here"
    return lines[0].removeprefix("UsageError: ")


# %%tool


def test_every_function_of_a_tool_cell_is_a_tool_but_for_helpers(notebook: Kernel) -> None:
    helper = "FACTOR = 3\ndef _helper(x):\n    return FACTOR * x"
    notebook.run(f"%%tool\n{helper}\ndef triple(x: int) -> int:\n    return _helper(x)\ndef one():\n    pass").done()
    assert notebook.value(TOOLS) == ["triple", "one"]
    assert notebook.value("triple(2)") == 6, "the functions are the notebook's own too"


def test_a_tool_is_shown_as_the_model_sees_it(notebook: Kernel) -> None:
    (card,) = notebook.run(DOUBLE).done().displays
    assert set(card) == {"text/html", "text/markdown", "text/plain"}
    for text in card.values():
        assert "double(number: int) -&gt; int" in text or "double(number: int) -> int" in text
        assert "Twice a number." in text
        assert "what is doubled" in text


def test_a_card_escapes_what_a_docstring_says(notebook: Kernel) -> None:
    (card,) = notebook.run('%%tool\ndef sly():\n    """<img src=x onerror=alert(1)>"""').done().displays
    assert "<img" not in card["text/html"]


def test_options_reach_every_tool_of_the_cell(notebook: Kernel) -> None:
    cell = notebook.run("%%tool --timeout 7.5 --retries 2 --idempotent --finish\ndef a():\n    pass\ndef b():\n    pass").done()
    for name in "ab":
        options = notebook.value(f"(lambda t: (t.timeout, t.retries, t.idempotent, t.finish))({TOOL}['{name}'])")
        assert options == (7.5, 2, True, True)
    assert "limit 7.5 s, 2 retries" in cell.value


def test_a_name_chooses_one_function_even_a_helper(notebook: Kernel) -> None:
    notebook.run("%%tool -n _chosen\ndef other():\n    pass\ndef _chosen():\n    pass").done()
    assert notebook.value(TOOLS) == ["_chosen"]


def test_a_tool_cell_may_hold_magics_and_shell_commands(notebook: Kernel) -> None:
    cell = notebook.run("%%tool\n%matplotlib inline\nhere = !echo hello\ndef say() -> str:\n    return here[0]").done()
    assert notebook.value(TOOLS) == ["say"]
    assert "say() -> str" in cell.value
    assert notebook.value("say()") == "hello"


def test_a_decorated_function_keeps_the_decorators_options(notebook: Kernel) -> None:
    notebook.run("%%tool --retries 1\n@wb.tool(name='shout', timeout=3)\ndef say():\n    pass\ndef plain():\n    pass").done()
    assert notebook.value(f"[(t.name, t.timeout, t.retries) for t in {TOOL}.values()]") == [("shout", 3, 0), ("plain", None, 1)]


def test_running_a_cell_again_replaces_its_tools(notebook: Kernel) -> None:
    notebook.run("%%tool\ndef first():\n    pass\ndef second():\n    pass", cell_id="a").done()
    notebook.run("%%tool\ndef third():\n    pass", cell_id="b").done()
    notebook.run("%%tool\ndef renamed():\n    pass\ndef second():\n    return 2", cell_id="a").done()
    assert sorted(notebook.value(TOOLS)) == ["renamed", "second", "third"]
    assert notebook.value(f"{TOOL}['second']()") == 2


def test_a_tool_that_another_cell_has_taken_over_stays_with_it(notebook: Kernel) -> None:
    notebook.run("%%tool\ndef shared():\n    return 'a'", cell_id="a").done()
    notebook.run("%%tool\ndef shared():\n    return 'b'", cell_id="b").done()
    notebook.run("%%tool\ndef other():\n    pass", cell_id="a").done()
    assert notebook.value(f"{TOOL}['shared']()") == "b"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("def f(:\n    pass", "SyntaxError"),
        ("1 / 0\ndef f():\n    pass", "ZeroDivisionError"),
    ],
)
def test_a_cell_that_fails_says_why_and_leaves_the_tools(notebook: Kernel, body: str, shown: str) -> None:
    notebook.run(DOUBLE).done()
    cell = notebook.run(f"%%tool\n{body}")
    assert cell.error is not None
    assert cell.error[0] == shown
    assert "UsageError: the cell failed; the notebook's tools are as they were" in cell.errors
    assert cell.status == "error", "Run All stops here"
    assert notebook.value(TOOLS) == ["double"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%%tool\nx = 1", "the cell defines no function whose name does not begin with '_'"),
        ("%%tool -n g\ndef f():\n    pass", "the cell defines no function named 'g'"),
        ("%%tool\ndef f(*args):\n    pass", "f"),
        ("%%tool --retries many\ndef f():\n    pass", "argument --retries: invalid int value: 'many'"),
        ("%%tool --timeout 0\ndef f():\n    pass", "give seconds above 0"),
        ("%%tool\ndef sum(values: list[int]) -> int:\n    pass", "a tool cannot be named 'sum'"),
        ("%%tool\nimport asyncio\nawait asyncio.sleep(0)\ndef f():\n    pass", "a %%tool cell cannot await"),
        ("%%tool --loud\ndef f():\n    pass", "unrecognized arguments: --loud"),
    ],
)
def test_a_wrong_tool_cell_is_one_line_and_leaves_the_tools(notebook: Kernel, source: str, said: str) -> None:
    notebook.run(DOUBLE).done()
    assert said in usage_error(notebook.run(source))
    assert notebook.value(TOOLS) == ["double"]


def test_a_tools_source_is_in_the_record(notebook: Kernel) -> None:
    notebook.run(DOUBLE).done()
    notebook.run("model = scripted('finish(double(number=4))')").done()
    notebook.run("%%agent -m model -o run\ngo").done()
    manifest = notebook.value("{t['name']: t for t in run.state.manifest.resources['tools']}['double']['source']")
    assert manifest == DOUBLE.partition("\n")[2] + "\n"
    assert notebook.value("run.value") == 8


def test_an_async_tool_runs_on_the_kernels_loop(notebook: Kernel) -> None:
    notebook.run("import asyncio\nfrom asyncio import get_running_loop\nhome = get_running_loop()").done()
    notebook.run("%%tool\nasync def at_home() -> bool:\n    await asyncio.sleep(0.01)\n    return get_running_loop() is home").done()
    notebook.run("model = scripted('finish(at_home())')").done()
    notebook.run("%%agent -m model -o run\ngo").done()
    assert notebook.value("run.value") is True


def test_tool_help_is_its_docstring_and_options(notebook: Kernel) -> None:
    (page,) = notebook.run("%%tool?").done().pages
    assert "--idempotent" in page
    assert "make a tool of every function" in page


# %%agent


def test_an_agent_cell_waits_and_its_value_is_the_run_drawn_once(notebook: Kernel) -> None:
    notebook.run(DOUBLE).done()
    notebook.run("model = scripted('x = double(number=21)\\nprint(x)', 'finish(x)')").done()
    (shown,) = notebook.run("%%agent -m model -o run\nDouble 21").done().displays
    assert set(shown) == {"text/html", "text/markdown", "text/plain", "application/vnd.workbench.run+json"}
    assert shown["application/vnd.workbench.run+json"]["run_id"] == notebook.value("run.id")
    assert "42" in shown["text/plain"]
    assert "done" in shown["text/html"]
    assert notebook.value("run.value") == 42
    assert notebook.value("await run") == 42
    (again,) = notebook.run("run").done().displays
    assert again["text/plain"] == shown["text/plain"]


def test_braces_and_quotes_in_a_task_survive(notebook: Kernel) -> None:
    task = """Merge {"a": 1, 'b': {"c": [2]}} and {x} with '''quotes''', a \\n and %%magic $HOME {{ 1 }}"""
    notebook.run("model = scripted('finish(1)')").done()
    notebook.run(f"%%agent -m model -o run\n\n{task}\n\n  second line\n\n").done()
    assert notebook.value("run.entries()[0].input.inline") == f"{task}\n\n  second line"


def test_double_braces_put_in_a_variable(notebook: Kernel) -> None:
    notebook.run("city = 'Oslo'\nrows = [1, 2]\nmodel = scripted('finish(1)')").done()
    notebook.run("%%agent -m model -o run\nWeather in {{city}} and {{ rows }}?").done()
    assert notebook.value("run.title") == "Weather in Oslo and [1, 2]?"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%%agent -m model\n{{nothing}}", "{{nothing}} names 'nothing', but the notebook has no variable of that name"),
        ("%%agent -m nothing\ngo", "--model names 'nothing'"),
        ("%%agent -m martian:x\ngo", "'martian:x' names no known model"),
        ("%%agent -m model -t double,nothing\ngo", "no tool is named double, nothing; the notebook's tools are: none"),
        ("%%agent -m model --schema Nothing\ngo", "--schema names 'Nothing'"),
        ("%%agent -m model --schema city\ngo", "schema"),
        ("%%agent -m model -n some\ngo", "argument -n/--max-iterations: invalid int value: 'some'"),
        ("%%agent -m model --engine wasm\ngo", "argument --engine: invalid choice: 'wasm'"),
        ("%%agent --loud\ngo", "unrecognized arguments: --loud"),
        ("%%agent -m model\n  \n", "the cell has no task"),
        ("%%agent -m model", "the cell has no task"),
        ("%%agent\ngo", "no model is configured"),
    ],
)
def test_a_wrong_agent_cell_is_one_line_and_the_next_works(notebook: Kernel, source: str, said: str) -> None:
    notebook.run("city = 'Oslo'\nmodel = scripted('finish(1)')").done()
    cell = notebook.run(source)
    assert said in usage_error(cell)
    assert cell.displays == []
    assert notebook.run("%%agent -m model\ngo").done().displays


def test_only_the_chosen_tools_are_given(notebook: Kernel) -> None:
    notebook.run("%%tool\ndef a():\n    pass\ndef b():\n    pass\ndef c():\n    pass").done()
    notebook.run("model = scripted('finish(1)')").done()
    notebook.run("%%agent -m model -t a,c -o run\ngo").done()
    assert notebook.value("[t['name'] for t in run.state.manifest.resources['tools']]") == ["a", "c", "finish"]


def test_the_options_of_an_agent_cell_are_in_the_record(notebook: Kernel) -> None:
    notebook.run("opening = 'You are terse.'\nmodel = scripted('finish(1)')").done()
    notebook.run("%%agent -m model -n 3 --system opening --engine monty -o run\ngo").done()
    recorded = notebook.value("{name: run.state.manifest.resources[name] for name in ('max_iterations', 'engine', 'system')}")
    assert (recorded["max_iterations"], recorded["engine"]) == (3, "monty")
    assert recorded["system"].startswith("You are terse.")


def test_a_pydantic_schema_gives_an_instance_and_a_json_schema_gives_data(notebook: Kernel) -> None:
    notebook.run("from pydantic import BaseModel\nclass Point(BaseModel):\n    x: int\nshape = Point.model_json_schema()").done()
    notebook.run("model = scripted(\"finish({'x': 'no'})\", \"finish({'x': 2})\")").done()
    notebook.run("%%agent -m model --schema Point -o run\ngo").done()
    assert notebook.run("run.value").done().value == "Point(x=2)"
    notebook.run("%%agent -m model --schema shape -o run\ngo").done()
    assert notebook.value("run.value") == {"x": 2}


def test_the_output_variable_is_bound_before_the_run_works(notebook: Kernel) -> None:
    notebook.run("%%tool\ndef own_id() -> str:\n    return early.id").done()
    notebook.run("model = scripted('finish(own_id())')").done()
    notebook.run("%%agent -m model -o early\ngo").done()
    assert notebook.value("early.value == early.id") is True


def test_a_failed_run_is_one_line_and_ends_run_all(notebook: Kernel) -> None:
    notebook.run("model = scripted('1', '2', '3')").done()
    cell = notebook.run("%%agent -m model -n 2 -o run\ngo")
    assert cell.error is not None
    assert cell.error[0] == "MaxIterations"
    assert len(cell.traceback) == 1
    assert re.fullmatch(r"MaxIterations: .*2 turns.*", cell.traceback[0])
    assert cell.status == "error"
    assert [set(shown) >= {"text/html"} for shown in cell.displays] == [True], "what it did is shown all the same"
    assert notebook.value("run.status") == "failed"
    assert notebook.run("1 + 1").done().value == "2"


def test_a_model_that_fails_is_one_line(notebook: Kernel) -> None:
    notebook.run("def broken(messages):\n    raise RuntimeError('no power')").done()
    cell = notebook.run("%%agent -m broken\ngo")
    assert cell.error is not None
    assert cell.error[0] == "RunFailed"
    assert "no power" in "".join(cell.traceback)
    assert len(cell.traceback) == 1


@pytest.mark.parametrize("around", ["%%time", "%%capture --no-display\n%%time"])
def test_other_cell_magics_around_an_agent_cell_work(notebook: Kernel, around: str) -> None:
    notebook.run("model = scripted('finish(5)')").done()
    notebook.run(f"{around}\n%%agent -m model -o timed\ngo").done()
    assert notebook.value("timed.value") == 5


def test_time_around_an_agent_cell_tells_the_time_and_shows_the_run_once(notebook: Kernel) -> None:
    notebook.run("model = scripted('finish(5)')").done()
    cell = notebook.run("%%time\n%%agent -m model\ngo").done()
    assert "Wall time" in cell.printed
    assert [set(shown) >= {"text/html"} for shown in cell.displays] == [True]


def test_without_autoawait_an_agent_cell_blocks(notebook: Kernel) -> None:
    notebook.run("model = scripted('finish(6)')").done()
    notebook.run("%autoawait False").done()
    try:
        notebook.run("%%agent -m model -o run\ngo").done()
    finally:
        notebook.run("%autoawait asyncio").done()
    assert notebook.value("run.value") == 6


def test_agent_help_is_its_docstring_and_options(notebook: Kernel) -> None:
    (page,) = notebook.run("%%agent?").done().pages
    assert "--background" in page
    assert "Give the agent a task and wait for its run" in page
