"""Every exception the package raises.

A mistake in the calling code is a `UserError`; a run that could not reach its end is a `RunError`. Both say what was given, what was
expected and what to do next.

    WorkbenchError
    ├── UserError                    the call was wrong; nothing has happened
    │   ├── GraphError               the graph breaks a rule; lists every fault
    │   ├── PolicyError              a policy cannot be read; lists every fault with its line
    │   ├── ConfigurationError       a profile, model or store is named wrongly or missing
    │   ├── UnencodableValue         a value has no faithful form in the record
    │   ├── AgentBusy                the agent is running another task
    │   ├── LoopError                a blocking call was made on the runtime's own loop
    │   ├── ToolBindingError         a resume lacks tools, or they have changed
    │   └── EffectsRepeat            a fork would repeat effects that the record says have happened
    ├── RunError                     a run did not produce a value
    │   ├── RunFailed                it ended in failure
    │   │   ├── MaxIterations        the agent used all its turns
    │   │   └── OutputInvalid        the answer never matched its schema
    │   ├── RunStopped               somebody stopped it
    │   ├── RunInterrupted           its process died; `run.resume()` goes on
    │   └── ApprovalPending          it waits for a person
    ├── StoreError                   the record could not be written or read
    │   ├── StaleEpoch               another process has taken the lifetime over
    │   ├── LeaseHeld                another process is working on it now
    │   ├── RecordCorrupt            the chain of hashes does not hold
    │   ├── BlobMissing              a referenced blob is not in the blob store
    │   ├── BlobCorrupt              a blob's bytes do not match its hash
    │   ├── UnknownRun               no lifetime has that id
    │   │   └── RunPruned            it was pruned; its tombstone is what is left
    │   └── StoreTooNew              a newer version of the package wrote this store
    ├── ToolError                    a tool call did not produce a value
    │   ├── ToolNotFound
    │   ├── ToolInputInvalid
    │   ├── ToolOutputInvalid
    │   ├── ToolTimeout
    │   ├── ToolDenied               a person or a policy refused the call
    │   └── ToolFailed               the tool raised
    ├── SandboxError                 sandbox code raised, was refused or hit a limit
    │   ├── SandboxRefused           the engine does not run this code faithfully
    │   ├── SandboxLimit             wall clock, memory, recursion, output or call limit
    │   └── SandboxCrashed           the worker process died
    ├── NoEdge                       no edge of the graph may be taken
    ├── NodeTimeout                  a Task or Plan did not finish in time
    ├── NodeInputInvalid             what a Task or Plan was given does not fit its declared input
    ├── NodeOutputInvalid            what a Task returned does not fit its declared output
    ├── ReplayDivergence             recorded and repeated execution differ
    └── ModelError                   the model gave no reply
        ├── ModelRequestRejected     the provider refused the request (4xx)
        ├── ModelUnavailable         429, 5xx or no connection, after all retries
        ├── ModelTimeout             no answer in time
        └── ModelReplyMalformed      the reply could not be read
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class WorkbenchError(Exception):
    """The base of everything raised here."""

    code = "error"
    """A short stable name, stored in records and used in frames."""


class UserError(WorkbenchError):
    """The call was wrong; nothing has happened."""

    code = "user_error"


class GraphError(UserError):
    """The graph breaks one or more rules; `faults` lists each of them."""

    code = "graph_error"

    def __init__(self, graph: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"graph {graph!r} has {len(self.faults)} fault(s):\n" + "\n".join(f"  - {fault}" for fault in self.faults))


class PolicyError(UserError):
    """A policy cannot be read; `faults` lists what is wrong, each with its line where it has one."""

    code = "policy_error"

    def __init__(self, where: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"{where} has {len(self.faults)} fault(s):\n" + "\n".join(f"  - {fault}" for fault in self.faults))


class ConfigurationError(UserError):
    """A profile, model or store is named wrongly or missing."""

    code = "configuration_error"


class UnencodableValue(UserError):
    """A value has no faithful form in the record."""

    code = "unencodable_value"


class AgentBusy(UserError):
    """The agent is running another task; wait for it, stop it, or use `agent.map`."""

    code = "agent_busy"


class LoopError(UserError):
    """A blocking call was made on the runtime's own loop, where it would wait for itself."""

    code = "loop_error"


class ToolBindingError(UserError):
    """A resume lacks tools that the record names, or their source has changed."""

    code = "tool_binding"


class EffectsRepeat(UserError):
    """A fork would run again what the record says has happened, and what is not idempotent; `effects` lists it."""

    code = "effects_repeat"

    def __init__(self, effects: Sequence[str]) -> None:
        self.effects = tuple(effects)
        listed = "".join(f"\n  - {effect}" for effect in self.effects)
        self.told = f"these have happened in the original and are not idempotent; the fork may make them happen again:{listed}"
        super().__init__(f"{self.told}\nGive confirm=True to let it.")


class RunError(WorkbenchError):
    """A run did not produce a value; `run` is the run, when there is one."""

    code = "run_error"

    def __init__(self, message: str, *, run: Any = None) -> None:
        super().__init__(message)
        self.run = run

    def _render_traceback_(self) -> list[str]:
        """What IPython prints instead of a traceback: the frames are ours and the loop's, and say nothing about the run."""
        return [f"{type(self).__name__}: {self}"]


class RunFailed(RunError):
    """The run ended in failure; `error_code` and the message say why, `run` holds everything it did."""

    code = "failed"

    def __init__(self, message: str, *, run: Any = None, error_code: str = "failed") -> None:
        super().__init__(message, run=run)
        self.error_code = error_code


class MaxIterations(RunFailed):
    """The agent used all its turns without finishing."""

    code = "max_iterations"


