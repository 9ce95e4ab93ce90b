"""A memory workbench, and an agent whose model follows a script."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import workbench as wb
from workbench.profiles import for_tests


@pytest.fixture
def bench() -> Iterator[wb.Workbench]:
    bench = for_tests(1)
    yield bench
    bench.close()


@pytest.fixture
def agent(bench: wb.Workbench) -> Iterator[Callable[..., wb.Agent]]:
    """`agent(*replies, **options)`; a reply that does not contain a fence or a tag is wrapped in one as Python."""
    made: list[wb.Agent] = []

    def make(*replies: str, raw: bool = False, **options: Any) -> wb.Agent:
        script = list(replies) if raw else [f"```python\n{reply}\n```" for reply in replies]
        made.append(wb.Agent(wb.models.Scripted(script), workbench=bench, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
