"""What differs between two runs, step by step, as plain data. Pure: entries in, a dict out.

Executions are matched by what they are (node, branch, round, attempt) and never by when they happened or by id, so two records of the same
work are the same however their branches were scheduled. Times, durations, costs and ids are no difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from workbench.record.envelope import AnyEntry, LifetimeEvent, PlanExecution, TaskExecution, ToolCallEntry
from workbench.record.events import readable
from workbench.record.refs import branch_number
from workbench.record.values import ErrorInfo

_MODEL = "task_llm"
"""The Task whose rounds are an agent's steps."""

Key = tuple[Any, ...]


def diff(left: Sequence[AnyEntry], right: Sequence[AnyEntry]) -> dict[str, Any]:
    """Compare two records.

        same    whether nothing differs
        first   the first step that differs, or None: for agents the model's turn, for graphs the number of the execution
        steps   for each execution that differs: `step`, `task`, `branch`, `attempt`, and `changed`, field → [left, right]; one that only
                one of the records has says `only`: "left" or "right"
        end     status, output and error of the runs where they differ, field → [left, right]

    The fields are `status`, `output`, `error`, `messages`, `calls` and `next`, which is the Plan's choice.
    """
    ours, theirs = _executions(left), _executions(right)
    order = [*ours, *(key for key in theirs if key not in ours)]
    steps = [found for key in order if (found := _compared(ours.get(key), theirs.get(key))) is not None]
    steps.sort(key=lambda step: step["step"])
    ends = _end(left), _end(right)
    end = {name: [ends[0][name], ends[1][name]] for name in ends[0] if ends[0][name] != ends[1][name]}
    return {"same": not steps and not end, "first": steps[0]["step"] if steps else None, "steps": steps, "end": end}


def _compared(ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> dict[str, Any] | None:
    either = ours or theirs
    assert either is not None
    place = {name: either[name] for name in ("step", "task", "branch", "attempt")}
    if ours is None or theirs is None:
        return {**place, "only": "right" if ours is None else "left", "changed": {}}
    changed = {name: [ours[name], theirs[name]] for name in ours if name not in place and ours[name] != theirs[name]}
    return {**place, "changed": changed} if changed else None


def _executions(entries: Sequence[AnyEntry]) -> dict[Key, dict[str, Any]]:
    """The finished executions of Tasks, with what was called in each and what a Plan made of it."""
    agent = any(entry.header.name == _MODEL for entry in entries)
    found: dict[Key, dict[str, Any]] = {}
    by_exec: dict[str, dict[str, Any]] = {}
    calls: dict[str, list[dict[str, Any]]] = {}
    seen: Counter[Key] = Counter()
    turn = 0
    for entry in entries:
        match entry:
            case ToolCallEntry(phase="outcome"):
                call = {"tool": entry.call.tool, "args": readable(entry.call.args)}
                came = {"error": _told(entry.call.error)} if entry.call.error else {"result": readable(entry.call.result)}
                calls.setdefault(entry.links.parent_exec_id or "", []).append({"ordinal": entry.call.ordinal, **call, **came})
            case TaskExecution(phase="started"):
                turn += agent and entry.header.name == _MODEL
            case TaskExecution():
                row = _row(entry, calls.pop(entry.header.exec_id, []))
                row["step"] = turn if agent else len(found) + 1
                key = (row["task"], *row["branch"], entry.header.iteration_idx, row["attempt"])
                found[(*key, seen[key])] = by_exec[entry.header.exec_id] = row
                seen[key] += 1
            case PlanExecution():
                for exec_id in entry.links.parent_task_exec_ids:
                    by_exec[exec_id]["next"] = _choice(entry)
    return found


def _row(entry: TaskExecution, calls: list[dict[str, Any]]) -> dict[str, Any]:
    result = entry.result
    return {
        "task": entry.header.name,
        "branch": [branch_number(branch) for branch in entry.header.branch_path],
        "attempt": entry.header.attempt,
        "status": entry.header.status,
        "output": readable(result.output) if result else None,
        "error": _told(result.error) if result else None,
        "messages": [[message.role, message.content] for message in entry.messages],
        "calls": sorted(calls, key=lambda call: call["ordinal"]),
        "next": None,
    }


def _choice(entry: PlanExecution) -> Any:
    if entry.result.error is not None:
        return {"error": entry.result.error.code}
    return [{"task": task.name} | ({} if task.args is None else {"args": readable(task.args)}) for task in entry.result.next_tasks]


def _told(error: ErrorInfo | None) -> Any:
    return None if error is None else {"code": error.code, "message": error.message}


def _end(entries: Sequence[AnyEntry]) -> dict[str, Any]:
    last = entries[-1] if entries else None
    if not isinstance(last, LifetimeEvent) or last.phase != "ended":
        return {"status": "unfinished", "output": None, "error": None}
    return {"status": last.to_status, "output": readable(last.output), "error": _told(last.error)}
