"""Records of runs to draw: each function returns the entries of one lifetime, as the runtime would have written them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from workbench.record.codec import encode_value
from workbench.record.envelope import (
    AnyEntry,
    Header,
    HitlEvent,
    HitlRequest,
    HitlResponse,
    LifetimeEvent,
    Links,
    Manifest,
    NextTask,
    PlanExecution,
    PlanResult,
    TaskExecution,
    TaskResult,
    Telemetry,
    ToolCallEntry,
)
from workbench.record.values import BlobRef, ErrorInfo, Message, Payload, ToolCall, make_id

RUN_ID = "6f1c2b7e-4c1d-4f53-9a57-0d4f3a1b2c3d"
TASK = "Compare the prices of AAPL, MSFT and NVDA and tell me which one rose most this week."
IMG = "<img src=x onerror=\"window.pwned=1;document.title='pwned'\">"
"""What a hostile page, tool or model would like the browser to run."""


def payload(value: Any) -> Payload:
    """The value, encoded inline."""
    return Payload(inline=encode_value(value))


def blob(size: int = 2_400_000) -> Payload:
    """A reference to a value too big for the log."""
    return Payload(blob=BlobRef(uri="file:blobs/9f/86d0", size_bytes=size, sha256="9f86d081884c7d65" * 4))


MAIL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "to": {"type": "array", "items": {"type": "string"}, "description": "Who gets it."},
        "subject": {"type": "string"},
        "body": {"type": "string"},
        "copies": {"type": "integer", "default": 1},
        "urgent": {"type": "boolean", "default": False},
        "format": {"enum": ["text", "html"], "default": "text"},
    },
    "required": ["to", "subject", "body"],
}
"""The arguments of the sample's tool that sends mail."""


