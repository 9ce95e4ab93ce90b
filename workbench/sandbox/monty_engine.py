"""monty as an engine: one checkout of its worker pool.

The pool owns the processes. What it does not do for us, a launcher and a prelude do. The launcher (`_LAUNCHER`) starts the worker deaf to
the interrupts that Jupyter sends to a whole process group, without environment, in an empty directory, without core dumps, confined
(`confine.py`); `_bound` then forbids it to open or start anything more, and `warden` takes it along when we die. The prelude
(`prelude.py`) runs inside and checks what leaves: monty would turn a lambda or a dict view into text.
"""

from __future__ import annotations

import asyncio
import contextlib
import keyword
import os
import secrets
import shlex
import stat
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

import pydantic_monty as monty
from pydantic_monty._binary import find_monty_binary

from workbench.record.values import ErrorInfo
from workbench.sandbox import source, spare, warden
from workbench.sandbox.engine import Block, Fed, Limits, ProgramEnd, Raised, Unfit
from workbench.sandbox.files import Files
from workbench.sandbox.prelude import MARK, PRELUDE

if sys.platform == "linux":
    import resource

_END = "the program has ended"
_GRACE = 2.0
"""Seconds a block may go on after its end (a `finally:` may be running) or past the worker's own limit."""
MAX_PROCESSES = 100_000
"""More than there can be: monty's pool would let a checkout wait for a place, `idle` lets an idle session give its up."""
_SPARE_AFTER = 0.1
"""Seconds after a session's start in which the next one's worker is not started yet: what the session does comes first."""
_NO_CAP = 10**9
"""monty counts suspensions for the whole checkout; a block's calls are counted by the session."""
_LIMIT_MESSAGES = ("memory limit exceeded", "the worker exceeded its memory limit", "feed time limit exceeded", "turn time limit exceeded")

_CLASSES: frozenset[str] = frozenset(name for name in get_args(monty.ExcType) if "." not in name) - {
    "BaseException",
    "SystemExit",
    "KeyboardInterrupt",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "FrozenInstanceError",
}
"""Exception classes that a message alone can make inside monty."""


def raisable(type_name: str, message: str) -> Raised:
    """The nearest exception that sandbox code can catch: the class itself, a built-in parent, or `Exception` with the name in its text."""
    if type_name in _CLASSES:
        return Raised(type_name, message)
    found = getattr(__import__("builtins"), type_name, None)
    parents = found.__mro__ if isinstance(found, type) and issubclass(found, Exception) else ()
    nearest = next((parent.__name__ for parent in parents if parent.__name__ in _CLASSES), "Exception")
    return Raised(nearest, f"{type_name}: {message}")


class _Pool:
    """One pool for one event loop, opened at first use."""

    def __init__(self) -> None:
        self._pool: monty.AsyncMonty | None = None
        self._opening = asyncio.Lock()
        self._preparing: asyncio.Task[None] | None = None

    async def get(self) -> monty.AsyncMonty:
        async with self._opening:
            if self._pool is None:
                pool = monty.AsyncMonty(
                    binary_path=await asyncio.to_thread(_launcher),
                    min_processes=0,
                    max_processes=MAX_PROCESSES,
                    feed_duration_limit_grace=_GRACE,
                    max_checkouts_per_worker=200,
                )
                await pool.__aenter__()
                self._pool = pool
        return self._pool

    def prepare(self) -> None:
        """Have one worker more than is in use, so that the next session need not wait for a process to start."""
        if self._preparing is None or self._preparing.done():
            self._preparing = asyncio.create_task(self._prepared())

    async def _prepared(self) -> None:
        await asyncio.sleep(_SPARE_AFTER)
        with contextlib.suppress(monty.MontyError):
            async with (await self.get()).checkout() as session:
                _bound(session.worker_pid, None)


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = weakref.WeakKeyDictionary()


