"""The CodeAct agent as an AgentGraph: the model writes Python, a sandbox runs it, tools are the only way out.

    Start → task_user → plan_context → task_llm → plan_dispatch ─┬→ task_execute → plan_observe ─┬→ task_llm
                                          ↑                      ├→ task_finish ←────────────────┘
                                          │                      ├→ task_approve → plan_approval ─┬→ task_execute
                                          │                      │   (every block is asked about) └→ task_llm
                                          │                      └→ task_llm   (a reply that cannot be used)
                                          └── plan_answer ←── task_finish          plan_answer ─FINAL→ End

Tasks have the effects: asking the model, running code, checking the answer with the caller's own classes. Plans only read the record: what
a reply asks for, what a result means, whether any turns are left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workbench.agents.chat import opening
from workbench.agents.correction import correction
from workbench.agents.observe import observation, recorded_output
from workbench.agents.reply import read_reply, without_thinking
from workbench.agents.stream import SandboxStream
from workbench.errors import ReplayDivergence, ToolDenied, ToolInputInvalid
from workbench.graph.graph import AgentGraph
from workbench.graph.nodes import PlanInput, plan, task
from workbench.models.client import ModelClient, ModelRequest
from workbench.record.codec import roundtrip
from workbench.record.envelope import PlanResult
from workbench.record.values import Message
from workbench.runtime.context import TaskContext
from workbench.runtime.pieces import Pieces
from workbench.sandbox import clock
from workbench.sandbox.box import Sandbox
from workbench.sandbox.engine import Output, ProgramEnd
from workbench.schemas import AnswerSchema
from workbench.tools.recorded import recorded_call
from workbench.tools.tool import Tool

Approve = Literal["none", "tools", "code"]
"""What a person is asked about: nothing, the calls of tools that ask, or each block of code besides."""

CODE = "code"
"""What is allowed when a person says of a block that all further ones may run in this run."""

EDITED = "(A person changed the code before it ran. This ran instead:\n```python\n{code}\n```)"


@dataclass(frozen=True, kw_only=True)
class CodeActResources:
    """The live objects of a run."""

    client: ModelClient
    system: str
    """The whole system prompt."""
    tools: Mapping[str, Tool]
    """By name, finishing ones included."""
    stream: SandboxStream
    schema: AnswerSchema | None
    temperature: float | None
    max_tokens: int | None
    thinking_tag: str | None
    approve: Approve = "tools"
    """What a person is asked about."""
    box: Sandbox | None = None
    """The person's sandbox that the stream belongs to, kept alive with its mounts."""


@task(idempotent=True)
async def task_user(value: str | dict[str, Any], ctx: TaskContext) -> Any:
    """Open the conversation, or go on with one."""
    ctx.say(*opening(value, ctx.resources.system))
    return value


@plan
async def plan_context(given: PlanInput) -> PlanResult:
    """Ask the model, if it has any turns at all."""
    return _turn(given, say=None, problem=None)


@task(idempotent=True)
async def task_llm(value: dict[str, Any], ctx: TaskContext) -> dict[str, Any]:
    """Tell the model what has happened since its last reply and take the next one."""
    resources: CodeActResources = ctx.resources
    if value["say"] is not None:
        ctx.say(Message(role="user", content=value["say"]))
    request = ModelRequest(messages=ctx.conversation, temperature=resources.temperature, max_tokens=resources.max_tokens)
    reply = await resources.client.complete(request, on_text=lambda piece: ctx.emit("text", text=piece))
    ctx.say(Message(role="assistant", content=reply.content))
    ctx.usage(reply.usage, model=reply.model, cost_usd=reply.cost_usd, retries=reply.retries, price_table=reply.price_table)
    thoughts, _ = without_thinking(reply.content, resources.thinking_tag)
    return {"thinking": list(thoughts), "finish_reason": reply.finish_reason}


