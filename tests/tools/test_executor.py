"""Whatever a tool does, one call has exactly one outcome."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, field_validator

from workbench.errors import ToolDenied, ToolError, ToolFailed, ToolInputInvalid, ToolNotFound, ToolOutputInvalid, ToolTimeout
from workbench.record import codec
from workbench.record.values import ToolCall
from workbench.tools import Tool, ToolExecutor, tool
from workbench.tools.recorded import recorded_call

CANARY = "sk-canary-123456789"
LIMIT = 0.05

current = contextvars.ContextVar("current", default="unset")


class Unreadable:
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no")


class UnreadableMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


class Strange(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def explode(cls, value: int) -> int:
        raise KeyError(CANARY)


class Unprintable(BaseException):
    """Not an Exception: what a Rust panic or a test outcome looks like."""


def raises_value_error() -> int:
    raise ValueError("bad value")


def raises_os_error() -> int:
    raise OSError(5, "disk")


def raises_tool_error() -> int:
    raise ToolTimeout("this is the tool's own")


def raises_unreadable() -> int:
    raise BadText


def raises_base_exception() -> int:
    raise Unprintable("panic")


def raises_stop_iteration() -> int:
    raise StopIteration(3)


def raises_cancelled() -> int:
    raise asyncio.CancelledError


def raises_inner_timeout() -> int:
    raise TimeoutError("the socket's")


async def raises_inner_async_timeout() -> None:
    async with asyncio.timeout(0):
        await asyncio.sleep(1)


async def raises_generator_exit() -> None:
    raise GeneratorExit


def recurses() -> Any:
    return recurses()


def returns_generator() -> Any:
    return (i for i in range(3))


def returns_object() -> Any:
    return object()


def returns_other_type() -> int:
    return "seven"  # type: ignore[return-value]


def returns_nothing() -> str:
    pass  # type: ignore[return]


def returns_exception() -> Any:
    return ValueError("a value")


def returns_cycle() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def returns_unreadable() -> Any:
    return UnreadableMapping()


def takes_strange(input: Strange) -> int:
    return input.n


def blocks() -> None:
    time.sleep(0.4)


async def hangs() -> None:
    await asyncio.Event().wait()


async def swallows_cancellation() -> str:
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        await asyncio.sleep(0.01)
    return "late success"


async def never_stops() -> None:
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try:
            await asyncio.sleep(0.3)
        except asyncio.CancelledError:
            continue


def mutates(items: list[int]) -> list[int]:
    items.append(99)
    return items


def counts(n: int) -> int:
    return n + 1


MISBEHAVING: list[tuple[Any, Any, str, str | None]] = [
    (raises_value_error, {}, "tool_failed", "ValueError"),
    (raises_os_error, {}, "tool_failed", "OSError"),
    (raises_tool_error, {}, "tool_failed", "ToolTimeout"),
    (raises_unreadable, {}, "tool_failed", "BadText"),
    (raises_base_exception, {}, "tool_failed", "Unprintable"),
    (raises_stop_iteration, {}, "tool_failed", "StopIteration"),
    (raises_cancelled, {}, "tool_failed", "CancelledError"),
    (raises_inner_timeout, {}, "tool_failed", "TimeoutError"),
    (raises_inner_async_timeout, {}, "tool_failed", "TimeoutError"),
    (raises_generator_exit, {}, "tool_failed", "GeneratorExit"),
    (recurses, {}, "tool_failed", "RecursionError"),
    (returns_generator, {}, "tool_output_invalid", None),
    (returns_object, {}, "tool_output_invalid", None),
    (returns_other_type, {}, "tool_output_invalid", None),
    (returns_nothing, {}, "tool_output_invalid", None),
    (returns_exception, {}, "tool_output_invalid", None),
    (returns_cycle, {}, "tool_output_invalid", None),
    (takes_strange, {"n": 1}, "tool_input_invalid", None),
    (blocks, {}, "tool_timeout", None),
    (hangs, {}, "tool_timeout", None),
    (swallows_cancellation, {}, "tool_timeout", None),
    (never_stops, {}, "tool_timeout", None),
    (counts, {"n": "7"}, "tool_input_invalid", None),
    (counts, {"n": 7, "m": 8}, "tool_input_invalid", None),
    (counts, {}, "tool_input_invalid", None),
    (counts, None, "tool_input_invalid", None),
    (counts, [1], "tool_input_invalid", None),
    (counts, "n=1", "tool_input_invalid", None),
    (counts, {1: 2}, "tool_input_invalid", None),
    (counts, {"n": Unreadable()}, "tool_input_invalid", None),
    (counts, UnreadableMapping(), "tool_input_invalid", None),
    (returns_unreadable, {}, "tool_output_invalid", None),
]


@pytest.fixture
def executor() -> Iterator[ToolExecutor]:
    made = ToolExecutor(timeout=5)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("fn", "args", "code", "kind"), MISBEHAVING, ids=[f"{index}-{case[0].__name__}" for index, case in enumerate(MISBEHAVING)]
)
async def test_a_misbehaving_tool_has_one_record(fn: Any, args: Any, code: str, kind: str | None) -> None:
    executor = ToolExecutor([Tool.from_function(fn, timeout=LIMIT if code == "tool_timeout" else 5)])
    record = await executor.execute(fn.__name__, args)
    assert isinstance(record, ToolCall)
    assert record.error is not None
    assert record.result is None
    assert (record.error.code, record.error.type) == (code, kind)
    assert "Traceback" not in record.error.message
    assert CANARY not in record.model_dump_json(), "a stranger's exception text is not repeated for bad input"
    executor.close()


async def test_calls_and_records_are_equally_many(executor: ToolExecutor) -> None:
    for fn in (raises_value_error, counts, returns_object):
        executor.register(fn)
    calls: list[tuple[Any, Any]] = [
        ("counts", {"n": 1}),
        ("raises_value_error", {}),
        ("nowhere", {}),
        ("nowhere", None),
        ("returns_object", {}),
    ]
    records = [await executor.execute(name, args) for name, args in calls]
    assert [record.ordinal for record in records] == list(range(len(calls)))
    assert [(record.result is None) != (record.error is None) for record in records] == [True] * len(calls)
    assert len({record.idempotency_key for record in records}) == len(calls)


@pytest.mark.parametrize("inline", [False, True])
async def test_a_value_comes_back_in_the_records_types(inline: bool) -> None:
    def hits(n: int) -> list[dict[str, Any]]:
        return [{"z": 1, "a": (2,)}] * n

    executor = ToolExecutor([hits], inline=inline)
    assert await executor.call("hits", {"n": 1}) == [{"z": 1, "a": (2,)}]
    record = await executor.execute("hits", {"n": 1})
    assert record.result is not None
    assert codec.decode_value(record.result.inline) == [{"z": 1, "a": (2,)}]
    executor.close()


async def test_async_tools_are_awaited_whatever_their_form(executor: ToolExecutor) -> None:
    async def direct(x: int) -> int:
        await asyncio.sleep(0)
        return x

    class Callable:
        async def __call__(self, x: int) -> int:
            return x + 1

    def returns_coroutine(x: int) -> Any:
        return direct(x + 2)

    executor.register(direct)
    executor.register(Tool.from_function(Callable(), name="instance"))
    executor.register(returns_coroutine)
    assert [await executor.call(name, {"x": 1}) for name in ("direct", "instance", "returns_coroutine")] == [1, 2, 3]


async def test_registering_again_replaces(executor: ToolExecutor) -> None:
    executor.register(Tool.from_function(counts, name="f"))
    executor.register(Tool.from_function(lambda n: n * 100, name="f"))
    assert list(executor.tools) == ["f"]
    assert await executor.call("f", {"n": 2}) == 200


async def test_an_unknown_tool_is_answered_with_the_known_ones(executor: ToolExecutor) -> None:
    executor.register(counts)
    with pytest.raises(ToolNotFound, match=r"No tool is named 'count'. Did you mean counts\? The tools are: counts"):
        await executor.call("count", {})


async def test_sync_tools_share_one_thread_with_the_callers_context(executor: ToolExecutor) -> None:
    def where() -> tuple[str, int]:
        return current.get(), threading.get_ident()

    executor.register(where)
    current.set("mine")
    first, second = await asyncio.gather(executor.call("where", {}), executor.call("where", {}))
    assert first == second
    assert first[0] == "mine"
    assert first[1] != threading.get_ident()


async def test_inline_tools_run_on_the_loop_itself() -> None:
    def where() -> int:
        return threading.get_ident()

    executor = ToolExecutor([where], inline=True)
    assert await executor.call("where", {}) == threading.get_ident()


async def test_a_thread_that_outlives_its_limit_is_abandoned_and_replaced(executor: ToolExecutor, caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()

    def stuck() -> None:
        release.wait(5)

    executor.register(Tool.from_function(stuck, timeout=LIMIT))
    executor.register(counts)
    with pytest.raises(ToolTimeout, match=r"did not return within 0.05 s; whether it had an effect is unknown"):
        await executor.call("stuck", {})
    assert executor.abandoned == 1
    assert "abandoned" in caplog.text
    assert await executor.call("counts", {"n": 1}) == 2, "the next call has a thread of its own"
    release.set()


async def test_waiting_for_the_thread_does_not_use_up_the_limit() -> None:
    executor = ToolExecutor([Tool.from_function(lambda: time.sleep(0.2), name="slow", timeout=0.5)])
    await asyncio.gather(*(executor.call("slow", {}) for _ in range(3)))
    assert executor.abandoned == 0
    executor.close()


async def test_an_async_tool_that_never_stops_is_abandoned() -> None:
    executor = ToolExecutor([Tool.from_function(never_stops, timeout=LIMIT)])
    started = time.monotonic()
    with pytest.raises(ToolTimeout):
        await executor.call("never_stops", {})
    assert time.monotonic() - started < 1
    assert executor.abandoned == 1


async def test_an_async_tool_may_clean_up_when_its_time_is_over() -> None:
    cleaned = []

    async def careful() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            cleaned.append(True)

    executor = ToolExecutor([Tool.from_function(careful, timeout=LIMIT)])
    with pytest.raises(ToolTimeout):
        await executor.call("careful", {})
    assert cleaned == [True]
    assert executor.abandoned == 0


async def test_no_limit_is_infinity(executor: ToolExecutor) -> None:
    executor.timeout = 0.01
    executor.register(Tool.from_function(lambda: time.sleep(0.05), name="slow", timeout=math.inf))
    assert await executor.call("slow", {}) is None


@pytest.mark.parametrize("fn", [blocks, hangs])
async def test_cancelling_the_caller_cancels_the_call(executor: ToolExecutor, fn: Any) -> None:
    executor.register(fn)
    call = asyncio.create_task(executor.execute(fn.__name__, {}))
    await asyncio.sleep(0.02)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_callers_shorter_deadline_wins(executor: ToolExecutor) -> None:
    executor.register(hangs)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await executor.execute("hangs", {})


@pytest.mark.parametrize("control", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("inline", [False, True])
async def test_control_exceptions_stop_the_run(control: type[BaseException], inline: bool) -> None:
    def stop() -> None:
        raise control

    async def astop() -> None:
        raise control

    executor = ToolExecutor([stop, astop], inline=inline)
    for name in ("stop", "astop"):
        with pytest.raises(control):
            await executor.execute(name, {})
    executor.close()


async def test_a_failed_tool_keeps_its_exception_for_the_host(executor: ToolExecutor) -> None:
    executor.register(raises_value_error)
    with pytest.raises(ToolFailed, match="bad value") as caught:
        await executor.call("raises_value_error", {})
    assert caught.value.type == "ValueError"
    assert isinstance(caught.value.__cause__, ValueError)


async def test_secrets_in_an_exception_are_hidden_from_the_model(executor: ToolExecutor, caplog: pytest.LogCaptureFixture) -> None:
    class Login(BaseModel):
        token: SecretStr

    def connect(token: SecretStr, nested: dict[str, SecretStr]) -> None:
        raise ConnectionError(f"401 for {token.get_secret_value()} and {nested['k'].get_secret_value()}")

    caplog.set_level(logging.DEBUG)
    executor.register(Tool.from_function(connect, retries=1, idempotent=True))
    args = {"token": SecretStr(CANARY), "nested": {"k": SecretStr(CANARY + "-longer")}}
    with pytest.raises(ToolFailed, match=r"^401 for \*{10} and \*{10}$"):
        await executor.call("connect", args)
    record = await executor.execute("connect", {"token": SecretStr(CANARY), "nested": {}})
    assert record.args.inline == {"token": {"secret": "token"}, "nested": {"secret": "nested"}}
    assert CANARY not in caplog.text + repr([vars(entry) for entry in caplog.records])
    assert CANARY not in record.model_dump_json()


async def test_a_failed_call_keeps_where_the_tool_raised_without_any_value_or_secret(executor: ToolExecutor) -> None:
    def inner(password: SecretStr) -> None:
        raise ValueError("canary-in-code" + password.get_secret_value())

    def outer(password: SecretStr) -> None:
        inner(password)

    executor.register(outer)
    record = await executor.execute("outer", {"password": SecretStr("canary-in-code")})
    assert record.error is not None
    where = [line.rpartition("test_executor.py:")[2].split(maxsplit=1)[1] for line in record.error.trace]
    assert where == ["in outer: inner(password)", 'in inner: raise ValueError("**********" + password.get_secret_value())']


async def test_a_deep_recursion_keeps_the_innermost_frames(executor: ToolExecutor) -> None:
    def dig(depth: int) -> int:
        return dig(depth - 1) if depth else bottom()

    def bottom() -> int:
        return 1 // 0

    executor.register(dig)
    record = await executor.execute("dig", {"depth": 100})
    assert record.error is not None
    assert [line.rpartition(" in ")[2].split(":")[0] for line in record.error.trace] == ["dig"] * 11 + ["bottom"]


@pytest.mark.parametrize("name", ["a\ud800.py", "x" * 100_000 + ".py", "<strange>"])
async def test_a_function_from_anywhere_fails_with_one_outcome(executor: ToolExecutor, name: str) -> None:
    made: dict[str, Any] = {}
    exec(compile("def odd():\n    return 1 // 0", name, "exec"), {"__name__": "odd", "__loader__": Loader()}, made)
    executor.register(made["odd"])
    record = await executor.execute("odd", {})
    assert record.error is not None
    assert record.error.type == "ZeroDivisionError"
    assert len("".join(record.error.trace)) < 500


class Loader:
    """The loader of a module, which is asked for its source."""

    def get_source(self, name: str) -> str:
        raise KeyError(name)


async def test_a_secret_is_hidden_also_where_its_line_is_cut(executor: ToolExecutor) -> None:
    def login(password: SecretStr) -> None:
        raise ValueError("0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789" "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789canary-across-the-cut")  # fmt: skip  # noqa: E501

    executor.register(login)
    record = await executor.execute("login", {"password": SecretStr("canary-across-the-cut")})
    assert record.error is not None
    assert "canary" not in "".join(record.error.trace)


async def test_a_very_long_exception_is_shortened(executor: ToolExecutor) -> None:
    def shout() -> None:
        raise ValueError("x" * 100_000)

    executor.register(shout)
    with pytest.raises(ToolFailed, match=r"100,000 characters") as caught:
        await executor.call("shout", {})
    assert len(str(caught.value)) < 2_100


async def test_arguments_are_recorded_as_they_were_asked(executor: ToolExecutor) -> None:
    executor.register(mutates)
    record = await executor.execute("mutates", {"items": [1]})
    assert record.args.inline == {"items": [1]}


class Flaky:
    """Fails with each of the errors in turn, then returns how often it was called."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


