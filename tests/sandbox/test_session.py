"""A session is its stream: what a block does, what is kept of it, and how it comes back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from workbench.errors import ReplayDivergence, ToolFailed, UnencodableValue, UserError
from workbench.sandbox.engine import Limits
from workbench.sandbox.littrs_engine import AVAILABLE
from workbench.sandbox.session import Session

Open = Callable[..., Session]


async def test_variables_live_from_block_to_block(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    await session.run("x = tool('a')", host, tools=host.tools)
    result = await session.run("print('seen', x['name'])\nx['args']", host, tools=host.tools)
    assert (result.status, result.prints, result.value) == ("ok", "seen tool\n", ["a"])


@pytest.mark.parametrize("order", list(itertools.permutations(["a=1", "b=2", "c=3"])))
async def test_keywords_reach_a_tool_by_name_in_any_order(engine: str, open_session: Open, host: Any, order: tuple[str, ...]) -> None:
    await open_session(engine).run(f"tool({', '.join(order)})", host, tools=host.tools)
    assert host.calls == [("tool", (), {"a": 1, "b": 2, "c": 3})]


async def test_an_argument_that_is_not_given_is_not_passed(engine: str, open_session: Open, host: Any) -> None:
    await open_session(engine).run("tool(1, units='f')", host, tools=host.tools)
    assert host.calls == [("tool", (1,), {"units": "f"})]


VALUES: list[Any] = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**70, 1.5, -0.0, float("nan"), float("inf"), "", "é日", "a\x00b", "it's \"q\"\\\n",
    [], [1, [2]], (), (1, (2,)), {}, {"b": 1, "a": {"$tuple": [1]}}, {1: "a", None: "b", (1, 2): "c"}, {True: 1}, {1.5: 2}, set(), {1, 2},
    frozenset({"a"}), b"\x00\xff", Decimal("1.50"), date(2026, 1, 31), time(10, 0, 1), datetime(2026, 1, 31, 10, tzinfo=UTC),
    datetime(2026, 1, 31), timedelta(1, 2, 3), [Decimal(1), {b"k": {date(2026, 1, 1)}}],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_a_value_passes_from_tool_to_tool_unchanged_or_is_refused_by_name(
    engine: str, open_session: Open, host: Any, value: Any
) -> None:
    host.gives = value
    result = await open_session(engine).run("x = give()\ntool(x)\nx", host, tools=host.tools)
    if engine == "littrs" and result.status == "error":
        assert result.error is not None
        assert "returned a value that littrs does not hold" in result.error.message
        return
    assert (repr(host.calls[-1][1]), repr(result.value)) == (repr((value,)), repr(value))


@pytest.mark.parametrize("value", ["\ud800", ["\ud800"], {"\ud800": 1}], ids=ascii)
async def test_a_value_no_engine_holds_is_a_type_error_that_names_it(open_session: Open, host: Any, value: Any) -> None:
    host.gives = value
    result = await open_session("monty").run("try:\n    give()\nexcept TypeError as e:\n    print(e)", host, tools=host.tools)
    assert result.prints.startswith("give returned ")
    assert "cannot hold" in result.prints


@pytest.mark.parametrize("expression", ["lambda: 1", "len", "iter([1])", "ValueError('x')", "[print]", "{'k': lambda: 1}", "1j", "tool"])
async def test_what_is_no_data_does_not_leave_the_sandbox(open_session: Open, host: Any, expression: str) -> None:
    session = open_session("monty")
    passed = await session.run(f"tool({expression})", host, tools=host.tools)
    last = await session.run(expression, host, tools=host.tools)
    for result in (passed, last):
        assert result.error is not None
        assert (result.status, result.error.type) == ("error", "TypeError")
        assert "cannot leave the sandbox" in result.error.message
    assert host.calls == []


async def test_views_and_ranges_leave_as_lists(open_session: Open, host: Any) -> None:
    result = await open_session("monty").run("[{'a': 1}.keys(), {'a': 1}.items(), range(2)]", host)
    assert result.value == [["a"], [("a", 1)], [0, 1]]


ERRORS = [
    (ValueError("bad"), "ValueError", "bad"),
    (KeyError("k"), "KeyError", "'k'"),
    (FileNotFoundError("gone"), "OSError", "gone"),
    (ConnectionError("down"), "OSError", "ConnectionError: down"),
    (ToolFailed("no", type="ZeroDivisionError"), "ArithmeticError", "no"),
    (ToolFailed("no", type="HTTPStatusError"), "Exception", "HTTPStatusError: no"),
    (ValueError("half \ud800"), "ValueError", "half \\ud800"),
]


@pytest.mark.parametrize(("error", "caught_as", "text"), ERRORS, ids=repr)
async def test_a_tools_exception_can_be_caught_by_type_and_read(
    open_session: Open, host: Any, error: Any, caught_as: str, text: str
) -> None:
    host.error = error
    result = await open_session().run(f"try:\n    boom()\nexcept {caught_as} as e:\n    print(str(e))", host, tools=host.tools)
    assert (result.status, result.prints) == ("ok", text + "\n")


async def test_an_uncaught_exception_keeps_prints_variables_type_message_and_line(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    result = await session.run("x = 'kept'\nprint('before')\nboom()\nprint('after')", host, tools=host.tools)
    assert result.error is not None
    assert (result.prints, result.error.type, result.error.message, result.error.line) == ("before\n", "ValueError", "bad", 3)
    assert (await session.run("tool(x)" if engine == "monty" else "tool('kept')", host, tools=host.tools)).value["args"] == ["kept"]


async def test_a_tool_may_have_a_builtins_name_and_be_a_value(open_session: Open, host: Any) -> None:
    result = await open_session().run("[f(1) for f in [sum, sum]]", host, tools=("sum",))
    assert (host.names, len(result.value)) == (["sum", "sum"], 2)


FINISHES = [
    "finish(1)",
    "for i in range(3):\n    finish(i)",
    "def f():\n    finish(1)\nf()",
    "try:\n    finish(1)\nexcept Exception:\n    pass",
    "try:\n    finish(1)\nexcept:\n    pass",
    "try:\n    finish(1)\nexcept BaseException as e:\n    pass",
    "try:\n    finish(1)\nexcept (ValueError, BaseException):\n    pass",
    "try:\n    finish(1)\nfinally:\n    tool('no')",
    "class C:\n    def __enter__(self): return self\n    def __exit__(self, *a): return True\nwith C():\n    finish(1)",
    "[finish(1) for i in range(3)]",
]


@pytest.mark.parametrize("code", FINISHES)
async def test_finish_stops_the_program(engine: str, open_session: Open, host: Any, code: str) -> None:
    session = open_session(engine)
    result = await session.run(f"print('a')\n{code}\nprint('b')\ntool('effect')", host, tools=host.tools)
    if engine == "littrs":
        assert result.status == "refused"
        result = await session.run("print('a')\nfinish(1)", host, tools=host.tools)
    assert (result.status, result.prints, host.names) == ("finished", "a\n", ["finish"])
    assert (await session.run("tool('next')", host, tools=host.tools)).status == "ok"


async def test_a_block_can_be_stopped_by_any_tool(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    code = "for i in [1, 2, 3]:\n    x = i\n    finish(i)\n    tool(i)\ntool('no')"
    result = await session.run(code, host, tools=host.tools, finishers=())
    assert (result.status, host.names) == ("finished", ["finish"])
    rebuilt = open_session(engine, items=session.items)
    assert (await rebuilt.run("tool('next')", host, tools=host.tools)).status == "ok"
    assert host.names == ["finish", "tool"]


async def test_a_rebuilt_session_repeats_no_call_and_has_the_same_state(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    await session.set("given", [1, "a"])
    for code in ["x = tool('a')\nprint(x)", "boom()", "y = tool(x, given)", "finish(y)", "y"]:
        await session.run(code, host, tools=host.tools)
    seen = len(host.calls)
    rebuilt = open_session(engine, items=session.items)
    result = await rebuilt.run("y", host, tools=host.tools)
    assert (result.value["args"][1], len(host.calls), rebuilt.block_no) == ([1, "a"], seen, 6)


async def test_a_branch_has_the_same_past_and_its_own_future(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    await session.run("x = 'past'", host)
    branch = session.branch("branch")
    await branch.run("x = 'other'", host)
    assert ((await session.run("x", host)).value, (await branch.run("x", host)).value) == ("past", "other")
    await branch.close()


async def test_reset_forgets_everything(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    await session.set("x", 1)
    await session.reset()
    result = await session.run("x", host)
    assert result.error is not None
    assert result.error.type in ("NameError", "SandboxRefused")


async def test_a_changed_record_is_a_divergence(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    await session.run("x = tool(1)\nprint(x)", host, tools=host.tools)
    item = session.items[-1]
    assert item.block is not None
    forged = item.model_copy(update={"block": item.block.model_copy(update={"code": "x = tool(2)\nprint(x)"})})
    with pytest.raises(ReplayDivergence, match="block 0, call 0"):
        await open_session(engine, items=[session.items[0], forged]).run("tool(3)", host, tools=host.tools)


async def test_clock_and_randomness_are_recorded_and_repeated(open_session: Open, host: Any) -> None:
    session = open_session("monty")
    code = "import time, random, datetime\nx = [time.time(), random.random(), datetime.datetime.now(), datetime.date.today()]\nx"
    first = await session.run(code, host)
    assert [call.tool for call in first.calls] == ["os.time.time", "os.urandom", "os.datetime.now", "os.date.today"]
    assert (await open_session("monty", items=session.items).run("x", host)).value == first.value


async def test_sleep_counts_against_the_clock_and_is_not_repeated(open_session: Open, host: Any) -> None:
    session = open_session("monty", limits=Limits(max_seconds=0.5))
    assert (await session.run("import time\ntime.sleep(0.3)\nx = 1", host)).status == "ok"
    assert (await session.run("time.sleep(9)", host)).status == "interrupted"
    assert (await session.run("x", host)).value == 1


async def test_time_in_a_tool_does_not_count(engine: str, open_session: Open) -> None:
    async def slow(name: str, args: Any, kwargs: Any) -> int:
        await asyncio.sleep(0.5)
        return 1

    result = await open_session(engine, limits=Limits(max_seconds=0.3)).run("tool()\ntool()\n'done'", slow, tools=("tool",))
    assert (result.status, result.value) == ("ok", "done")


async def test_a_cancelled_block_is_rolled_back_and_its_calls_are_kept(engine: str, open_session: Open, host: Any) -> None:
    session = open_session(engine)
    await session.run("x = 'before'", host)
    waiting = asyncio.Event()

    async def slow(name: str, args: Any, kwargs: Any) -> None:
        waiting.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(session.run("x = 'during'\ntool(1)", slow, tools=("tool",)))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    block = session.items[-1].block
    assert block is not None
    assert (block.status, [call.tool for call in block.calls]) == ("interrupted", ["tool"])
    assert (await session.run("x", host)).value == "before"


async def test_a_worker_does_not_wait_for_a_call_that_takes_long(
    engine: str, open_session: Open, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.sandbox.journal.PATIENCE", 0.1)
    session = open_session(engine)

    async def person(name: str, args: Any, kwargs: Any) -> Any:
        await asyncio.sleep(0.4 if name == "boom" else 0)
        held.append(session._engine)
        return await host(name, args, kwargs) if name != "boom" else "yes"

    held: list[Any] = []
    result = await session.run("tool(1)\nprint('asking')\nx = boom()\ntool(x)\nx", person, tools=host.tools)
    assert (result.value, result.prints, host.names, len(result.calls)) == ("yes", "asking\n", ["tool", "tool"], 3)
    assert [engine is None for engine in held] == [False, True, False]


async def test_constants_can_be_imported_as_a_module(open_session: Open, host: Any) -> None:
    session = open_session()
    await session.module("config", {"limit": 3})
    assert (await session.run("import config\nconfig.limit", host)).value == 3
    assert (await open_session(items=session.items).run("config.limit", host)).value == 3


async def test_a_mounted_file_is_read_and_a_writable_one_written_as_a_copy(open_session: Open, host: Any) -> None:
    session = open_session()
    await session.mount("in.txt", b"hello")
    await session.mount("out/result.txt", b"", writable=True)
    code = "from pathlib import Path\nx = open('in.txt').read()\nwith open('out/result.txt', 'w') as f:\n    f.write(x.upper())\nx"
    assert (await session.run(code, host)).value == "hello"
    assert await session.files() == {"/out/result.txt": b"HELLO"}
    assert await open_session(items=session.items).files() == {"/out/result.txt": b"HELLO"}


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "open('../../etc/passwd').read()",
        "open('in.txt', 'w').write('x')",
        "open('new.txt', 'w').write('x')",
        "from pathlib import Path\nPath('in.txt').unlink()",
        "from pathlib import Path\nPath('in.txt').rename('other')",
        "from pathlib import Path\nPath('/proc/self/environ').read_text()",
        "import os\nos.environ['HOME']",
    ],
)
async def test_nothing_else_of_the_file_system_is_there(open_session: Open, host: Any, code: str) -> None:
    session = open_session()
    await session.mount("in.txt", b"hello")
    assert (await session.run(code, host)).status == "error"
    assert (await session.run("open('in.txt').read()", host)).value == "hello"


@pytest.mark.parametrize("name", ["", "/", "../x", "a/../../x", "a\x00b"])
async def test_a_mount_has_a_plain_name(open_session: Open, name: str) -> None:
    with pytest.raises(UserError, match="cannot be mounted"):
        await open_session().mount(name, b"")


@pytest.mark.parametrize(
    ("name", "value", "error"), [("a b", 1, UserError), ("__x", 1, UserError), ("if", 1, UserError), ("x", object(), UnencodableValue)]
)
async def test_what_cannot_be_set_is_refused_and_leaves_the_session_alone(
    open_session: Open, host: Any, name: str, value: Any, error: Any
) -> None:
    session = open_session()
    with pytest.raises(error):
        await session.set(name, value)
    assert (len(session.items), (await session.run("1", host)).value) == (1, 1)


async def test_a_variable_with_a_builtins_or_a_tools_name_is_the_variable(open_session: Open, host: Any) -> None:
    session = open_session()
    await session.set("input", [1, 2])
    assert (await session.run("input", host)).value == [1, 2]


async def test_a_syntax_error_changes_nothing_and_names_its_line(open_session: Open, host: Any) -> None:
    session = open_session("monty")
    result = await session.run("x = 1\ny = = 2", host)
    assert result.error is not None
    assert (result.status, result.error.type, result.error.line) == ("error", "SyntaxError", 2)
    assert (await open_session("monty", items=session.items).run("1", host)).value == 1


if AVAILABLE:

    async def test_promotion_repeats_no_tool_call(open_session: Open, host: Any) -> None:
        session = open_session()
        first = await session.run("x = tool('a')\nprint(x['name'])", host, tools=host.tools)
        second = await session.run("def same(v): return v\ny = same(x['args'])\ntool(y)\ny", host, tools=host.tools)
        assert (first.engine, first.reason, second.engine, second.value) == ("littrs", None, "monty", ["a"])
        assert (second.reason or "").startswith("line 1: ")
        assert host.names == ["tool", "tool"]

    async def test_a_value_littrs_does_not_hold_promotes_in_the_middle_of_a_block(open_session: Open, host: Any) -> None:
        host.gives = Decimal("1.5")
        session = open_session()
        result = await session.run("tool('first')\nx = give()\ntool(x)\nx", host, tools=host.tools)
        assert (result.engine, result.value, host.names) == ("monty", Decimal("1.5"), ["tool", "give", "tool"])
        assert "give` returned a value that littrs does not hold: Decimal" in (result.reason or "")

    async def test_an_error_of_littrs_own_is_left_to_monty(open_session: Open, host: Any) -> None:
        result = await open_session().run("x = tool(1)\nx['nope']", host, tools=host.tools)
        assert result.error is not None
        assert (result.engine, result.error.type, result.error.line, host.names) == ("monty", "KeyError", 2, ["tool"])

    async def test_a_promoted_session_stays_promoted_when_it_is_rebuilt(open_session: Open, host: Any) -> None:
        session = open_session()
        await session.run("x = 1", host)
        await session.run("y = (lambda v: v / 2)(x)", host)
        assert (await session.run("'plain'", host)).engine == "monty"
        assert (await open_session(items=session.items).run("y", host)).value == 0.5

    async def test_setting_a_value_littrs_does_not_hold_moves_the_session(open_session: Open, host: Any) -> None:
        session = open_session()
        await session.run("x = 1", host)
        await session.set("price", Decimal("9.99"))
        assert [(await session.run(name, host)).value for name in ("x", "price")] == [1, Decimal("9.99")]

    async def test_strict_littrs_refuses_with_line_reason_and_remedy_and_runs_nothing(open_session: Open, host: Any) -> None:
        result = await open_session("littrs").run("tool(1)\ny = lambda: 1", host, tools=host.tools)
        assert result.error is not None
        assert (result.status, result.error.line, host.calls) == ("refused", 2, [])
        assert "not proven" in result.error.message
        assert "; " in result.error.message  # what to write instead
