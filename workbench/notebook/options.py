"""What the lines with `%%tool` and `%%agent` can say; None is what `%workbench` says."""

from __future__ import annotations

from argparse import ArgumentTypeError
from dataclasses import dataclass
from keyword import iskeyword
from typing import Literal

from workbench.agents.codeact import Approve
from workbench.sandbox.session import EngineChoice
from workbench.tools.tool import On


def variable(text: str) -> str:
    """The name of a variable that can be bound.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isidentifier() or iskeyword(text):
        raise ArgumentTypeError(f"{text!r} is no name of a variable")
    return text


@dataclass(frozen=True, kw_only=True)
class ToolOptions:
    """The options of a `%%tool` cell, for all of its tools."""

    timeout: float | None = None
    retries: int = 0
    idempotent: bool = False
    finish: bool = False
    approval: bool = False
    on: On | None = None


@dataclass(frozen=True, kw_only=True)
class AgentOptions:
    """The options of an `%%agent` cell."""

    model: str | None = None
    tools: tuple[str, ...] | None = None
    max_iterations: int | None = None
    schema: str | None = None
    system: str | None = None
    policy: str | None = None
    engine: EngineChoice | None = None
    approve: Approve | None = None
    approvals: Literal["wait", "reject"] | None = None
    given: str | None = None
    """Names of variables that are put into the sandbox, separated by commas."""
    continuing: bool = False
    output: str | None = None
    background: bool = False