class Recorder:
    """Writes a lifetime's entries in order, on a clock that moves only when told to."""

    def __init__(self, run_id: str = RUN_ID) -> None:
        self.run_id = run_id
        self.now = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
        self.entries: list[AnyEntry] = []
        self.last_plan = ""
        self.last_task = ""
        self.calls = 0

    def wait(self, ms: float) -> None:
        """Let time pass."""
        self.now += timedelta(milliseconds=ms)

    def created(self, task: Any = TASK, *, kind: str = "agent", title: str | None = None, **resources: Any) -> None:
        described = {
            "model": {"name": "openai:gpt-5-mini"},
            "tools": [{"name": "get_price"}, {"name": "send_email", "schema": MAIL_SCHEMA}],
            "max_iterations": 10,
            "engine": "auto",
        }
        manifest = Manifest(
            graph_id="codeact" if kind == "agent" else "coding",
            graph_version="1.0.0",
            graph_hash="ab" * 32,
            title=title or str(task).splitlines()[0],
            kind=kind,
            resources=(described | resources) if kind == "agent" else {},
        )
        self._add(
            LifetimeEvent,
            phase="created",
            to_status="running",
            manifest=manifest,
            input=payload(task),
            header=self._header(self.run_id, "created", "RUNNING"),
        )

    def resumed(self) -> None:
        self._add(LifetimeEvent, phase="resumed", to_status="running", header=self._header(self.run_id, "resumed", "RUNNING"))

    def ended(self, to_status: str, *, output: Payload | None = None, error: ErrorInfo | None = None, reason: str | None = None) -> None:
        self._add(
            LifetimeEvent,
            phase="ended",
            to_status=to_status,
            output=output,
            error=error,
            reason=reason,
            header=self._header(self.run_id, "ended", "SUCCEEDED" if to_status == "completed" else "FAILED"),
        )

    def start(self, name: str, index: int = 0, *, supersedes: str | None = None, **header: Any) -> str:
        exec_id = make_id(self.run_id, "task", name, index, len(self.entries))
        self.last_task = exec_id
        self._add(
            TaskExecution,
            phase="started",
            links=Links(parent_plan_exec_id=self.last_plan or None, supersedes=supersedes),
            header=self._header(exec_id, name, "RUNNING", iteration_idx=index, **header),
        )
        return exec_id

    def finish(
        self,
        exec_id: str,
        name: str,
        index: int = 0,
        *,
        output: Any = None,
        error: ErrorInfo | None = None,
        messages: tuple[Message, ...] = (),
        links: Links | None = None,
        status: str | None = None,
        branch: tuple[str, ...] = (),
        **telemetry: Any,
    ) -> None:
        result = TaskResult(error=error) if error else TaskResult(output=output if isinstance(output, Payload) else payload(output))
        self._add(
            TaskExecution,
            phase="finished",
            result=result,
            messages=messages,
            links=links or Links(),
            telemetry=Telemetry(**telemetry),
            header=self._header(
                exec_id, name, status or ("FAILED" if error else "SUCCEEDED"), iteration_idx=index, branch_path=branch, ended_at=self.now
            ),
        )

    def cancel(self, exec_id: str, name: str, code: str, message: str, **more: Any) -> None:
        """An execution is ended by the runtime."""
        self.finish(exec_id, name, error=ErrorInfo(code=code, message=message), status="CANCELLED", **more)

    def fork(self, name: str, task: str, *items: Any) -> list[tuple[str, ...]]:
        """A Plan sends each item into a branch of its own; returns the branches' paths."""
        self.last_plan = make_id(self.run_id, "plan", name, len(self.entries))
        chosen = tuple(NextTask(name=task, args=payload(item)) for item in items)
        links = Links(parent_task_exec_ids=(self.last_task,))
        header = self._header(self.last_plan, name, "SUCCEEDED")
        self._add(PlanExecution, result=PlanResult(next_tasks=chosen, fork=True), links=links, header=header)
        return [(f"{self.last_plan}/{number}",) for number in range(len(items))]

    def join(self, name: str, fork: str, tasks: tuple[str, ...], next_task: str) -> None:
        """A Plan closes a fork."""
        self.last_plan = make_id(self.run_id, "plan", name, len(self.entries))
        links = Links(parent_task_exec_ids=tasks, joins=fork)
        header = self._header(self.last_plan, name, "SUCCEEDED")
        self._add(PlanExecution, result=PlanResult(next_tasks=(NextTask(name=next_task),)), links=links, header=header)

    def plan(self, name: str, *next_tasks: tuple[str, Any], messages: tuple[Message, ...] = (), error: ErrorInfo | None = None) -> None:
        self.last_plan = make_id(self.run_id, "plan", name, len(self.entries))
        chosen = tuple(NextTask(name=task, args=None if args is None else payload(args)) for task, args in next_tasks)
        self._add(
            PlanExecution,
            result=PlanResult(next_tasks=chosen, error=error),
            messages=messages,
            links=Links(parent_task_exec_ids=(self.last_task,)),
            header=self._header(self.last_plan, name, "FAILED" if error else "SUCCEEDED"),
        )

    def begin(self, task: Any = TASK, **created: Any) -> None:
        """Everything before the first turn."""
        self.created(task, **created)
        done = self.start("task_user")
        self.finish(
            done,
            "task_user",
            messages=(Message(role="system", content="You act by writing Python."), Message(role="user", content=str(task))),
        )
        self.plan("plan_context", ("task_llm", None))

    def think(
        self, index: int, thinking: str = "", *, reply: str = "", ms: float = 1400, cost: str | None = "0.00041", **telemetry: Any
    ) -> None:
        """One reply of the model."""
        exec_id = self.start("task_llm", index)
        self.wait(ms)
        counted = {"tokens_in": 812 + 190 * index, "tokens_out": 121, "cached_tokens": 640 if index else 0} | telemetry
        self.finish(
            exec_id,
            "task_llm",
            index,
            output={"thinking": [thinking] if thinking else [], "finish_reason": "stop"},
            messages=(Message(role="assistant", content=reply or thinking),),
            latency_ms=ms,
            model="gpt-5-mini",
            cost_usd=cost,
            unpriced=cost is None,
            **counted,
        )
        self.wait(4)

    def run_code(self, index: int, code: str) -> str:
        """The model's code goes to the sandbox; returns the execution's id."""
        self.plan("plan_dispatch", ("task_execute", {"code": code}))
        self.wait(2)
        return self.start("task_execute", index)

    def intent(self, parent: str, tool: str, ordinal: int, args: dict[str, Any] | Payload, *, idempotent: bool = True) -> str:
        call_id = make_id(self.run_id, "call", parent, ordinal)
        self._call(parent, call_id, "intent", tool, ordinal, args, idempotent)
        return call_id

    def outcome(
        self,
        parent: str,
        tool: str,
        ordinal: int,
        args: dict[str, Any] | Payload,
        result: Any = None,
        error: ErrorInfo | None = None,
        *,
        idempotent: bool = True,
        ms: float = 0,
        status: str | None = None,
        **shown: Any,
    ) -> None:
        call_id = make_id(self.run_id, "call", parent, ordinal)
        came = None if error else (result if isinstance(result, Payload) else payload(result))
        self._call(parent, call_id, "outcome", tool, ordinal, args, idempotent, result=came, error=error, ms=ms, status=status, **shown)

    def call(
        self, parent: str, tool: str, ordinal: int, args: dict[str, Any], result: Any = None, *, ms: float = 120, **outcome: Any
    ) -> None:
        """A whole tool call."""
        self.wait(6)
        self.intent(parent, tool, ordinal, args)
        self.wait(ms)
        self.outcome(parent, tool, ordinal, args, result, ms=ms, **outcome)

    def observe(
        self,
        exec_id: str,
        index: int,
        *,
        status: str = "ok",
        value_text: str | None = None,
        prints: str = "",
        next_task: str = "task_llm",
        answer: Any = None,
        **output: Any,
    ) -> None:
        """The sandbox is done with a block."""
        self.wait(9)
        shown = {
            "status": status,
            "value_text": value_text,
            "prints": prints,
            "error": None,
            "engine": "littrs",
            "reason": None,
            "truncated": False,
            "full_output": None,
        } | output
        self.finish(
            exec_id, "task_execute", index, output=shown, links=Links(sandbox_id=make_id(RUN_ID, "sandbox"), block_no=index), latency_ms=9
        )
        args = {"answer": answer} if next_task == "task_finish" else None
        self.plan("plan_observe", (next_task, args), messages=(Message(role="user", content=f"Output:\n{prints}{value_text}"),))
        self.wait(3)

    def conclude(self, answer: Any) -> None:
        """The run's last entries."""
        exec_id = self.start("task_finish")
        self.finish(exec_id, "task_finish", output={"answer": answer, "correction": None})
        self.plan("plan_answer", ("End", answer))
        self.ended("completed", output=payload(answer))

    def ask(self, parent: str, tool: str, args: Any, *, kind: Any = "unknown_outcome", title: str | None = None, **more: Any) -> str:
        """A person is asked; if nothing else is said, about a call whose outcome nobody knows."""
        request_id = make_id(self.run_id, "request", parent, tool)
        request = HitlRequest(
            request_id=request_id,
            kind=kind,
            title=title or f"Did the call of {tool} happen before the run was interrupted?",
            tool=tool,
            args=payload(args),
            subject_hash="cd" * 32,
            **more,
        )
        self._add(
            HitlEvent,
            phase="requested",
            request=request,
            links=Links(parent_exec_id=parent),
            header=self._header(request_id, tool, "WAITING"),
        )
        return request_id

    def answer(self, request_id: str, decision: str = "did_not_happen", **response: Any) -> None:
        decided = HitlResponse(request_id=request_id, decision=decision, actor="ana", subject_hash="cd" * 32, **response)
        self._add(HitlEvent, phase="answered", response=decided, header=self._header(request_id, "answer", "SUCCEEDED"))

    def _call(
        self,
        parent: str,
        call_id: str,
        phase: str,
        tool: str,
        ordinal: int,
        args: dict[str, Any] | Payload,
        idempotent: bool,
        *,
        result: Payload | None = None,
        error: ErrorInfo | None = None,
        ms: float = 0,
        status: str | None = None,
        **shown: Any,
    ) -> None:
        call = ToolCall(
            tool=tool,
            ordinal=ordinal,
            args=args if isinstance(args, Payload) else payload(args),
            idempotency_key=call_id,
            idempotent=idempotent,
            result=result,
            error=error,
            **shown,
        )
        status = status or ("RUNNING" if phase == "intent" else "FAILED" if error else "SUCCEEDED")
        telemetry = Telemetry(latency_ms=ms) if phase == "outcome" else Telemetry()
        self._add(
            ToolCallEntry,
            phase=phase,
            call=call,
            links=Links(parent_exec_id=parent),
            telemetry=telemetry,
            header=self._header(call_id, tool, status),
        )

    def _header(self, exec_id: str, name: str, status: Any, **fields: Any) -> Header:
        return Header(lifetime_id=self.run_id, exec_id=exec_id, name=name, status=status, created_at=self.now, **fields)

    def _add(self, kind: Callable[..., AnyEntry], **fields: Any) -> None:
        self.entries.append(kind(seq=len(self.entries) + 1, **fields))


