"""Directories that stores live in: making them, keeping them out of version control, and telling local disks from network ones."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.errors import StoreError

_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "beegfs",
        "gpfs",
        "ncpfs",
        "virtiofs",
    }
)
_NETWORK_FUSE = frozenset({"fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.ceph", "fuse.juicefs"})


def prepare_directory(directory: Path) -> None:
    """Make `directory`; where it is or lies in a `.workbench`, give that one a `.gitignore`, since records hold what people typed.

    Raises:
        StoreError: if it cannot be made or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for place in (directory, *directory.parents):
            if place.name == ".workbench":
                if not (place / ".gitignore").exists():
                    (place / ".gitignore").write_text("*\n")
                break
    except OSError as error:
        raise StoreError(
            f"cannot make {str(directory)!r} for the store: {error.strerror or error}; choose a directory you may write to "
            "(WORKBENCH_HOME, or wb.connect with another URL)"
        ) from error


def filesystem_of(path: str, mounts: str) -> str:
    """The type of the file system that holds `path`, an absolute path, given the text of /proc/mounts; "" if no mount holds it."""
    longest, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(longest):  # of two mounts on one point, the later one is seen
            longest, kind = point, fields[2]
    return kind


def is_network(filesystem: str) -> bool:
    """Whether a file system type is one that several machines may mount, where shared memory and locks cannot be trusted."""
    return filesystem in _NETWORK or filesystem in _NETWORK_FUSE


def on_network(path: Path) -> bool:
    """Whether `path` lies on a network file system. Where the system has no /proc/mounts nothing is known and the answer is no."""
    try:
        mounts = Path("/proc/mounts").read_text(errors="surrogateescape")
    except OSError:
        return False
    return is_network(filesystem_of(str(path.resolve()), mounts))
