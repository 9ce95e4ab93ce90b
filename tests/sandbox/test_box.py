"""The user's Sandbox: blocking calls over a session, errors as exceptions, files copied in and out."""

from __future__ import annotations

import gc
import uuid
import weakref
from collections.abc import Iterator
from dataclasses import asdict, fields
from decimal import Decimal
from pathlib import Path

import pytest

from workbench.errors import SandboxError, SandboxLimit, SandboxRefused, UserError
from workbench.sandbox.box import Sandbox
from workbench.sandbox.engine import Limits
from workbench.sandbox.littrs_engine import AVAILABLE
from workbench.tools.tool import Tool


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    box = Sandbox()
    yield box
    box.close()


def test_it_runs_captures_and_keeps_variables(sandbox: Sandbox) -> None:
    sandbox["x"] = 41
    sandbox.set("y", [1, 2])
    assert sandbox.run("z = x + 1\nz") == 42
    assert sandbox.capture("print(y)\nlen(y)") == (2, "[1, 2]\n")


def test_a_tool_is_called_by_name_with_its_defaults(sandbox: Sandbox) -> None:
    @sandbox.tool
    def weather(city: str, units: str = "celsius") -> dict[str, str]:
        """Get current weather for a city."""
        return {"city": city, "units": units}

    assert sandbox.run("weather(city='Oslo')") == {"city": "Oslo", "units": "celsius"}
    assert sandbox.engine == ("littrs" if AVAILABLE else "monty")
    assert 'def weather(city: str, units: str = "celsius")' in sandbox.describe()
    assert "Get current weather for a city." in sandbox.describe()


def test_a_tools_mistake_is_an_exception_inside(sandbox: Sandbox) -> None:
    @sandbox.tool
    def divide(a: int, b: int) -> float:
        """Divide."""
        return a / b

    assert sandbox.run("try:\n    divide(1, 0)\nexcept ZeroDivisionError as e:\n    r = str(e)\nr") == "division by zero"
    with pytest.raises(SandboxError, match="needs b"):
        sandbox.run("divide(1)")


def test_an_error_inside_tells_type_message_line_and_prints(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError) as caught:
        sandbox.run("print('before')\nint('x')")
    error = caught.value
    assert (error.type, error.line, error.prints) == ("ValueError", 2, "before\n")
    assert error.message == "invalid literal for int() with base 10: 'x'"


@pytest.mark.parametrize("code", ["raise KeyboardInterrupt", "raise SystemExit(3)", "raise BaseException('x')"])
def test_nothing_inside_escapes_as_a_base_exception(sandbox: Sandbox, code: str) -> None:
    with pytest.raises(SandboxError):
        sandbox.run(code)
    assert sandbox.run("1") == 1


def test_a_limit_is_a_sandbox_limit(sandbox: Sandbox) -> None:
    sandbox.limit(max_seconds=0.3)
    with pytest.raises(SandboxLimit, match="the block ran longer"):
        sandbox.run("while True: pass")
    with pytest.raises(UserError, match="max_memory must be more than 0"):
        sandbox.limit(max_memory=-1)


def test_a_module_of_constants_can_be_imported(sandbox: Sandbox) -> None:
    sandbox.module("config", {"version": "v2", "price": Decimal("1.5")})
    assert sandbox.run("import config\n(config.version, config.price)") == ("v2", Decimal("1.5"))


def test_without_builtins_only_own_modules_can_be_imported() -> None:
    box = Sandbox(builtins=False)
    box.module("config", {"x": 1})
    assert box.run("import config\nconfig.x") == 1
    with pytest.raises(SandboxRefused, match="no modules but its own"):
        box.run("x = 1\nimport json")
    box.close()


def test_files_are_copied_in_and_a_writable_one_back(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"a": 1}')
    sandbox.mount("in.json", tmp_path / "in.json")
    sandbox.mount("out.txt", tmp_path / "out.txt", writable=True)
    sandbox.run("import json\nf = open('out.txt', 'w')\nf.write(str(json.loads(open('in.json').read())['a']))\nf.close()")
    assert sandbox.files() == {"out.txt": "1"}
    assert (tmp_path / "out.txt").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


async def test_it_can_be_awaited_on_any_loop(sandbox: Sandbox) -> None:
    assert await sandbox.arun("1 + 1") == 2


def test_a_variable_is_read_and_looked_for_by_name(sandbox: Sandbox) -> None:
    sandbox["x"] = {"a": [1, 2]}
    assert sandbox["x"] == {"a": [1, 2]}
    assert ("x" in sandbox, "y" in sandbox, "1 +" in sandbox) == (True, False, False)
    with pytest.raises(KeyError):
        sandbox["y"]


def test_every_limit_can_be_changed_and_what_is_not_given_stays(sandbox: Sandbox) -> None:
    given = {field.name: getattr(sandbox.session.limits, field.name) * 2 for field in fields(Limits)}
    for name, value in given.items():
        sandbox.limit(**{name: value})
    assert asdict(sandbox.session.limits) == given


def test_closing_keeps_everything_and_a_context_manager_closes(sandbox: Sandbox) -> None:
    with sandbox as box:
        box.run("x = 'kept'")
    assert sandbox.session._engine is None
    assert sandbox.run("x") == "kept"


def test_each_sandbox_has_an_id_of_its_own(sandbox: Sandbox) -> None:
    other = Sandbox()
    assert uuid.UUID(sandbox.session.sandbox_id) != uuid.UUID(other.session.sandbox_id)


def test_a_sandbox_is_collected_when_it_is_forgotten() -> None:
    box = Sandbox()
    box.run("x = 1")
    gone = weakref.ref(box.session)
    del box
    gc.collect()
    assert gone() is None


def test_a_tool_that_needs_an_approval_is_refused_where_nobody_is_asked(sandbox: Sandbox) -> None:
    sent: list[str] = []

    def send(text: str) -> None:
        sent.append(text)

    sandbox.tool(Tool.from_function(send, approval=True))
    with pytest.raises(SandboxError, match="send needs a person's approval"):
        sandbox.run("send('hello')")
    assert sent == []
