"""The gate: what it accepts littrs answers as CPython does, and what it refuses it refuses with line, reason and remedy."""

from __future__ import annotations

import asyncio
import keyword
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.differential import OnLittrs
from tests.sandbox.programs import NAMES
from workbench.sandbox import faithful
from workbench.sandbox.littrs_engine import AVAILABLE


def lines(name: str) -> list[str]:
    return Path(__file__).with_name(name).read_text().splitlines()


SNIPPETS = {
    line: (line[0], line[2:].replace(";;", "\n").split(" ||| ")) for line in lines("littrs_snippets.txt") if not line.startswith("#")
}
AGENT_BLOCKS = [block.strip() for block in "\n".join(lines("agent_blocks.txt")[1:]).split("# ---")]


def accepted(*blocks: str) -> bool:
    scope: faithful.Scope = {}
    try:
        for code in blocks:
            scope = faithful.check(code, scope, NAMES, ("finish",)).scope
    except faithful.Refused:
        return False
    return True


if AVAILABLE:

    @pytest.fixture(scope="module")
    def littrs() -> Iterator[tuple[asyncio.Runner, OnLittrs]]:
        with asyncio.Runner() as runner:
            engine = OnLittrs()
            yield runner, engine
            runner.run(engine.close())

    @pytest.mark.parametrize(("mark", "blocks"), SNIPPETS.values(), ids=SNIPPETS)
    def test_a_known_trap_gives_cpythons_answer_or_is_promoted_or_refused_as_is_known(
        littrs: tuple[asyncio.Runner, OnLittrs], mark: str, blocks: list[str]
    ) -> None:
        runner, engine = littrs
        refused, promoted = engine.tally.refused.total(), engine.tally.promoted.total()
        assert runner.run(engine.compare(blocks)) is None
        assert mark == ("-" if engine.tally.refused.total() > refused else ">" if engine.tally.promoted.total() > promoted else "=")

    def test_most_blocks_that_agents_write_run_on_littrs_and_all_of_those_agree(littrs: tuple[asyncio.Runner, OnLittrs]) -> None:
        runner, _ = littrs
        engine = OnLittrs()
        for block in AGENT_BLOCKS:
            runner.run(engine.compare([block.replace("finish(", "tool(")]))
        runner.run(engine.close())
        assert engine.tally.differences == []
        assert engine.tally.accepted / engine.tally.blocks >= 0.7, engine.tally.report("littrs", 0)


TRAPS_REFUSED = [
    "10 == 5 * 2.0", "x = [1]\ny = x\ny.append(3)", "rows = give(0)\nfor d in rows:\n  d['n'] = 0", "def f(l):\n  l.append(1)", "-7 % 3",
    "9223372036854775807 + 1", "2 ** 64", "sorted([3, 1], key=lambda q: -q)", "try:\n  boom()\nexcept ValueError:\n  pass",
    "for i in [1]:\n  pass\nelse:\n  print(1)", "x = 5\n[x for x in range(3)]", "{'a': 1, 'a': 2}", "'abcdef'[4:1:-1]", "import json",
    "{1} == {1.0}", "x = 1\nx is True", "round(2.5)", "'a,b'.split(sep=',')", "'a b'.split()", "while True:\n  pass", "1 << 64",
    "key = tool", "[tool]", "tool(*[1])", "tool(**{'a': 1})", "len = 3", "o = []\nv = o\no += [1]", "o = []\no.append(o)", "x = []\ndel x",
]  # fmt: skip


@pytest.mark.parametrize("code", TRAPS_REFUSED)
def test_a_trap_is_refused(code: str) -> None:
    assert not accepted(code)


@pytest.mark.parametrize(
    "code",
    [
        'r = tool(city="x")\nprint("done")\nfinish(r)',
        'for city in ["Oslo", "Rome"]:\n    r = tool(city=city)\n    print(city, r["name"], f"{3.14159:.2f}")',
        "for page in range(3):\n    tool(page=page * 10 + 1)",
        'a = tool("x")\nb = tool(a["name"], previous=a)\nfinish({"a": a, "b": b})',
        'x = "Hello, " + "world"\nprint(x)\nx',
        "out = []\nfor r in give(0):\n    if r['n'] > 0:\n        out.append(r['name'])\nprint(len(out), ', '.join(out))",
    ],
)
def test_what_agents_write_most_is_accepted(code: str) -> None:
    assert accepted(code)


def test_a_list_that_another_name_holds_is_not_changed_in_a_later_block() -> None:
    assert accepted("x = []", "x.append(1)", "print(x)")
    assert not accepted("x = []", "y = x", "x.append(1)")


def test_a_refusal_names_line_reason_and_remedy() -> None:
    with pytest.raises(faithful.Refused) as caught:
        faithful.check("x = 1\ny = 10 / 0", {}, (), ())
    assert caught.value.line == 2
    assert str(caught.value) == "line 2: arithmetic on a value whose type or size is not known; compute it in a tool"


@pytest.mark.parametrize("code", ["-" * 100_000 + "1", "(" * 5000, "x" + ".a" * 50_000, "+".join(["1"] * 20_000), "not " * 50_000 + "x"])
def test_hostile_nesting_is_refused_before_it_is_parsed(code: str) -> None:
    assert not accepted(code)


def test_loops_within_loops_are_decided_in_bounded_time() -> None:
    code = "a = 1\nb = 'x'\n" + "".join("  " * depth + f"for i{depth} in [1]:\n" for depth in range(25)) + "  " * 25 + "a = b\n"
    code += "".join("  " * depth + "b = a\n" for depth in range(24, 0, -1))
    began = time.monotonic()
    accepted(code)
    assert time.monotonic() - began < 10


def test_every_keyword_statement_is_decided() -> None:
    assert not any(accepted(word) for word in keyword.kwlist if word not in ("None", "True", "False", "pass"))
