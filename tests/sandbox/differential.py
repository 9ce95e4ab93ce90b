"""The same program on CPython and on an engine, and whether they agree: `python -m tests.sandbox.differential 100000` (`make fuzz N=…`).

Compared are the tool calls in order, what was printed, the last value (type and repr) and the type of the error. A program that the gate
refuses is never run on littrs; one that a guard or an error of littrs stops goes on in monty, and up to there it must agree.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import builtins
import contextlib
import copy
import io
import re
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from tests.sandbox.programs import NAMES, POOL, Plain, Wide
from workbench.record.codec import roundtrip
from workbench.sandbox import faithful
from workbench.sandbox.engine import Block, Limits, Output, Raised, Unfit
from workbench.sandbox.files import Files
from workbench.sandbox.littrs_engine import AVAILABLE, LittrsEngine
from workbench.sandbox.monty_engine import MontyEngine


class Seen(NamedTuple):
    """What one block did, as text."""

    calls: str
    prints: str
    value: str
    error: str | None


class Tools:
    """The host's side. The same calls in the same order give the same answers, whoever makes them."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def answer(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        args, kwargs = roundtrip(list(args)), roundtrip(kwargs)
        self.calls.append(repr((name, args, kwargs)))
        if name == "give":
            return copy.deepcopy(POOL[args[0]])
        if name == "boom":
            raise ValueError("bad")
        return {"name": name, "args": args, "kwargs": kwargs}

    async def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return roundtrip(self.answer(name, args, kwargs))
        except Exception as error:  # noqa: BLE001 - as a tool's exception comes to an engine
            kind = type(error).__name__
            raise Raised(kind if hasattr(builtins, kind) else "ValueError", str(error)) from None


class CPython:
    """One namespace."""

    def __init__(self) -> None:
        self.tools = Tools()
        self.scope: dict[str, Any] = {name: self._stub(name) for name in NAMES}

    def _stub(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.tools.answer(name, args, kwargs)

    def run(self, code: str) -> Seen:
        self.tools.calls = []
        value, error = None, None
        printed = io.StringIO()
        with warnings.catch_warnings(), _impatience():
            warnings.simplefilter("ignore")
            try:
                tree = ast.parse(code)
                with contextlib.redirect_stdout(printed):
                    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
                    exec(compile(tree, "block", "exec"), self.scope)
                    if last is not None:
                        value = eval(compile(ast.Expression(last.value), "block", "eval"), self.scope)
                        value = list(value) if type(value).__name__ in ("dict_keys", "dict_values", "dict_items", "range") else value
            except Exception as raised:  # noqa: BLE001 - the program's own, whatever it is
                value, error = None, type(raised).__name__
        return Seen(repr(self.tools.calls), printed.getvalue(), repr(value), error)


class Endless(BaseException):
    """A program that appends to the list it goes over, say."""


@contextlib.contextmanager
def _impatience() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Endless

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, 1)  # of the processor: a busy machine makes no program endless
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@dataclass
class Tally:
    """What became of the programs."""

    programs: int = 0
    blocks: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    promoted: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def report(self, engine: str, seconds: float) -> str:
        refused, promoted = self.refused.total(), self.promoted.total()
        lines = [
            f"{engine}: {self.programs} programs of {self.blocks} blocks in {seconds:.0f} s",
            f"  run to their end as on CPython  {self.accepted:>7}  {self.accepted / max(self.blocks, 1):6.1%}",
        ]
        for title, counter in (
            ("refused by the gate", self.refused),
            ("promoted on the way", self.promoted),
            ("known differences", self.known),
        ):
            if counter:
                lines.append(f"  {title:<30}  {counter.total():>7}  {counter.total() / max(self.blocks, 1):6.1%}")
                lines += [f"    {count:>7}  {reason}" for reason, count in counter.most_common(12)]
        assert self.accepted + refused + promoted + self.known.total() + len(self.differences) == self.blocks
        return "\n".join([*lines, f"  DIFFERENCES  {len(self.differences)}", *self.differences[:5]])