class NothingHappened(Exception):
    retryable = True
    retry_after = 0.0


class Throttled(ConnectionError):
    retry_after = 0.0


@pytest.mark.parametrize(
    ("errors", "options", "calls", "succeeds"),
    [
        ([Throttled(), Throttled()], {"retries": 2, "idempotent": True}, 3, True),
        ([Throttled(), Throttled()], {"retries": 1, "idempotent": True}, 2, False),
        ([Throttled()], {"retries": 0, "idempotent": True}, 1, False),
        ([Throttled()], {"retries": 2, "idempotent": False}, 1, False),
        ([ValueError()], {"retries": 2, "idempotent": True}, 1, False),
        ([NothingHappened()], {"retries": 2, "idempotent": False}, 2, True),
        ([ToolTimeout()], {"retries": 2, "idempotent": False}, 1, False),
    ],
)
async def test_only_what_is_safe_to_repeat_is_repeated(
    executor: ToolExecutor, errors: list[Exception], options: dict[str, Any], calls: int, succeeds: bool
) -> None:
    flaky = Flaky(*errors)
    executor.register(Tool.from_function(flaky, name="flaky", **options))
    record = await executor.execute("flaky", {})
    assert (flaky.calls, record.error is None) == (calls, succeeds)


async def test_a_retry_waits_as_long_as_it_is_told(executor: ToolExecutor) -> None:
    error = ConnectionError()
    error.retry_after = 0.1  # type: ignore[attr-defined]
    executor.register(Tool.from_function(Flaky(error), name="flaky", retries=1, idempotent=True))
    started = time.monotonic()
    await executor.call("flaky", {})
    assert 0.1 <= time.monotonic() - started < 1


