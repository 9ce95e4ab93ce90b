"""An agent's run, begun anew at one of its steps: with other code, another prompt, model or tools, or another result of a call.

A step is one turn of the model, numbered from 1: its reply, the code it asks for, what came of that. `cut` says where a step is in the
record and what an edit changes there; `branch` what the fork takes along: the manifest, the sandbox's stream as it was at the point, and
for a re-run the recorded replies of the model.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from workbench.agents.codeact import CODEACT, FINISH
from workbench.agents.prompt import with_tools
from workbench.agents.rebind import rebind
from workbench.agents.stream import items_of
from workbench.errors import ModelError, UserError
from workbench.models.client import ModelClient, ModelReply, ModelRequest, OnText
from workbench.models.resolve import resolve
from workbench.record.codec import decode_value, digest, encode_value
from workbench.record.envelope import AnyEntry, LifetimeEvent, PlanExecution, PlanResult, SandboxEvent, TaskExecution, ToolCallEntry
from workbench.record.values import Message, Payload, Usage, make_id
from workbench.runtime.beginning import Cut, Edit, branched
from workbench.runtime.binding import Binding
from workbench.runtime.data_plane import DataPlane
from workbench.runtime.fork import Branch, RunKind, with_choice, with_input, with_result
from workbench.tools.tool import Tool

Model = str | ModelClient | Callable[..., str]


class Turn(NamedTuple):
    """One step of an agent's run, with what a fork may say otherwise."""

    entries: Sequence[AnyEntry]

    @property
    def code(self) -> str | None:
        """What its reply asked to run; None for a reply in words, and for code too long for the log."""
        plan = _dispatch(self.entries)
        args = plan.result.next_tasks[0].args if plan is not None and plan.result.next_tasks else None
        asked = decode_value(args.inline) if args is not None and args.blob is None else None
        return asked.get("code") if isinstance(asked, dict) else None

    @property
    def calls(self) -> list[ToolCallEntry]:
        """The calls that its code made and that have ended."""
        return [entry for entry in self.entries if isinstance(entry, ToolCallEntry) and entry.phase == "outcome"]


def turns(entries: Sequence[AnyEntry]) -> list[Turn]:
    """The steps of an agent's run, in order; none where it is the run of another graph."""
    starts = [place for place, entry in enumerate(entries) if isinstance(entry, TaskExecution) and _is(entry, "task_llm", "started")]
    return [Turn(entries[start:end]) for start, end in pairwise([*starts, len(entries)])]


def cut(
    entries: Sequence[AnyEntry],
    *,
    step: int | None = None,
    code: str | None = None,
    prompt: str | None = None,
    result: Mapping[int | str, Any] | None = None,
) -> Cut:
    """Where a fork of an agent's run begins, and what is changed there.

    Without an edit the step's turn is taken again. `code` is run in the place of what the reply asked for. `prompt` is the task as it is
    told from the step on (from the first, unless one is given). `result` has values by call: its id, or its ordinal in the step's block.

    Raises:
        UserError: the run has no such step, code or call.
    """
    if code is not None and result is not None:
        raise UserError("change the code or the result of a call, not both: other code makes other calls")
    if code is not None:
        _check(code)
    steps = turns(entries)
    if step is None and (result is None or not all(isinstance(call, str) for call in result)):
        step = 1 if prompt is not None and code is None and result is None else None
        if step is None:
            raise UserError("say at which step: fork(step=…, …)")
    if step is not None and not 1 <= step <= len(steps):
        raise UserError(f"the run has {len(steps)} steps; there is no step {step}")
    within = entries if step is None else steps[step - 1].entries
    told: dict[str, Any] = {"step": step}
    edits: dict[int, Edit] = {}
    if code is not None:
        plan = _dispatch(within)
        if plan is None:
            raise UserError(f"step {step} has no reply whose code could be replaced; fork without code= to take the turn again")
        seq, told["code"] = plan.seq, code
        edits[seq] = with_choice(PlanResult.to("task_execute", {"code": code, "notes": []}, reason="edited"))
    elif result is not None:
        edits = {_call(within, call).seq: with_result(Payload(inline=encode_value(value))) for call, value in result.items()}
        seq, told["result"] = max(edits), {str(call): encode_value(value) for call, value in result.items()}
    else:
        assert step is not None
        seq = within[0].seq - 1
    if prompt is not None and not prompt.strip():
        raise UserError("the task is empty; leave it as it was, or write another")
    if prompt is not None:
        edits |= _prompt(entries, prompt)
        told["prompt"] = prompt
    return Cut(seq=seq, edits=edits, told=told)


