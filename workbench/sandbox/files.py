"""The files sandbox code can open: copies in memory, by exact name. Nothing here touches the host's file system.

There is no directory to leave and no link to follow: a path that was not mounted does not exist.
"""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Mapping
from typing import Any

import pydantic_monty as monty

MAX_BYTES = 64 * 2**20
"""Of one file; writing is the host's memory."""

_READS = frozenset({"Path.exists", "Path.is_file", "Path.is_dir", "Path.is_symlink", "Path.read_text", "Path.read_bytes", "Path.iterdir"})
_READS_MORE = frozenset({"Path.scan", "Path.stat", "Path.resolve", "Path.absolute"})
_WRITES = frozenset({"Path.write_text", "Path.write_bytes", "Path.append_text", "Path.append_bytes"})


def inside(name: str) -> str:
    """The absolute path that `name` has in the sandbox.

    Raises:
        ValueError: for an empty name, or one that climbs with `..`.
    """
    if ".." in name.split("/") or "\x00" in name or posixpath.normpath("/" + name.lstrip("/")) == "/":
        raise ValueError(f"a file cannot be mounted as {name!r}; give a plain name such as 'data.csv' or 'data/in.csv'")
    return posixpath.normpath("/" + name.lstrip("/"))


class Files:
    """The mounted files of one engine."""

    def __init__(self, mounted: Mapping[str, tuple[bytes, bool]]) -> None:
        self._writable = {inside(name) for name, (_, writable) in mounted.items() if writable}
        self._files = {inside(name): monty.MemoryFile(inside(name), content) for name, (content, _) in mounted.items()}
        self._system = monty.OSAccess(list(self._files.values()))

    def contents(self) -> dict[str, bytes]:
        """The writable files as they are now, by the path they have in the sandbox."""
        return {path: _bytes(self._files[path].content) for path in sorted(self._writable)}

    def answer(self, call: monty.AsyncFunctionSnapshot) -> Awaitable[Any]:
        """Answer a file, environment or import call of the sandbox."""
        name = str(call.function_name)
        if name == "import":
            return call.resume_auto()
        if name.startswith("os."):
            return call.resume_not_handled()
        try:
            return call.resume({"return_value": self._carry_out(name, call.args, call.kwargs)})
        except (OSError, ValueError, TypeError) as error:
            return call.resume({"exception": error})

    def _carry_out(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        path = posixpath.normpath(str(getattr(args[0], "path", args[0])))
        mode = str(args[1] if len(args) > 1 else kwargs.get("mode", "r")) if name == "open" else ""
        if name in _WRITES or set(mode) & set("wax+"):
            if path not in self._writable:
                raise PermissionError(f"Permission denied: '{path}' is not mounted for writing")
            if name in _WRITES and len(args[1]) + len(self._files[path].content) > MAX_BYTES:
                raise OSError(f"'{path}' would grow beyond {MAX_BYTES} bytes")
        elif name != "open" and name not in _READS | _READS_MORE:
            raise PermissionError(f"Permission denied: {name} of '{path}'")
        return self._system.dispatch(name, args, kwargs)  # type: ignore[arg-type]


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
