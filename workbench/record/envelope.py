"""Envelope v1: the entries a record is made of.

Every entry is an envelope (schema, sequence number, kind, phase, time) around a header, telemetry, links and a body of its kind. Entries
are frozen and only ever appended; what starts and ends is two entries, never one that changes.

    kind              phases                                   what happened
    lifetime_event    created, resumed, expired, ended         a run began, was taken up by a new process, ran out of time, reached its end
    task_execution    started, finished                        a Task was dispatched; its result
    plan_execution    finished                                 a Plan chose what comes next
    tool_call         intent, outcome                          a tool is about to be called; what came of it
    hitl_event        requested, answered                      a person was asked; a person answered
    guardrail_event   judged                                   a rule of the run's policy held
    sandbox_event     opened, block, set, mount, module, reset the stream of one sandbox session

`prev_hash` and `hash` stand beside the stored bytes, not inside them: the hash covers `prev_hash` and exactly those bytes.
A sandbox session's stream is a record like any other: its `lifetime_id` is the session's id.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field, TypeAdapter

from workbench.record.codec import encode_value
from workbench.record.sandbox_items import SandboxItem
from workbench.record.values import ErrorInfo, LifetimeStatus, Message, Payload, Status, Text, ToolCall, Value

ABSENT: Any = object()
"""Says that an argument was not given, where None is a value."""

END = "End"
"""The pseudo-node that ends a lifetime."""

SCHEMA: Literal["workbench.envelope/1"] = "workbench.envelope/1"

Stamp = Annotated[AwareDatetime, AfterValidator(lambda stamp: stamp.astimezone(UTC))]
"""A moment from the injected clock, in UTC; one without a zone is refused."""

Dollars = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]{1,3})?$")]
"""An exact decimal string."""

Milliseconds = Annotated[float, Field(allow_inf_nan=False)]
"""A monotonic duration."""


class Header(Value):
    """Identity, timing, status and iteration."""

    lifetime_id: str
    exec_id: str
    """Of the execution; of a tool call, a request, or the lifetime itself for the other kinds."""
    name: str
    """The node's, tool's or event's name."""
    status: Status
    created_at: Stamp
    graph_id: str = ""
    graph_version: str = ""
    tenant_id: str = "default"
    session_id: str | None = None
    """Links the lifetimes of one notebook."""
    attempt: int = 1
    iteration_idx: int = 0
    """How many times this node has been dispatched before in this lifetime."""
    branch_path: tuple[str, ...] = ()
    """The branches it runs in, from the outside in: each is the exec id of the Plan that forked and the branch's number, `id/0`."""
    input_id: str | None = None
    edge_taken: str | None = None
    """`source->target` of the edge that led here."""
    started_at: Stamp | None = None
    ended_at: Stamp | None = None
    worker_id: str | None = None


class Telemetry(Value):
    """What policies and cost reports count. Token kinds stay apart; an unknown price is `unpriced`, never 0."""

    tokens_in: int = 0
    tokens_out: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: Dollars | None = None
    unpriced: bool = False
    latency_ms: Milliseconds | None = None
    """From dispatch to finish."""
    queue_ms: Milliseconds | None = None
    """From dispatch to the first line of node code."""
    tool_calls: int = 0
    retries: int = 0
    model: str | None = None
    price_table: str | None = None
    """Which version of the price table the cost is by."""

    @property
    def tokens_used(self) -> int:
        """Input and output tokens together."""
        return self.tokens_in + self.tokens_out


class Links(Value):
    """Which entries this one follows from."""

    parent_plan_exec_id: str | None = None
    parent_plan_name: str | None = None
    parent_task_exec_ids: tuple[str, ...] = ()
    parent_task_names: tuple[str, ...] = ()
    parent_exec_id: str | None = None
    """The execution inside which a tool was called or a person asked."""
    joins: str | None = None
    """Of a Plan behind JOIN edges: the exec id of the Plan whose fork it closes."""
    supersedes: str | None = None
    """Of a Task that is tried again: the exec id of the attempt before."""
    sandbox_id: str | None = None
    block_no: int | None = None
    """With `sandbox_id`: the block of the sandbox stream that this execution ran."""
    copied_from: int | None = None
    """In a fork: the number of the entry of the original that this one repeats."""
    edited: Literal[True] | None = None
    """With `copied_from`: what the fork changed when it was made."""


