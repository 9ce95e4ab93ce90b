"""What a tool displays in a notebook, and the figures it leaves open → its call.

IPython's publisher has hooks that see a message before it is sent, a list of them for each thread. Ours asks whether a tool is displaying,
and if so whether the call is shown to somebody; what holds a widget always goes to the cell, since no record can hold it.
"""

from __future__ import annotations

import base64
import binascii
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from IPython.display import display

from workbench.tools.printed import Picture, printing

DRAWN = ("image/png", "image/jpeg")
"""The pictures that are kept. A vector image can hold script."""

WIDGET = "application/vnd.jupyter.widget-view+json"


class Displays:
    """Hears what is displayed in the threads that tools run in."""

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher
        self._here = threading.local()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Around a tool, in its thread: what it displays is heard, and the figures that it leaves open are displayed and closed."""
        if not hasattr(self._publisher, "register_hook"):  # a terminal's, which shows only text
            yield
            return
        tools = getattr(self._here, "tools", 0)
        if tools == 0:  # else another tool that waits in this thread has begun to listen
            self._publisher.register_hook(self._hear)
        self._here.tools = tools + 1
        try:
            with figures_shown():
                yield
        finally:
            self._here.tools -= 1
            if self._here.tools == 0:
                self._publisher.unregister_hook(self._hear)

    def _hear(self, message: dict[str, Any]) -> dict[str, Any] | None:
        call = printing()
        content = message.get("content", {})
        data = content.get("data", {})
        if call is None or WIDGET in data:
            return message
        if message.get("msg_type") == "clear_output":
            return None if call.alone else message  # what it would clear is not its own
        place = content.get("transient", {}).get("display_id")
        return None if call.show(str(data.get("text/plain", "")), picture_in(data), place=place) else message


def picture_in(data: Mapping[str, Any]) -> Picture | None:
    """The picture among the forms of something displayed, where it has one that is kept."""
    for media_type in DRAWN:
        try:
            if media_type in data:
                return Picture(media_type, base64.b64decode(data[media_type], validate=False), str(data.get("text/plain", "")))
        except (binascii.Error, TypeError, ValueError):
            continue
    return None


@contextmanager
def figures_shown() -> Iterator[None]:
    """Display and close the figures of pyplot that are opened meanwhile and left open, as a cell does at its end.

    pyplot has one list of figures for the whole process: where a cell draws while a tool of a background run does, one may show what is
    the other's.
    """
    before = set(_figures())
    try:
        yield
    finally:
        for number in _figures():
            if number not in before:
                pyplot = sys.modules["matplotlib.pyplot"]
                display(pyplot.figure(number))
                pyplot.close(number)


def _figures() -> list[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return list(pyplot.get_fignums()) if pyplot is not None and "inline" in pyplot.get_backend() else []
