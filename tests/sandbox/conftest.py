"""What the sandbox tests share: which engines there are, a host with a few tools, and sessions that are closed afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from workbench.sandbox.engine import ProgramEnd
from workbench.sandbox.littrs_engine import AVAILABLE
from workbench.sandbox.session import Session

ENGINES = ["auto", "littrs", "monty"] if AVAILABLE else ["auto", "monty"]


class Host:
    """Answers `tool` with what it was given, raises in `boom`, and ends the program in `finish`; keeps every call it saw."""

    tools = ("tool", "boom", "finish", "give")

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.error: Exception = ValueError("bad")
        self.gives: Any = None

    async def __call__(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.calls.append((name, args, kwargs))
        if name == "finish":
            raise ProgramEnd
        if name == "boom":
            raise self.error
        return self.gives if name == "give" else {"name": name, "args": list(args), "kwargs": kwargs}

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def open_session() -> AsyncIterator[Callable[..., Session]]:
    opened: list[Session] = []

    def open_one(engine: str = "auto", **options: Any) -> Session:
        opened.append(Session(f"s{len(opened)}", engine=engine, **options))
        return opened[-1]

    yield open_one
    for session in opened:
        await session.close()