async def test_a_timeout_is_never_retried() -> None:
    started = []

    async def slow() -> None:
        started.append(1)
        await asyncio.sleep(5)

    executor = ToolExecutor([Tool.from_function(slow, timeout=LIMIT, retries=3, idempotent=True)])
    with pytest.raises(ToolTimeout):
        await executor.call("slow", {})
    assert len(started) == 1


async def test_every_call_is_logged_once_begun_and_once_ended_without_its_input(
    executor: ToolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    executor.register(counts)
    await executor.call("counts", {"n": 424242})
    with pytest.raises(ToolInputInvalid):
        await executor.call("counts", {"n": CANARY})
    ours = [record for record in caplog.records if record.name == "workbench.tools.executor"]
    assert [record.getMessage() for record in ours] == ["tool started", "tool finished", "tool started", "tool failed"]
    assert [getattr(record, "error_code", None) for record in ours] == [None, None, None, "tool_input_invalid"]
    assert all(vars(record)["tool_name"] == "counts" for record in ours)
    assert "424242" not in repr([vars(record) for record in ours])
    assert CANARY not in repr([vars(record) for record in ours])


async def test_the_loop_keeps_running_while_a_tool_blocks(executor: ToolExecutor) -> None:
    executor.register(Tool.from_function(lambda: time.sleep(0.3), name="slow"))
    call = asyncio.create_task(executor.call("slow", {}))
    longest, before = 0.0, time.monotonic()
    while not call.done():
        await asyncio.sleep(0.005)
        longest, before = max(longest, time.monotonic() - before), time.monotonic()
    assert longest < 0.2


async def test_closing_ends_the_thread_and_a_later_call_starts_another(executor: ToolExecutor) -> None:
    def thread() -> str:
        threads.append(threading.current_thread())
        return "ran"

    threads: list[threading.Thread] = []
    executor.register(thread)
    await executor.call("thread", {})
    executor.close()
    threads[0].join(1)
    assert not threads[0].is_alive()
    assert await executor.call("thread", {}) == "ran"


@tool(timeout=5)
def typed(n: int) -> int:
    """A typed function, still callable by hand."""
    return n


async def test_all_tool_errors_are_one_family(executor: ToolExecutor) -> None:
    executor.register(typed)
    executor.register(returns_object)
    for name, args, kind in [("typed", {"n": 1.5}, ToolInputInvalid), ("returns_object", {}, ToolOutputInvalid), ("x", {}, ToolNotFound)]:
        with pytest.raises(kind) as caught:
            await executor.call(name, args)
        assert isinstance(caught.value, ToolError)


async def test_a_call_that_needs_an_approval_is_made_only_by_who_has_one(executor: ToolExecutor) -> None:
    sent: list[str] = []

    def send(to: str) -> None:
        sent.append(to)

    executor.register(Tool.from_function(send, approval=lambda args: args["to"] == "board"))
    await executor.call("send", {"to": "ana"})
    with pytest.raises(ToolDenied, match="send needs a person's approval"):
        await executor.call("send", {"to": "board"})
    denied = await executor.execute("send", {"to": "board"})
    assert denied.error is not None
    assert denied.error.code == "tool_denied"
    assert sent == ["ana"]
    await executor.call("send", {"to": "board"}, approved=True)
    assert sent == ["ana", "board"]


async def test_what_goes_to_a_secret_parameter_is_recorded_by_name(executor: ToolExecutor) -> None:
    def login(user: str, password: SecretStr | None = None, keys: list[SecretStr] | None = None) -> str:
        return user

    executor.register(login)
    record = await executor.execute("login", {"user": "ana", "password": CANARY, "keys": [CANARY]})
    assert record.args.inline == {"user": "ana", "password": {"secret": "password"}, "keys": {"secret": "keys"}}
    assert (await executor.execute("login", {"user": "ana", "password": None})).args.inline == {"user": "ana", "password": None}


def test_a_secret_in_a_call_that_fits_no_signature_is_hidden_too() -> None:
    def login(user: str, password: SecretStr) -> None: ...

    tool = Tool.from_function(login)
    assert recorded_call(tool, ("ana",), {"password": CANARY}) == (("ana",), {"password": {"secret": "password"}})
    assert CANARY not in repr(recorded_call(tool, ("ana", CANARY, CANARY), {"pasword": CANARY, "": CANARY}))
