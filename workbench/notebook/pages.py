"""What the tabs of a live view ask for: the graph's drawing, the conversation, the record. Read from the store when somebody looks."""

from __future__ import annotations

import json
from typing import Any

from workbench.errors import UserError
from workbench.notebook import shown
from workbench.notebook.shown import Redact
from workbench.notebook.wire import Page
from workbench.ports import Query
from workbench.record.entries import StoredEntry, decode_entry
from workbench.record.envelope import AnyEntry, HitlEvent, ToolCallEntry
from workbench.runtime.run import Run

MESSAGES = 50
ENTRIES = 100
"""Rows in an answer."""
ENTRY = 60_000
"""Characters of one entry."""


class Pages:
    """The pages of one run. Everything in them is redacted and made visible, as in the rest of the view."""

    def __init__(self, run: Run, redact: Redact = str) -> None:
        self._run = run
        self._redact = redact

    async def page(self, what: str, after: int) -> Page:
        """Some rows: `after` is how many come before them.

        Raises:
            UserError: there is no such page.
        """
        match what:
            case "graph":
                graph = await self._run.graph()
                return _page("graph", 0, 1, [] if graph is None else [{"svg": graph.to_svg()}])
            case "messages":
                said = [
                    (entry.seq, message) for entry in await self._run.workbench.plane.entries(self._run.id) for message in entry.messages
                ]
                rows = [
                    {"role": message.role, "step": seq, "body": self._text(message.content)} for seq, message in said[after:][:MESSAGES]
                ]
                return _page("messages", after, len(said), rows)
            case "record":
                stored = await self._stored(after, ENTRIES)
                return _page("record", after, after + len(stored), [_row(each) for each in stored])
            case "entry":
                stored = await self._stored(after, 1)
                bodies = [json.dumps(_without_keys(json.loads(each.body)), indent=2, ensure_ascii=False) for each in stored]
                rows = [{"body": self._text(body, ENTRY)} for body in bodies]
                return _page("entry", after, len(rows), rows)
        raise UserError(f"a run has no page {what!r}; it has graph, messages, record and entry")

    async def _stored(self, after: int, count: int) -> list[StoredEntry]:
        query = Query(lifetime_ids=[self._run.id], after_seq=after, limit=count)
        return [stored async for stored in self._run.workbench.store.read(query)]

    def _text(self, text: str, limit: int = shown.FIELD) -> shown.Text:
        return shown.clip(self._redact(text), limit)


def _without_keys(data: Any) -> Any:
    """An entry without the keys of the blobs it refers to: what is shown may be saved in a notebook."""
    if isinstance(data, list):
        return [_without_keys(item) for item in data]
    if isinstance(data, dict):
        shown_key = {"key": "hidden"} if data.keys() >= {"uri", "sha256", "key"} else {}
        return {name: _without_keys(value) for name, value in data.items()} | shown_key
    return data


def _page(what: Any, after: int, total: int, rows: list[dict[str, Any]]) -> Page:
    return {"what": what, "after": after, "total": total, "rows": rows}


def _row(stored: StoredEntry) -> dict[str, Any]:
    entry = decode_entry(stored)
    kind = f"{entry.kind.replace('_', ' ')}"
    at = f"{entry.header.created_at:%H:%M:%S.%f}"[:-3]
    return {"seq": entry.seq, "kind": kind, "what": _what(entry), "at": at, "hash": stored.hash[:12]}


def _what(entry: AnyEntry) -> str:
    """An entry in a few words."""
    phase = getattr(entry, "phase", "")
    name = entry.call.tool if isinstance(entry, ToolCallEntry) else entry.header.name
    decided = entry.response.decision if isinstance(entry, HitlEvent) and entry.response is not None else ""
    return shown.line_of(" ".join(word for word in (name, phase, decided, entry.header.status.lower()) if word), 120)
