"""A graph in types, as a person would write it; `mypy --strict` accepts it."""

from __future__ import annotations

from typing import assert_type

from pydantic import BaseModel, Field

import workbench as wb


class Page(BaseModel):
    """What was fetched."""

    url: str
    words: int = Field(ge=0)


class Report(BaseModel):
    """What is said of it."""

    text: str
    about: Page


class Fetch(wb.Task, timeout=30, retries=1, idempotent=True):
    """A Task with state of its own."""

    def __init__(self, base: str) -> None:
        self.base = base
        super().__init__()

    async def run(self, path: str) -> Page:
        """Async, and its annotations are its schema."""
        return Page(url=self.base + path, words=len(path))


@wb.task(output=Report)
def report(page: Page, ctx: wb.TaskContext) -> Report:
    """A function; sync, with a context."""
    ctx.logger.info("writing")
    return Report(text=f"{page.words} words", about=page)


class Judge(wb.Plan):
    """A Plan that is given Pages."""

    def choose(self, given: wb.PlanInput[Page]) -> wb.PlanResult:
        """Pure."""
        assert_type(given.value, Page)
        return wb.PlanResult.to("report" if given.value.words else "End")


graph = wb.AgentGraph(
    "typed",
    nodes=[Fetch("https://example.org/"), Judge(), report],
    edges=[("Start", "Fetch"), ("Fetch", "Judge"), ("Judge", "report"), ("Judge", "End"), ("report", "End")],
)
