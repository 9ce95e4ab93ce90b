"""The text of each argument in a docstring: Google (`Args:`), NumPy (`Parameters` underlined) and reST (`:param x:`) notations."""

from __future__ import annotations

import re

_HEADING = re.compile(r"^(Args|Arguments|Parameters|Keyword Args|Keyword Arguments|Other Parameters):?$")
_GOOGLE = re.compile(r"^\*{0,2}(\w+)(?:\s*\(.*?\))?:\s*(.*)$")
_NUMPY = re.compile(r"^\*{0,2}(\w+)(?:\s*:.*)?$")
_REST = re.compile(r"^:(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?(\w+):\s*(.*)$")


def argument_texts(docstring: str) -> dict[str, str]:
    """Return argument name → its text on one line; arguments that the docstring does not describe are absent."""
    lines = docstring.expandtabs().splitlines()
    texts: dict[str, str] = {}
    for index, line in enumerate(lines):
        if _HEADING.match(line.strip()):
            numpy = index + 1 < len(lines) and set(lines[index + 1].strip()) == {"-"}
            texts |= _section(lines[index + 2 :], _NUMPY, _indent(line)) if numpy else _indented_section(lines[index + 1 :], _indent(line))
    return texts | _fields(lines)


def _indented_section(lines: list[str], heading: int) -> dict[str, str]:
    first = next((line for line in lines if line.strip()), "")
    if _indent(first) <= heading:
        return {}
    return _section(lines, _GOOGLE, _indent(first), heading)


def _section(lines: list[str], entry: re.Pattern[str], level: int, above: int = -1) -> dict[str, str]:
    """Entries stand at `level`, their further lines deeper; a line at `above` or less, or a new underlined heading, ends the section."""
    parts: dict[str, list[str]] = {}
    name = ""
    for index, line in enumerate(lines):
        text = line.strip()
        if not text:
            continue
        underlined = index + 1 < len(lines) and set(lines[index + 1].strip()) == {"-"}
        if _indent(line) <= above or underlined:
            break
        match = entry.match(text) if _indent(line) == level else None
        if match:
            name = match[1]
            parts[name] = [match[2]] if entry is _GOOGLE else []
        elif name and _indent(line) > level:
            parts[name].append(text)
    return {name: " ".join(part for part in text if part) for name, text in parts.items()}


def _fields(lines: list[str]) -> dict[str, str]:
    parts: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        match = _REST.match(line.strip())
        if match:
            name = match[1]
            parts[name] = [match[2]]
        elif name and line.startswith(" ") and line.strip() and not line.strip().startswith(":"):
            parts[name].append(line.strip())
        else:
            name = ""
    return {name: " ".join(text) for name, text in parts.items()}


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
