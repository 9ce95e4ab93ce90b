"""What Tab offers in a line with one of our magics: its options, and for their values models, tools, policies, variables and runs.

Nothing is asked over a network, and of the store only the newest runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from workbench.current import current
from workbench.models.client import ModelClient
from workbench.models.resolve import EXAMPLES
from workbench.notebook.session import NotebookSession
from workbench.profiles import find_home

RUNS = 20
"""So many of the newest runs are offered."""

_LINE = re.compile(r"^\s*%{1,2}(agent|tool|try|runs|approve|replay|fork|workbench)\b(.*)$", re.DOTALL)

_VALUES = {
    "-m": "models",
    "--model": "models",
    "-t": "tools",
    "--tools": "tools",
    "--tool": "tools",
    "--policy": "policies",
    "--with": "variables",
    "--schema": "variables",
    "--system": "variables",
    "--engine": "auto littrs monty",
    "--approve": "none tools code",
    "--approvals": "wait reject",
    "--status": "completed failed aborted running waiting paused interrupted",
}
_FIRST = {"try": "tools", "approve": "runs", "replay": "runs", "fork": "runs", "workbench": "settings"}
"""What a magic's first argument is."""


def is_ours(matcher: Any) -> bool:
    """Whether a matcher of IPython's is one of these."""
    return getattr(matcher, "__module__", "") == __name__


class Completion:
    """Offers words for the magics of one session."""

    def __init__(self, ip: Any, session: NotebookSession) -> None:
        self._ip = ip
        self._session = session
        self._offers: dict[str, Callable[[], Iterable[str]]] = {
            "models": self._models,
            "tools": lambda: self._session.tools,
            "policies": self._policies,
            "variables": lambda: self._variables(object),
            "runs": self._runs,
            "settings": lambda: [*self._session.settings.names(), "reset"],
        }

        @context_matcher()
        def matcher(context: CompletionContext) -> SimpleMatcherResult:
            """The words that fit."""
            return self._matched(context)

        self.matcher = matcher

    def _matched(self, context: CompletionContext) -> SimpleMatcherResult:
        line = _LINE.match(context.line_with_cursor[: context.cursor_position])
        if line is None:
            return SimpleMatcherResult(completions=[])
        magic, before = line[1], line[2].split()
        word = before.pop() if before and not line[2][-1].isspace() else ""
        part = word.rpartition(",")[2]
        found = [offer for offer in self._offered(magic, before, word) if offer.startswith(part)]
        # IPython replaces the token at the cursor, which may be only the end of a word such as `openai:gpt`.
        cut = len(part) - len(context.token) if part.endswith(context.token) else 0
        completions = [SimpleCompletion(text=offer[cut:], type="magic") for offer in sorted(found)]
        return SimpleMatcherResult(completions=completions, suppress=bool(completions))

    def _offered(self, magic: str, before: list[str], word: str) -> Iterable[str]:
        values = _VALUES.get(before[-1]) if before else None
        if values is not None:
            return self._offers[values]() if values in self._offers else values.split()
        if word.startswith("-") or magic not in _FIRST or any(not each.startswith("-") for each in before):
            return self._options(magic)
        return self._offers[_FIRST[magic]]()

    def _options(self, magic: str) -> list[str]:
        found = self._ip.find_line_magic(magic) or self._ip.find_cell_magic(magic)
        parser = getattr(found, "parser", None)
        return [] if parser is None else [option for action in parser._actions for option in action.option_strings]

    def _models(self) -> list[str]:
        return [*EXAMPLES, *self._variables(ModelClient)]

    def _policies(self) -> list[str]:
        files = [path for pattern in ("*.yaml", "*.yml", "*/*.yaml", "*/*.yml") for path in Path().glob(pattern)]
        return [str(path) for path in files[:100] if not path.name.startswith(".")]

    def _variables(self, kind: type) -> list[str]:
        hidden = self._ip.user_ns_hidden
        return [
            name for name, value in self._ip.user_ns.items() if not name.startswith("_") and name not in hidden and isinstance(value, kind)
        ]

    def _runs(self) -> list[str]:
        return [run.id[:8] for run in current().runs(RUNS)] if find_home().is_dir() else []
