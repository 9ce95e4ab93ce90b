"""The ten agent events, as one pure reading of entries.

    event             fields
    iteration_start   iteration (from 1), max_iterations
    llm_request       message_count
    llm_response      content, usage, cost_usd, model, latency_ms
    thinking          content
    code_generated    code
    tool_call         call_id, name, args
    tool_result       call_id, name, result or error, duration_ms
    code_executed     code, output, value, success, engine, duration_ms
    finish            value
    error             message, code

Every event also has `event` (its name), `run_id` and `seq` (of the entry it comes from). Values that were too big for the log appear as
`{"blob": uri, "size_bytes": n}`; in `code`, `output` and `message`, which are text, a sentence says where they lie.
"""

from __future__ import annotations

from typing import Any

from workbench.record.codec import decode_value
from workbench.record.envelope import AnyEntry, LifetimeEvent, PlanExecution, TaskExecution, ToolCallEntry
from workbench.record.values import ErrorInfo, Payload

EVENTS = (
    "iteration_start",
    "llm_request",
    "llm_response",
    "thinking",
    "code_generated",
    "tool_call",
    "tool_result",
    "code_executed",
    "finish",
    "error",
)


class AgentEvents:
    """Turns a record's entries, fed in order, into events. Its only memory is what later events repeat: counts and the current code."""

    def __init__(self) -> None:
        self.ended = False
        """Whether the last entry of the lifetime has been fed."""
        self._of_agent = False
        self._messages = 0
        self._said = 0
        self._max_iterations: int | None = None
        self._code = ""

    def feed(self, entry: AnyEntry) -> list[dict[str, Any]]:
        """The events of one entry."""
        found = self._read(entry)
        self._messages += len(entry.messages)
        return [{"event": name, "run_id": entry.header.lifetime_id, "seq": entry.seq, **fields} for name, fields in found]

    def _read(self, entry: AnyEntry) -> list[tuple[str, dict[str, Any]]]:
        match entry:
            case LifetimeEvent(phase="created", manifest=manifest) if manifest is not None and manifest.kind == "agent":
                self._of_agent = True
                self._max_iterations = manifest.resources.get("max_iterations")
            case LifetimeEvent(phase="ended"):
                self.ended = True
                return self._end(entry)
            case TaskExecution(phase="started") if self._of_agent and entry.header.name == "task_llm":
                start = {"iteration": entry.header.iteration_idx + 1, "max_iterations": self._max_iterations}
                return [("iteration_start", start), ("llm_request", {"message_count": self._messages + self._said})]
            case TaskExecution(phase="finished") if self._of_agent and entry.header.name == "task_llm":
                return self._reply(entry)
            case TaskExecution(phase="finished") if self._of_agent and entry.header.name == "task_execute":
                return self._executed(entry)
            case PlanExecution() if self._of_agent:
                return self._chosen(entry)
            case ToolCallEntry(phase="intent"):
                call = {"call_id": entry.header.exec_id, "name": entry.call.tool, "args": readable(entry.call.args)}
                return [("tool_call", call)]
            case ToolCallEntry(phase="outcome"):
                call = {"call_id": entry.header.exec_id, "name": entry.call.tool, "duration_ms": entry.telemetry.latency_ms}
                came = {"error": _error(entry.call.error)} if entry.call.error else {"result": readable(entry.call.result)}
                said = {"prints": entry.call.prints} if entry.call.prints else {}
                return [("tool_result", {**call, **came, **said})]
        return []

    def _reply(self, entry: TaskExecution) -> list[tuple[str, dict[str, Any]]]:
        if entry.result is None or entry.result.error is not None:
            return []
        telemetry = entry.telemetry
        usage = {kind: getattr(telemetry, kind) for kind in ("tokens_in", "tokens_out", "cached_tokens", "reasoning_tokens")}
        response = {
            "content": entry.messages[-1].content,
            "usage": usage,
            "cost_usd": telemetry.cost_usd,
            "model": telemetry.model,
            "latency_ms": telemetry.latency_ms,
        }
        thoughts = readable(entry.result.output).get("thinking", [])
        return [("llm_response", response), *(("thinking", {"content": thought}) for thought in thoughts)]

    def _chosen(self, entry: PlanExecution) -> list[tuple[str, dict[str, Any]]]:
        self._said = 0
        for chosen in entry.result.next_tasks:
            args = readable(chosen.args)
            if entry.header.name == "plan_approval" and chosen.name == "task_execute":
                self._code = args["code"] if "code" in args else _elsewhere(args)
                return []
            if chosen.name in ("task_execute", "task_approve"):
                self._code = args["code"] if "code" in args else _elsewhere(args)
                return [("code_generated", {"code": self._code})]
            if chosen.name == "task_llm":
                said = args["say"] if "say" in args else _elsewhere(args)
                self._said = int(said is not None)
                return [("error", {"message": said, "code": args["problem"]})] if args.get("problem") else []
        return []

    def _executed(self, entry: TaskExecution) -> list[tuple[str, dict[str, Any]]]:
        if entry.result is None or entry.result.output is None:
            return []
        output = readable(entry.result.output)
        executed = {
            "code": self._code,
            "output": output["prints"] if "prints" in output else _elsewhere(output),
            "value": output.get("value_text"),
            "success": output["status"] in ("ok", "finished") if "status" in output else None,
            "engine": output.get("engine"),
            "duration_ms": entry.telemetry.latency_ms,
        }
        error = output.get("error")
        failed = [("error", {"message": f"{error['type']}: {error['message']}", "code": "code_error"})] if error else []
        return [("code_executed", executed), *failed]

    def _end(self, entry: LifetimeEvent) -> list[tuple[str, dict[str, Any]]]:
        if entry.to_status == "completed":
            return [("finish", {"value": readable(entry.output)})]
        if entry.error is not None:
            return [("error", {"message": entry.error.message, "code": entry.error.code})]
        return [("error", {"message": entry.reason or "the run was stopped", "code": "stopped"})]


def readable(payload: Payload | None) -> Any:
    """A payload's value, or where its blob lies."""
    if payload is None:
        return None
    if payload.blob is not None:
        return {"blob": payload.blob.uri, "size_bytes": payload.blob.size_bytes}
    return decode_value(payload.inline)


def _elsewhere(reference: dict[str, Any]) -> str:
    return f"({reference['size_bytes']:,} bytes, too big for the log; they lie in {reference['blob']})"


def _error(error: ErrorInfo) -> dict[str, Any]:
    return {"code": error.code, "type": error.type, "message": error.message}
