"""The widget's script and style sheet: beside this module in a wheel, in the repository's `widgets/` in a checkout."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from workbench.errors import ConfigurationError

SCRIPTS = ("dom.js", "ask.js", "step.js", "time.js", "tabs.js", "run.js")
"""Joined in this order into one module: anywidget loads it from a Blob URL, where nothing can be imported from beside it."""

STATIC, LIVE, COMPARE, BROWSE = "run.css", "live.css", "compare.css", "browse.css"
"""The style of every view, and what the live one, the comparison and the table of runs have besides."""

ROOT_CLASS = "wb-run"
"""What every rule is nested in."""


@cache
def asset(name: str) -> str:
    """The text of one widget file.

    Raises:
        ConfigurationError: if it is in neither place.
    """
    here = Path(__file__).resolve().parent
    places = (here / "widgets", here.parents[1] / "widgets")
    for place in places:
        if (place / name).is_file():
            return (place / name).read_text(encoding="utf-8")
    looked = " and ".join(str(place) for place in places)
    raise ConfigurationError(f"the widget file {name!r} is missing; looked in {looked}; reinstall agent-workbench")


@cache
def small_js(*names: str) -> str:
    """A script as it is sent: its files (those of the run's view, unless others are named) without indentation and lines that only
    comment."""
    lines = (line.strip() for name in names or SCRIPTS for line in asset(name).splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("//", "/*", "*")))


@cache
def small_css(*names: str) -> str:
    """Style sheets without comments and spare white space."""
    css = re.sub(r"/\*.*?\*/", "", "".join(asset(name) for name in names), flags=re.DOTALL)
    return re.sub(r"\s*([{};,])\s*", r"\1", re.sub(r"\s+", " ", css)).replace(";}", "}").strip()


def scoped_css(scope: str) -> str:
    """The style sheet for one piece of static HTML: it applies inside elements of class `scope` and nowhere else."""
    return small_css(STATIC).replace(f".{ROOT_CLASS}", f".{scope}")