class OnLittrs:
    """One worker for all programs: what a program leaves behind is unknown to the gate, and so to the next one."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._engine: LittrsEngine | None = None

    async def compare(self, blocks: list[str]) -> str | None:
        """Run a session; the first block that differs, told, or None. A refusal or promotion ends it."""
        self.tally.programs += 1
        cpython, tools, scope = CPython(), Tools(), dict[str, faithful.Kind]()
        for code in blocks:
            self.tally.blocks += 1
            try:
                accepted = faithful.check(code, scope, NAMES, ("finish",))
            except faithful.Refused as refused:
                self.tally.refused[_reason(refused.reason)] += 1
                return None
            try:
                expected = cpython.run(code)
            except Endless:
                self.tally.blocks -= 1
                return None
            tools.calls = []
            output = Output(10**7)
            if self._engine is None:
                self._engine = await LittrsEngine.start(Limits())
            block = Block(code=code, tools=NAMES, call=tools.call, output=output, seconds=20, program=accepted.program)
            try:
                fed = await self._engine.feed(block)
            except Unfit as unfit:
                if not unfit.intact:
                    await self.close()
                made = [repr(call) for call in cpython.tools.calls[: len(tools.calls)]]
                if made != [repr(call) for call in tools.calls] or not expected.prints.startswith(output.text):
                    return self._differs(blocks, expected, Seen(repr(tools.calls), output.text, "promoted", unfit.reason))
                self.tally.promoted[_reason(unfit.reason.partition(": ")[2])] += 1
                return None
            error = fed.error.type if fed.error else None
            actual = Seen(repr(tools.calls), output.text, repr(fed.value), error)
            if fed.lost or actual != expected:
                return self._differs(blocks, expected, actual)
            self.tally.accepted += 1
            ended = fed.status == "ok"
            scope = dict(accepted.scope) if ended else {key: kind for key, kind in scope.items() if key not in accepted.assigned}
        return None

    def _differs(self, blocks: list[str], expected: Seen, actual: Seen) -> str:
        self.tally.differences.append(told(blocks, expected, actual))
        return self.tally.differences[-1]

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.close()
            self._engine = None


class OnMonty:
    """One checkout for some programs; every program begins by defining all its names."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._engine: MontyEngine | None = None
        self._fed = 0

    async def compare(self, blocks: list[str]) -> str | None:
        """Run a session; the first block that differs, told, or None."""
        self.tally.programs += 1
        cpython, tools = CPython(), Tools()
        if self._fed > 300:
            await self.close()
        for code in blocks:
            try:
                expected = cpython.run(code)
            except Endless:
                return None
            self.tally.blocks += 1
            tools.calls = []
            output = Output(10**7)
            if self._engine is None:
                self._engine, self._fed = await _monty(), 0
            fed = await self._engine.feed(Block(code=code, tools=NAMES, call=tools.call, output=output, seconds=20))
            self._fed += 1
            actual = Seen(repr(tools.calls), output.text, repr(fed.value), fed.error.type if fed.error else None)
            if fed.lost:
                await self.close()
            if fed.lost and actual == expected:  # out of memory on both
                self.tally.accepted += 1
                return None
            if actual != expected:
                known = known_difference(code, expected, actual, fed.error.message if fed.error else "")
                if any(contains_itself(value) for name, value in cpython.scope.items() if name != "__builtins__"):
                    known = "the text of a value that contains itself"
                if known:
                    self.tally.known[known] += 1
                    return None
                self.tally.differences.append(told(blocks, expected, actual) + (f"\n{fed.error.message}" if fed.error else ""))
                return self.tally.differences[-1]
            self.tally.accepted += 1
        return None

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.close()
            self._engine = None


async def _monty() -> MontyEngine:
    return await MontyEngine.start(Limits(), Files({}))


