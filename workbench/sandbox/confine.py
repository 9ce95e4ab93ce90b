"""What a worker process gives up before it runs a program: descriptors, new privileges, files, network, signals to others.

Read from source by `littrs_worker`, and run as a script by monty's launcher: it imports only what starts fast. Landlock comes from
`landlockpy`; where that or the kernel does not have it, the rest still holds. Not here: limits of size and time, which differ by session.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_PR_SET_NO_NEW_PRIVS = 38


def confine(library: str, runnable: Iterable[str] = ()) -> bool:
    """Confine this process for good; whether Landlock is among what confines it.

    `library` is the folder that landlockpy is installed in, or empty. Of the file system only `runnable` can still be read and executed.
    """
    if sys.platform != "linux":
        return False
    import ctypes  # noqa: PLC0415 - a worker on another system does without

    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return _landlocked(library, runnable) if library else False


def _landlocked(library: str, runnable: Iterable[str]) -> bool:
    _lighten()
    sys.path.append(library)
    try:
        import landlockpy as landlock  # noqa: PLC0415 - 20 ms that only workers pay

        rules = landlock.Ruleset(scoped=landlock.Scope.SIGNAL | landlock.Scope.ABSTRACT_UNIX_SOCKET)
        with rules:
            for path in runnable:
                if os.path.exists(path):
                    rules.allow_path(path, landlock.AccessFS.READ_FILE | landlock.AccessFS.EXECUTE)
            rules.restrict()
    except (ImportError, OSError):
        return False
    finally:
        sys.path.remove(library)
    return True


def _lighten() -> None:
    """Keep landlockpy from importing its test helpers, and from looking for libc with a child process: two thirds of its start."""
    import ctypes  # noqa: PLC0415 - see above

    kind = type(sys)
    ctypes_util = kind("ctypes.util")
    vars(ctypes_util)["find_library"] = lambda name: None  # the libc this process has already
    vars(ctypes)["util"] = sys.modules["ctypes.util"] = ctypes_util
    sys.modules["landlockpy.testing"] = kind("landlockpy.testing")


def main() -> None:
    """`confine.py LIBRARY BINARY ARGUMENT…`: become the program, confined, with nothing but the three standard descriptors."""
    library, binary, *arguments = sys.argv[1:]
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    confine(library, [binary, "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"])
    os.execve(binary, [binary, *arguments], {})  # noqa: S606 - becoming that program is what this is for


if __name__ == "__main__":
    main()