class MontyEngine:
    """One monty session. A feed that is cancelled or runs out of time or memory ends it."""

    name: Literal["monty"] = "monty"

    def __init__(self, session: monty.AsyncMontySession, pid: int | None, modules: dict[str, Any], files: Files) -> None:
        self._letters = secrets.token_hex(8)
        self._session = session
        self._pid = pid
        self._modules = modules
        self._files = files
        self._stubs: set[str] = set()
        self._closed = False
        self._ended = False
        self._forget = weakref.finalize(self, warden.forget, pid) if pid is not None else None

    @classmethod
    async def start(cls, limits: Limits, files: Files) -> MontyEngine:
        loop = asyncio.get_running_loop()
        pools = _pools.setdefault(loop, _Pool())
        pool = await pools.get()
        modules: dict[str, Any] = {}
        checkout = pool.checkout(
            limits={
                # the live limit is kept by `feed`; a replay may need longer than the block it repeats did
                "max_feed_duration_secs": limits.max_seconds * 4 + 10,
                "max_memory": limits.max_memory,
                "max_recursion_depth": limits.max_recursion_depth,
                "max_suspensions": _NO_CAP,
            },
            assert_message_annotations=False,
            os_policy={"datetime": "call_host", "sleep": "call_host", "random_start": "call_host"},
            external_modules=modules,
        )
        session = await checkout.__aenter__()
        engine = cls(session, session.worker_pid, modules, files)
        if engine._pid is not None:
            warden.watch(engine._pid)
        await session.feed_run(PRELUDE.replace(MARK, engine._letters))
        _bound(engine._pid, limits)
        pools.prepare()
        return engine

    async def feed(self, block: Block) -> Fed:
        if "\x00" in block.code or not _is_text(block.code):
            return Fed(status="error", error=_syntax_error("source code cannot contain null bytes or lone surrogates", None))
        self._ended = False
        try:
            await self._define(block.tools)
            return await self._converse(block)
        except TimeoutError:
            message = "the block printed too much" if block.output.is_flood else f"the block ran longer than {block.seconds:g} s"
            return await self._lost(ErrorInfo(code="sandbox_limit", type="TimeoutError", message=message))
        except monty.MontyCrashedError as crash:
            message = f"the sandbox's worker process ended unexpectedly: {str(crash)[:200]}"
            return await self._lost(ErrorInfo(code="sandbox_crashed", type="RuntimeError", message=message))
        except BaseException:
            await self.close()
            raise

    async def _lost(self, error: ErrorInfo) -> Fed:
        """Give the engine up. A program that had already ended has ended; what it did afterwards is nobody's concern."""
        await self.close()
        return Fed(status="finished", lost=True) if self._ended else Fed(status="interrupted", lost=True, error=error)

    async def _define(self, tools: Any) -> None:
        """Make a function of each tool's name: tools are values like any other, and win over a builtin of the same name."""
        if new := sorted(name for name in set(tools) - self._stubs if name.isidentifier() and not keyword.iskeyword(name)):
            await self._session.feed_run("".join(f"{name} = __stub{self._letters}({name!r})\n" for name in new))
            self._stubs.update(new)

    async def _converse(self, block: Block) -> Fed:
        loop = asyncio.get_running_loop()
        tree = source.parse(block.code)
        if tree is not None and (fault := source.misread(tree)):
            return Fed(status="error", error=_syntax_error(fault[1], fault[0]))
        code = source.with_value_checked(block.code, tree, f"__value{self._letters}")

        def show(_: str, text: str) -> None:
            if not self._ended:
                block.output.add(text)
            if block.output.is_flood:
                loop.call_soon_threadsafe(self._stop_clock)

        step = self._session.feed_start(source.without_catch_alls(code), print_callback=show)
        left = block.seconds
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(max(left, 0.001)) as self._clock:
                    snapshot = await step
            except monty.MontySyntaxError as error:
                return Fed(status="error", error=_syntax_error(str(error), _line(error)))
            except monty.MontyRuntimeError as error:
                return await self._failed(error)
            left -= loop.time() - began
            if isinstance(snapshot, monty.MontyComplete):
                if self._ended:
                    return Fed(status="finished")
                if tree is None and snapshot.output is not None:
                    return Fed(status="error", error=_UNCHECKED)  # it may be a function that monty has made text of
                return Fed(status="ok", value=snapshot.output)
            if isinstance(snapshot, monty.AsyncNameLookupSnapshot):
                step = snapshot.resume()
            elif isinstance(snapshot, monty.AsyncFunctionSnapshot):
                step, asleep = await self._answer(snapshot, block, left)
                left = min(left - asleep, _GRACE) if self._ended else left - asleep
            else:
                step = snapshot.resume_auto()

    def _stop_clock(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has stopped by itself
            self._clock.reschedule(asyncio.get_running_loop().time())

    async def _answer(self, call: monty.AsyncFunctionSnapshot, block: Block, left: float) -> tuple[Any, float]:
        """Answer one suspension; returns what to await next, and the seconds slept on the block's account."""
        name = str(call.function_name)
        if self._ended:
            return call.resume({"exception": KeyboardInterrupt(_END)}), 0.0
        if call.is_os_function and (name == "import" or name.startswith(("Path.", "open", "os.getenv", "os.environ"))):
            began = time.perf_counter()  # the program's own time: it could keep us busy with files for ever
            return self._files.answer(call), time.perf_counter() - began
        try:
            if call.is_os_function:
                if name in ("time.sleep", "asyncio.sleep") and call.args[0] > left:
                    raise TimeoutError
                value = await block.call(name if name.startswith("os.") else f"os.{name}", call.args, dict(call.kwargs))
                return call.resume({"return_value": value}), float(call.args[0]) if name.endswith("sleep") else 0.0
            if name != f"__host{self._letters}" or len(call.args) != 3:
                return call.resume({"exception": NameError(f"name '{name}' is not defined")}), 0.0
            tool, args, kwargs = call.args
            value = await block.call(tool, tuple(args), kwargs)
            if refused := unheld(value):
                reason = f"{tool} returned {refused}, which the sandbox cannot hold"
                return call.resume({"exception": TypeError(reason)}), 0.0
            return call.resume({"return_value": value}), 0.0
        except ProgramEnd:
            self._ended = True
            return call.resume({"exception": KeyboardInterrupt(_END)}), 0.0
        except Raised as error:
            return call.resume({"exc_type": cast("monty.ExcType", error.type), "message": error.message}), 0.0

    async def _failed(self, error: monty.MontyRuntimeError) -> Fed:
        inner = error.exception()
        message = str(inner.args[0]) if inner.args else ""
        if isinstance(inner, (MemoryError, TimeoutError)) and message.startswith(_LIMIT_MESSAGES):
            return await self._lost(ErrorInfo(code="sandbox_limit", type=type(inner).__name__, message=message))
        if self._ended:
            return Fed(status="finished")
        kind = type(inner).__name__
        return Fed(
            status="error",
            error=ErrorInfo(code="sandbox_error", type=kind, message=str(error).removeprefix(f"{kind}: "), line=_line(error)),
        )

    async def set(self, name: str, value: Any) -> None:
        if refused := unheld(value):
            raise Unfit(refused, ErrorInfo(code="unencodable_value", type="TypeError", message=f"{name} holds {refused}"))
        await self._session.feed_run(f"{name} = {name}", inputs={name: value})

    def define_module(self, name: str, constants: Mapping[str, Any]) -> None:
        self._modules[name] = monty.ExternalModule(dict(constants))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception):
            await asyncio.shield(self._session.__aexit__(None, None, None))
        if self._forget is not None:
            self._forget()


