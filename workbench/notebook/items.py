"""The parts a `RunView` is made of: fields that know at which version they last changed, so that a patch can carry only those."""

from __future__ import annotations

from collections import Counter
from typing import Any

from workbench.notebook import shown
from workbench.notebook.shown import Code
from workbench.notebook.wire import BADGES, Badge
from workbench.record.envelope import Telemetry
from workbench.record.values import nano_dollars

STEP_ROOM = 32_000
"""Characters of one step that are sent in full; what comes after them is cut short."""


class Item:
    """Fields, and the version at which each last changed."""

    def __init__(self, version: int, **fields: Any) -> None:
        self.data: dict[str, Any] = fields
        self.changed = dict.fromkeys(fields, version)
        self.version = version
        self.live: dict[str, tuple[str, int]] = {}
        """Field → the end of the text arriving in it, and the whole text's length."""

    def set(self, version: int, **fields: Any) -> None:
        """Change fields; one that has the value already has not changed."""
        for name, value in fields.items():
            if name not in self.data or self.data[name] != value:
                self.data[name] = value
                self.changed[name] = self.version = version

    def since(self, version: int) -> dict[str, Any]:
        """The fields that have changed after `version`, and the index."""
        return {name: value for name, value in self.data.items() if self.changed[name] > version or name == "index"}


class StepItem(Item):
    """A step: its fields, its calls and requests, and what is counted on the way."""

    def __init__(self, version: int, index: int, start_ms: int) -> None:
        super().__init__(
            version,
            index=index,
            number=index + 1,
            headline="",
            aside="",
            badge=BADGES["running"],
            hold=False,
            start_ms=start_ms,
            end_ms=None,
            took="",
            tokens="",
            cost="",
            thought=None,
            reply=None,
            code=None,
            asking=[],
            engine="",
            prints=None,
            value=None,
            error=None,
            note=None,
            calls_total=0,
        )
        self.calls: list[Item] = []
        self.requests: list[Item] = []
        self.did = "asking the model"
        """What the headline begins with; what ends in `running` or `ran` is about code."""
        self.answered = False
        self.room = STEP_ROOM
        self.reply = ""
        self.paused: dict[str, Item] = {}
        """Bars that go on when a person has answered, by what they belong to."""
        self._tools: Counter[str] = Counter()
        self._tokens_in = self._tokens_out = self._cached = self._nano = self._unpriced = 0

    def full(self) -> dict[str, Any]:
        """All of it."""
        return self.data | {"calls": [dict(call.data) for call in self.calls], "requests": [dict(asked.data) for asked in self.requests]}

    def since(self, version: int) -> dict[str, Any]:
        """What has changed after `version`; of a step that is new, all of it."""
        patch = super().since(version)
        for name, items in (("calls", self.calls), ("requests", self.requests)):
            changed = [item.since(version) for item in items if item.version > version]
            if changed or self.changed["index"] > version:
                patch[name] = changed
        return patch

    def called(self, version: int, tool: str) -> None:
        """Count a tool call."""
        self._tools[tool] += 1
        self.set(version, calls_total=self.data["calls_total"] + 1)
        self.say(version)

    def spent(self, version: int, telemetry: Telemetry) -> None:
        """Count tokens and cost."""
        self._tokens_in += telemetry.tokens_in
        self._tokens_out += telemetry.tokens_out
        self._cached += telemetry.cached_tokens
        self._nano += nano_dollars(telemetry.cost_usd) if telemetry.cost_usd is not None else 0
        self._unpriced += telemetry.unpriced
        tokens = self._tokens_in + self._tokens_out
        words = shown.tokens_text(self._tokens_in, self._cached, self._tokens_out)
        self.set(version, tokens=words, cost=shown.money_text(self._nano, self._unpriced, tokens))

    def say(self, version: int, did: str | None = None) -> None:
        """Put the step into one line."""
        self.did = did or self.did
        code: Code | None = self.data["code"]
        parts = [self.did]
        if code is not None and self.did.endswith(("running", "ran")):
            parts = [f"{self.did} {code['lines']} {'line' if code['lines'] == 1 else 'lines'}"]
        if self._tools:
            named = [tool if times == 1 else f"{tool} \u00d7{times}" for tool, times in self._tools.most_common(3)]
            rest = len(self._tools) - len(named)
            parts.append("called " + ", ".join(named) + (f" and {rest} more" if rest else ""))
        if self.answered:
            parts.append("answered")
        self.set(version, headline=", ".join(parts))

    def was(self, version: int, *, past: bool) -> None:
        """Nobody works on it any more, or somebody does again: the headline says `was running` or `running`."""
        self.did = self.did.removeprefix("was ")
        if past and self.did in ("running", "asking the model"):
            self.did = f"was {self.did}"
        self.say(version)

    def cut_off(self) -> None:
        """It was ended before it was done: say so of what it was doing."""
        if self.did in ("running", "asking the model"):
            self.did = f"stopped while {self.did}"

    def taken_over(self, version: int) -> None:
        """If it is over by now, it happened in the run that this one is a fork of."""
        if self.data["end_ms"] is not None:
            self.set(version, aside=", ".join(word for word in (self.data["aside"], "taken over") if word))

    def end(self, version: int, now: int, badge: Badge) -> None:
        """The step is over, at `now` milliseconds into the run."""
        took = shown.duration_text(now - self.data["start_ms"])
        self.set(version, badge=badge, hold=badge["tone"] in ("bad", "wait"), end_ms=now, took=took)
        self.say(version)