def known_difference(code: str, expected: Seen, actual: Seen, message: str) -> str | None:
    """The name of the documented difference that this one is, or None. Each has its own test in test_differential_known.py."""
    if actual.error == "NotImplementedError" and expected.error != actual.error:
        return "a loud refusal"
    if message.startswith("slice(") and sys.version_info < (3, 12):
        return "a slice of a dict, which is a KeyError since Python 3.12"
    if "only be called with zero or one string argument" in message:
        return "an exception with an argument that is no text"
    if expected.error == "AttributeError" or "caught AttributeError" in expected.prints:
        return "arguments are evaluated before a method is looked up"
    caught = "caught" in expected.prints + actual.prints or "TypeError" in (expected.error, actual.error)
    if re.search(r"\{[^{}]*[\w)\]](![rsa])?:[^{}]+\}", code) and (caught or "format" in message or "Cannot specify" in message):
        return "a format on a value that has none"
    if message.startswith("can only concatenate list") or (" += " in code and "TypeError" in actual.prints):
        return "`+=` extends a list only by a list"
    if re.search(r"(sum|max|min|any|all|sorted|join|next|list|tuple)\(.* for \w+ in ", code) and (expected.error or actual.error):
        return "a generator is run when it is made"
    if re.search(r"for .* in .*zip\(.*, [op]\)", code) and re.search(r"\b[op](\.|\[)", code):
        return "zip reads its lists at once"
    if (actual.error == "TimeoutError" and expected.error != actual.error) or message.startswith("memory limit exceeded"):
        return "ended by a limit, loudly"
    if re.search(r"Counter\(|\{\w+: ", code) and _equal_keys_alike(str(actual)) == _equal_keys_alike(str(expected)):
        return "an equal key replaces the one that was there"
    if "...}" in str(expected) or "...]" in str(expected) or expected.error == "UnencodableValue":
        return "the text of a value that contains itself"
    return None


def _equal_keys_alike(text: str) -> str:
    """A text in which keys that are equal are spelt alike."""
    zeros_alike = re.sub(r"-?\b0\.0\b|\bFalse\b", "0", text)
    return re.sub(r"\b(\d+)\.0\b", r"\1", re.sub(r"\bTrue\b", "1", zeros_alike))


def contains_itself(value: Any, above: tuple[int, ...] = ()) -> bool:
    """Whether a list or dict is somewhere inside itself."""
    if not isinstance(value, (list, tuple, dict)):
        return False
    if id(value) in above:
        return True
    parts = value.values() if isinstance(value, dict) else value
    return any(contains_itself(part, (*above, id(value))) for part in parts)


def told(blocks: list[str], expected: Seen, actual: Seen) -> str:
    """A difference for a reader."""
    program = "\n# next block\n".join(blocks)
    return f"{program}\n-- CPython: {expected}\n-- engine:  {actual}"


def _reason(text: str) -> str:
    """A reason without the names and numbers of one program."""
    return re.sub(r"`[a-z]\w*`|'[^']*'|\d+", "…", text)[:90]


def programs(count: int, seed: int, kind: type[Plain]) -> Iterator[list[str]]:
    """Programs by number: the same seed gives the same ones."""
    for number in range(count):
        yield kind(Random(f"{seed}-{number}")).session()


async def fuzz(engine: OnLittrs | OnMonty, count: int, seed: int, *, say: bool = False) -> Tally:
    """Compare `count` programs."""
    kind = Plain if isinstance(engine, OnLittrs) else Wide
    try:
        for place, blocks in enumerate(programs(count, seed, kind)):
            await engine.compare(blocks)
            if say and place % 5000 == 4999:
                print(f"  … {place + 1}, {len(engine.tally.differences)} differences", file=sys.stderr, flush=True)
    finally:
        await engine.close()
    return engine.tally


def main() -> None:
    """Compare and print; the exit code is 1 if anything differs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("count", type=int, nargs="?", default=100_000)
    options.add_argument("--seed", type=int, default=time.time_ns())
    options.add_argument("--engine", choices=("littrs", "monty"), action="append")
    given = options.parse_args()
    differs = False
    for name in given.engine or (["littrs", "monty"] if AVAILABLE else ["monty"]):
        engine = OnLittrs() if name == "littrs" else OnMonty()
        begun = time.perf_counter()
        tally = asyncio.run(fuzz(engine, given.count, given.seed, say=True))
        print(tally.report(f"{name}, seed {given.seed}", time.perf_counter() - begun), flush=True)
        differs = differs or bool(tally.differences)
    sys.exit(1 if differs else 0)


if __name__ == "__main__":
    main()
