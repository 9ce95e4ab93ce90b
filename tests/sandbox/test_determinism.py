"""The same program with the same recorded answers does the same, on both engines and in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import workbench as wb
from workbench.loop import run_sync
from workbench.ports import Query
from workbench.profiles import for_tests
from workbench.sandbox.littrs_engine import AVAILABLE
from workbench.sandbox.session import Session

Open = Callable[..., Session]

RECORDED = {
    "time.time()": "os.time.time",
    "time.time_ns()": "os.time.time",
    "time.monotonic()": "os.time.time",
    "time.perf_counter()": "os.time.time",
    "time.strftime('%Y')": "os.time.time",
    "time.ctime()": "os.time.time",
    "datetime.datetime.now()": "os.datetime.now",
    "datetime.datetime.now(datetime.timezone.utc)": "os.datetime.now",
    "datetime.date.today()": "os.date.today",
    "random.random()": "os.urandom",
    "random.randint(1, 10**9)": "os.urandom",
    "random.choice(list(range(10**6)))": "os.urandom",
    "random.sample(list(range(1000)), 20)": "os.urandom",
    "random.gauss(0, 1)": "os.urandom",
    "random.getrandbits(64)": "os.urandom",
    "os.urandom(8)": "os.urandom",
}
REFUSED = ["random.SystemRandom().random()", "datetime.datetime.utcnow()", "datetime.datetime.today()", "os.getpid()", "os.getrandom(4)"]
CONSTANT = ["hash('text')", "hash((1, 'a', None))", "random.Random(1).random()", "time.process_time()", "sys.version", "repr(lambda: 1)"]

IMPORTS = "import time, datetime, random, os, sys\n"


@pytest.mark.parametrize(("expression", "call"), RECORDED.items())
async def test_the_clock_and_randomness_are_recorded_and_come_back(open_session: Open, host: Any, expression: str, call: str) -> None:
    session = open_session("monty")
    first = await session.run(f"{IMPORTS}x = {expression}\nx", host)
    assert [made.tool for made in first.calls] == [call]
    rebuilt = await open_session("monty", items=session.items).run("x", host)
    assert (rebuilt.value, rebuilt.calls) == (first.value, ())


@pytest.mark.parametrize("expression", REFUSED)
async def test_what_would_go_past_the_record_is_refused(open_session: Open, host: Any, expression: str) -> None:
    result = await open_session("monty").run(IMPORTS + expression, host)
    assert (result.status, result.calls) == ("error", ())


@pytest.mark.parametrize("module", ["uuid", "secrets", "threading", "multiprocessing", "socket", "tempfile", "platform"])
async def test_modules_that_know_the_machine_do_not_exist(open_session: Open, host: Any, module: str) -> None:
    result = await open_session("monty").run(f"import {module}", host)
    assert result.error is not None
    assert result.error.type == "ModuleNotFoundError"


@pytest.mark.parametrize("expression", CONSTANT)
async def test_what_is_not_recorded_is_the_same_in_every_worker(open_session: Open, host: Any, expression: str) -> None:
    results = [await open_session("monty").run(IMPORTS + expression, host) for _ in range(2)]
    assert repr(results[0].value) == repr(results[1].value)
    assert results[0].digest == results[1].digest


async def test_a_seed_makes_randomness_repeatable(open_session: Open, host: Any) -> None:
    code = "import random\nrandom.seed(7)\n[random.random(), random.randint(1, 9), random.choice('abc')]"
    one, two = [(await open_session("monty").run(code, host)).value for _ in range(2)]
    assert one == two


PROGRAM = """\
words = tool(["pear", "fig", "date", "fig"])["args"][0]
counts = {}
for word in words:
    counts[word] = counts.get(word, 0) + 1
print(counts, f"{sum([1, 2, 3]) / 4:.3f}")
tool(b=counts, a=sorted(words))
counts
"""
SETS = "x = {'pear', 'fig', 'date', 'apple'}\nprint(x, sorted(x))\ny = tool(x)\n[x, {q: 1 for q in x}]"

CHILD = """
import asyncio, json, sys
from workbench.sandbox.session import Session

async def host(name, args, kwargs):
    return {"name": name, "args": list(args), "kwargs": kwargs}

async def main(engine, code):
    session = Session("s", engine=engine)
    result = await session.run(code, host, tools=("tool",))
    await session.close()
    return [result.digest, result.prints, result.engine, result.error.message if result.error else None]

print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2]))))
"""


def elsewhere(seed: str, engine: str, code: str) -> list[Any]:
    """Digest, prints and engine of a program run in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", CHILD, engine, code], env=environment, check=True, capture_output=True, text=True)
    answer: list[Any] = json.loads(done.stdout)
    assert answer[3] is None
    return answer


def test_a_digest_is_the_same_in_processes_of_other_hash_seeds_and_on_both_engines() -> None:
    engines = ["littrs", "monty"] if AVAILABLE else ["monty"]
    seen = {(digest, prints) for engine in engines for seed in ("1", "2") for digest, prints, *_ in [elsewhere(seed, engine, PROGRAM)]}
    assert len(seen) == 1


def test_sets_do_not_make_a_digest_depend_on_the_process() -> None:
    assert len({tuple(elsewhere(seed, "monty", SETS)[:2]) for seed in ("1", "2", "3")}) == 1


def _log(seed: int) -> list[bytes]:
    code = "import time, datetime, random\nprint(time.time(), datetime.datetime.now())\ntime.sleep(20)\nfinish(random.random())"
    bench = for_tests(seed)
    agent = wb.Agent(wb.models.Scripted([f"```python\n{code}\n```"]), engine="monty", workbench=bench)
    run = agent.start("what time is it")
    run.result(20)
    log = run_sync(stored(bench, run.id))
    agent.close()
    bench.close()
    return log


async def stored(bench: wb.Workbench, run_id: str) -> list[bytes]:
    return [entry.data async for entry in bench.store.read(Query(lifetime_ids=[run_id]))]


def test_under_the_test_profile_time_and_chance_are_the_same_for_the_same_seed_and_sleep_takes_no_time() -> None:
    first, again, other = _log(7), _log(7), _log(8)
    assert first == again
    assert b'"os.urandom"' in b"".join(first)
    assert first != other