def unheld(value: Any) -> str | None:
    """Name the first part of a host value that monty would change on its way in, or None."""
    if isinstance(value, str):
        return None if value.isascii() or _is_text(value) else "text with a lone surrogate"
    if isinstance(value, dict):
        return next((found for pair in value.items() for part in pair if (found := unheld(part))), None)
    if isinstance(value, (list, tuple, set, frozenset)):
        return next((found for item in value if (found := unheld(item))), None)
    return "a time with fold=1" if getattr(value, "fold", 0) else None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _line(error: monty.MontyRuntimeError | monty.MontySyntaxError) -> int | None:
    """The innermost line of the block itself: frames of the prelude and of functions from earlier blocks are passed over."""
    frames = error.traceback()
    return next((frame.line for frame in reversed(frames) if frame.filename == frames[0].filename), None)


def _syntax_error(message: str, line: int | None) -> ErrorInfo:
    """Nothing of the block ran: the code says so, where a SyntaxError that a program raises is an ordinary error."""
    return ErrorInfo(code="sandbox_refused", type="SyntaxError", message=message.removeprefix("SyntaxError: "), line=line)


_UNCHECKED = ErrorInfo(
    code="sandbox_error",
    type="TypeError",
    message="the block is too long or too nested to hand out its last value; put it into a variable, and end a short block with that",
)

_LAUNCHER = """#!/bin/sh
trap '' INT QUIT HUP TSTP
ulimit -c 0
ulimit -f 0
cd {directory} || cd /
exec env -i {confined} {binary} "$@" 2>/dev/null
"""


def _launcher() -> str | None:
    """A script that starts the worker confined and apart from our surroundings; None leaves it to the pool, where there is no `sh`."""
    if os.name != "posix":
        return None
    path = os.path.join(warden.directory(), "monty.sh")
    if not os.path.exists(path):
        confined = [sys.executable, "-I", "-S", str(Path(__file__).with_name("confine.py"))]
        for library in dict.fromkeys([spare.landlock_library(), ""]):  # somewhere the libraries lie where Landlock was not told
            _write_script(path, shlex.join([*confined, library]))
            if subprocess.run([path, "--version"], check=False, capture_output=True, timeout=20).returncode == 0:  # noqa: S603 - our own
                return path
        _write_script(path, "")
    return path


def _write_script(path: str, confined: str) -> None:
    text = _LAUNCHER.format(directory=shlex.quote(warden.empty_directory()), confined=confined, binary=shlex.quote(find_monty_binary()))
    with open(path, "w") as script:
        script.write(text)
    os.chmod(path, stat.S_IRWXU)


def _bound(pid: int | None, limits: Limits | None) -> None:
    """Let a worker that has started open no descriptor and start no thread or process any more. monty itself counts the memory of the
    program's values; the bound on the process is for what it does not count."""
    if sys.platform != "linux" or pid is None:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))
        resource.prlimit(pid, resource.RLIMIT_NPROC, (0, 0))
        if limits is not None:
            with open(f"/proc/{pid}/statm") as statm:
                mapped = int(statm.read().split()[0]) * resource.getpagesize()
            resource.prlimit(pid, resource.RLIMIT_AS, (mapped + 2 * limits.max_memory + 256 * 2**20, resource.RLIM_INFINITY))
