"""A progress bar in the page that leaves nothing behind: its output is empty when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from IPython.display import display

from workbench.notebook.shown import duration_text


@contextmanager
def bar(total: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar for so many tasks; called with how many are done."""
    began = time.monotonic()
    handle = display(_drawn(0, total, began), raw=True, display_id=True)
    last = 0

    def told(done: int) -> None:
        nonlocal last
        if done != last:
            last = done
            handle.update(_drawn(done, total, began), raw=True)

    try:
        yield told
    finally:
        handle.update({"text/plain": ""}, raw=True)


def _drawn(done: int, total: int, began: float) -> dict[str, str]:
    words = f"{done} of {total} tasks, {duration_text((time.monotonic() - began) * 1000)}"
    return {
        "text/html": f'<label role="status"><progress value="{done}" max="{total}"></progress> {words}</label>',
        "text/plain": words,
    }