@plan
async def plan_dispatch(given: PlanInput) -> PlanResult:
    """What the reply asks for: code is run, an answer is checked, anything else is said to the model."""
    reply = read_reply(given.executions[0].messages[-1].content, given.settings["thinking_tag"])
    if reply.problem is not None:
        return _turn(given, say=reply.problem, problem="reply_unusable")
    if reply.code is not None:
        target = "task_approve" if given.settings.get("approve") == "code" else "task_execute"
        return PlanResult.to(target, {"code": reply.code, "notes": list(reply.notes)})
    return PlanResult.to("task_finish", {"answer": reply.answer}, reason="text answer")


@task(idempotent=True)
async def task_approve(value: dict[str, Any], ctx: TaskContext) -> dict[str, Any]:
    """Ask a person whether a block may run; it may be changed before it does."""
    try:
        allowed = await ctx.approve(CODE, {"code": value["code"]}, title="The agent wants to run this code. May it?")
    except ToolDenied as denied:
        return {**value, "refused": str(denied)}
    code = allowed.get("code")
    if not isinstance(code, str):
        return {**value, "refused": "the approval came without the code that may run"}
    return {"code": code, "notes": [*value["notes"], *([EDITED.format(code=code)] if code != value["code"] else [])], "refused": None}


@plan
async def plan_approval(given: PlanInput) -> PlanResult:
    """What was allowed is run; a refusal is told to the model."""
    value = given.value
    if value["refused"] is not None:
        return _turn(given, say=f"The code was not run: {value['refused']}", problem="code_refused")
    return PlanResult.to("task_execute", {"code": value["code"], "notes": value["notes"]})


@task(idempotent=True)
async def task_execute(value: dict[str, Any], ctx: TaskContext) -> dict[str, Any]:
    """Run a block in the sandbox. Repeating it after a crash repeats no call: those are answered from the record."""
    resources: CodeActResources = ctx.resources
    session = resources.stream.session
    program = _Program(resources.tools, ctx)
    finishers = [name for name, tool in resources.tools.items() if tool.finish]
    pieces, said = Pieces(lambda text: ctx.emit("print", text=text)), Output(session.limits.max_output)

    def tell(text: str) -> None:
        said.add(text)
        pieces.add(text)

    try:
        result = await session.run(
            value["code"],
            program.call,
            tools=list(resources.tools),
            finishers=finishers,
            system=program.system,
            recorded=lambda name, args, kwargs: recorded_call(resources.tools.get(name), args, kwargs),
            on_text=tell,
        )
    except asyncio.CancelledError:
        ctx.leave({"prints": said.text, "truncated": said.truncated})
        raise
    finally:
        pieces.close()
        ctx.link_sandbox(resources.stream.sandbox_id, session.block_no - 1)
        await ctx.keep(resources.stream)
    if program.divergence is not None:
        raise program.divergence
    output = recorded_output(result) | {"notes": value["notes"], "finished": result.status == "finished"}
    if result.full_prints is not None:
        output["full_output"] = await resources.stream.keep_text(result.full_prints)
    return output | ({"answer": program.answer} if result.status == "finished" else {})


@plan
async def plan_observe(given: PlanInput) -> PlanResult:
    """A program that finished has an answer to check; any other outcome is told to the model."""
    output = given.value
    if output["finished"]:
        return PlanResult.to("task_finish", {"answer": output["answer"]}, reason="finish()")
    return _turn(given, say=observation(output, tuple(output["notes"])), problem=None)


@task(idempotent=True)
async def task_finish(value: dict[str, Any], ctx: TaskContext) -> dict[str, Any]:
    """Check the answer against the schema, where there is one."""
    schema = ctx.resources.schema
    if schema is None:
        return {"answer": value["answer"], "correction": None}
    checked = schema.check(value["answer"])
    wrong = correction(checked.problems, schema.json_schema, value["answer"]) if checked.problems else None
    return {"answer": checked.value, "correction": wrong}


