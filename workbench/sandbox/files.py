"""The files sandbox code can open: copies in memory. Nothing here touches the host's file system.

There is no way out of them and no link to follow: a path that was not mounted does not exist. Times are always the same, so that a
repeated block sees what it saw. Not here: how the copies are kept equal to files of the host (`mounts`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Iterable
from pathlib import PurePosixPath
from typing import Any, TypedDict

import pydantic_monty as monty

from workbench.sandbox.engine import Limits

MAX_ENTRIES = 10_000
"""Files and folders together."""
MAX_PATH = 1_000
"""Characters of one path."""


class Mounting(TypedDict, total=False):
    """What a `mount` item of the stream carries: a file, a folder with its files by relative path, or that there is none any more."""

    content: bytes
    folder: dict[str, bytes]
    gone: bool
    writable: bool


def inside(name: str) -> str:
    """The absolute path that `name` has in the sandbox.

    Raises:
        ValueError: for an empty or absolute name, or one that climbs with `..`.
    """
    path = posixpath.normpath("/" + name)
    if ".." in name.split("/") or "\x00" in name or name.startswith("/") or path == "/" or len(path) > MAX_PATH:
        raise ValueError(f"a file cannot be mounted as {name[:80]!r}; give a plain name such as 'data.csv' or 'data/in.csv'")
    return path


class Files(monty.AbstractOS):
    """The mounted files of one engine."""

    def __init__(self, limits: Limits, mounted: Iterable[tuple[str, Mounting]] = ()) -> None:
        self._limits = limits
        self._files: dict[str, bytearray] = {}
        self._folders: set[str] = {"/"}
        self._writable: set[str] = set()
        """Files that may be written and folders in which anything may be done."""
        for path, mounting in mounted:
            self.mount(path, mounting)

    def mount(self, path: str, mounting: Mounting) -> None:
        """Put files at an absolute path, in the place of what was there."""
        if mounting.get("gone"):
            self._files.pop(path, None)
            return
        folder = mounting.get("folder")
        for relative, content in {"": mounting["content"]}.items() if folder is None else folder.items():
            place = posixpath.join(path, relative) if relative else path
            self._files[place] = bytearray(content)
            self._folders.update(_parents(place))
        if folder is not None:
            self._folders.update({path, *_parents(path)})
        if mounting.get("writable"):
            self._writable.add(path)

    def contents(self) -> dict[str, bytes]:
        """The writable files as they are now, by absolute path."""
        return {path: bytes(content) for path, content in sorted(self._files.items()) if self._is_writable(path)}

    def answer(self, call: monty.AsyncFunctionSnapshot) -> Awaitable[Any]:
        """Answer a file, environment or import call of the sandbox."""
        name = str(call.function_name)
        if name == "import":
            return call.resume_auto()
        if name.startswith("os."):
            return call.resume_not_handled()
        args = tuple(_normal(arg) if place == 0 or isinstance(arg, PurePosixPath) else arg for place, arg in enumerate(call.args))
        try:
            return call.resume({"return_value": self.dispatch(name, args, dict(call.kwargs))})  # type: ignore[arg-type]
        except UnicodeDecodeError as error:
            return call.resume({"exception": ValueError(f"'{args[0]}' is not UTF-8 text ({error.reason}); open it with mode 'rb'")})
        except NotImplementedError:
            return call.resume({"exception": PermissionError(f"Permission denied: {name} of '{args[0]}'")})
        except (OSError, ValueError, TypeError) as error:
            return call.resume({"exception": error})

    # What a program asks

    def path_exists(self, path: Any) -> bool:
        return str(path) in self._files or str(path) in self._folders

    def path_is_file(self, path: Any) -> bool:
        return str(path) in self._files

    def path_is_dir(self, path: Any) -> bool:
        return str(path) in self._folders

    def path_is_symlink(self, path: Any) -> bool:
        return False

    def path_open(self, path: Any, mode: str) -> monty.MontyFileHandle:
        handle = monty.MontyFileHandle(str(path), mode)
        if handle.mode[0] == "r":
            self._content(str(path))
        else:
            self._store(str(path), b"", keep=handle.mode[0] == "a")
        return handle

    def path_read_text(self, path: Any) -> str:
        return self._content(str(path)).decode()

    def path_read_bytes(self, path: Any) -> bytes:
        return bytes(self._content(str(path)))

    def path_write_text(self, path: Any, data: str) -> int:
        self._store(str(path), data.encode())
        return len(data)

    def path_write_bytes(self, path: Any, data: bytes) -> int:
        self._store(str(path), data)
        return len(data)

    def path_append_text(self, path: Any, data: str) -> int:
        self._store(str(path), data.encode(), keep=True)
        return len(data)

    def path_append_bytes(self, path: Any, data: bytes) -> int:
        self._store(str(path), data, keep=True)
        return len(data)

    def path_mkdir(self, path: Any, parents: bool, exist_ok: bool) -> None:
        place = str(path)
        if place in self._files or (place in self._folders and not exist_ok):
            raise FileExistsError(f"[Errno 17] File exists: '{place}'")
        if place in self._folders:
            return
        self._allow(place)
        missing = [parent for parent in _parents(place) if parent not in self._folders]
        if missing and not parents:
            raise FileNotFoundError(f"[Errno 2] No such file or directory: '{place}'")
        if any(parent in self._files for parent in missing):
            raise NotADirectoryError(f"[Errno 20] Not a directory: '{place}'")
        self._make_room(place, entries=1 + len(missing))
        self._folders.update({place, *missing})

    def path_unlink(self, path: Any) -> None:
        self._content(str(path))
        self._allow_removal(str(path))
        del self._files[str(path)]

    def path_rmdir(self, path: Any) -> None:
        place = str(path)
        if place not in self._folders:
            raise FileNotFoundError(f"[Errno 2] No such file or directory: '{place}'")
        self._allow_removal(place)
        if self.path_iterdir(place):
            raise OSError(f"[Errno 39] Directory not empty: '{place}'")
        self._folders.remove(place)

    def path_rename(self, path: Any, target: Any) -> None:
        old, new = str(path), str(target)
        if not self.path_exists(old) or posixpath.dirname(new) not in self._folders:
            raise FileNotFoundError(f"[Errno 2] No such file or directory: '{old}' -> '{new}'")
        self._allow_removal(old)
        self._allow(new)
        if old == new:
            return
        if new in self._folders or (old in self._folders and new in self._files):
            raise FileExistsError(f"[Errno 17] File exists: '{old}' -> '{new}'")
        if new.startswith(old + "/"):
            raise OSError(f"[Errno 22] Invalid argument: '{old}' -> '{new}'")
        self._files = {_moved(place, old, new): content for place, content in self._files.items() if place != new or old == new}
        self._folders = {_moved(place, old, new) for place in self._folders}

    def path_iterdir(self, path: Any) -> list[PurePosixPath]:
        place = str(path)
        if place not in self._folders:
            kind = NotADirectoryError if place in self._files else FileNotFoundError
            raise kind(f"[Errno {20 if place in self._files else 2}] Not a directory: '{place}'")
        found = {entry for entry in [*self._files, *self._folders] if entry != "/" and posixpath.dirname(entry) == place}
        return [PurePosixPath(entry) for entry in sorted(found)]

    def path_stat(self, path: Any) -> monty.StatResult:
        if str(path) in self._folders:
            return monty.StatResult.dir_stat()._replace(st_mtime=0.0, st_atime=0.0, st_ctime=0.0)
        return monty.StatResult.file_stat(len(self._content(str(path))), mtime=0.0)

    def path_resolve(self, path: Any) -> str:
        return str(path)

    def path_absolute(self, path: Any) -> str:
        return str(path)

    def getenv(self, key: str, default: str | None = None) -> str | None:
        return default

    def get_environ(self) -> dict[str, str]:
        return {}

    # What is allowed

    def _content(self, path: str) -> bytearray:
        if path in self._folders:
            raise IsADirectoryError(f"[Errno 21] Is a directory: '{path}'")
        if path not in self._files:
            raise FileNotFoundError(f"[Errno 2] No such file or directory: '{path}'")
        return self._files[path]

    def _store(self, path: str, data: bytes, *, keep: bool = False) -> None:
        if path in self._folders:
            raise IsADirectoryError(f"[Errno 21] Is a directory: '{path}'")
        self._allow(path)
        if posixpath.dirname(path) not in self._folders:
            raise FileNotFoundError(f"[Errno 2] No such file or directory: '{path}'")
        now = self._files.get(path)
        kept = len(now) if keep and now is not None else 0
        self._make_room(path, size=kept + len(data), grows=len(data) - (0 if now is None or keep else len(now)), entries=now is None)
        if now is None:
            self._files[path] = bytearray(data)
        elif keep:
            now += data
        else:
            now[:] = data

    def _make_room(self, path: str, *, size: int = 0, grows: int = 0, entries: int = 0) -> None:
        if size > self._limits.max_file:
            raise OSError(f"[Errno 122] Disk quota exceeded: '{path}' would have {size} bytes; a file may have {self._limits.max_file}")
        if grows > 0 and sum(map(len, self._files.values())) + grows > self._limits.max_files:
            raise OSError(f"[Errno 122] Disk quota exceeded: all files together may have {self._limits.max_files} bytes")
        if entries and (len(path) > MAX_PATH or len(self._files) + len(self._folders) + entries > MAX_ENTRIES):
            raise OSError(f"[Errno 122] Disk quota exceeded: there may be {MAX_ENTRIES} files, with paths of {MAX_PATH} characters")

    def _is_writable(self, path: str) -> bool:
        return path in self._writable or self._in_writable_folder(path)

    def _in_writable_folder(self, path: str) -> bool:
        return any(parent in self._writable for parent in _parents(path))

    def _allow(self, path: str) -> None:
        if not self._is_writable(path):
            raise PermissionError(f"Permission denied: '{path}' is not mounted for writing")

    def _allow_removal(self, path: str) -> None:
        if not self._in_writable_folder(path):
            raise PermissionError(f"Permission denied: '{path}' is not inside a folder that is mounted for writing")


def _parents(path: str) -> list[str]:
    parents = []
    while path != "/":
        path = posixpath.dirname(path)
        parents.append(path)
    return parents


def _moved(path: str, old: str, new: str) -> str:
    return new + path[len(old) :] if path == old or path.startswith(old + "/") else path


def _normal(path: Any) -> PurePosixPath:
    """The path of a call's argument, which may be an open file."""
    return PurePosixPath(posixpath.normpath(posixpath.join("/", str(getattr(path, "path", path)))))
