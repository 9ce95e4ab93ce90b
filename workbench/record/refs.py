"""References to what is in a record: what a state remembers instead of entries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from workbench.record.values import ErrorInfo, Status

Path = tuple[str, ...]
"""The branches something runs in, from the outside in: `id/number` of the Plan that forked and the branch."""

Place = tuple[str, tuple[int, ...]]
"""A node and the numbers of the branches it is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRef:
    """One Task that a Plan chose."""

    name: str
    index: int
    """Its place in the Plan's result."""
    branch: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRef:
    """A Plan's choice."""

    exec_id: str
    plan: str
    seq: int
    next: tuple[NextRef, ...]
    """What it chose and what has not been dispatched yet."""
    task_seqs: tuple[int, ...]
    """Where the results that the Plan looked at are stored."""
    branch: Path
    error: ErrorInfo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRef:
    """A Task execution in the record: dispatched, or finished."""

    exec_id: str
    name: str
    seq: int
    """Of its latest entry."""
    status: Status
    attempt: int
    iteration_idx: int
    input_id: str | None
    branch: Path
    choice: ChoiceRef | None
    """The Plan's choice it was dispatched for; None for the first Task."""
    index: int
    """Its place in that choice."""
    error: ErrorInfo | None = None

    @property
    def fork(self) -> str:
        """The exec id of the Plan whose fork it is in, innermost."""
        return fork_of(self.branch[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRef:
    """A fork whose branches have not come together."""

    plan: str
    size: int
    branch: Path
    """Of the Plan that forked."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRef:
    """A choice of `End`."""

    exec_id: str
    """Of the Plan."""
    seq: int
    index: int
    task_seqs: tuple[int, ...]
    branch: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRef:
    """A pause that a guardrail has called for."""

    request_id: str
    """Of the request by whose answer it ends; the exec id of the first verdict that called for it."""
    rules: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRef:
    """A tool call whose outcome is not recorded."""

    call_id: str
    exec_id: str
    tool: str
    ordinal: int
    idempotent: bool
    seq: int


def fork_of(branch: str) -> str:
    """The exec id of the Plan that made a branch."""
    return branch.rpartition("/")[0]


def branch_number(branch: str) -> int:
    """A branch's number in its fork."""
    return int(branch.rpartition("/")[2])


def place_of(name: str, path: Path) -> Place:
    """A node, and the numbers of the branches it is in: where it stands, whichever round of a cycle has made the forks."""
    return name, tuple(branch_number(branch) for branch in path)