class OutputInvalid(RunFailed, ValueError):
    """The answer never matched its schema."""

    code = "output_invalid"


class RunStopped(RunError):
    """Somebody stopped the run."""

    code = "stopped"


class RunInterrupted(RunError):
    """The process that owned the run died; `run.resume()` goes on from the record."""

    code = "interrupted"


class ApprovalPending(RunError):
    """The run waits for a person; `run.pending` lists what it asks."""

    code = "approval_pending"


class StoreError(WorkbenchError):
    """The record could not be written or read."""

    code = "store_error"


class StaleEpoch(StoreError):
    """Another process has taken the lifetime over; this one may not write to it any more."""

    code = "stale_epoch"


class LeaseHeld(StoreError):
    """Another process is working on the lifetime now."""

    code = "lease_held"


class RecordCorrupt(StoreError):
    """The chain of hashes does not hold; `seq` is the first entry that is wrong."""

    code = "record_corrupt"

    def __init__(self, message: str, *, lifetime_id: str, seq: int) -> None:
        super().__init__(message)
        self.lifetime_id = lifetime_id
        self.seq = seq


class BlobMissing(StoreError):
    """A referenced blob is not in the blob store."""

    code = "blob_missing"


class BlobCorrupt(StoreError):
    """A blob's bytes do not match the hash in its reference."""

    code = "blob_corrupt"


class UnknownRun(StoreError):
    """No lifetime in the store has that id."""

    code = "unknown_run"


class RunPruned(UnknownRun):
    """The run's entries were pruned; its tombstone says how many there were, and the hash of the last."""

    code = "run_pruned"


class KeyUnavailable(StoreError):
    """What was recorded is encrypted, and none of the keys at hand opens it. The headers can be read all the same."""

    code = "key_unavailable"


class RunShredded(StoreError):
    """The key of the run has been deleted; what it said can be read by nobody."""

    code = "run_shredded"


class StoreTooNew(StoreError):
    """A newer version of the package wrote this store."""

    code = "store_too_new"


class ToolError(WorkbenchError):
    """A tool call did not produce a value. The message is safe to show to a model: no traceback, no secrets."""

    code = "tool_error"
    retryable = False


class ToolNotFound(ToolError):
    """No tool has that name."""

    code = "tool_not_found"


class ToolInputInvalid(ToolError):
    """The arguments do not fit the tool's signature."""

    code = "tool_input_invalid"


class ToolOutputInvalid(ToolError):
    """The tool's return value has no faithful form, or does not match its declared output."""

    code = "tool_output_invalid"


class ToolTimeout(ToolError):
    """The tool did not return in time."""

    code = "tool_timeout"
    retryable = True


class ToolDenied(ToolError):
    """A person or a policy refused the call."""

    code = "tool_denied"


class ToolFailed(ToolError):
    """The tool raised; `type` is the name of its exception's class, `trace` where it was raised."""

    code = "tool_failed"

    def __init__(self, message: str, *, type: str = "Exception", trace: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.type = type
        self.trace = tuple(trace)


class SandboxError(WorkbenchError):
    """Sandbox code raised, was refused or hit a limit.

    `type` is the exception's class name inside the sandbox, `message` its text, `line` the 1-based line in the block (or None), and
    `prints` what the block had printed before.
    """

    code = "sandbox_error"

    def __init__(self, type: str, message: str, line: int | None = None, prints: str = "") -> None:
        super().__init__(f"{type}: {message}" + (f" (line {line})" if line is not None else ""))
        self.type = type
        self.message = message
        self.line = line
        self.prints = prints


class SandboxRefused(SandboxError):
    """The engine does not run this code with CPython's answer, so it does not run it at all."""

    code = "sandbox_refused"


class SandboxLimit(SandboxError):
    """The block hit its wall-clock, memory, recursion, instruction, output or tool-call limit."""

    code = "sandbox_limit"


class SandboxCrashed(SandboxError):
    """The worker process died; the session is rebuilt from its stream when it is next used."""

    code = "sandbox_crashed"


class NoEdge(WorkbenchError):
    """No edge of the graph may be taken from where a run stands."""

    code = "no_edge"


class NodeTimeout(WorkbenchError):
    """A Task or Plan did not finish in time."""

    code = "timeout"


class NodeInputInvalid(WorkbenchError):
    """What a Task or Plan was given does not fit the input it declares; its code has not run."""

    code = "input_invalid"


class NodeOutputInvalid(WorkbenchError):
    """What a Task returned does not fit the output it declares."""

    code = "output_invalid"


class ReplayDivergence(WorkbenchError):
    """Recorded and repeated execution differ; `expected` comes from the record, `seq` is the entry where there is one."""

    code = "replay_divergence"

    def __init__(self, where: str, *, expected: object, actual: object, seq: int | None = None) -> None:
        super().__init__(f"replay differs from the record at {where}: expected {expected!r}, got {actual!r}")
        self.where = where
        self.seq = seq
        self.expected = expected
        self.actual = actual


class ModelError(WorkbenchError):
    """The model gave no usable reply."""

    code = "model_error"
    retryable = False


class ModelRequestRejected(ModelError):
    """The provider refused the request; `status` is the HTTP status."""

    code = "model_rejected"

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ModelUnavailable(ModelError):
    """429, 5xx or no connection, after all retries."""

    code = "model_unavailable"
    retryable = True


class ModelTimeout(ModelError):
    """The model did not answer in time."""

    code = "model_timeout"
    retryable = True


class ModelReplyMalformed(ModelError):
    """The reply could not be read: malformed JSON, a cut-off stream, or no text in it."""

    code = "model_malformed"
