"""What a stream of sandbox items says, without running anything: the state it describes, which engine that needs, and digests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.record.codec import decode_value, sha256, to_json
from workbench.record.sandbox_items import BlockStatus, EngineName, RecordedCall, SandboxBlock, SandboxItem
from workbench.record.values import ErrorInfo
from workbench.sandbox import faithful

_NOTHING_LEFT: frozenset[BlockStatus] = frozenset({"refused", "interrupted"})


def leaves_state(block: SandboxBlock) -> bool:
    """Whether the block may have changed a variable: a refused, rolled back or unparsable one has not."""
    return block.status not in _NOTHING_LEFT and (block.error is None or block.error.code != "sandbox_refused")


def effective(items: Sequence[SandboxItem]) -> list[SandboxItem]:
    """The items that the present state is made of, in order."""
    start = max((place for place, item in enumerate(items) if item.action == "reset"), default=-1) + 1
    return [item for item in items[start:] if item.block is None or leaves_state(item.block)]


def value_of(item: SandboxItem) -> Any:
    """The value that a `set`, `mount` or `module` item carries."""
    return decode_value(item.value.inline) if item.value is not None else None


def needs_monty(items: Sequence[SandboxItem]) -> str | None:
    """Why this state cannot be held by littrs, or None."""
    for item in effective(items):
        if item.block is not None and item.block.engine == "monty":
            return f"the session is on monty since block {item.block.block_no}"
        if item.action == "set" and not faithful.holds(value_of(item)):
            return f"the variable {item.name} holds a value that littrs does not keep"
    return None


def scope_after(scope: faithful.Scope, block: SandboxBlock) -> faithful.Scope:
    """What the gate knows after a block that littrs has run."""
    ended_by = {block.calls[-1].tool} if block.status == "finished" and block.calls else set()
    accepted = faithful.check(block.code, scope, block.tools, ())
    if block.status == "ok" or (ended_by and _ends_with(block, scope, ended_by)):
        return accepted.scope
    return {name: kind for name, kind in scope.items() if name not in accepted.assigned}


def _ends_with(block: SandboxBlock, scope: faithful.Scope, finishers: set[str]) -> bool:
    try:
        faithful.check(block.code, scope, block.tools, finishers)
    except faithful.Refused:
        return False
    return True


def scope_of(items: Sequence[SandboxItem]) -> faithful.Scope:
    """What the gate knows of the variables of a session that littrs holds."""
    scope: faithful.Scope = {}
    for item in effective(items):
        if item.action == "set" and item.name is not None:
            scope = {**scope, item.name: faithful.kind_of(value_of(item))}
        elif item.block is not None:
            scope = scope_after(scope, item.block)
    return scope


def block_digest(calls: Sequence[RecordedCall], prints_sha256: str, value: Any, error: ErrorInfo | None) -> str:
    """What a repetition must reproduce; `value` is encoded. Neither variables nor messages count, so both engines can agree."""
    told = [[call.tool, call.args.inline, _outcome(call)] for call in calls]
    return sha256(to_json([told, prints_sha256, value, error.type if error is not None else None]))


def _outcome(call: RecordedCall) -> list[Any]:
    if call.error is not None:
        return ["error", call.error.type, call.error.message]
    return ["value", call.result.inline] if call.result is not None else ["end"]


def engine_of(items: Sequence[SandboxItem]) -> EngineName | None:
    """The engine that ran last."""
    return next((item.block.engine for item in reversed(items) if item.block is not None), None)