async def branch(
    plane: DataPlane,
    entries: Sequence[AnyEntry],
    kept: Sequence[AnyEntry],
    cut: Cut,
    *,
    fork_id: str,
    live: Binding | None,
    answers: bool,
    tools: Iterable[Tool | Callable[..., Any]] = (),
    model: Model | None = None,
    schema: Any = None,
) -> Branch:
    """What an agent's fork takes along. Tools that are given replace those of the same name, and are added where there is none; tools and
    model that are not given are those of the run, where this process still has it."""
    first = entries[0]
    assert isinstance(first, LifetimeEvent)
    manifest = first.manifest
    assert manifest is not None
    settings = dict(manifest.resources)
    given = [Tool.of(tool) for tool in tools]
    had = list(live.resources.tools.values()) if live is not None else []
    at_hand = {tool.name: tool for tool in [FINISH, *had, *given]}
    added = [tool for tool in given if tool.name not in {known["name"] for known in settings["tools"]}]
    settings["tools"] = [*settings["tools"], *(tool.manifest() for tool in added)]
    bound = [at_hand[known["name"]] for known in settings["tools"] if known["name"] in at_hand]
    if given and len(bound) == len(settings["tools"]):
        settings["system"] = with_tools(settings["system"], bound)
    client: Model | None = model if model is not None else live.resources.client if live is not None else None
    if answers:
        client = RecordedReplies(entries, settings, None if client is None else resolve(client))
    stream_id = make_id(fork_id, "sandbox")
    stream = _stream_at(await plane.entries(settings["sandbox_id"]), entries, kept, cut)
    copies = branched(stream, stream_id)
    settings["sandbox_id"] = stream_id
    if 1 in cut.edits:
        manifest = manifest.model_copy(update={"title": _first_line(cut.told.get("prompt") or manifest.title)})
    objects = {"tools": list(at_hand.values()), "model": client, "items": await items_of(plane, copies), "schema": schema}
    return Branch(
        manifest=manifest.model_copy(update={"resources": settings}),
        objects=objects,
        streams={manifest.resources["sandbox_id"]: copies} if copies else {},
    )


AGENT = RunKind(graph=CODEACT, bind=rebind, cut=cut, branch=branch)


class RecordedReplies:
    """A model that answers a conversation as the record does, and asks a live one about any other."""

    def __init__(self, entries: Sequence[AnyEntry], settings: Mapping[str, Any], live: ModelClient | None) -> None:
        self._live = live
        self._spec = {name: value for name, value in settings["model"].items() if name != "name"}
        self._name = settings["model"]["name"]
        self._replies: dict[str, TaskExecution] = {}
        said: list[Message] = []
        for entry in entries:
            if isinstance(entry, TaskExecution) and _is(entry, "task_llm", "finished") and entry.messages:
                self._replies.setdefault(_asked([*said, *entry.messages[:-1]]), entry)
            said.extend(entry.messages)

    @property
    def name(self) -> str:
        """Of the model that gave the replies."""
        return str(self._name)

    def spec(self) -> dict[str, Any]:
        """As it was recorded."""
        return dict(self._spec)

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """The recorded reply to these messages. It is not paid for again.

        Raises:
            ModelError: there is none, and no live model was given.
        """
        entry = self._replies.get(_asked(request.messages))
        if entry is None:
            if self._live is None:
                raise ModelError("the record has no reply to this conversation, and there is no live model to ask; give model=…")
            return await self._live.complete(request, on_text)
        content = entry.messages[-1].content
        if on_text is not None:
            on_text(content)
        output = decode_value(entry.result.output.inline) if entry.result and entry.result.output else {}
        return ModelReply(
            content=content,
            usage=Usage(),
            model=entry.telemetry.model or self.name,
            finish_reason=(output or {}).get("finish_reason"),
            cost_usd="0",
        )

    async def aclose(self) -> None:
        """Close the live model."""
        if self._live is not None:
            await self._live.aclose()


