"""What of a notebook's variables goes into a task: `{{name}}` into its text, and `--with` into the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from workbench.errors import ToolOutputInvalid, UserError
from workbench.record.codec import encode_value
from workbench.tools.values import plain

HEAD = 5
"""Rows of a frame that stand in a text."""

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")


def filled(text: str, variable: Callable[[str, str], Any]) -> str:
    """The text, with each `{{name}}` replaced by that variable: text as it is, a DataFrame as its columns and first rows, anything else
    as JSON. All other braces stay.

    Raises:
        UserError: there is no such variable, or it has no text.
    """
    return _PLACEHOLDER.sub(lambda match: text_of(match[1], variable(match[1], "{{" + match[1] + "}}")), text)


def text_of(name: str, value: Any) -> str:
    """A value as a model can read it.

    Raises:
        UserError: it is nothing that could be written down.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, pd.DataFrame):
        return _frame(value)
    try:
        return json.dumps(encode_value(plain(value)), ensure_ascii=False)
    except ToolOutputInvalid as error:
        raise UserError(f"{{{{{name}}}}} cannot be put into a text: {_about(name, error)}") from None


def variables(names: str, variable: Callable[[str, str], Any]) -> dict[str, Any]:
    """What `--with a,b` names, as the sandbox can hold it.

    Raises:
        UserError: there is no such variable, or the sandbox cannot hold it.
    """
    given = {}
    for name in (name.strip() for name in names.split(",") if name.strip()):
        try:
            given[name] = plain(variable(name, "--with"))
        except ToolOutputInvalid as error:
            raise UserError(f"--with {name}: the sandbox cannot hold it: {_about(name, error)}") from None
    return given


def told(given: Mapping[str, Any]) -> str:
    """What the model is told of variables that it finds in the sandbox."""
    kinds = ", ".join(f"`{name}` ({_kind(value)})" for name, value in given.items())
    return f"In the sandbox there {'is' if len(given) == 1 else 'are'} {kinds}."


def _frame(frame: pd.DataFrame) -> str:
    columns = ", ".join(f"{name} ({dtype})" for name, dtype in frame.dtypes.items())
    shown = "the first " + str(HEAD) if len(frame) > HEAD else "all"
    return f"A table of {len(frame)} rows; columns: {columns}; {shown} rows as CSV:\n{frame.head(HEAD).to_csv(index=False)}"


def _kind(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return f"list of {len(value)} dicts with {', '.join(map(repr, value[0]))}"
    return f"{kind} of {len(value)}" if isinstance(value, list | dict | tuple | set | str | bytes) else kind


def _about(name: str, error: ToolOutputInvalid) -> str:
    return str(error).replace("the result", repr(name))
