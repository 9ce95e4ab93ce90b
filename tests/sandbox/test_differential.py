"""Generated programs do on each engine what they do on CPython, and the documented differences of monty still exist."""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_left
from itertools import accumulate
from pathlib import Path
from random import Random

import pytest

from tests.sandbox.differential import CPython, OnLittrs, OnMonty, fuzz
from tests.sandbox.programs import NAMES, Plain
from workbench.sandbox.littrs_engine import AVAILABLE

PROGRAMS = 5000


async def test_generated_programs_differ_on_monty_only_as_documented() -> None:
    tally = await fuzz(OnMonty(), PROGRAMS // 2, seed=5)
    assert tally.differences == []
    assert tally.accepted > tally.blocks * 0.95, tally.report("monty", 0)


def test_the_same_seed_writes_the_same_program() -> None:
    assert Plain(Random("5-1")).session() == Plain(Random("5-1")).session()


if AVAILABLE:

    async def test_generated_programs_that_the_gate_accepts_do_not_differ_on_littrs() -> None:
        tally = await fuzz(OnLittrs(), PROGRAMS, seed=5)
        assert tally.differences == []
        assert tally.accepted > tally.blocks * 0.3, tally.report("littrs", 0)


# Where monty differs from CPython. A test that fails here means that monty has changed: strike the difference from docs/sandbox.md too.
KNOWN = {
    "rounding of a decimal half that is none in binary": "round(2.675, 2)",
    "an equal key replaces the one that was there": "{1: 'a', True: 'b'}",
    "sets keep the order of insertion": "[q for q in {3, 1, 2}]",
    "a generator can be gone over twice": "g = (q for q in [1, 2])\nlist(g)\nlist(g)",
    "a generator is run when it is made": "g = (tool(q) for q in [1, 2])\n1",
    "zip reads its lists at once": "p = [1]\nfor a, b in zip([1, 2, 3], p):\n  p.append(b)\np",
    "`+=` extends a list only by a list": "p = []\np += 'ab'",
    "NaN in a set": "len({float('nan'), float('nan')})",
    "a format on a list or dict is not an error": "f'{[1]:>8}'",
    "a wrong format is another error": "try:\n  f'{[1]:x}'\nexcept Exception as error:\n  print(type(error).__name__)",
    "arguments are evaluated before a method is looked up": "(5).count(tool(1))",
    "an exception with an argument that is no text": "raise KeyError(3)",
    "the text of a value that contains itself": "d = {}\nd['k'] = d\nprint(d)",
    "a tool called from sorted(key=…)": "sorted([2, 1], key=tool)",
    "a tool called from map": "list(map(tool, [1]))",
    "class inheritance": "class A:\n  pass\nclass B(A):\n  pass\n1",
    "yield": "def f():\n  yield 1\nlist(f())",
    "del": "x = 1\ndel x",
    "methods of a class, properties": "class A:\n  @property\n  def p(self):\n    return 1\nA().p",
    "OrderedDict": "from collections import OrderedDict\n1",
    **({"a sum of floats adds one after the other": "sum([0.1] * 10)"} if sys.version_info >= (3, 12) else {}),
    "with a Counter, its text": "from collections import Counter\nCounter('aab')",
}


@pytest.mark.parametrize("code", KNOWN.values(), ids=KNOWN)
async def test_a_documented_difference_of_monty_still_exists(code: str) -> None:
    engine = OnMonty()
    await engine.compare([code])
    await engine.close()
    assert engine.tally.differences or engine.tally.known, CPython().run(code)


# What takes CPython itself too long; the hostile programs of test_hostile.py have the like.
TOO_BIG = {"range(10**8)", "for i in range(10**8):;;  pass", "[0]*10**9", "'5'.ljust(10**10)", "while True:;;  pass"}


def snippets() -> dict[str, list[str]]:
    """The known traps of littrs; those that redefine a builtin come last, since they are run in one session."""
    lines = Path(__file__).with_name("littrs_snippets.txt").read_text().splitlines()
    found = {line[2:]: line[2:].replace(";;", "\n").split(" ||| ") for line in lines if not line.startswith("#")}
    found = {code: blocks for code, blocks in found.items() if code not in TOO_BIG}
    return dict(sorted(found.items(), key=lambda item: item[1][0].startswith(("def len", "def sum", "def sorted", "print="))))


# What auto's second engine does otherwise with the traps of the first.
SNIPPETS_KNOWN = {
    "sum([0.1]*10)": "a sum of floats adds one after the other",
    "g=(x for x in [1,2]);;list(g);;list(g)": "a generator can be gone over twice",
    "any(tool(q) for q in [1,2])": "a generator is run when it is made",
    "'\\ud800'": "text with a lone surrogate is refused",
    "id(1)": "an id is another number",
    "input('x')": "a builtin that monty has not",
    "dir()": "a builtin that monty has not",
    "callable(len)": "a builtin that monty has not",
    **dict.fromkeys(
        [
            "(-8)**(1/3)",
            "async def f():;;  return 1;;f()",
            "type(1)",
            "class A:;;  pass;;A()",
            "1j",
            "...",
            "e=ValueError('x');;e",
            "[tool]",
        ],
        "a value that is no plain data does not leave",
    ),
}


@pytest.mark.filterwarnings("ignore:coroutine 'f' was never awaited")
async def test_the_traps_of_littrs_do_on_monty_what_they_do_on_cpython_but_for_what_is_known() -> None:
    waiting, differing = list(snippets().items()), set()
    while waiting:
        engine = OnMonty()
        ends = list(accumulate(len(blocks) for _, blocks in waiting))
        differs = await engine.compare([block for _, blocks in waiting for block in blocks])
        await engine.close()
        done = bisect_left(ends, engine.tally.blocks) + 1
        if differs:
            differing.add(waiting[done - 1][0])
        waiting = waiting[done:]
    assert differing == {code for code in SNIPPETS_KNOWN if sys.version_info >= (3, 12) or not code.startswith("sum(")}


def test_generated_programs_call_tools_only_by_the_names_they_have() -> None:
    code = "\n".join(block for number in range(50) for block in Plain(Random(number)).session())
    assert all(f"{name}(" in code for name in NAMES if name != "finish")


def test_the_harness_sees_a_difference() -> None:
    async def compared() -> OnMonty:
        engine = OnMonty()
        await engine.compare(["print(1)", "round(2.675, 2)"])
        await engine.close()
        return engine

    (difference,) = asyncio.run(compared()).tally.differences
    assert "2.67" in difference