PRICES = {"AAPL": (187.2, 189.5), "MSFT": (410.1, 405.9), "NVDA": (118.4, 131.0)}

FIRST = """\
symbols = ["AAPL", "MSFT", "NVDA"]
change = {}
for symbol in symbols:
    week = get_price(symbol, days=5)  # oldest first
    change[symbol] = (week["last"] - week["first"]) / week["first"]
    print(f"{symbol}: {change[symbol]:+.2%}")
change"""

SECOND = """\
best = max(change, key=change.get)
rows = [(name, round(100 * value, 2)) for name, value in change.items()]
report = {"best": best, "table": sort(rows)}
finish(report)"""

THIRD = """\
best = max(change, key=change.get)
rows = [(name, round(100 * value, 2)) for name, value in change.items()]
finish({"best": best, "table": sorted(rows, key=lambda row: -row[1])})"""

ANSWER = {"best": "NVDA", "table": [("NVDA", 10.64), ("AAPL", 1.23), ("MSFT", -1.02)]}


def _first_step(run: Recorder) -> None:
    run.think(
        0,
        "I need this week's first and last price of each symbol. I will fetch all three, compute the relative change, and print it so "
        "that I can check the figures before I answer.",
    )
    block = run.run_code(0, FIRST)
    for place, (symbol, (first, last)) in enumerate(PRICES.items()):
        run.call(
            block,
            "get_price",
            place,
            {"symbol": symbol, "days": 5},
            {"symbol": symbol, "first": first, "last": last, "currency": "USD"},
            ms=140 + 60 * place,
        )
    run.observe(
        block,
        0,
        prints="AAPL: +1.23%\nMSFT: -1.02%\nNVDA: +10.64%\n",
        value_text="{'AAPL': 0.01228632478632485, 'MSFT': -0.010241404535479226, 'NVDA': 0.1064189189189189}",
    )


