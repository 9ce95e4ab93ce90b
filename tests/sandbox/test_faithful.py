"""Whatever the gate accepts, littrs answers as CPython does: the same calls, prints, value and error type."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import keyword
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.record.codec import decode_value
from workbench.sandbox import faithful
from workbench.sandbox.engine import BlockResult, Limits
from workbench.sandbox.littrs_engine import AVAILABLE
from workbench.sandbox.session import Session

TOOLS = ("tool", "boom", "finish")
SNIPPETS = [
    line.replace(";;", "\n")
    for line in Path(__file__).with_name("littrs_snippets.txt").read_text().splitlines()
    if not line.startswith("#")
]


def in_cpython(code: str, scope: dict[str, Any]) -> tuple[Any, ...]:
    """What CPython makes of a block: (calls, prints, value, error type)."""
    calls: list[Any] = []

    def tool(*args: Any, **kwargs: Any) -> Any:
        calls.append(("tool", list(args), kwargs))
        return {"name": "tool", "args": list(args), "kwargs": kwargs}

    def boom(*args: Any, **kwargs: Any) -> Any:
        calls.append(("boom", list(args), kwargs))
        raise ValueError("bad")

    scope |= {"tool": tool, "boom": boom}
    tree = ast.parse(code)
    value, error = None, None
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "block", "exec"), scope)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "block", "eval"), scope)
    except Exception as raised:  # noqa: BLE001 - the program's own, whatever it is
        error = type(raised).__name__
    return repr(calls), printed.getvalue(), repr(value), error


def seen(result: BlockResult) -> tuple[Any, ...]:
    given = [(call.tool, decode_value(call.args.inline)) for call in result.calls]
    calls = [(tool, args["args"], args["kwargs"]) for tool, args in given]
    return repr(calls), result.prints, repr(result.value), result.error.type if result.error else None


class Both:
    """One session of each engine beside one CPython namespace, fed the same blocks."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.reset()

    def reset(self) -> None:
        self.scope: dict[str, Any] = {}
        whole = Limits(max_output=10**7)
        self.sessions = [Session("littrs", engine="littrs", limits=whole), Session("monty", engine="monty", limits=whole)]

    async def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name == "boom":
            raise ValueError("bad")
        return {"name": name, "args": list(args), "kwargs": kwargs}

    async def _run(self, code: str) -> list[BlockResult]:
        return [await session.run(code, self._call, tools=TOOLS) for session in self.sessions]

    def run(self, code: str) -> None:
        expected = in_cpython(code, self.scope)
        littrs, monty = self.runner.run(self._run(code))
        assert seen(littrs) == expected, code
        if littrs.error is None or (littrs.calls and littrs.calls[-1].error):
            # what monty must reproduce when the session is promoted; an error of littrs' own would have promoted it at once
            assert littrs.digest == monty.digest, code

    def close(self) -> None:
        for session in self.sessions:
            self.runner.run(session.close())
        self.runner.close()


BEGINNING = "n = 3\ni = 2\nt = 'text'\nf = True\nv = tool(1)\n"
TEXTS = ["", "abc", "it's", 'a"b', "\\", "\n", "é日", "{x}", "'", "\x00", "\u2028", "%s", "$tuple", "\U0001f600", "a" * 30]
NUMBERS = ["0", "1", "7", "-3", "n", "i", str(2**31), str(2**62), str(2**63 - 1), str(-(2**63)), str(2**64)]
FLOATS = ["1.5", "-0.0", "1e16", "1e-7", "1e300", "0.1", "123456789.123456789", "5e-324", "1e22", "100000.0"]
SPECS = ["", "!r", "!s", ":>8", ":.2f", ":,", "=", "!a:^6", ":05d", ":x", ":e", ":+", ":10", ":.3", "!r:.4", ":<6s", ":b", ":%"]


