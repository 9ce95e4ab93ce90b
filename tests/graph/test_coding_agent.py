"""The acceptance graph: the Coding Agent of seed 003 is accepted, read back from every format, drawn, and run."""

from __future__ import annotations

import pytest

import workbench as wb
from tests.graph.coding_agent import Script, coding_agent, nodes
from workbench.profiles import for_tests

STORY = {
    "describe": ["an app", "an app that counts"],
    "refine": [{"unclear": "what does it do?"}, {"spec": "count things"}],
    "code1": ["draft 1", "better 1"],
    "check1": ["does not run", None],
    "accept1": [{"accepted": True}],
    "code2": ["draft 2", "better 2", "blue 2"],
    "check2": ["is not typed", None, None],
    "accept2": [{"accepted": False, "why": "make it blue"}, {"accepted": True}],
}


@pytest.fixture
def story():
    """A run in which the request is unclear at first, both branches refine once, and a person rejects one result once."""
    script, bench = Script(**STORY), for_tests(1)
    run = wb.start(coding_agent(script), "begin", workbench=bench)
    run.result(10)
    yield script, run
    bench.close()


def started(run):
    return [entry.header for entry in run.entries() if entry.kind == "task_execution" and entry.phase == "started"]


def looked(run, plan):
    return [entry for entry in run.entries() if entry.kind == "plan_execution" and entry.header.name == plan]


def test_the_run_ends_with_what_the_person_accepted_of_each_branch(story):
    _, run = story
    assert [(part["part"], part["code"]) for part in run.value] == [(1, "better 1"), (2, "blue 2")]
    run.verify()


def test_an_unclear_request_goes_back_to_the_person_once(story):
    script, run = story
    assert script.heard["describe"] == ["begin", "what does it do?"]
    assert [header.iteration_idx for header in started(run) if header.name == "TaskHITL"] == [0, 1]


def test_the_planner_forks_into_both_branches(story):
    _, run = story
    forks = [entry for entry in looked(run, "PlanRefine") if entry.result.fork]
    assert [entry.result.next_task_names for entry in forks] == [("CodeLLM1", "CodeLLM2"), ("CodeLLM2",)]


@pytest.mark.parametrize("part", [1, 2])
def test_each_branch_refines_once_after_its_own_validation(story, part):
    script, run = story
    chosen = [entry.result.next_task_names for entry in looked(run, f"PlanAccept{part}")]
    assert chosen.count((f"CodeLLM{part}",)) == 1
    assert script.heard[f"code{part}"][:2] == ["count things", STORY[f"check{part}"][0]]


def test_a_rejected_result_goes_back_to_the_planner_once_and_inside_its_branch(story):
    script, run = story
    taken = [entry.header.edge_taken for entry in looked(run, "PlanRefine")]
    assert taken.count("HumanAcceptReject1->PlanRefine") == 1
    assert script.heard["code2"][2] == "make it blue"
    again = [header for header in started(run) if header.name == "CodeLLM2"][-1]
    assert len(again.branch_path) == 2


def test_every_edge_in_the_record_is_an_edge_of_the_graph(story):
    _, run = story
    graph = coding_agent(Script())
    declared = {edge.id for edge in graph.edges} | {f"{plan}->{edge.target}" for plan in graph.plans for edge in graph.choices(plan)}
    taken = {entry.header.edge_taken for entry in run.entries() if entry.header.edge_taken}
    assert taken <= declared
    assert {edge.id for edge in graph.edges} <= taken


@pytest.mark.parametrize("form", ["dot", "yaml", "json"])
def test_it_reads_back_from_every_format(form):
    script = Script()
    made = nodes(script)
    graph = wb.AgentGraph("CodingAgent", nodes=made, edges=coding_agent(script).edges)
    text = getattr(graph, f"to_{form}")()
    read = getattr(wb.AgentGraph, f"from_{form}")(text, nodes=made)
    assert (read, read.hash) == (graph, graph.hash)


def test_it_runs_as_read_from_dot():
    script, bench = Script(**STORY), for_tests(1)
    graph = wb.AgentGraph.from_dot(coding_agent(Script()).to_dot(), nodes=nodes(script))
    assert len(wb.start(graph, "begin", workbench=bench).result(10)) == 2
    bench.close()