def _second_step(run: Recorder) -> None:
    run.think(1, "NVDA rose most. I will build the table, sorted, and finish.", ms=980)
    block = run.run_code(1, SECOND)
    run.observe(
        block,
        1,
        status="error",
        engine="monty",
        reason="line 2: a tuple display inside a comprehension is not proven on littrs",
        error={"type": "NameError", "message": "name 'sort' is not defined", "line": 3},
    )


def finished() -> list[AnyEntry]:
    """Three steps: tool calls, an error the model mends, an answer."""
    run = Recorder()
    run.begin()
    _first_step(run)
    _second_step(run)
    run.think(2, "`sort` does not exist here; `sorted` does.", ms=760)
    block = run.run_code(2, THIRD)
    run.observe(
        block, 2, status="finished", engine="monty", reason="the session was promoted at step 2", next_task="task_finish", answer=ANSWER
    )
    run.conclude(ANSWER)
    return run.entries


def running() -> list[AnyEntry]:
    """In the middle of a step: one call done, one on its way."""
    run = Recorder()
    run.begin()
    _first_step(run)
    run.think(1, "I should check today's news on NVDA before I conclude.")
    block = run.run_code(1, 'news = search_news("NVDA", limit=3)\nfor item in news:\n    print(item["title"])\n')
    run.call(block, "search_news", 0, {"query": "NVDA", "limit": 3}, [{"title": "Record quarter"}, {"title": "New plant"}], ms=420)
    run.wait(10)
    run.intent(block, "get_price", 1, {"symbol": "NVDA", "days": 1})
    return run.entries


