"""How runs are drawn: by whoever has said so, the notebook when its extension is loaded; else as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.runtime.run import Run


class Presenters(NamedTuple):
    """What draws runs."""

    show: Callable[[Run], None]
    view: Callable[[Run], None]
    compare: Callable[[Run, Run], None]


_presenters: Presenters | None = None


def set_presenters(presenters: Presenters | None) -> None:
    """Say what draws runs from now on."""
    global _presenters  # noqa: PLW0603 - one display a process
    _presenters = presenters


def show(run: Run) -> None:
    """Draw a run."""
    if _presenters is None:
        print(run)  # noqa: T201 - showing is what was asked for
    else:
        _presenters.show(run)


def view(run: Run) -> None:
    """Open a run's interactive view.

    Raises:
        UserError: there is nothing to show it in.
    """
    if _presenters is None:
        raise UserError("an interactive view needs a notebook: load it with %load_ext workbench; run.show() draws text elsewhere")
    _presenters.view(run)


def compare(left: Run, right: Run) -> None:
    """Draw two runs side by side."""
    if _presenters is None:
        print(json.dumps(left.diff(right), indent=2, ensure_ascii=False, default=str))  # noqa: T201 - as above
    else:
        _presenters.compare(left, right)
