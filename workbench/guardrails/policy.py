"""Policy: the rules that a run is judged by, from a file, a text or another policy language."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, Self

from workbench.errors import PolicyError
from workbench.guardrails.judge import Judgement, Subject, Sums, judge
from workbench.guardrails.reading import ARROW, read_policy
from workbench.guardrails.rules import Rule, Window
from workbench.record.codec import sha256, to_json
from workbench.record.envelope import PolicyText
from workbench.record.state import RunState

YAML = "yaml"
ENTRY_POINTS = "workbench.policies"

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(?=\S)")


class PolicyEngine(Protocol):
    """What judges runs. `Policy` is the one for YAML; others are found by their scheme among the entry points `workbench.policies`,
    each a function from the text behind the scheme to such an engine."""

    @property
    def text(self) -> str:
        """What the engine can be made of again; the record keeps it."""
        ...

    @property
    def hash(self) -> str:
        """Of what the rules say."""
        ...

    @property
    def wants(self) -> tuple[Window, ...]:
        """What has to be summed up beyond the lifetime itself."""
        ...

    def judge(self, state: RunState, subject: Subject, sums: Sums) -> Judgement:
        """Judge one execution, dispatch or call. Pure. If it raises, the run pauses."""
        ...


@dataclass(frozen=True, repr=False)
class Policy:
    """Rules written in YAML, or in lines of the short form.

    >>> import workbench as wb
    >>> wb.Policy.parse("sum(tokens_used) > 10 000 -> abort_lifetime").rules[0].action
    'abort_lifetime'
    """

    text: str
    rules: tuple[Rule, ...]
    version: str = "1"
    hash: str = ""
    """Of what the rules say: spaces, comments and the order of fields do not matter."""

    @classmethod
    def parse(cls, text: str, *, where: str = "the policy") -> Self:
        """A policy from its text.

        Raises:
            PolicyError: lists every fault with its line.
        """
        version, rules = read_policy(text, where)
        return cls(text, rules, version, sha256(to_json([version, [rule.terms for rule in rules]])))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A policy from a file."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise PolicyError(f"the policy {str(path)!r}", [f"it cannot be read: {error}"]) from error
        return cls.parse(text, where=f"the policy {str(path)!r}")

    @property
    def wants(self) -> tuple[Window, ...]:
        """The windows that its rules look at, beyond the lifetime's own statistics."""
        windows = {rule.over for rule in self.rules if rule.when.aggregates}
        return tuple(sorted((window for window in windows if window != Window("lifetime", None)), key=str))

    def judge(self, state: RunState, subject: Subject, sums: Sums) -> Judgement:
        """What the rules say."""
        return judge(self, state, subject, sums)

    def rule(self, rule_id: str) -> Rule | None:
        """A rule by its id."""
        return next((rule for rule in self.rules if rule.id == rule_id), None)

    def __repr__(self) -> str:
        return f"<Policy {self.version}: {len(self.rules)} rules, {self.hash[:8]}>"

    def _repr_markdown_(self) -> str:
        """How notebooks show a policy: its rules, a row each."""
        rows = [[f"`{rule.id}`", ", ".join(rule.on), f"`{rule.when.text}`", rule.action, rule.message or ""] for rule in self.rules]
        table = [["rule", "on", "when", "action", "message"], ["---"] * 5, *rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in table)


@dataclass(frozen=True)
class Language:
    """A policy together with the language it is in."""

    name: str
    engine: PolicyEngine

    @property
    def recorded(self) -> PolicyText:
        """What the record keeps of it."""
        return PolicyText(language=self.name, text=self.engine.text, hash=self.engine.hash)


def policy_of(given: str | Path | Policy | None) -> Language | None:
    """The policy that a person means: a Policy, a path, a policy's text, or `scheme:…` for another policy language.

    Raises:
        PolicyError: it cannot be read, or there is no such file or language.
    """
    if given is None:
        return None
    if isinstance(given, Policy):
        return Language(YAML, given)
    if isinstance(given, str):
        scheme = _SCHEME.match(given)
        if scheme is not None and "\n" not in given:
            return Language(scheme[1], _engine(scheme[1], given[scheme.end() :]))
        if "\n" in given or ARROW.search(given) or given.lstrip().startswith("{"):
            return Language(YAML, Policy.parse(given))
    if not isinstance(given, str | Path):
        raise PolicyError(f"the policy {given!r}", [f"it is a {type(given).__name__}; give a path, a text or a wb.Policy"])
    return Language(YAML, Policy.load(given))


def restored(recorded: PolicyText) -> Language:
    """The policy of a recorded run.

    Raises:
        PolicyError: it cannot be made again, or says something else by now.
    """
    engine = Policy.parse(recorded.text) if recorded.language == YAML else _engine(recorded.language, recorded.text)
    if engine.hash != recorded.hash:
        raise PolicyError("the run's policy", [f"its {recorded.language} rules say something else than when the run began"])
    return Language(recorded.language, engine)


def _engine(scheme: str, text: str) -> PolicyEngine:
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if scheme not in found:
        known = ", ".join(f"{name}:" for name in sorted(found)) or "none but YAML"
        raise PolicyError(f"the policy {scheme + ':' + text[:60]!r}", [f"there is no policy language {scheme!r}; installed: {known}"])
    make: Callable[[str], PolicyEngine] = found[scheme].load()
    return make(text)
