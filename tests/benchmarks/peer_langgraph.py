"""LangGraph's side of `bench_executions`, run in its own environment: `peer_langgraph.py EXECUTIONS DURABILITY SYNCHRONOUS`."""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from typing import Literal, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph


class Count(TypedDict):
    """What the loop passes on."""

    n: int


def loop(executions: int, durability: str, synchronous: str) -> float:
    """Seconds that a loop of two nodes takes for so many executions, each with its checkpoint in a SQLite file."""

    def more(state: Count) -> Literal["add", "__end__"]:
        return END if state["n"] >= executions // 2 else "add"

    graph = StateGraph(Count)
    graph.add_node("add", lambda state: {"n": state["n"] + 1})
    graph.add_node("look", lambda state: {})
    graph.add_edge(START, "add")
    graph.add_edge("add", "look")
    graph.add_conditional_edges("look", more)
    with tempfile.TemporaryDirectory() as directory:
        db = sqlite3.connect(f"{directory}/checkpoints.db", check_same_thread=False)
        db.execute(f"PRAGMA synchronous = {synchronous}")
        compiled = graph.compile(checkpointer=SqliteSaver(db))
        config = {"configurable": {"thread_id": "1"}, "recursion_limit": executions + 10}
        begun = time.perf_counter()
        result = compiled.invoke({"n": 0}, config, durability=durability)
        seconds = time.perf_counter() - begun
        kept = db.execute("SELECT count(*) FROM checkpoints").fetchone()[0]
        db.close()
    assert result["n"] == executions // 2, result
    assert kept >= executions, kept
    return seconds


if __name__ == "__main__":
    executions, durability, synchronous = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    loop(20, durability, synchronous)
    print(json.dumps(loop(executions, durability, synchronous)))
