"""A run's place in the page: the live view while it happens, then the static one in its place."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from IPython.display import display

from workbench.errors import UserError
from workbench.loop import run_async, run_sync
from workbench.notebook.asking import wrong_arguments
from workbench.notebook.live import LiveRun
from workbench.notebook.pages import Pages
from workbench.notebook.static import bundle
from workbench.notebook.view import RunView
from workbench.record.codec import encode_value
from workbench.record.envelope import AnyEntry, HitlResponse
from workbench.record.values import Payload
from workbench.runtime.data_plane import RUN_TOPIC
from workbench.runtime.run import Run

ACTOR = "notebook"


class Drawing:
    """One display of one run. Not interactive means that it is one line until the end, for notebooks that nobody is looking at."""

    def __init__(self, run: Run, *, interactive: bool) -> None:
        self._run = run
        self._live = self._open() if interactive else None
        # Displayed now even when there is nothing to see yet: its place is above whatever the cell shows next.
        shown = self._live.widget if self._live is not None else {"text/plain": "" if run.done else repr(run)}
        self._handle = display(shown, raw=self._live is None, display_id=True)

    async def watch(self) -> None:
        """Follow the run to its end, then leave the static view in its place."""
        following = [asyncio.ensure_future(self._live.watch())] if self._live is not None else []
        try:
            # The end is the run's, not the view's: a run that is broken off, or a view that fails, has none.
            await self._run.wait()
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            self._replace(await run_async(self._static(broken=self._run.status == "interrupted")))

    async def follow(self) -> None:
        """Follow the run, and stay interactive when it has ended."""
        if self._live is None:
            return
        following = asyncio.ensure_future(self._live.watch())
        try:
            await self._run.wait()
            if self._run.status == "interrupted":
                self._live.interrupted()
                following.cancel()
        finally:
            await asyncio.gather(following, return_exceptions=True)

    def settle(self) -> None:
        """Leave the static view of the record as it stands; for callers that cannot await."""
        self._replace(run_sync(self._static(broken=self._run.status == "interrupted")))

    def _replace(self, static: dict[str, Any]) -> None:
        self._handle.update(static, raw=True)
        if self._live is not None:
            self._live.close()

    async def _static(self, *, broken: bool) -> dict[str, Any]:
        view = RunView()
        for entry in await self._entries(0):
            view.apply(entry)
        if broken and not view.state.terminal:
            view.interrupted()
        _, head = await self._run.workbench.store.head(self._run.id)
        return bundle(view.full(), head_hash=head)

    async def _entries(self, after: int) -> list[AnyEntry]:
        return await self._run.workbench.plane.entries(self._run.id, after=after)

    def _open(self) -> LiveRun:
        run = self._run
        return LiveRun(
            read_entries=self._entries,
            subscribe=lambda: run.workbench.bus.subscribe(RUN_TOPIC, run.id),
            on_stop=lambda: run.stop("stopped in the notebook"),
            on_decide=self._decide,
            pages=Pages(run).page,
            instead=f"Run {run.id} is drawn here while this page is open; wb.open({run.id[:8]!r}).show() draws it anew.",
        )

    def _decide(self, message: dict[str, Any]) -> None:
        """A decision from the page. It binds to the text the person saw: an outdated one is refused when it is taken up."""
        value = None
        if message.get("value_json") is not None:
            try:
                value = json.loads(message["value_json"])
            except ValueError as error:
                raise UserError(f"this is not valid JSON: {error}") from error
        response = HitlResponse(
            request_id=message["request_id"],
            decision=message["decision"],
            actor=ACTOR,
            subject_hash=message["subject_hash"],
            value=None if message.get("value_json") is None else Payload(inline=encode_value(value)),
            note=message.get("note") or None,
        )
        self._check(response, value)
        if not run_sync(self._run.decide(response)):
            raise UserError(run_sync(self._run.how_decided(response.request_id)))

    def _check(self, response: HitlResponse, value: Any) -> None:
        """Changed arguments must be ones that the tool takes; its schema stands in the run's manifest."""
        asked = self._run.state.requests.get(response.request_id)
        if asked is None or asked.kind != "approval" or value is None:
            return
        manifest = self._run.state.manifest
        resources = manifest.resources if manifest is not None and isinstance(manifest.resources, dict) else {}
        tools = {tool.get("name"): tool for tool in resources.get("tools") or [] if isinstance(tool, dict)}
        wrong = wrong_arguments(tools.get(asked.tool, {}).get("schema"), value)
        if wrong:
            raise UserError(f"the changed arguments are not ones that {asked.tool!r} takes: {wrong}")