MAIL = {"to": ["ana@example.org", "board@example.org"], "subject": "Prices this week", "body": "NVDA rose most: +10.64 %."}


MAIL_CODE = """\
send_email(
    to=["ana@example.org", "board@example.org"],
    subject="Prices this week",
    body="NVDA rose most: +10.64 %.",
)"""


def waiting() -> list[AnyEntry]:
    """A call whose outcome nobody knows: the process died after the intent, another took the run over, and asks."""
    run = Recorder()
    run.begin()
    _first_step(run)
    run.think(1, "The figures are in. I send the summary to the board.")
    block = run.run_code(
        1,
        MAIL_CODE,
    )
    run.wait(5)
    run.intent(block, "send_email", 0, MAIL, idempotent=False)
    run.wait(2600)
    run.resumed()
    run.ask(block, "send_email", MAIL)
    return run.entries


def answered() -> list[AnyEntry]:
    """The same, after a person said that the mail had gone out."""
    run = Recorder()
    run.entries = waiting()
    requested = run.entries[-1]
    assert requested.kind == "hitl_event"
    run.now = requested.header.created_at + timedelta(seconds=41)
    block = requested.links.parent_exec_id or ""
    run.answer(requested.header.exec_id, "happened", value=payload({"sent": 2}), note="It is in the outbox.")
    run.outcome(block, "send_email", 0, MAIL, {"sent": 2}, idempotent=False)
    run.last_task = block
    run.observe(block, 1, value_text="{'sent': 2}")
    run.think(2, "Done.", reply="NVDA rose most this week; the summary has been sent.")
    run.plan("plan_dispatch", ("task_finish", {"answer": "NVDA rose most this week; the summary has been sent."}))
    run.conclude("NVDA rose most this week; the summary has been sent.")
    return run.entries


TRACE = (
    'cell:7 in get_price: return history(symbol, days)[-1]["close"]',
    '~/markets/prices.py:31 in history: raise ValueError(f"days must be positive, got {days}")',
)


def failed() -> list[AnyEntry]:
    """A reply without code, a tool that fails, then a model that cannot be reached."""
    run = Recorder()
    run.begin()
    run.think(0, "", reply="I would fetch the prices, then compare them.", cost=None)
    run.plan("plan_dispatch", ("task_llm", {"say": "Your reply has no code block. Write one, or finish.", "problem": "reply_unusable"}))
    run.think(1, "I fetch the first one.", cost="0.0004")
    block = run.run_code(1, 'get_price("AAPL", days=-1)')
    run.call(
        block,
        "get_price",
        0,
        {"symbol": "AAPL", "days": -1},
        ms=30,
        error=ErrorInfo(code="tool_failed", type="ValueError", message="days must be positive, got -1", trace=TRACE),
    )
    run.observe(block, 1, status="error", error={"type": "ValueError", "message": "days must be positive, got -1", "line": 1})
    exec_id = run.start("task_llm", 2)
    run.wait(6200)
    error = ErrorInfo(
        code="model_unavailable",
        type="ModelUnavailable",
        message="503 from api.openai.com after 3 tries: upstream is overloaded",
        retryable=True,
    )
    run.finish(exec_id, "task_llm", 2, error=error, latency_ms=6200, retries=3)
    run.plan("plan_dispatch", error=error)
    run.ended("failed", error=error)
    return run.entries


def stopped() -> list[AnyEntry]:
    """Stopped by a person in the middle of a call."""
    run = Recorder()
    run.entries = running()
    run.now = run.entries[-1].header.created_at + timedelta(seconds=2)
    block = next(entry for entry in reversed(run.entries) if entry.header.name == "task_execute")
    open_call = ErrorInfo(code="outcome_unknown", message="the run was stopped during the call; it may have happened")
    run.outcome(block.header.exec_id, "get_price", 1, {"symbol": "NVDA", "days": 1}, error=open_call, status="UNKNOWN")
    run.cancel(block.header.exec_id, "task_execute", "stopped", "stopped by ana", index=1)
    run.ended("aborted", reason="stopped by ana")
    return run.entries


