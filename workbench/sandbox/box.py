"""`Sandbox`, the user's object: a session with tools, files and limits, blocking or awaited. Everything it does is `Session`'s."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from workbench.errors import AgentBusy, SandboxCrashed, SandboxError, SandboxLimit, SandboxRefused, UserError
from workbench.loop import run_async, run_sync
from workbench.record.sandbox_items import EngineName
from workbench.sandbox.engine import BlockResult, Limits
from workbench.sandbox.mounts import Mounts
from workbench.sandbox.session import EngineChoice, Session
from workbench.tools.executor import ToolExecutor
from workbench.tools.recorded import recorded_call
from workbench.tools.schema import stub

F = TypeVar("F", bound=Callable[..., Any])

_RAISED: dict[str, type[SandboxError]] = {
    "sandbox_refused": SandboxRefused,
    "sandbox_limit": SandboxLimit,
    "sandbox_crashed": SandboxCrashed,
}


class Captured(NamedTuple):
    """A block's last value, and what it printed."""

    value: Any
    prints: str


class Sandbox:
    """Runs Python apart from this process: no files, network or environment but what is given to it.

    Variables live from one `run` to the next. `engine` is `"auto"`, `"littrs"` or `"monty"`; with `builtins=False` code can import only
    what `module` has defined. An agent can work in it: `wb.Agent(…, sandbox=box)`.

    >>> with Sandbox() as box:
    ...     box["prices"] = [3, 4]
    ...     box.run("total = sum(prices)")
    ...     box.run("total * 2")
    14
    """

    def __init__(self, builtins: bool = True, engine: EngineChoice = "auto") -> None:
        self._use(Session(str(uuid.uuid4()), engine=engine, builtins=builtins))

    def _use(self, session: Session) -> None:
        self.session = session
        """The session underneath, whose stream an Agent adopts."""
        self.executor = ToolExecutor()
        self.held_by: Callable[[], object] = lambda: None
        """Whoever runs blocks here now, an agent's run say; None when it is free."""
        self.adopted: object = None
        """What an agent that works here keeps of it."""
        self._mounts = Mounts(session.limits)
        session.outside = self._mounts

    def run(self, code: str) -> Any:
        """Run a block and return the value of its last expression.

        >>> box = Sandbox()
        >>> box.run("'a' + 'b'")
        'ab'
        >>> box.run("int('x')")
        Traceback (most recent call last):
        workbench.errors.SandboxError: ValueError: invalid literal for int() with base 10: 'x' (line 1)
        >>> box.close()

        Raises:
            SandboxError: whatever went wrong inside; `type`, `message`, `line` and `prints` tell it.
            AgentBusy: an agent is running in this sandbox.
        """
        return self.capture(code).value

    async def arun(self, code: str) -> Any:
        """`run`, awaited."""
        return (await run_async(self._run(code))).value

    def capture(self, code: str) -> Captured:
        """Run a block and return its value and what it printed.

        >>> with Sandbox() as box:
        ...     box.capture("print('hello')\\n1 + 1")
        Captured(value=2, prints='hello\\n')
        """
        result = run_sync(self._run(code))
        return Captured(result.value, result.prints)

    def tool(self, fn: F) -> F:
        """Let sandbox code call a function; usable as a decorator.

        >>> box = Sandbox()
        >>> @box.tool
        ... def double(number: int) -> int:
        ...     "Twice the number."
        ...     return number * 2
        >>> box.run("double(number=4)")
        8
        >>> box.close()
        """
        self.executor.register(fn)
        return fn

    def set(self, name: str, value: Any) -> None:
        """Bind a variable to a copy of a value; `box[name] = value` does the same.

        >>> with Sandbox() as box:
        ...     box.set("cities", ["Oslo", "Bern"])
        ...     box.run("cities[0]")
        'Oslo'
        """
        run_sync(self.session.set(name, value))

    def __setitem__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def __getitem__(self, name: str) -> Any:
        """A copy of a variable's value; KeyError where there is no such variable."""
        if not name.isidentifier():
            raise KeyError(name)
        try:
            return self.run(name)
        except SandboxError as error:
            if error.type in ("NameError", "SandboxRefused"):
                raise KeyError(name) from None
            raise

    def module(self, name: str, constants: Mapping[str, Any]) -> None:
        """Let sandbox code import a module of constants.

        >>> with Sandbox() as box:
        ...     box.module("config", {"currency": "EUR"})
        ...     box.run("import config\\nconfig.currency")
        'EUR'
        """
        run_sync(self.session.module(name, constants))

    def limit(
        self,
        *,
        max_seconds: float | None = None,
        max_memory: int | None = None,
        max_recursion_depth: int | None = None,
        max_instructions: int | None = None,
        max_output: int | None = None,
        max_full_output: int | None = None,
        max_tool_calls: int | None = None,
        max_args: int | None = None,
        max_result: int | None = None,
        max_traffic: int | None = None,
        max_source: int | None = None,
        max_file: int | None = None,
        max_files: int | None = None,
    ) -> None:
        """Change limits; what is not given stays as it is. `workbench.sandbox.engine.Limits` says what each of them bounds.

        >>> box = Sandbox()
        >>> box.limit(max_seconds=0.2)
        >>> box.run("while True: pass")
        Traceback (most recent call last):
        workbench.errors.SandboxLimit: TimeoutError: the block ran longer than 0.2 s; the block's variables were rolled back, ...
        >>> box.close()
        """
        given = {name: value for name, value in locals().items() if name != "self" and value is not None}
        if wrong := [name for name, value in given.items() if value <= 0]:
            raise UserError(f"{wrong[0]} must be more than 0; leave it out to keep the present limit")
        limits = replace(self.session.limits, **given)
        run_sync(self.session.limit(limits))
        self._mounts.limits = limits

    def mount(self, name: str, path: str | os.PathLike[str], writable: bool = False) -> None:
        """Let sandbox code open a copy of a file, or of a folder with all that is in it, as `name`.

        What changes on the host is seen by the next block. What a block writes, creates, renames or deletes in a writable mount is carried
        out on the host after it. Links inside a folder are left out.

        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "in.txt").write_text("hello")
        >>> with Sandbox() as box:
        ...     box.mount("work", folder, writable=True)
        ...     _ = box.run("open('work/out.txt', 'w').write(open('work/in.txt').read().upper())")
        >>> (folder / "out.txt").read_text()
        'HELLO'

        Raises:
            UserError: there is no such file or folder, it is too big, or the name is not a plain one.
        """
        run_sync(self.session.mount_all(name, self._mounts.add(name, path, writable=writable)))

    def files(self) -> Files:
        """The writable files, live: what sandbox code has written is read here, and what is assigned here is there for the next block.

        >>> import pathlib, tempfile
        >>> with Sandbox() as box:
        ...     box.mount("work", tempfile.mkdtemp(), writable=True)
        ...     box.files()["work/notes.txt"] = "from outside"
        ...     box.run("open('work/notes.txt').read()")
        'from outside'
        """
        return Files(self)

    def describe(self) -> str:
        """The tools that sandbox code can call, as Python declares them.

        >>> box = Sandbox()
        >>> @box.tool
        ... def weather(city: str, units: str = "celsius") -> str:
        ...     "Today's weather."
        ...     return "sunny"
        >>> print(box.describe())
        def weather(city: str, units: str = "celsius") -> str:
            \"\"\"Today's weather.\"\"\"
        """
        return "\n\n".join(stub(tool) for tool in self.executor.tools.values())

    @property
    def engine(self) -> EngineName | None:
        """The engine that ran last, or None before the first block."""
        return self.session.engine

    def reset(self) -> None:
        """Forget all variables, modules and files; tools and limits stay.

        >>> with Sandbox() as box:
        ...     box["x"] = 1
        ...     box.reset()
        ...     "x" in box
        False
        """
        self._free()
        run_sync(self.session.reset())
        self._mounts.clear()

    def __contains__(self, name: str) -> bool:
        with contextlib.suppress(KeyError):
            self[name]
            return True
        return False

    def close(self) -> None:
        """Release the worker process. The sandbox can still be used: its variables come back when it is."""
        run_sync(self.session.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def described(self) -> dict[str, Any]:
        """What a new process needs, besides the stream, to go on with this sandbox."""
        limits = asdict(self.session.limits)
        return {"engine": self.session.choice, "builtins": self.session.builtins, "limits": limits, "mounts": self._mounts.described()}

    @classmethod
    def rebuilt(cls, session: Session, described: Mapping[str, Any]) -> Sandbox:
        """The sandbox of a session that was rebuilt from its stream, with its mounts; the host's files as they are now."""
        box = cls.__new__(cls)
        box._use(session)
        for mount in described["mounts"]:
            with contextlib.suppress(UserError):  # it is gone, or was on another machine: its copy is in the stream
                box._mounts.expect(mount["name"], mount["path"], writable=mount["writable"])
        return box

    @staticmethod
    def limits_of(described: Mapping[str, Any]) -> Limits:
        """The limits that `described` told of."""
        return Limits(**described["limits"])

    def _free(self) -> None:
        if (holder := self.held_by()) is not None:
            raise AgentBusy(f"this sandbox is in use by {holder}; wait for it, or stop it")

    async def _run(self, code: str) -> BlockResult:
        self._free()
        tools = tuple(self.executor.tools)
        result = await self.session.run(code, self._call, tools=tools, finishers=(), recorded=self._recorded)
        if result.error is not None:
            kind = _RAISED.get(result.error.code, SandboxError)
            raise kind(result.error.type or "Exception", result.error.message, result.error.line, result.prints)
        return result

    def _recorded(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return recorded_call(self.executor.tools.get(name), args, kwargs)

    async def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self.executor.call(name, self.executor.tools[name].bind(args, kwargs))


class Files(MutableMapping[str, str | bytes]):
    """The writable files of a sandbox by name: text where they are UTF-8, else bytes. Every look is at what is there now."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box

    def _now(self) -> dict[str, bytes]:
        return {path.removeprefix("/"): content for path, content in run_sync(self._box.session.files()).items()}

    def __getitem__(self, name: str) -> str | bytes:
        content = self._now()[name]
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode()
        return content

    def __setitem__(self, name: str, content: str | bytes) -> None:
        self._put(name, content.encode() if isinstance(content, str) else content)

    def __delitem__(self, name: str) -> None:
        if name not in self._now():
            raise KeyError(name)
        self._put(name, None)

    def _put(self, name: str, content: bytes | None) -> None:
        if not self._box._mounts.writable_path(name):
            raise UserError(f"{name!r} is in no writable mount; mount a file or folder with writable=True first")
        run_sync(self._box.session.put_file(name, content))

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def __repr__(self) -> str:
        return repr(dict(self))
