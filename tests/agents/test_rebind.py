"""A run whose process died goes on in another, if it is given what the record names."""

import asyncio
import time

import pytest
from pydantic import BaseModel

import workbench as wb
from workbench.adapters.memory import MemoryBlobStore, MemoryEventBus, MemoryKVStore, MemoryStateStore
from workbench.agents.fork import AGENT
from workbench.agents.rebind import _client
from workbench.errors import ConfigurationError, StoreError, ToolBindingError, UserError
from workbench.loop import run_sync


def slow(seconds: float) -> float:
    """Wait."""
    time.sleep(seconds)
    return seconds


class Answer(BaseModel):
    waited: float


SCRIPT = ["```python\nx = slow(0.01)\n```", "```python\nfinish({'waited': x + slow(0.02)})\n```"]


@pytest.fixture
def broken_off(bench):
    """A run whose process ended in the middle: its driver is cancelled as a shutdown would, and its lease is given up."""
    agent = wb.Agent(
        wb.models.Scripted(SCRIPT, delay=0.3), tools=[wb.Tool.from_function(slow, idempotent=True)], schema=Answer, workbench=bench
    )
    run = agent.start("wait")

    async def break_off() -> None:
        # The lifetime has no event for this, and a test may look at it now and then.
        while "task_execute" not in bench.custody.get(run.id).life.state.dispatched:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task = bench.custody.get(run.id).task
        task.cancel()
        await asyncio.wait({task})

    run_sync(break_off())
    agent.close()
    return bench.open(run.id)


def test_a_broken_off_run_is_interrupted_and_says_so(broken_off):
    assert broken_off.status == "interrupted"
    with pytest.raises(wb.errors.RunInterrupted, match="resume"):
        broken_off.result(1)


def test_it_goes_on_with_its_tools_and_model(broken_off):
    run = broken_off.resume(tools=[slow], model=wb.models.Scripted(SCRIPT))
    assert run.result(10) == {"waited": 0.03}
    run.verify()


def test_a_class_given_on_resume_gives_an_instance(broken_off):
    run = broken_off.resume(tools=[slow], model=wb.models.Scripted(SCRIPT), schema=Answer)
    assert run.result(10) == Answer(waited=0.03)


def test_a_missing_tool_is_named_with_its_source(broken_off):
    with pytest.raises(ToolBindingError, match=r"(?s)missing: slow.*def slow\(seconds: float\)"):
        broken_off.resume(model=wb.models.Scripted(SCRIPT))


def test_a_changed_tool_needs_consent(broken_off):
    def other(seconds: float, more: int = 0) -> float:
        """Wait differently."""
        return seconds

    changed = wb.Tool.from_function(other, name="slow")
    with pytest.raises(ToolBindingError, match="accept_changes=True"):
        broken_off.resume(tools=[changed], model=wb.models.Scripted(SCRIPT))
    run = broken_off.resume(tools=[changed], model=wb.models.Scripted(SCRIPT), accept_changes=True)
    assert run.result(10) == {"waited": 0.03}


def test_a_refused_resume_leaves_the_run_for_the_next_try(broken_off):
    with pytest.raises(ToolBindingError):
        broken_off.resume(model=wb.models.Scripted(SCRIPT))
    assert broken_off.status == "interrupted"


def test_a_run_that_has_ended_is_not_resumed(broken_off, bench):
    broken_off.resume(tools=[slow], model=wb.models.Scripted(SCRIPT)).result(10)
    with pytest.raises(UserError, match="has ended"):
        bench.open(broken_off.id).resume(tools=[slow], model=wb.models.Scripted(SCRIPT))


def test_a_model_that_its_name_alone_does_not_give_has_to_be_given(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-place")
    used = wb.models.OpenAI("llama", base_url="http://127.0.0.1:9/v1", api_key="local")
    with pytest.raises(ConfigurationError, match="give model="):
        _client({"name": used.name, **used.spec()})


def test_nobody_is_asked_after_a_resume_either(bench):
    def send(to: str) -> str:
        """Send."""
        return to

    tool = wb.Tool.from_function(send, approval=True)
    reply = "```python\ntry:\n    send('ana')\nexcept Exception as e:\n    finish(str(e))\n```"
    agent = wb.Agent(wb.models.Scripted([reply], delay=0.3), tools=[tool], workbench=bench)
    run = agent.start("write", unattended=True)
    run_sync(break_off(bench, run))
    agent.close()
    assert "nobody is there" in bench.open(run.id).resume(tools=[tool], model=wb.models.Scripted([reply])).result(10)


async def break_off(bench, run):
    """What the death of its process leaves of a run."""
    task = bench.custody.get(run.id).task
    task.cancel()
    await asyncio.wait({task})


class Failing(MemoryStateStore):
    """A store that refuses one append that holds a sandbox block."""

    armed = False

    async def append(self, entries, epochs):
        if self.armed and any(b'"action":"block"' in entry.data for entry in entries):
            self.armed = False
            raise StoreError("the disk is full")
        await super().append(entries, epochs)


def test_what_a_broken_run_could_not_store_of_its_sandbox_is_stored_by_the_next():
    store = Failing()
    bench = run_sync(on_store(store))
    agent = wb.Agent(wb.models.Scripted(["```python\nx = 42\n```", "```python\nfinish(x)\n```"]), engine="monty", workbench=bench)
    assert agent.run("first") == 42
    store.armed = True
    with pytest.raises(wb.errors.RunInterrupted):
        agent.run("second")
    assert agent.run("third") == 42
    sandbox_id = agent._sandbox.stream.sandbox_id
    stored = [entry.item.block.block_no for entry in run_sync(bench.plane.entries(sandbox_id)) if entry.item.block is not None]
    assert stored == list(range(len(stored)))
    assert len(stored) == len([item for item in agent._sandbox.stream.session.items if item.block is not None])
    agent.close()
    bench.close()


async def on_store(store):
    return wb.Workbench(state=store, bus=MemoryEventBus(), blobs=MemoryBlobStore(), kv=MemoryKVStore(), kinds={"agent": AGENT})