class TaskResult(Value):
    """Structured output of a Task: a payload, or an error."""

    output: Payload | None = None
    error: ErrorInfo | None = None


class NextTask(Value):
    """One Task a Plan wants run. Without `args` it receives the output of the Task the Plan looked at; behind a JOIN, the list of them."""

    name: str
    args: Payload | None = None
    branch_key: str | None = None
    """What the branch is about, where a Plan forks; for people."""


class PlanResult(Value):
    """A Plan's choice: the Tasks to run next, or the end of the lifetime (`End` along a FINAL edge), or an error."""

    next_tasks: tuple[NextTask, ...] = ()
    fork: bool = False
    """Whether the choice goes along PARALLEL edges: each Task begins a branch, numbered in this order."""
    reason: Text | None = None
    error: ErrorInfo | None = None

    @classmethod
    def to(cls, name: str, args: Any = ABSENT, *, reason: str | None = None) -> PlanResult:
        """Choose one Task, or `End`; with `args`, that is what it receives instead of the output the Plan looked at."""
        payload = None if args is ABSENT else Payload(inline=encode_value(args))
        return cls(next_tasks=(NextTask(name=name, args=payload),), reason=reason)

    @classmethod
    def each(cls, name: str, items: Iterable[Any], *, reason: str | None = None) -> PlanResult:
        """Choose one Task several times, once for each item, which is what it receives."""
        return cls(next_tasks=tuple(NextTask(name=name, args=Payload(inline=encode_value(item))) for item in items), reason=reason)

    @classmethod
    def fail(cls, code: str, message: str) -> PlanResult:
        """End the lifetime in failure."""
        return cls(error=ErrorInfo(code=code, message=message))

    @property
    def next_task_names(self) -> tuple[str, ...]:
        """The seed's form of the choice."""
        return tuple(task.name for task in self.next_tasks)


class ForkedFrom(Value):
    """Where a fork begins."""

    lifetime_id: str
    seq: int
    """The last entry of the original that counts for the fork; 0 for none but the first."""
    hash: str
    """The hash of that entry: it stands for the whole beginning of the original."""
    edits: Any = None
    """Encoded, JSON-ready description of what was changed, by what it was."""


class PolicyText(Value):
    """A policy as it was when the run began."""

    language: str
    """`yaml`, or the scheme of an installed policy language."""
    text: Text
    hash: str


class Manifest(Value):
    """What a new process needs to go on with a run: names, hashes and sources; no keys."""

    graph_id: str
    graph_version: str
    graph_hash: str
    title: Text
    """The task in one line, for lists."""
    kind: str = "graph"
    """`agent` for runs of the CodeAct graph."""
    resources: Any = None
    """Encoded, JSON-ready description of what the nodes use: model, tools, prompt, schema, limits, sandbox."""
    package: str = ""
    """The version of this package that started the run."""
    forked_from: ForkedFrom | None = None

    policy: PolicyText | None = None
    """What the run is judged by."""
    timeout: float | None = None
    """How many seconds the lifetime may last."""


HitlKind = Literal["unknown_outcome", "approval", "question", "pause"]
Decision = Literal["happened", "did_not_happen", "approved", "approved_always", "rejected", "answered", "expired", "unpaused", "stop"]

DECISIONS: dict[HitlKind, tuple[Decision, ...]] = {
    "unknown_outcome": ("happened", "did_not_happen", "stop"),
    "approval": ("approved", "approved_always", "rejected", "expired", "stop"),
    "question": ("answered", "expired", "stop"),
    "pause": ("unpaused", "stop"),
}
"""What may be decided, by what is asked. `expired` is the clock's decision, never a person's. `approved_always` is said of a tool: its
later calls in the same run are not asked about."""


class HitlRequest(Value):
    """Something only a person can decide. `request_id` is unique; an answer names it."""

    request_id: str
    kind: HitlKind
    title: Text
    tool: str
    """The tool or Task it is about."""
    args: Payload
    subject_hash: str
    """SHA-256 of the raw call and of the text shown; an answer carries the same hash, so it binds to what the person saw."""
    answer_schema: dict[str, Any] | None = None
    """Of a question: the JSON Schema the answer must match."""
    expires_at: Stamp | None = None
    """When it is decided by `expired`, if nobody has by then."""


