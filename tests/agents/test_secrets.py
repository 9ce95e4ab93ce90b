"""What goes to a SecretStr parameter is nowhere in what is kept of a run, and a run that goes on does not miss it."""

import asyncio

import pytest
from pydantic import SecretStr

import workbench as wb
from workbench.current import set_current
from workbench.loop import run_sync
from workbench.profiles import for_tests

CANARY = "hunter2-canary"

CODE = """```python
word = "hunter2" + "-canary"
try:
    login("ana", word, word)
except Exception as error:
    pass
login("ana", password=word)
finish(wait())
```"""


@pytest.fixture
def passwords() -> list[str]:
    return []


@pytest.fixture
def login(passwords):
    def login(user: str, password: SecretStr) -> str:
        """Log in."""
        passwords.append(password.get_secret_value())
        print("logging in with", password.get_secret_value())
        return user

    return login


def wait() -> str:
    """Do nothing."""
    return "done"


def test_a_secret_reaches_the_tool_and_nothing_else(tmp_path, login, passwords):
    bench = wb.connect(home=tmp_path)
    agent = wb.Agent(wb.models.Scripted([CODE]), tools=[login, wait], workbench=bench)
    run = agent.start("log in")
    assert run.result(20) == "done"
    assert passwords == [CANARY]
    assert [call["args"] for call in run.events() if call["event"] == "tool_call"][1] == {
        "user": "ana",
        "password": {"secret": "password"},
    }
    assert CANARY not in wb.frames.tool_calls(run=run).to_csv()
    assert wb.frames.tool_calls(run=run).prints.iloc[-2].startswith("logging in with ***")
    agent.close()
    bench.close()
    set_current(None)
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not [data for data in kept if CANARY.encode() in data]


def test_a_sandbox_of_ones_own_keeps_no_secret_and_can_be_rebuilt(login, passwords):
    with wb.Sandbox() as box:
        box.tool(login)
        box.run("word = 'hunter2' + '-canary'\nuser = login('ana', word)")
        box.close()
        assert box.run("user") == "ana"
        assert CANARY not in repr([call for item in box.session.items if item.block for call in item.block.calls])
    assert passwords == [CANARY]


def test_a_run_goes_on_after_a_call_with_a_secret(login, passwords):
    bench = for_tests(1)
    started = asyncio.Event()

    async def hangs() -> str:
        """Do nothing."""
        started.set()
        await asyncio.sleep(60)
        return "never"

    slow = wb.Tool.from_function(hangs, name="wait", idempotent=True)
    agent = wb.Agent(wb.models.Scripted([CODE]), tools=[login, slow], workbench=bench)
    run = agent.start("log in")

    async def break_off() -> None:
        await started.wait()
        task = bench.custody.get(run.id).task
        task.cancel()
        await asyncio.wait({task})

    run_sync(break_off())
    agent.close()
    again = bench.resume(
        run.id, tools=[login, wb.Tool.from_function(wait, idempotent=True)], model=wb.models.Scripted([CODE]), accept_changes=True
    )
    assert again.result(20) == "done"
    assert passwords == [CANARY], "the recorded call was not made again"
    bench.close()


def test_a_person_approves_a_secret_without_seeing_it_and_the_tool_gets_it(login, passwords):
    bench = for_tests(1)
    agent = wb.Agent(wb.models.Scripted([CODE]), tools=[wb.Tool.from_function(login, approval=True), wait], workbench=bench)
    run = agent.start("log in")
    while not run.pending:
        run_sync(asyncio.sleep(0.01))
    pending = run.pending[0]
    assert pending.args == {"user": "ana", "password": {"secret": "password"}}
    pending.approve({**pending.args, "user": "board"})
    assert run.result(20) == "done"
    assert passwords == [CANARY]
    agent.close()
    bench.close()
