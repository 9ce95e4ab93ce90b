"""What a model is told of the sandbox's Python is what the engines really do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.differential import OnMonty
from workbench.agents.observe import observation, recorded_output
from workbench.agents.prompt import system_prompt
from workbench.sandbox import dialect
from workbench.sandbox.littrs_engine import AVAILABLE
from workbench.sandbox.session import Session

Open = Callable[..., Session]


async def error_of(session: Session, code: str, host: Any) -> str | None:
    result = await session.run(code, host, tools=("tool",))
    return result.error.type if result.error is not None else None


async def test_every_module_it_names_can_be_imported_or_not(open_session: Open, host: Any) -> None:
    session = open_session("monty")
    assert [module for module in dialect.MODULES if await error_of(session, f"import {module}", host)] == []
    assert [module for module in dialect.MISSING_MODULES if not await error_of(session, f"import {module}", host)] == []


async def test_every_name_it_calls_missing_is_missing(open_session: Open, host: Any) -> None:
    session = open_session("monty")
    for module, names in dialect.MISSING_NAMES.items():
        for name in names:
            assert await error_of(session, f"import {module}\nx = {module}.{name}", host) == "AttributeError", name
    for name in dialect.MISSING_BUILTINS:
        assert await error_of(session, f"x = {name}", host) == "NameError", name


@pytest.mark.parametrize("code", dialect.MISSING_FORMS.values(), ids=dialect.MISSING_FORMS)
async def test_every_form_it_calls_missing_is_refused(open_session: Open, host: Any, code: str) -> None:
    assert await error_of(open_session("monty"), code, host) in ("NotImplementedError", "RuntimeError")


@pytest.mark.parametrize("code", dialect.DIFFERENT.values(), ids=dialect.DIFFERENT)
async def test_every_difference_it_tells_exists(code: str) -> None:
    engine = OnMonty()
    await engine.compare([code])
    await engine.close()
    assert engine.tally.differences


async def test_a_tool_is_called_from_a_loop_and_not_from_a_builtin(open_session: Open, host: Any) -> None:
    session = open_session("monty")
    assert await error_of(session, dialect.TOOL_AS_VALUE, host) == "NotImplementedError"
    assert await error_of(session, "[tool(n) for n in [1, 2]]", host) is None


@pytest.mark.parametrize(
    "code",
    [
        "def f(a, *b, c=1, **d):\n    return lambda: a + c\nf(1)()",
        "class P:\n    def __init__(self, x):\n        self.x = x\nP(3).x",
        "match {'a': 1}:\n    case {'a': x}:\n        pass\nx",
        "try:\n    {}['k']\nexcept (KeyError, TypeError) as error:\n    x = str(error)\nfinally:\n    y = 1\n(x, y)",
    ],
)
async def test_what_it_says_monty_runs_runs(open_session: Open, host: Any, code: str) -> None:
    assert await error_of(open_session("monty"), code, host) is None


if AVAILABLE:

    @pytest.mark.parametrize("code", [code for _, code in dialect.LITTRS], ids=[form for form, _ in dialect.LITTRS])
    async def test_what_it_says_littrs_runs_runs(open_session: Open, host: Any, code: str) -> None:
        assert await error_of(open_session("littrs"), code, host) is None

    @pytest.mark.parametrize("code", [code for _, code in dialect.LITTRS_MISSING], ids=[form for form, _ in dialect.LITTRS_MISSING])
    async def test_what_it_says_littrs_refuses_is_refused(open_session: Open, host: Any, code: str) -> None:
        assert await error_of(open_session("littrs"), code, host) == "SandboxRefused"


@pytest.mark.parametrize("engine", ["auto", "littrs", "monty"])
def test_the_sheet_is_short_and_part_of_the_prompt(engine: Any) -> None:
    sheet = dialect.dialect(engine)
    assert len(sheet.splitlines()) <= 25
    assert sheet in system_prompt(role=None, tools=(), schema=None, engine=engine)


async def test_an_error_tells_the_model_type_message_line_and_what_was_printed_before(engine: str, open_session: Open, host: Any) -> None:
    result = await open_session(engine).run("print('before')\nx = 1\nboom()\nprint('after')", host, tools=host.tools)
    assert observation(recorded_output(result)) == "Output:\nbefore\n\nError (line 3): ValueError: bad"


async def test_an_error_of_python_itself_tells_the_model_its_line(open_session: Open, host: Any) -> None:
    result = await open_session().run("print('before')\nx = [1]\nprint(x[5])", host, tools=host.tools)
    assert observation(recorded_output(result)) == "Output:\nbefore\n\nError (line 3): IndexError: list index out of range"
