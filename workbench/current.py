"""The process's current workbench: what `wb.start`, `wb.Agent` and `wb.frames` use when they are given none."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.runtime.workbench import Workbench

_lock = threading.RLock()
_current: Workbench | None = None
_frames: Callable[[], Any] | None = None
_default: Callable[[], Workbench] | None = None


def set_default(factory: Callable[[], Workbench]) -> None:
    """Say how the current workbench is made when one is first needed."""
    global _default  # noqa: PLW0603 - one current workbench a process is the point of this module
    _default = factory


def set_frames(factory: Callable[[], Any]) -> None:
    """Say where the frames come from, which need pandas: `run.frame()` asks for them."""
    global _frames  # noqa: PLW0603
    _frames = factory


def frames() -> Any:
    """The module `workbench.frames`."""
    assert _frames is not None, "workbench/__init__ sets it"
    return _frames()


def set_current(workbench: Workbench | None) -> None:
    """Make `workbench` the current one; None forgets it, and the next use makes the default anew."""
    global _current  # noqa: PLW0603
    with _lock:
        _current = workbench


def current() -> Workbench:
    """The current workbench, made by the default factory at first use."""
    with _lock:
        if _current is None:
            assert _default is not None, "workbench/__init__ sets the default factory"
            set_current(_default())
        assert _current is not None
        return _current


def _forget() -> None:
    """In a forked child: the parent's connections, leases and locks are not the child's."""
    global _lock, _current  # noqa: PLW0603
    _lock = threading.RLock()
    _current = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
