"""`Sandbox`, the user's object: a session with tools, files and limits, blocking or awaited. Everything it does is `Session`'s."""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from workbench.errors import SandboxCrashed, SandboxError, SandboxLimit, SandboxRefused, UserError
from workbench.loop import run_async, run_sync
from workbench.record.sandbox_items import EngineName
from workbench.sandbox import source
from workbench.sandbox.engine import BlockResult
from workbench.sandbox.files import MAX_BYTES, inside
from workbench.sandbox.session import EngineChoice, Session
from workbench.tools.executor import ToolExecutor
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


@dataclass
class _Mount:
    target: Path
    writable: bool
    written: bytes


class Sandbox:
    """Runs Python apart from this process: no files, network or environment but what is given to it.

    Variables live from one `run` to the next. `engine` is `"auto"`, `"littrs"` or `"monty"`; with `builtins=False` code can import only
    what `module` has defined.
    """

    def __init__(self, builtins: bool = True, engine: EngineChoice = "auto") -> None:
        self.session = Session("sandbox", engine=engine)
        """The session underneath, whose stream an Agent adopts."""
        self.executor = ToolExecutor()
        self._builtins = builtins
        self._modules: set[str] = set()
        self._mounts: dict[str, _Mount] = {}

    def run(self, code: str) -> Any:
        """Run a block and return the value of its last expression.

        Raises:
            SandboxError: whatever went wrong inside; `type`, `message`, `line` and `prints` tell it.
        """
        return self.capture(code).value

    async def arun(self, code: str) -> Any:
        """`run`, awaited."""
        return (await run_async(self._run(code))).value

    def capture(self, code: str) -> Captured:
        """Run a block and return its value and what it printed."""
        result = run_sync(self._run(code))
        return Captured(result.value, result.prints)

    def tool(self, fn: F) -> F:
        """Let sandbox code call a function; usable as a decorator."""
        self.executor.register(fn)
        return fn

    def set(self, name: str, value: Any) -> None:
        """Bind a variable to a copy of a value."""
        run_sync(self.session.set(name, value))

    def __setitem__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def module(self, name: str, constants: Mapping[str, Any]) -> None:
        """Let sandbox code import a module of constants."""
        run_sync(self.session.module(name, constants))
        self._modules.add(name)

    def limit(
        self,
        *,
        max_instructions: int | None = None,
        max_recursion_depth: int | None = None,
        max_seconds: float | None = None,
        max_memory: int | None = None,
    ) -> None:
        """Change limits; what is not given stays as it is."""
        given = {
            "max_instructions": max_instructions,
            "max_recursion_depth": max_recursion_depth,
            "max_seconds": max_seconds,
            "max_memory": max_memory,
        }
        changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if wrong := [name for name, value in changed.items() if value <= 0]:
            raise UserError(f"{wrong[0]} must be more than 0; leave it out to keep the present limit")
        run_sync(self.session.limit(replace(self.session.limits, **changed)))

    def mount(self, name: str, path: str | os.PathLike[str], writable: bool = False) -> None:
        """Let sandbox code open a copy of one file as `name`. A writable one is copied back after each block that changed it."""
        target = Path(path).resolve()
        if not target.is_file() and not (writable and not target.exists() and target.parent.is_dir()):
            raise UserError(f"{str(path)!r} is not a file; mount files one by one")
        content = target.read_bytes() if target.exists() else b""
        if len(content) > MAX_BYTES:
            raise UserError(f"{str(path)!r} has {len(content)} bytes; a mounted file may have {MAX_BYTES}")
        run_sync(self.session.mount(name, content, writable=writable))
        self._mounts[name] = _Mount(target, writable, content)

    def files(self) -> dict[str, str | bytes]:
        """The writable files as sandbox code left them: text where they are UTF-8, else bytes."""
        contents = run_sync(self.session.files())
        return {name: _text(contents[inside(name)]) for name, mount in self._mounts.items() if mount.writable}

    def describe(self) -> str:
        """The tools that sandbox code can call, as Python declares them."""
        return "\n\n".join(stub(tool) for tool in self.executor.tools.values())

    @property
    def engine(self) -> EngineName | None:
        """The engine that ran last, or None before the first block."""
        return self.session.engine

    def reset(self) -> None:
        """Forget all variables, modules and files; tools stay."""
        run_sync(self.session.reset())
        self._modules.clear()
        self._mounts.clear()

    def close(self) -> None:
        """Release the worker process. The sandbox can still be used."""
        run_sync(self.session.close())

    async def _run(self, code: str) -> BlockResult:
        if not self._builtins and (line := _foreign_import(code, self._modules)):
            raise SandboxRefused("ImportError", "this sandbox has no modules but its own; make it with builtins=True", line)
        result = await self.session.run(code, self._call, tools=tuple(self.executor.tools), finishers=())
        if result.error is not None:
            kind = _RAISED.get(result.error.code, SandboxError)
            raise kind(result.error.type or "Exception", result.error.message, result.error.line, result.prints)
        if any(mount.writable for mount in self._mounts.values()):
            self._copy_back(await self.session.files())
        return result

    async def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self.executor.call(name, self.executor.tools[name].bind(args, kwargs))

    def _copy_back(self, contents: Mapping[str, bytes]) -> None:
        for name, mount in self._mounts.items():
            now = contents.get(inside(name))
            if mount.writable and now is not None and now != mount.written:
                part = mount.target.with_name(f".{mount.target.name}.part")
                part.write_bytes(now)
                part.replace(mount.target)  # a reader sees the old file or the new one, never half of it
                mount.written = now


def _text(content: bytes) -> str | bytes:
    with contextlib.suppress(UnicodeDecodeError):
        return content.decode()
    return content


def _foreign_import(code: str, known: set[str]) -> int | None:
    """The line of the first import of something outside `known`; code that cannot be looked into counts as one."""
    tree = source.parse(source.normal(code))
    if tree is None:
        return 1
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name not in known for name in names):
            return int(getattr(node, "lineno", 1))
    return None
