"""Texts from elsewhere as a person may see them: what would act on its surroundings is shown instead, and passwords are not."""

from __future__ import annotations

import re

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_VISIBLE: dict[int, str] = (
    {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
    | {0x7F: "\u2421"}
    | {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
    | {code: f"\\u{code:04x}" for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF)}
)
_USER_INFO = re.compile(r"(?<=://)[^\s?#]*@")
_SECRET_OPTION = re.compile(r"([?&][^=&\s]*(?:password|passwd|secret|token|key)[^=&\s]*=)[^&\s]+", re.IGNORECASE)


def visible(text: str) -> str:
    """The text without terminal colours, and with every character that would act on its surroundings shown instead."""
    text = _ANSI.sub("", text.replace("\r\n", "\n"))
    if text.isascii() and text.isprintable():
        return text
    return text.translate(_VISIBLE).encode(errors="backslashreplace").decode()


def masked(url: str) -> str:
    """A URL without the user, password and secret options that are written in it."""
    return _SECRET_OPTION.sub(r"\1***", _USER_INFO.sub("***@", url))
