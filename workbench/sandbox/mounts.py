"""Files and folders of the host that a sandbox has copies of, kept equal to them: what changed outside goes in, what changed inside out.

Before a block, files whose time or size has changed are read again; after it, what the program wrote, created and deleted is carried out
here. Links are never followed: a link in a mounted folder is not there for the sandbox, and a path that has become a link since is refused.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from workbench.errors import UserError
from workbench.sandbox.engine import Limits
from workbench.sandbox.files import MAX_ENTRIES, Mounting, inside

Stamp = tuple[int, int, int]
"""Time, size and inode: a file whose stamp is the same is taken to be the same."""


class Change(NamedTuple):
    """One file that is different on the host since the sandbox got it; `content` is None where it is gone."""

    path: str
    content: bytes | None
    writable: bool


@dataclass
class _Mount:
    path: str
    """In the sandbox, absolute."""
    target: Path
    writable: bool
    is_folder: bool
    stamps: dict[str, Stamp] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    """Of the content that both sides have, by path relative to the target; empty for a single file."""

    def host(self, relative: str) -> Path:
        return self.target / relative if relative else self.target

    def inner(self, relative: str) -> str:
        return f"{self.path}/{relative}" if relative else self.path

    def relative(self, path: str) -> str | None:
        """Where a path of the sandbox lies in this mount, or None."""
        if path == self.path:
            return ""
        return path[len(self.path) + 1 :] if self.is_folder and path.startswith(self.path + "/") else None


class Mounts:
    """All mounts of one sandbox, by the name they have there."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._mounts: dict[str, _Mount] = {}

    def add(self, name: str, path: str | os.PathLike[str], *, writable: bool) -> Mounting:
        """Mount a file or folder; what the sandbox is to be given.

        Raises:
            UserError: there is none, the name is not a plain one, or it is bigger than the sandbox's limits.
        """
        mount = self._made(name, path, writable)
        contents = {relative: _read(mount.host(relative)) for relative, _ in self._walk(mount)}
        for relative, content in contents.items():
            _remember(mount, relative, content)
        self._mounts[name] = mount
        if mount.is_folder:
            return {"folder": contents, "writable": writable}
        return {"content": contents.get("", b""), "writable": writable}

    def expect(self, name: str, path: str | os.PathLike[str], *, writable: bool) -> None:
        """Mount what a sandbox has an older copy of; `changes` then tells all that is there."""
        self._mounts[name] = self._made(name, path, writable)

    @staticmethod
    def _made(name: str, path: str | os.PathLike[str], writable: bool) -> _Mount:
        try:
            place = inside(name)
        except ValueError as error:
            raise UserError(str(error)) from None
        target = Path(path).resolve()
        if not (target.is_dir() or target.is_file() or (writable and not target.exists() and target.parent.is_dir())):
            raise UserError(f"{str(path)!r} is not a file or folder")
        return _Mount(place, target, writable, target.is_dir())

    def described(self) -> list[dict[str, object]]:
        """What `add` was called with, as data."""
        return [{"name": name, "path": str(mount.target), "writable": mount.writable} for name, mount in self._mounts.items()]

    def clear(self) -> None:
        """Forget all mounts."""
        self._mounts.clear()

    def writable(self) -> bool:
        """Whether anything can be written."""
        return any(mount.writable for mount in self._mounts.values())

    def writable_path(self, name: str) -> str | None:
        """The sandbox's path of a name that lies in a writable mount, or None."""
        path = inside(name)
        return path if any(mount.writable and mount.relative(path) is not None for mount in self._mounts.values()) else None

    def changes(self) -> list[Change]:
        """What is different on the host since the sandbox last got it."""
        found: list[Change] = []
        for mount in self._mounts.values():
            now = dict(self._walk(mount))
            for relative, stamp in now.items():
                if mount.stamps.get(relative) != stamp:
                    before = mount.hashes.get(relative)
                    content = _read(mount.host(relative))
                    if _remember(mount, relative, content) != before:
                        found.append(Change(mount.inner(relative), content, mount.writable))
            for relative in mount.stamps.keys() - now.keys():
                del mount.stamps[relative], mount.hashes[relative]
                found.append(Change(mount.inner(relative), None, mount.writable))
        return found

    def carry_out(self, contents: Mapping[str, bytes]) -> None:
        """Make the host's files what the sandbox's writable ones are: written, created and deleted.

        Raises:
            PermissionError: a path has become a link, or leads out of the mounted folder.
        """
        for mount in self._mounts.values():
            if not mount.writable:
                continue
            theirs = {relative: content for path, content in contents.items() if (relative := mount.relative(path)) is not None}
            for relative in mount.hashes.keys() - theirs.keys():
                _guard(mount, relative).unlink(missing_ok=True)
                del mount.stamps[relative], mount.hashes[relative]
            for relative, content in theirs.items():
                known = mount.hashes.get(relative)
                if known != _hash(content) and not (known is None and not content and not mount.is_folder):
                    _write(_guard(mount, relative), content)
                    _remember(mount, relative, content)

    def _walk(self, mount: _Mount) -> Iterator[tuple[str, Stamp]]:
        """The regular files of a mount with their stamps; links and devices are passed over."""
        total = 0
        for count, (relative, path) in enumerate(_paths(mount)):
            try:
                about = path.lstat()
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(about.st_mode):
                continue
            total += about.st_size
            if about.st_size > self.limits.max_file or total > self.limits.max_files or count >= MAX_ENTRIES:
                sizes = f"{self.limits.max_file} bytes, all together {self.limits.max_files} bytes in {MAX_ENTRIES} files"
                raise UserError(f"{str(path)!r} is too much to mount ({about.st_size} bytes): a file may have {sizes}")
            yield relative, (about.st_mtime_ns, about.st_size, about.st_ino)


def _paths(mount: _Mount) -> Iterator[tuple[str, Path]]:
    if not mount.is_folder:
        yield "", mount.target
        return
    for folder, _, names in os.walk(mount.target, followlinks=False):
        for name in sorted(names):
            path = Path(folder, name)
            yield path.relative_to(mount.target).as_posix(), path


def _guard(mount: _Mount, relative: str) -> Path:
    """The host's path for a file of the mount, whose every part is real."""
    path = mount.host(relative)
    root = mount.target if mount.is_folder else mount.target.parent
    if path.is_symlink() or root.resolve() != root or not path.parent.resolve().is_relative_to(root):
        raise PermissionError(f"{mount.inner(relative)!r} is not copied back: on the host it is a link now, or lies behind one")
    return path


def _read(path: Path) -> bytes:
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        return file.read()


def _write(path: Path, content: bytes) -> None:
    """Replace a file at once: a reader sees the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "wb") as file:
        file.write(content)
    if path.exists():
        part.chmod(stat.S_IMODE(path.stat().st_mode))
    part.replace(path)


def _remember(mount: _Mount, relative: str, content: bytes) -> str:
    about = mount.host(relative).lstat()
    mount.stamps[relative] = (about.st_mtime_ns, about.st_size, about.st_ino)
    mount.hashes[relative] = _hash(content)
    return mount.hashes[relative]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
