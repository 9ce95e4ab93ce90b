"""Where in a graph's forks, rounds and attempts an execution stands, in words."""

from __future__ import annotations

from workbench.record.envelope import Header, PlanExecution


class Branches:
    """The branches that Plans have begun."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    def add(self, entry: PlanExecution) -> None:
        """Remember what a fork's branches are called."""
        if not entry.result.fork:
            return
        chosen = entry.result.next_tasks
        for number, task in enumerate(chosen):
            words = task.branch_key or f"{number + 1} of {len(chosen)}"
            self._words[f"{entry.header.exec_id}/{number}"] = words

    def of(self, path: tuple[str, ...]) -> str:
        """A branch in words, from the outside in."""
        return " · ".join(self._words.get(branch, "?") for branch in path)


def aside_of(header: Header, branches: Branches, *, agent: bool) -> str:
    """What tells an execution from others of the same node; empty for the only one. An agent's rounds are its steps: not told twice."""
    parts = [f"branch {branches.of(header.branch_path)}"] if header.branch_path else []
    if header.iteration_idx and not agent:
        parts.append(f"round {header.iteration_idx + 1}")
    if header.attempt > 1:
        parts.append(f"attempt {header.attempt}")
    return ", ".join(parts)
