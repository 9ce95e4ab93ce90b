"""Agent: what a person configures once and gives tasks to."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar, get_args, overload

from pydantic import BaseModel

from workbench.agents.bound import agent_binding, unasked
from workbench.agents.chat import continued
from workbench.agents.codeact import FINISH, Approve, CodeActResources
from workbench.agents.handlers import Handler, Handlers
from workbench.agents.many import Begin, Outcome, atogether, together
from workbench.agents.prompt import system_prompt
from workbench.agents.stream import SandboxStream
from workbench.agents.trace import print_event
from workbench.agents.use import SandboxUse, adopt, answer_of, awaited
from workbench.current import current
from workbench.errors import AgentBusy, ToolOutputInvalid, UserError
from workbench.guardrails.policy import Policy, policy_of
from workbench.loop import run_async, run_sync
from workbench.models.client import ModelClient
from workbench.models.resolve import check_name, resolve
from workbench.record.events import EVENTS
from workbench.record.values import make_id
from workbench.runtime.binding import Binding
from workbench.runtime.run import Run
from workbench.runtime.workbench import Workbench
from workbench.sandbox.box import Sandbox
from workbench.sandbox.session import EngineChoice, Session
from workbench.schemas import AnswerSchema
from workbench.tools.info import ToolInfo
from workbench.tools.tool import Tool
from workbench.tools.values import plain

F = TypeVar("F", bound=Callable[..., Any])
Schema = dict[str, Any] | type[BaseModel]


class Agent:
    """An agent that solves tasks by writing Python.

    `model` is a name such as `"openai:gpt-5-mini"`, a client from `wb.models`, or None for whatever the environment configures. The
    sandbox's variables live as long as the agent; each `run` begins a conversation of its own. `engine` is `"auto"`, `"littrs"` or
    `"monty"`. `max_tokens=None` leaves the limit to the provider. A `schema` holds for every run that is not given another.

    With `sandbox=` the agent works in a sandbox of yours: with its variables, files, limits and engine, and with its tools beside the
    agent's own, which win where names are the same. Between runs you go on using it.

    `policy` is what its runs are judged by: the path of a policy file, a policy's text, or a `wb.Policy`. `approve` says what a person is
    asked about: `"tools"`, the calls of tools that ask; `"code"`, each block before it runs as well; `"none"`, nothing but what the policy
    demands.

    Raises:
        UserError: for a setting that cannot be meant, a schema that is none, or a tool name that cannot be called from the sandbox.
    """

    def __init__(
        self,
        model: str | ModelClient | Callable[..., str] | None = None,
        *,
        tools: Iterable[Tool | Callable[..., Any]] | Callable[..., Any] = (),
        max_iterations: int = 10,
        temperature: float | None = 0.7,
        max_tokens: int | None = 4096,
        system: str | None = None,
        verbose: bool = False,
        sandbox: Sandbox | None = None,
        engine: EngineChoice = "auto",
        schema: Schema | None = None,
        thinking_tag: str | None = None,
        policy: str | Path | Policy | None = None,
        approve: Approve = "tools",
        workbench: Workbench | None = None,
    ) -> None:
        if isinstance(model, str):
            check_name(model)
        _check_settings(max_iterations, temperature, max_tokens, engine, approve)
        self._model = model
        self._client: ModelClient | None = None
        self._tools: dict[str, Tool] = {}
        self._max_iterations = max_iterations
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._system = system
        self.engine = engine if sandbox is None else sandbox.session.choice
        self._schema = AnswerSchema(schema) if schema is not None else None
        self._thinking_tag = thinking_tag
        self._policy = policy_of(policy)
        self._approve: Approve = approve
        self._workbench = workbench
        self._handlers = Handlers()
        self._chat: Run | None = None
        self._sandbox = SandboxUse() if sandbox is None else adopt(sandbox)
        for tool in [tools] if callable(tools) else tools:
            self.register(tool)
        if verbose:
            for event in EVENTS:
                self._handlers.add(event, print_event)

    @property
    def tools(self) -> dict[str, Tool]:
        """The tools by name, the finishing ones included."""
        given = self._sandbox.box.executor.tools.values() if self._sandbox.box is not None else ()
        own = {**{tool.name: _callable(tool) for tool in given}, **self._tools}
        return own if any(tool.finish for tool in own.values()) else {**own, FINISH.name: FINISH}

    @overload
    def tool(self, fn: F, /) -> F: ...
    @overload
    def tool(self, fn: None = None, /, **options: Any) -> Callable[[F], F]: ...
    def tool(self, fn: F | None = None, /, **options: Any) -> F | Callable[[F], F]:
        """Register a function as a tool, bare or with the options of `wb.tool`; the function is returned unchanged."""

        def mark(function: F) -> F:
            self.register(Tool.from_function(function, **options))
            return function

        return mark if fn is None else mark(fn)

    def register(self, tool: Tool | ToolInfo | Callable[..., Any], fn: Callable[..., Any] | None = None) -> Tool:
        """Add a tool; one of the same name is replaced. A `ToolInfo` comes with the function it describes."""
        made = tool.tool(fn) if isinstance(tool, ToolInfo) and fn is not None else Tool.of(tool)  # type: ignore[arg-type]
        self._tools[made.name] = _callable(made)
        return made

    def on(self, event: str) -> Callable[[Handler], Handler]:
        """Decorate a function to be called with each event of that name; `workbench.record.events` lists names and fields."""

        def add(handler: Handler) -> Handler:
            self._handlers.add(event, handler)
            return handler

        if event not in EVENTS:
            raise UserError(f"there is no event {event!r}; the events are {', '.join(EVENTS)}")
        return add

    def sharing_sandbox(self, other: Agent) -> Self:
        """Use the sandbox of another agent from now on: the same variables, one run at a time between the two. Returns this agent."""
        self._sandbox = other._sandbox
        return self

    def run(self, task: str, *, schema: Schema | None = None) -> Any:
        """Solve a task and return the answer: JSON data, or an instance where the schema is a pydantic class.

        An interrupt (Ctrl-C) while it runs stops the run.

        Raises:
            RunFailed: MaxIterations, OutputInvalid, or why else there is no answer; `.run` holds everything that was done.
            RunStopped: somebody stopped it.
            ApprovalPending: it waits for a person. It goes on waiting: decide `.run.pending[0]`, then `.run.result()`.
        """
        return answer_of(self.start(task, schema=schema))

    async def arun(self, task: str, *, schema: Schema | None = None) -> Any:
        """`run` for code that awaits; cancelling it stops the run."""
        return await awaited(await self.astart(task, schema=schema))

    def chat(self, text: str, *, schema: Schema | None = None) -> Any:
        """`run`, going on with the conversation of the `chat` before: the model is told all that was said. Each is a run of its own, with
        turns of its own; a turn that failed is not part of the conversation."""
        self._chat = self.start(text, schema=schema, continuing=self._chat)
        return answer_of(self._chat)

    async def achat(self, text: str, *, schema: Schema | None = None) -> Any:
        """`chat` for code that awaits; cancelling it stops the run."""
        self._chat = await self.astart(text, schema=schema, continuing=self._chat)
        return await awaited(self._chat)

    def clear(self) -> None:
        """Forget the conversation; the next `chat` begins a new one. The sandbox keeps its variables."""
        self._chat = None

    def map(
        self,
        tasks: Iterable[str],
        *,
        max_concurrency: int = 8,
        schema: Schema | None = None,
        unattended: bool = False,
        progress: bool | None = None,
    ) -> list[Outcome]:
        """Solve many tasks at once and return an `Outcome` for each, in their order. Each is a run of its own in a copy of the sandbox, so
        none sees another's variables and the agent's own stay as they are. A task that fails is an outcome, and no error. One that comes
        to wait for a person is an outcome with ApprovalPending; its run goes on waiting, as with `run`.

        Its events carry `task_index`. `progress` shows a bar, or none; by default where somebody may see it. An interrupt stops them.
        """
        given = {"schema": schema, "unattended": unattended}
        return together(self._begins(list(tasks), given), max_concurrency, progress)

    async def amap(
        self,
        tasks: Iterable[str],
        *,
        max_concurrency: int = 8,
        schema: Schema | None = None,
        unattended: bool = False,
        progress: bool | None = None,
    ) -> list[Outcome]:
        """`map` for code that awaits: it waits for people too, and cancelling it stops all of them."""
        given = {"schema": schema, "unattended": unattended}
        return await atogether(self._begins(list(tasks), given), max_concurrency, progress)

    def start(
        self,
        task: str,
        *,
        schema: Schema | None = None,
        unattended: bool = False,
        continuing: Run | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Run:
        """Begin a task and return its Run at once. `unattended` says that nobody can be asked: calls that need approval are refused.
        `continuing` is a run whose conversation this one goes on with; any run of an agent, also one read from the store. `variables` are
        bound in the sandbox before it begins, to copies of their values; the task has to say what they are.

        Raises:
            AgentBusy: the agent's last run has not ended.
            ConfigurationError: no model is configured; the message says how to configure one.
        """
        return run_sync(self._start(self._bench(), task, schema=schema, unattended=unattended, continuing=continuing, variables=variables))

    async def astart(
        self,
        task: str,
        *,
        schema: Schema | None = None,
        unattended: bool = False,
        continuing: Run | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Run:
        """`start` for code that awaits."""
        return await run_async(
            self._start(self._bench(), task, schema=schema, unattended=unattended, continuing=continuing, variables=variables)
        )

    def close(self) -> None:
        """Stop a run that is under way, and release the sandbox's worker and the model's connections. The agent can still be used."""
        run_sync(self.aclose())

    async def aclose(self) -> None:
        """`close` for code that awaits."""
        run = self._sandbox.run
        if run is not None and run.live:
            run.stop("its agent was closed")
            await run.wait()
        if self._sandbox.stream is not None:
            await run_async(self._sandbox.stream.session.close())
        if self._client is not None:
            await run_async(self._client.aclose())

    def _bench(self) -> Workbench:
        """The workbench to run on. Called in the caller's thread: making the default one waits for the runtime's loop, and finding out
        which model is configured may ask a local server."""
        self._client = self._client or resolve(self._model)
        return self._workbench or current()

    def _begins(self, tasks: list[str], given: dict[str, Any]) -> list[Begin]:
        """What begins each of many tasks."""
        bench = self._bench()
        return [
            partial(self._twin(bench, index)._start, bench, task, continuing=None, variables=None, **given)
            for index, task in enumerate(tasks)
        ]

    def _twin(self, bench: Workbench, index: int) -> Agent:
        """This agent for one of many tasks, with a copy of its sandbox as it is now."""
        twin = copy(self)
        sandbox_id = make_id(bench.new_id(), "sandbox")
        past = None if self._sandbox.stream is None else self._sandbox.stream.session
        session = Session(sandbox_id, engine=self.engine) if past is None else past.branch(sandbox_id)
        twin._sandbox = SandboxUse(stream=SandboxStream(session, sandbox_id))
        twin._tools = dict(self.tools)
        twin._handlers = self._handlers.numbered(index)
        return twin

    async def _start(
        self,
        bench: Workbench,
        task: str,
        *,
        schema: Schema | None,
        unattended: bool,
        continuing: Run | None,
        variables: Mapping[str, Any] | None,
    ) -> Run:
        if not isinstance(task, str):
            raise UserError(f"a task is text; got {type(task).__name__}. Put values into the text, or give them by a tool")
        if not task.strip():
            raise UserError("the task is empty; say what the agent is to do")
        answer = AnswerSchema(schema) if schema is not None else self._schema
        if unattended and self._approve == "code":
            raise UserError("approve='code' needs a person, and nobody is there to be asked; give approve='tools', or wait for one")
        use = self._sandbox
        if (holder := use.holder()) is not None:
            raise AgentBusy(f"this agent is busy with {holder}; wait for it, stop it, or use another agent")
        use.starting = True
        try:
            binding = await self._binding(bench, task, answer)
            binding = replace(binding, unattended=unattended, policy=self._policy)
            for name, value in (variables or {}).items():
                await binding.resources.stream.session.set(name, _held(name, value))
            given: str | dict[str, Any] = task
            if continuing is not None:
                given = continued(await continuing.workbench.plane.entries(continuing.id), task)
                binding = replace(binding, described={**binding.described, "continues": continuing.id})
            use.run = await bench.astart(binding, given)
        finally:
            use.starting = False
        return use.run

    async def _binding(self, bench: Workbench, task: str, schema: AnswerSchema | None) -> Binding:
        assert self._client is not None, "_bench is called first"
        use = self._sandbox
        if use.stream is None:
            sandbox_id = make_id(bench.new_id(), "sandbox")
            use.stream = SandboxStream(Session(sandbox_id, engine=self.engine), sandbox_id)
        elif await bench.is_gone(use.stream.sandbox_id):
            use.stream.begin_anew(make_id(bench.new_id(), "sandbox"))
        tools = self.tools if self._approve != "none" else {name: unasked(tool) for name, tool in self.tools.items()}
        resources = CodeActResources(
            client=self._client,
            system=system_prompt(
                role=self._system, tools=tools.values(), schema=schema.json_schema if schema else None, engine=self.engine
            ),
            tools=tools,
            stream=use.stream,
            schema=schema,
            temperature=self._temperature,
            max_tokens=self._max_tokens,
            thinking_tag=self._thinking_tag,
            approve=self._approve,
            box=use.box,
        )
        return agent_binding(
            resources, title=task, max_iterations=self._max_iterations, engine=self.engine, bench=bench, handlers=self._handlers
        )


def _check_settings(max_iterations: Any, temperature: Any, max_tokens: Any, engine: Any, approve: Any) -> None:
    """Refuse at construction what would only fail in the middle of a run."""
    if type(max_iterations) is not int or max_iterations < 0:
        raise UserError(f"max_iterations={max_iterations!r} is no number of turns; give a whole number from 0")
    if temperature is not None and (type(temperature) not in (int, float) or not 0 <= temperature < math.inf):
        raise UserError(f"temperature={temperature!r} is no temperature; give a number from 0, or None for the provider's own")
    if max_tokens is not None and (type(max_tokens) is not int or max_tokens < 1):
        raise UserError(f"max_tokens={max_tokens!r} is no number of tokens; give a whole number from 1, or None for the provider's limit")
    if engine not in get_args(EngineChoice):
        raise UserError(f"engine={engine!r} is no sandbox engine; give {', '.join(map(repr, get_args(EngineChoice)))}")
    if approve not in get_args(Approve):
        raise UserError(f"approve={approve!r} says nothing that could be asked about; give {', '.join(map(repr, get_args(Approve)))}")


def _held(name: str, value: Any) -> Any:
    """A value as the sandbox can hold it."""
    try:
        return plain(value)
    except ToolOutputInvalid as error:
        raise UserError(f"the sandbox cannot hold {name!r}: {str(error).replace('the result', name)}") from None


def _callable(tool: Tool) -> Tool:
    """The tool, if an agent's code can call it by its name."""
    if hasattr(builtins, tool.name):
        raise UserError(f"a tool cannot be named {tool.name!r}: Python's own {tool.name}() would be called instead; give name=…")
    if tool.name == FINISH.name and not tool.finish:
        raise UserError("a tool named 'finish' must end the run; give finish=True, or another name")
    return tool