def long(steps: int = 300) -> list[AnyEntry]:
    """Many short steps; every 40th has an error."""
    run = Recorder()
    run.begin("Count the words of every chapter, one at a time.", max_iterations=steps + 1)
    for index in range(steps):
        run.think(index, f"Chapter {index + 1} is next.", ms=300 + 37 * (index % 11))
        block = run.run_code(
            index, f'text = read_chapter({index + 1})\ncounts.append(len(text.split()))\nprint("chapter {index + 1}:", counts[-1], "words")'
        )
        run.call(block, "read_chapter", 0, {"number": index + 1}, "It was a bright cold day in April. " * 20, ms=25 + index % 7)
        if index % 40 == 39:
            run.observe(block, index, status="error", error={"type": "KeyError", "message": f"no chapter {index + 1}", "line": 1})
        else:
            run.observe(block, index, prints=f"chapter {index + 1}: 160 words\n")
    run.think(steps, "All chapters are counted.", reply="48,000 words.")
    run.plan("plan_dispatch", ("task_finish", {"answer": "48,000 words."}))
    run.conclude("48,000 words.")
    return run.entries


def graph() -> list[AnyEntry]:
    """A run of a graph that is not an agent: four nodes, one of them runs a model."""
    run = Recorder()
    run.created({"repo": "https://example.org/shop.git", "issue": 42}, kind="graph", title="coding: issue 42")
    nodes: tuple[tuple[str, Any, float, dict[str, Any]], ...] = (
        ("checkout", {"commit": "8c1f2ab", "files": 118}, 640, {}),
        ("plan_change", "Guard `total()` against an empty basket.", 2300, {"model": "gpt-5-mini", "tokens_in": 2210, "cost_usd": "0.0021"}),
        ("run_tests", blob(), 900, {}),
    )
    for place, (name, output, ms, telemetry) in enumerate(nodes):
        exec_id = run.start(name)
        if name == "run_tests":
            run.call(exec_id, "pytest", 0, {"path": "tests", "workers": 2}, {"passed": 212, "failed": 0}, ms=4100)
        run.wait(ms)
        run.finish(exec_id, name, output=output, latency_ms=ms, **telemetry)
        run.plan(f"after_{name}", ((*(node[0] for node in nodes), "open_pull_request")[place + 1], None))
    exec_id = run.start("open_pull_request")
    run.wait(300)
    refused = ErrorInfo(code="tool_failed", type="HTTPError", message="403: the token may not push")
    run.finish(exec_id, "open_pull_request", error=refused)
    run.plan("after_open_pull_request", error=refused)
    run.ended("failed", error=refused)
    return run.entries


def branches() -> list[AnyEntry]:
    """A fork of four: one is tried again, one no longer counts when enough others have come; then a Task that uses them."""
    run = Recorder()
    run.created(["eu", "us", "asia", "africa"], kind="graph", title="Survey of four regions, the first three to answer count")
    begun = run.start("begin")
    run.wait(30)
    run.finish(begun, "begin", output=["eu", "us", "asia", "africa"])
    paths = run.fork("split", "survey", "eu", "us", "asia", "africa")
    fork = run.last_plan
    eu, us, asia, africa = (run.start("survey", branch_path=path) for path in paths)
    run.call(us, "fetch", 0, {"region": "us"}, {"replies": 812}, ms=300)
    run.finish(us, "survey", output={"us": 812}, branch=paths[1])
    run.wait(200)
    lost = ErrorInfo(code="node_failed", type="ConnectionError", message="the survey of eu cannot be reached", retryable=True)
    run.finish(eu, "survey", error=lost, branch=paths[0])
    run.wait(250)
    again = run.start("survey", branch_path=paths[0], attempt=2, supersedes=eu)
    run.call(asia, "fetch", 0, {"region": "asia"}, {"replies": 1204}, ms=420)
    run.finish(asia, "survey", output={"asia": 1204}, branch=paths[2])
    run.call(again, "fetch", 0, {"region": "eu"}, {"replies": 655}, ms=510)
    run.finish(again, "survey", output={"eu": 655}, branch=paths[0])
    run.join("gather", fork, (again, us, asia), "report")
    run.cancel(africa, "survey", "superseded", "enough other branches had arrived", branch=paths[3])
    report = run.start("report")
    run.wait(600)
    run.finish(report, "report", output="2,671 replies", model="gpt-5-mini", tokens_in=310, tokens_out=22, cost_usd="0.0002")
    run.last_task = report
    run.plan("after_report", ("End", None))
    run.ended("completed", output=payload("2,671 replies from three regions; Asia answered most."))
    return run.entries


