"""The Coding Agent graph of seed 003, with people and models that answer from a script."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import workbench as wb
from workbench.graph.edges import Edge

EDGES = [
    Edge("Start", "TaskHITL"),
    Edge("TaskHITL", "PlanRAG", label="human input"),
    Edge("PlanRAG", "TaskCallRAG", label="RAG query"),
    Edge("TaskCallRAG", "TaskLLMSubmit", label="RAG output"),
    Edge("TaskLLMSubmit", "PlanRefine", label="LLM results"),
    Edge("PlanRefine", "TaskHITL", label="clarification"),
    Edge("PlanRefine", "CodeLLM1", "PARALLEL", label="LLM results"),
    Edge("PlanRefine", "CodeLLM2", "PARALLEL", label="LLM results"),
    Edge("CodeLLM1", "PostGenPlan1", label="tool 1 results"),
    Edge("CodeLLM2", "PostGenPlan2", label="tool n results"),
    Edge("PostGenPlan1", "CheckCodeLLM1", label="plan results"),
    Edge("PostGenPlan2", "CheckCodeLLM2", label="plan results"),
    Edge("CheckCodeLLM1", "PlanAccept1", label="validated results"),
    Edge("CheckCodeLLM2", "PlanAccept2", label="validated results"),
    Edge("PlanAccept1", "HumanAcceptReject1", label="pass"),
    Edge("PlanAccept1", "CodeLLM1", label="observe/refine"),
    Edge("PlanAccept2", "HumanAcceptReject1", label="pass"),
    Edge("PlanAccept2", "CodeLLM2", label="observe/refine"),
    Edge("HumanAcceptReject1", "End", label="accept", condition="result.accepted"),
    Edge("HumanAcceptReject1", "PlanRefine", label="reject"),
]


class Script:
    """What people and models say, in order; `said` are the answers by who gave them."""

    def __init__(self, **answers: list[Any]) -> None:
        self._answers = {who: iter(given) for who, given in answers.items()}
        self.heard: dict[str, list[Any]] = defaultdict(list)

    def ask(self, who: str, question: Any) -> Any:
        """The next answer of `who`."""
        self.heard[who].append(question)
        return next(self._answers[who])


def nodes(script: Script) -> list[wb.Task | wb.Plan]:
    """The graph's nodes; every effect is an answer from the script."""

    @wb.task(name="TaskHITL", label="Task: Human In The Loop")
    async def describe(question: Any) -> Any:
        return script.ask("describe", question)

    @wb.plan(name="PlanRAG", label="Plan: Call RAG")
    async def query(given: wb.PlanInput) -> wb.PlanResult:
        return wb.PlanResult.to("TaskCallRAG", {"query": given.value})

    @wb.task(name="TaskCallRAG", label="Task: RAG Lookup")
    async def look_up(asked: Any) -> Any:
        return {**asked, "found": f"all about {asked['query']}"}

    @wb.task(name="TaskLLMSubmit", label="Task: Submit to LLM")
    async def submit(prompt: Any) -> Any:
        return script.ask("refine", prompt)

    @wb.plan(name="PlanRefine", label="Plan: Elucidate / Do Execute")
    async def refine(given: wb.PlanInput) -> Any:
        match given.value:
            case {"unclear": question}:
                return wb.PlanResult.to("TaskHITL", question)
            case {"accepted": False, "why": why, "part": part}:
                return wb.PlanResult.to(f"CodeLLM{part}", {"spec": why})
            case {"spec": _}:
                return ["CodeLLM1", "CodeLLM2"]
        raise AssertionError(given.value)

    made = [describe, query, look_up, submit, refine]
    for part in (1, 2):
        made += _branch(script, part)

    @wb.task(name="HumanAcceptReject1", label="Task: Human In The Loop")
    async def accept(code: Any) -> Any:
        return {**code, **script.ask(f"accept{code['part']}", code)}

    return [*made, accept]


def _branch(script: Script, part: int) -> list[wb.Task | wb.Plan]:
    @wb.task(name=f"CodeLLM{part}", label=f"Task: Tool Call {'1…' if part == 1 else '…n'}")
    async def write(order: Any) -> Any:
        return {"part": part, "code": script.ask(f"code{part}", order["spec"])}

    @wb.plan(name=f"PostGenPlan{part}", label="Plan: LLM")
    async def inspect(given: wb.PlanInput) -> str:
        return f"CheckCodeLLM{part}"

    @wb.task(name=f"CheckCodeLLM{part}", label="Task: LLM Validate")
    async def check(written: Any) -> Any:
        return {**written, "fault": script.ask(f"check{part}", written["code"])}

    @wb.plan(name=f"PlanAccept{part}", label="Plan: Pass/Fail")
    async def judge(given: wb.PlanInput) -> wb.PlanResult:
        checked = given.value
        if checked["fault"]:
            return wb.PlanResult.to(f"CodeLLM{part}", {"spec": checked["fault"]})
        return wb.PlanResult.to("HumanAcceptReject1", {"part": part, "code": checked["code"]})

    return [write, inspect, check, judge]


def coding_agent(script: Script) -> wb.AgentGraph:
    """The graph."""
    return wb.AgentGraph("CodingAgent", version="1.0.0", nodes=nodes(script), edges=EDGES)