class Programs:
    """Writes programs of typed parts, so that most are accepted: `n`, `t`, `f` and `v` hold a number, a text, a truth value and anything.

    A part now and then is of the wrong type, which the gate must notice.
    """

    def __init__(self, random: Random) -> None:
        self.pick = random.choice
        self.chance = random.random

    def number(self, depth: int) -> str:
        if depth == 0 or self.chance() < 0.4:
            return self.pick(NUMBERS)
        if self.chance() < 0.2:
            return f"(-{self.number(depth - 1)})"
        return f"({self.number(depth - 1)} {self.pick(['+', '-', '*', '//', '%'])} {self.number(depth - 1)})"

    def text(self, depth: int) -> str:
        if depth == 0 or self.chance() < 0.5:
            return self.pick([*map(repr, TEXTS), "t"])
        if self.chance() < 0.5:
            return f"str({self.anything(depth - 1)})"
        return f"({self.text(depth - 1)} + {self.text(depth - 1)})"

    def truth(self, depth: int) -> str:
        if depth == 0 or self.chance() < 0.2:
            return self.pick(["True", "False", "f"])
        one, two = (self.text, self.text) if self.chance() < 0.3 else (self.number, self.number)
        return self.pick(
            [
                f"({one(depth - 1)} {self.pick(['<', '<=', '==', '!=', '>', '>='])} {two(depth - 1)})",
                f"({self.truth(depth - 1)} {self.pick(['and', 'or'])} {self.truth(depth - 1)})",
                f"(not {self.truth(depth - 1)})",
                f"(v {self.pick(['is', 'is not'])} None)",
            ]
        )

    def anything(self, depth: int) -> str:
        if depth == 0 or self.chance() < 0.2:
            return self.pick([*FLOATS, "None", "v", "v", self.number(1), self.text(1), self.truth(1)])
        one, two = self.anything(depth - 1), self.anything(depth - 1)
        quoted = "v" if '"' in one or "\\" in one else one
        return self.pick(
            [
                f"[{one}, {two}]",
                f"({one}, {two})",
                f"({one},)",
                f"{{'k': {one}, '$l': {two}}}",
                f"tool({one}, city={two})",
                f"tool(b={one}, a={two})",
                f"tool({one})['args']",
                f"{{'k': {one}}}['k']",
                f"v[{self.pick(TEXTS)!r}]",
                f"str({one})",
                f'f"x{{{quoted}{self.pick(SPECS)}}}y{{n}}"',
                f"({one} if {self.truth(1)} else {two})",
                self.text(2),
                self.number(2),
                f"boom({one})",
            ]
        )

    def statement(self, depth: int) -> str:
        if depth and self.chance() < 0.4:
            body = "\n".join("  " + line for line in self.block(depth - 1).split("\n"))
            loop = self.pick(
                [f"range({self.pick('01235')})", f"range({self.pick('123')}, {self.pick(['-1', '5'])}, {self.pick(['-1', '1', '2'])})"]
            )
            listed = f"[{self.anything(0)}, {self.anything(0)}]"
            head = self.pick([f"for i in {loop}", f"for v in {listed}", f"for i in {loop}", f"if {self.truth(2)}"])
            other = f"\nelse:\n{body}" if head.startswith("if") and self.chance() < 0.5 else ""
            return f"{head}:\n{body}{other}"
        return self.pick(
            [
                f"n = {self.number(2)}",
                f"t = {self.text(2)}",
                f"f = {self.truth(2)}",
                f"v = {self.anything(2)}",
                f"v = {self.anything(3)}",
                f"{self.pick('ntf')} = {self.anything(1)}",
                self.anything(2),
                f"print({self.anything(2)}, {self.anything(1)})",
                f"print({self.anything(1)}, n, sep={self.pick(TEXTS)!r}, end={self.pick(TEXTS)!r})",
            ]
        )

    def block(self, depth: int) -> str:
        return "\n".join(self.statement(depth) for _ in range(self.pick([1, 1, 2, 3])))


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    pair = Both()
    yield pair
    pair.close()


def accepted(code: str) -> bool:
    try:
        faithful.check(code, {}, TOOLS, ("finish",))
    except faithful.Refused:
        return False
    return True


if AVAILABLE:

    @pytest.mark.parametrize("code", [snippet for snippet in SNIPPETS if accepted(snippet)])
    def test_a_known_trap_that_is_accepted_gives_cpythons_answer(both: Both, code: str) -> None:
        with contextlib.suppress(SyntaxError):
            both.run(code)

    @settings(max_examples=500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def test_a_generated_program_that_is_accepted_gives_cpythons_answer(both: Both, random: Random) -> None:
        code = BEGINNING + Programs(random).block(2)
        if accepted(code):
            both.run(code)


@pytest.mark.parametrize(
    "code",
    [
        'r = tool(city="x")\nprint("done")\nfinish(r)',
        'for city in ["Oslo", "Rome"]:\n    r = tool(city=city)\n    print(city, r["name"], f"{3.14159:.2f}")',
        "for page in range(3):\n    tool(page=page * 10 + 1)",
        'a = tool("x")\nb = tool(a["name"], previous=a)\nfinish({"a": a, "b": b})',
        'x = "Hello, " + "world"\nprint(x)\nx',
    ],
)
def test_what_agents_write_most_is_accepted(code: str) -> None:
    assert accepted(code)


def test_a_refusal_names_line_reason_and_remedy() -> None:
    with pytest.raises(faithful.Refused) as caught:
        faithful.check("x = 1\ny = 10 / 2", {}, (), ())
    assert caught.value.line == 2
    assert str(caught.value) == "line 2: arithmetic on a value whose type or size is not known; compute it in a tool"


@pytest.mark.parametrize("code", ["-" * 100_000 + "1", "(" * 5000, "x" + ".a" * 50_000, "+".join(["1"] * 20_000), "not " * 50_000 + "x"])
def test_hostile_nesting_is_refused_before_it_is_parsed(code: str) -> None:
    assert not accepted(code)


def test_every_keyword_statement_is_decided() -> None:
    assert not any(accepted(word) for word in keyword.kwlist if word not in ("None", "True", "False", "pass"))