def approval() -> list[AnyEntry]:
    """A call that a person must allow."""
    run = Recorder()
    run.begin()
    _first_step(run)
    run.think(1, reply=f"The figures are in. I send the summary to the board.\n```python\n{MAIL_CODE}\n```")
    block = run.run_code(1, MAIL_CODE)
    run.wait(5)
    run.ask(block, "send_email", MAIL, kind="approval", title="The run wants to call 'send_email'. May it?")
    return run.entries


def decided() -> list[AnyEntry]:
    """The same call, allowed with other arguments; then rows, and a block of code that a person must allow."""
    run = Recorder()
    run.entries = approval()
    requested = run.entries[-1]
    run.now = requested.header.created_at + timedelta(seconds=73)
    block = requested.links.parent_exec_id or ""
    changed = MAIL | {"to": ["board@example.org"], "subject": "Prices, week 9"}
    run.answer(requested.header.exec_id, "approved", value=payload(changed), note="Ana is on leave.")
    run.call(block, "send_email", 0, changed, {"sent": 1}, ms=210)
    rows = [{"symbol": name, "first": first, "last": last, "risen": last > first} for name, (first, last) in PRICES.items()]
    run.call(block, "get_prices", 1, {}, rows, ms=90)
    run.last_task = block
    run.observe(block, 1, value_text="{'sent': 1}")
    run.think(2, reply="Now I tidy up.\n```python\nfor name in old:\n    delete(name)\n```")
    tidy = run.run_code(2, "for name in old:\n    delete(name)")
    run.ask(
        tidy, "code", {"code": "for name in old:\n    delete(name)"}, kind="approval", title="The agent wants to run this code. May it?"
    )
    return run.entries


def questions() -> list[AnyEntry]:
    """Questions of an author's own: a few options, yes or no, text, an object, anything."""
    run = Recorder()
    run.created({"offer": 41}, kind="graph", title="Close the deal with the customer")
    schemas: dict[str, Any] = {
        "choose": {"enum": ["accept", "decline", "ask again"]},
        "sure": {"type": "boolean"},
        "why": {"type": "string"},
        "discount": {"type": "object", "properties": {"percent": {"type": "number", "maximum": 20}}, "required": ["percent"]},
        "else": None,
    }
    titles = ["Accept the offer?", "Are you sure?", "Why?", "Which discount do we give?", "Anything else to say?"]
    for (name, schema), title in zip(schemas.items(), titles, strict=True):
        task = run.start(name)
        run.wait(100)
        about = {"offer": 41, "price": 1250.0} if name == "choose" else None
        until = run.now + timedelta(minutes=5) if name == "sure" else None
        run.ask(task, name, about, kind="question", title=title, answer_schema=schema, expires_at=until)
    return run.entries