def _asked(messages: Sequence[Message]) -> str:
    return digest([[message.role, message.content] for message in messages])


def _is(entry: TaskExecution, name: str, phase: str) -> bool:
    return (entry.header.name, entry.phase) == (name, phase)


def _check(code: str) -> None:
    """A person's code that cannot be read is their mistake, and no failure for the model to mend."""
    if not code.strip():
        raise UserError("there is no code; to end the step there, write finish(None)")
    try:
        ast.parse(code)
    except SyntaxError as error:
        raise UserError(f"the code cannot be read: {error.msg} on line {error.lineno}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"the code cannot be read: {error or type(error).__name__}") from error


def _dispatch(within: Sequence[AnyEntry]) -> PlanExecution | None:
    return next((entry for entry in within if isinstance(entry, PlanExecution) and entry.header.name == "plan_dispatch"), None)


def _call(within: Sequence[AnyEntry], call: int | str) -> ToolCallEntry:
    outcomes = Turn(within).calls
    found = next((entry for entry in outcomes if call in (entry.header.exec_id, entry.call.ordinal)), None)
    if found is None:
        known = ", ".join(f"{entry.call.ordinal} ({entry.call.tool})" for entry in outcomes) or "none"
        raise UserError(f"there is no call {call!r} with a result here; there are: {known}")
    return found


def _prompt(entries: Sequence[AnyEntry], prompt: str) -> dict[int, Edit]:
    """The run was given another task: what is recorded of the given one is changed."""
    payload = Payload(inline=encode_value(prompt))
    edits = {1: with_input(payload)}
    opened = next((entry for entry in entries if isinstance(entry, TaskExecution) and _is(entry, "task_user", "finished")), None)
    if opened is not None:

        def say(entry: TaskExecution) -> TaskExecution:
            messages = (*entry.messages[:-1], Message(role="user", content=prompt))
            result = entry.result and entry.result.model_copy(update={"output": payload})
            return entry.model_copy(update={"messages": messages, "result": result})

        edits[opened.seq] = say
    return edits


def _stream_at(stream: Sequence[AnyEntry], entries: Sequence[AnyEntry], kept: Sequence[AnyEntry], cut: Cut) -> list[AnyEntry]:
    """The items of the sandbox that were there at the point: up to the block that the run ran next, or else to its last one."""
    ran = {entry.header.exec_id for entry in kept if isinstance(entry, TaskExecution) and entry.phase == "finished"}
    linked = [entry for entry in entries if isinstance(entry, TaskExecution) and entry.links.block_no is not None]
    place = {item.item.block.block_no: index for index, item in enumerate(stream) if isinstance(item, SandboxEvent) and item.item.block}
    blocks = [(entry.header.exec_id in ran, place[entry.links.block_no]) for entry in linked if entry.links.block_no in place]
    before, after = ([index for was_before, index in blocks if was_before is side] for side in (True, False))
    if after:
        return list(stream[: min(after)])
    if before:
        return list(stream[: max(before) + 1])
    began = entries[0].header.created_at
    return [item for item in stream if item.header.created_at <= began]


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:200]
