"""Hypothesis strategies for graphs of every shape, with names and words that no format likes."""

from __future__ import annotations

from hypothesis import strategies as st

import workbench as wb
from workbench.graph.edges import Edge, Join
from workbench.graph.nodes import Plan, RetryPolicy, Task

ODD = ["on", "no", "null", "1.0", "2", "node", "digraph", "end", "~", "a b", 'q"uote', "back\\", "<b>", "&amp;", "ä", "日本", "-", "#1"]
NAMES = st.sampled_from(ODD) | st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, categories=["L", "N", "P", "S"]), min_size=1, max_size=9
).map(lambda name: name.replace("->", "→"))
WORDS = st.none() | st.text(max_size=20)
CERTAIN = st.sampled_from(["result.ok", 'result.name == "a\\nb"', "(result.n >\n10 000)", "error in ['x', \"y\"]", "result == '日本 <&>'"])
CONDITIONS = st.none() | CERTAIN
SECONDS = st.none() | st.integers(0, 10**9) | st.floats(0, 1e9, allow_subnormal=False)
WAITS = st.integers(0, 100) | st.floats(0, 1e6, allow_subnormal=False)
RETRIES = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 9),
    first_wait=WAITS,
    factor=WAITS,
    longest_wait=WAITS,
    jitter=st.floats(0, 1, allow_subnormal=False),
    retry_on=st.lists(st.sampled_from(["OSError", "node_failed", "my.Error"]), max_size=3).map(tuple),
)
JOINS = st.builds(
    Join,
    strategy=st.sampled_from(["all", "any", "majority", "n_of"]),
    count=st.integers(1, 9),
    timeout=SECONDS,
    on_branch_failure=st.sampled_from(["fail", "collect", "ignore"]),
)


def work(value):
    return value


def choose(given):
    return None


@st.composite
def graphs(draw):
    """begin → plan → some tasks, each of which ends, goes back, or joins at a second plan that ends."""
    names = draw(st.lists(NAMES, min_size=4, max_size=8, unique=True))
    begin, plan, gather, *tasks = names
    label = {"label": draw(WORDS)}
    limits = {"timeout": SECONDS, "heartbeat_timeout": st.none() | st.integers(1, 100) | st.floats(0.1, 1e9)}
    options = st.builds(Task, name=st.just("n"), run=st.just(work), idempotent=st.booleans(), retries=RETRIES, label=WORDS, **limits)
    nodes = [Task(**{**_given(draw(options)), "name": name}) for name in (begin, *tasks)]
    nodes += [Plan(name=plan, choose=choose, timeout=draw(SECONDS), **label)]
    join = draw(st.none() | JOINS)
    edges = [Edge("Start", begin), Edge(begin, plan, priority=draw(st.integers(-(10**12), 10**12)), label=draw(WORDS))]
    for task in tasks:
        branch = draw(st.none() | st.just("result.items"))
        edges.append(Edge(plan, task, "PARALLEL", condition=draw(CONDITIONS), branch=branch, label=draw(WORDS)))
        if join is not None:
            edges.append(Edge(task, gather, "JOIN", join=join, condition=draw(CONDITIONS)))
        else:
            edges += [Edge(task, "End", condition=draw(CERTAIN)), Edge(task, plan, priority=-1, label=draw(WORDS))]
        if draw(st.booleans()):
            edges.append(Edge(task, begin, on="error"))
    if join is not None:
        nodes.append(Plan(name=gather, choose=choose))
        edges.append(Edge(gather, "End", condition=draw(CONDITIONS)))
    version = draw(st.sampled_from(["1.0.0", "0.1.0-rc.1", "10.2.3+build.5"]))
    policy = draw(st.sampled_from(["first", "drain"]))
    name = draw(NAMES)
    return wb.AgentGraph(name, nodes=draw(st.permutations(nodes)), edges=draw(st.permutations(edges)), version=version, final_policy=policy)


def _given(task):
    return {key: getattr(task, key) for key in ("run", "timeout", "heartbeat_timeout", "idempotent", "retries", "label")}


def bare(graph):
    """The graph's nodes as their code alone, without options: what a text has to add."""
    return [
        Task(name=node.name, run=node.run) if isinstance(node, Task) else Plan(name=node.name, choose=node.choose)
        for node in graph.nodes.values()
    ]