def hostile() -> list[AnyEntry]:
    """Markup wherever a stranger's text can stand."""
    run = Recorder()
    run.begin(f"{IMG} task\nsecond line </pre></details></section><script>window.pwned=1</script>", model={"name": IMG})
    run.think(0, f"{IMG} thought \x1b[31mred\x1b[0m \u202egnp.exe")
    block = run.run_code(0, f'x = """{IMG}"""  # {IMG}\n</script>')
    run.call(block, IMG, 0, {IMG: IMG, "b": f"</td></table>{IMG}"}, {IMG: [IMG]})
    run.call(block, "t", 1, {}, error=ErrorInfo(code=IMG, type=IMG, message=IMG))
    pictures = (
        picture(IMG.encode(), IMG),
        picture(bars_png(3), IMG, f'image/png;base64,x" {IMG}'),
        payload(IMG),
        payload({"data": 1}),
        blob(),
    )
    run.call(block, "p", 2, {}, None, prints=f"{IMG}\x1b[31m</pre></li>{IMG}", pictures=pictures)
    request = run.ask(block, IMG, {"x": IMG})
    run.answer(request, "happened", value=payload(IMG), note=IMG)
    run.observe(
        block,
        0,
        status="error",
        prints=f"{IMG}\n```\n# {IMG}\n",
        value_text=IMG,
        engine=IMG,
        reason=IMG,
        error={"type": IMG, "message": IMG, "line": 1},
    )
    run.think(1, "", reply=f"{IMG} reply")
    run.plan("plan_dispatch", ("task_finish", {"answer": IMG}))
    run.conclude(IMG)
    return run.entries


def printed() -> list[AnyEntry]:
    """Tools that print and draw, one of which fails, and one that is still at it."""
    run = Recorder()
    run.begin("Plot the week's prices and save the report.")
    run.think(0, "I will plot the prices first.")
    block = run.run_code(0, 'plot(["AAPL", "MSFT", "NVDA"])\nsave("report.html")')
    said = "reading prices.csv\n3 symbols, 5 days\nUserWarning: no price of MSFT on Wednesday; taking Tuesday's\n"
    drawn = (picture(bars_png(40), "<Figure size 640x240 with 1 Axes>"),)
    run.call(block, "plot", 0, {"symbols": ["AAPL", "MSFT", "NVDA"]}, "drawn", ms=840, prints=said, pictures=drawn)
    refused = ErrorInfo(code="tool_failed", type="PermissionError", message="report.html: the file is open elsewhere")
    run.call(block, "save", 1, {"path": "report.html"}, ms=90, error=refused, prints="writing 12 kB\n")
    run.wait(5)
    run.intent(block, "save", 2, {"path": "report-2.html"})
    return run.entries


def picture(data: bytes, text: str, media_type: str = "image/png") -> Payload:
    """Something a tool displayed."""
    return payload({"type": media_type, "data": data, "text": text})


def bars_png(count: int) -> bytes:
    """A drawing of so many bars."""
    width, height = 16 * count, 240
    tops = [height - 20 - (37 * bar) % 180 for bar in range(count)]
    lines = (
        b"".join(b"\x00" if row > tops[bar] and col > 3 else b"\x01" for bar in range(count) for col in range(16)) for row in range(height)
    )
    chunks = [
        (b"IHDR", struct.pack("!IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", bytes((31, 119, 180, 255, 255, 255))),
        (b"IDAT", zlib.compress(b"".join(b"\x00" + line for line in lines))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def heavy() -> list[AnyEntry]:
    """Big texts everywhere, many calls in one step, a blob, control characters and a number too long to print."""
    run = Recorder()
    run.begin("&" * 50_000)
    for index in range(30):
        run.think(index, "<&>" * 4_000)
        block = run.run_code(index, "\n".join(f'value_{line} = "<&>{line}"' for line in range(600)))
        for place in range(130):
            run.call(block, "big", place, {"text": "<&>" * 2_000}, "<&>\x00" * 3_000 if place else blob(), ms=1)
        shown = {"value_text": "<&>" * 4_000, "truncated": True, "full_output": blob().model_dump()["blob"]}
        last = {"next_task": "task_finish", "answer": 0} if index == 29 else {}
        run.observe(block, index, prints="<&>\n" * 4_000, **shown, **last)
    run.conclude({"huge": 10**6000})
    return run.entries


SAMPLES: dict[str, Callable[[], list[AnyEntry]]] = {
    sample.__name__: sample
    for sample in (
        running,
        waiting,
        answered,
        failed,
        stopped,
        finished,
        printed,
        graph,
        branches,
        approval,
        decided,
        questions,
        long,
        hostile,
        heavy,
    )
}