class HitlResponse(Value):
    """A person's decision."""

    request_id: str
    decision: Decision
    actor: str
    subject_hash: str
    value: Payload | None = None
    """With `happened` the result the call had, with an approval the arguments as the person changed them, with `answered` the answer,
    with `unpaused` the new limits of rules, by their ids."""
    note: Text | None = None


class Entry(Value):
    """What all kinds share."""

    schema_: Literal["workbench.envelope/1"] = Field(default=SCHEMA, alias="schema")
    seq: int = Field(ge=1)
    header: Header
    links: Links = Links()
    telemetry: Telemetry = Telemetry()
    messages: tuple[Message, ...] = ()
    """What this execution added to the conversation. The conversation is these, concatenated in order of `seq`: deltas, never copies."""


class LifetimeEvent(Entry):
    """A run was created, resumed by a new owner, or ended; or a time is over, its own or (with `links.joins`) that of a fork."""

    kind: Literal["lifetime_event"] = "lifetime_event"
    phase: Literal["created", "resumed", "expired", "ended"]
    to_status: LifetimeStatus
    reason: Text | None = None
    manifest: Manifest | None = None
    input: Payload | None = None
    output: Payload | None = None
    error: ErrorInfo | None = None


class TaskExecution(Entry):
    """One run of a Task. `started` is also its dispatch; `finished` holds the TaskResult."""

    kind: Literal["task_execution"] = "task_execution"
    phase: Literal["started", "finished"]
    result: TaskResult | None = None


class PlanExecution(Entry):
    """One run of a Plan."""

    kind: Literal["plan_execution"] = "plan_execution"
    phase: Literal["finished"] = "finished"
    result: PlanResult


class ToolCallEntry(Entry):
    """A tool call: the intent is stored before the tool runs, and exactly one outcome after."""

    kind: Literal["tool_call"] = "tool_call"
    phase: Literal["intent", "outcome"]
    call: ToolCall


class HitlEvent(Entry):
    """A person was asked, or has answered."""

    kind: Literal["hitl_event"] = "hitl_event"
    phase: Literal["requested", "answered"]
    request: HitlRequest | None = None
    response: HitlResponse | None = None


Point = Literal["task", "plan", "tool_call", "dispatch"]
"""When a policy is asked: after a Task or a Plan has finished, before a tool is called, before a Task is dispatched."""

Action = Literal["warn", "require_approval", "reject_execution", "pause_lifetime", "abort_lifetime"]
"""What a rule demands, from the mildest to the strictest."""

Scope = Literal["execution", "lifetime", "session", "tenant"]
"""Over what a rule counts."""


class Verdict(Value):
    """A rule of the policy held."""

    rule_id: str
    policy_hash: str
    scope: Scope
    point: Point
    subject_exec_id: str
    """The execution, call or dispatch that was judged."""
    action: Action
    applied: bool
    """Whether this is what was done: of several rules that hold at once, the strictest action is."""
    message: Text
    severity: str = "error"
    values: dict[str, Text]
    """What the rule was judged by: each aggregate and name it reads, with its value."""


class GuardrailEvent(Entry):
    """A rule held. What follows from it (a rejection, a pause, the end of the run) needs no other entry."""

    kind: Literal["guardrail_event"] = "guardrail_event"
    phase: Literal["judged"] = "judged"
    verdict: Verdict


class SandboxEvent(Entry):
    """One item of a sandbox session's stream."""

    kind: Literal["sandbox_event"] = "sandbox_event"
    phase: Literal["opened", "block", "set", "mount", "module", "reset"]
    item: SandboxItem


AnyEntry = Annotated[
    LifetimeEvent | TaskExecution | PlanExecution | ToolCallEntry | HitlEvent | GuardrailEvent | SandboxEvent,
    Field(discriminator="kind"),
]

ENTRY: TypeAdapter[AnyEntry] = TypeAdapter(AnyEntry)
"""Validates any entry; also the source of the published JSON Schema."""
