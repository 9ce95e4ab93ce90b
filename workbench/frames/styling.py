"""Frames that are read and not computed with: words and numbers a person can take in, beside the same data."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.errors import ConfigurationError

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

_STATUS = {
    "completed": "✓ completed",
    "failed": "✕ failed",
    "aborted": "■ stopped",
    "interrupted": "◌ interrupted",
    "running": "● running",
    "waiting": "◐ waits for a person",
    "paused": "○ paused",
    "pending": "○ queued",
}
_DECISION = {
    "approved": "✓ approved",
    "approved_always": "✓ approved, always",
    "rejected": "✕ rejected",
    "answered": "✓ answered",
    "expired": "◌ expired",
    "unpaused": "▶ went on",
    "stop": "■ stopped",
    "happened": "✓ had happened",
    "did_not_happen": "✕ had not happened",
}
_WIDE = 60
"""Characters of a text or value that are shown."""


def style(frame: pd.DataFrame) -> Styler:
    """A frame of this package as a table to read: states as a sign and a word, stamps to the second, durations and dollars in their units,
    long ids and values cut short. `.data` is the frame itself.

    Raises:
        ConfigurationError: the package jinja2, which pandas styles with, is missing.
    """
    try:
        styler = frame.style
    except (ImportError, AttributeError):
        raise ConfigurationError("styling needs the package jinja2: pip install jinja2") from None
    formats: dict[Any, Any] = {}
    for name in frame.columns:
        formats[name] = _NAMED.get(name) or (_stamp if isinstance(frame[name].dtype, pd.DatetimeTZDtype) else _text)
    numbers: list[Any] = [name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name]) or name == "cost_usd"]
    right = styler.format(formats).set_properties(subset=numbers, **{"text-align": "right", "font-variant-numeric": "tabular-nums"})
    return right.hide(axis="index").set_table_styles(
        [
            {"selector": "th", "props": "text-align: left; font-weight: 600"},
            {"selector": "td", "props": "text-align: left; vertical-align: top; white-space: nowrap"},
        ]
    )


def _missing(value: Any) -> bool:
    return value is None or (not isinstance(value, list | dict | tuple | set) and bool(pd.isna(value)))


def _text(value: Any) -> str:
    if _missing(value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    text = " ".join(str(value).split())
    return _safe(text if len(text) <= _WIDE else text[: _WIDE - 1] + "…")


def _safe(text: str) -> str:
    """What a model or tool wrote is text, and no markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _stamp(value: Any) -> str:
    return "-" if _missing(value) else f"{value:%Y-%m-%d %H:%M:%S}"


def _seconds(value: Any) -> str:
    if _missing(value):
        return "-"
    if value < 1:
        return f"{value * 1e3:.0f} ms"
    minutes, seconds = divmod(float(value), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds:.0f} s" if minutes else f"{seconds:.1f} s"


def _dollars(value: Any) -> str:
    return "-" if _missing(value) else f"${Decimal(value):,.4f}"


def _id(value: Any) -> str:
    return "-" if _missing(value) else _safe(str(value)[:8])


def _word(words: dict[str, str]) -> Callable[[Any], str]:
    return lambda value: "-" if _missing(value) else words.get(str(value), _safe(str(value)))


_NAMED: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("run_id", "exec_id", "call_id", "request_id", "session_id", "forked_from", "parent_exec_id"), _id),
    **dict.fromkeys(("duration_s", "wait_s"), _seconds),
    **dict.fromkeys(("latency_ms", "duration_ms", "queue_ms"), lambda value: "-" if _missing(value) else _seconds(value / 1e3)),
    "cost_usd": _dollars,
    "status": _word(_STATUS),
    "decision": _word(_DECISION),
    "hash": lambda value: "-" if _missing(value) else str(value)[:12],
}
