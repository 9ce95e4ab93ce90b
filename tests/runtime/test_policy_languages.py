"""Other policy languages, as if a package had installed them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

import workbench as wb
from tests.runtime.graphs import line
from tests.runtime.guarded import finished, one, steps, until, verdicts
from workbench.adapters.memory import MemoryStateStore
from workbench.errors import RunStopped
from workbench.guardrails import policy as policies
from workbench.guardrails.judge import Judgement, Violation


@dataclass(frozen=True)
class Words:
    """A policy language in which a text is the list of the nodes that may not finish."""

    text: str
    hash: str = "words"
    wants: tuple = ()

    def judge(self, state, subject, sums):
        if "explode" in self.text:
            raise ValueError("boom")
        bad = subject.point == "task" and subject.node in self.text.split()
        return Judgement((Violation(rule_id="words", scope="execution", action="abort_lifetime", message="a bad word"),) if bad else ())


@pytest.fixture
def words(monkeypatch):
    """The language, as if a package had installed it."""
    point = EntryPoint("words", f"{__name__}:Words", policies.ENTRY_POINTS)
    monkeypatch.setattr(policies, "entry_points", lambda group: [point] if group == policies.ENTRY_POINTS else [])


def test_another_policy_language_is_plugged_in(words, bench):
    run = wb.start(steps(3), policy="words:s1 s7", workbench=bench)
    with pytest.raises(RunStopped, match="a bad word"):
        run.result(10)
    policy = run.state.manifest.policy
    assert (policy.language, policy.text, len(finished(run))) == ("words", "s1 s7", 2)


def test_a_policy_language_that_fails_lets_nothing_through(words, bench):
    run = wb.start(steps(3), policy="words:explode", workbench=bench)
    until(lambda: run.pending)
    assert (run.status, finished(run)) == ("paused", [])
    assert "boom" in verdicts(run)[0].message
    run.unpause()
    until(lambda: len(verdicts(run)) == 2)
    run.stop()


def test_a_resumed_run_keeps_its_other_language(words, benches):
    store, graph = MemoryStateStore(), line(wb.task(idempotent=True)(one), wb.task(name="hang", idempotent=True)(hang))
    first, second = benches(state=store), benches(state=store)
    run = wb.start(graph, policy="words:hang", workbench=first)
    until(lambda: run.state.running)
    first.close()
    GO.set()
    with pytest.raises(RunStopped, match="a bad word"):
        second.resume(run.id, graph=graph).result(10)


GO = threading.Event()


def hang(value):
    GO.wait(5)
