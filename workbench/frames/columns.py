"""The columns of every frame: a frame has them, with these types, also when it is empty."""

from __future__ import annotations

from dataclasses import dataclass

UTC = "datetime64[us, UTC]"
TEXT = "string"
INT = "Int64"
FLOAT = "Float64"
BOOL = "boolean"
ANY = "object"

SUMMED = ("tokens_in", "tokens_out", "cached_tokens", "reasoning_tokens", "unpriced")


@dataclass(frozen=True)
class Column:
    """A column of a frame: its name and pandas dtype."""

    name: str
    dtype: str


def _columns(**dtypes: str) -> tuple[Column, ...]:
    return tuple(Column(name, dtype) for name, dtype in dtypes.items())


USAGE: dict[str, str] = {"tokens_in": INT, "tokens_out": INT, "cached_tokens": INT, "reasoning_tokens": INT, "cost_usd": ANY}

RUNS = _columns(
    run_id=TEXT, title=TEXT, kind=TEXT, status=TEXT, model=TEXT, started_at=UTC, ended_at=UTC, duration_s=FLOAT, model_calls=INT,
    tasks=INT, plans=INT, tool_calls=INT, tool_errors=INT, **USAGE, unpriced=INT, error_code=TEXT, error=TEXT, value=ANY,
    graph_id=TEXT, session_id=TEXT, tenant_id=TEXT, entries=INT, forked_from=TEXT, forked_at=INT,
)  # fmt: skip
"""`cost_usd` is an exact Decimal of what has a price; `unpriced` counts the model calls that have none."""

EXECUTIONS = _columns(
    run_id=TEXT, exec_id=TEXT, kind=TEXT, name=TEXT, status=TEXT, iteration_idx=INT, attempt=INT, started_at=UTC, ended_at=UTC,
    latency_ms=FLOAT, model=TEXT, **USAGE, unpriced=BOOL, tool_calls=INT, error_code=TEXT, error=TEXT, output=ANY,
    next_tasks=ANY, sandbox_id=TEXT, block_no=INT, seq=INT,
)  # fmt: skip

EVENTS = _columns(
    run_id=TEXT, seq=INT, at=UTC, kind=TEXT, phase=TEXT, name=TEXT, status=TEXT, exec_id=TEXT, parent_exec_id=TEXT, iteration_idx=INT,
    latency_ms=FLOAT, size_bytes=INT, hash=TEXT,
)  # fmt: skip

TOOL_CALLS = _columns(
    run_id=TEXT, exec_id=TEXT, call_id=TEXT, ordinal=INT, tool=TEXT, status=TEXT, args=ANY, result=ANY, error_code=TEXT, error_type=TEXT,
    error=TEXT, prints=TEXT, idempotent=BOOL, started_at=UTC, duration_ms=FLOAT, seq=INT,
)  # fmt: skip
"""`status` is SUCCEEDED, FAILED, UNKNOWN (stopped in flight), or RUNNING (no outcome is recorded); `prints` is what the tool printed."""

VERDICTS = _columns(
    run_id=TEXT, seq=INT, at=UTC, rule_id=TEXT, scope=TEXT, point=TEXT, subject_exec_id=TEXT, action=TEXT, applied=BOOL, severity=TEXT,
    message=TEXT, values=ANY, policy_hash=TEXT,
)  # fmt: skip
"""`applied` says whether the action is what was done; of several rules that hold at once the strictest is."""

COSTS = _columns(executions=INT, model_calls=INT, tokens_used=INT, **USAGE, unpriced=INT, latency_ms=FLOAT, queue_ms=FLOAT)
"""After the column that says of whom. `cost_usd` is an exact Decimal of what has a price; `unpriced` counts the calls that have none."""

GROUPS = {"run": "run_id", "model": "model", "node": "name", "session": "session_id", "tenant": "tenant_id"}

APPROVALS = _columns(
    run_id=TEXT, request_id=TEXT, exec_id=TEXT, kind=TEXT, title=TEXT, tool=TEXT, rule=TEXT, args=ANY, asked_at=UTC, expires_at=UTC,
    open=BOOL, decision=TEXT, actor=TEXT, decided_at=UTC, wait_s=FLOAT, edited=BOOL, value=ANY, note=TEXT, seq=INT,
)  # fmt: skip

MESSAGES = _columns(run_id=TEXT, seq=INT, index=INT, role=TEXT, content=TEXT, characters=INT, at=UTC)