@plan
async def plan_answer(given: PlanInput) -> PlanResult:
    """A good answer ends the run; a bad one goes back to the model with what is wrong, while it has turns."""
    if given.value["correction"] is None:
        return PlanResult.to("End", given.value["answer"])
    return _turn(given, say=given.value["correction"], problem="output_invalid")


def _turn(given: PlanInput, *, say: str | None, problem: str | None) -> PlanResult:
    """The model's next turn, or the end of the run where it has none left."""
    limit = given.settings["max_iterations"]
    if given.dispatched.get("task_llm", 0) < limit:
        return PlanResult.to("task_llm", {"say": say, "problem": problem})
    if problem == "output_invalid":
        return PlanResult.fail("output_invalid", f"after {limit} turns the answer still did not have the expected shape. {say}")
    return PlanResult.fail("max_iterations", f"the agent used all its {limit} turns without finishing; give it more with max_iterations=")


CODEACT = AgentGraph(
    "codeact",
    version="1.1.0",
    nodes=[
        *(task_user, plan_context, task_llm, plan_dispatch, task_approve, plan_approval),
        *(task_execute, plan_observe, task_finish, plan_answer),
    ],
    edges=[
        ("Start", "task_user"),
        ("task_user", "plan_context"),
        ("plan_context", "task_llm"),
        ("task_llm", "plan_dispatch"),
        ("plan_dispatch", "task_execute"),
        ("plan_dispatch", "task_approve"),
        ("task_approve", "plan_approval"),
        ("plan_approval", "task_execute"),
        ("plan_approval", "task_llm"),
        ("plan_dispatch", "task_finish"),
        ("plan_dispatch", "task_llm"),
        ("task_execute", "plan_observe"),
        ("plan_observe", "task_llm"),
        ("plan_observe", "task_finish"),
        ("task_finish", "plan_answer"),
        ("plan_answer", "task_llm"),
        ("plan_answer", "End"),
    ],
)


def finish(answer: Any = None) -> Any:
    """End the task with this answer. The program stops here.

    Args:
        answer: The answer, as data.
    """
    return answer


FINISH = Tool.from_function(finish, finish=True, idempotent=True)
"""The finishing tool an agent has when it is given none. It has no effect, so its calls are not recorded apart from the answer."""


class _Program:
    """Answers the calls of one block, and keeps the answer it finishes with."""

    def __init__(self, tools: Mapping[str, Tool], ctx: TaskContext) -> None:
        self.answer: Any = None
        self.divergence: ReplayDivergence | None = None
        """A call that is not the recorded one. The program must not be able to catch it, so it is ended and this is raised afterwards."""
        self._tools = tools
        self._ctx = ctx

    async def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call, bound by name. A finishing tool that returns ends the program with its value; one that raises does not."""
        tool = self._tools[name]
        if tool is FINISH:
            value = roundtrip(tool.bind(args, kwargs).get("answer"))
        else:
            value = await self._recorded(tool, args, kwargs)
        if tool.finish:
            self.answer = value
            raise ProgramEnd
        return value

    async def system(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The clock and randomness: recorded like any call, so that a repeated block sees what it saw."""
        given = {"args": list(args), "kwargs": kwargs}
        return await self._same(self._ctx.effect(name, given, lambda: clock.answer(name, args, kwargs, self._ctx.clock), idempotent=True))

    async def _recorded(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            bound = tool.bind(args, kwargs)
        except ToolInputInvalid as error:
            shown, named = recorded_call(tool, args, kwargs)
            return await self._same(self._ctx.call_tool(tool.name, {"args": list(shown), "kwargs": named}, refused=error))
        return await self._same(self._ctx.call_tool(tool.name, bound))

    async def _same(self, call: Awaitable[Any]) -> Any:
        """A call, which must be the one that the record has at its place, if it has one there."""
        try:
            return await call
        except ReplayDivergence as divergence:
            self.divergence = divergence
            raise ProgramEnd from None
