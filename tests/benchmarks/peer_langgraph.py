"""LangGraph's side, run in its own environment: `peer_langgraph.py EXECUTIONS DURABILITY SYNCHRONOUS [THREADS]`.

One thread is what `bench_executions` compares with; many at once, on LangGraph's asynchronous checkpointer, `bench_lifetimes`.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from typing import Literal, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph


class Count(TypedDict):
    """What the loop passes on."""

    n: int


def counting(executions: int) -> StateGraph[Count]:
    """A loop of two nodes."""

    def more(state: Count) -> Literal["add", "__end__"]:
        return END if state["n"] >= executions // 2 else "add"

    graph = StateGraph(Count)
    graph.add_node("add", lambda state: {"n": state["n"] + 1})
    graph.add_node("look", lambda state: {})
    graph.add_edge(START, "add")
    graph.add_edge("add", "look")
    graph.add_conditional_edges("look", more)
    return graph


def loop(executions: int, durability: str, synchronous: str) -> float:
    """Seconds that the loop takes for so many executions, each with its checkpoint in a SQLite file."""
    with tempfile.TemporaryDirectory() as directory:
        db = sqlite3.connect(f"{directory}/checkpoints.db", check_same_thread=False)
        db.execute(f"PRAGMA synchronous = {synchronous}")
        compiled = counting(executions).compile(checkpointer=SqliteSaver(db))
        config = {"configurable": {"thread_id": "1"}, "recursion_limit": executions + 10}
        begun = time.perf_counter()
        result = compiled.invoke({"n": 0}, config, durability=durability)
        seconds = time.perf_counter() - begun
        kept = db.execute("SELECT count(*) FROM checkpoints").fetchone()[0]
        db.close()
    assert result["n"] == executions // 2, result
    assert kept >= executions, kept
    return seconds


async def crowd(executions: int, durability: str, synchronous: str, threads: int) -> float:
    """Seconds that so many threads take together."""
    with tempfile.TemporaryDirectory() as directory:
        async with AsyncSqliteSaver.from_conn_string(f"{directory}/checkpoints.db") as saver:
            await saver.conn.execute(f"PRAGMA synchronous = {synchronous}")
            compiled = counting(executions).compile(checkpointer=saver)
            begun = time.perf_counter()
            results = await asyncio.gather(
                *(compiled.ainvoke({"n": 0}, {"configurable": {"thread_id": str(n)}}, durability=durability) for n in range(threads))
            )
            seconds = time.perf_counter() - begun
    assert all(result["n"] == executions // 2 for result in results)
    return seconds


if __name__ == "__main__":
    executions, durability, synchronous = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    loop(20, durability, synchronous)
    if len(sys.argv) > 4:
        print(json.dumps(asyncio.run(crowd(executions, durability, synchronous, int(sys.argv[4])))))
    else:
        print(json.dumps(loop(executions, durability, synchronous)))
