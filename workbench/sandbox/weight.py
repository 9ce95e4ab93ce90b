"""How much a value weighs on its way into or out of the sandbox, told without encoding it."""

from __future__ import annotations

from typing import Any


def weight(value: Any, limit: int) -> int:
    """Characters, bytes, and eight for everything else; counting ends beyond `limit`.

    Plain data and its encoded form weigh about the same. A value that contains itself is heavier than any limit.
    """
    total = 0
    left = [value]
    while left and total <= limit:
        item = left.pop()
        kind = type(item)
        if kind is str or kind is bytes:
            total += 8 + len(item)
        elif kind is int:
            total += 8 + item.bit_length() // 8
        elif kind is dict:
            total += 8
            left.extend(item.keys())
            left.extend(item.values())
        elif kind is list or kind is tuple or kind is set or kind is frozenset:
            total += 8
            left.extend(item)
        else:
            total += 8
    return total


def told(size: int) -> str:
    """A size as a person reads it."""
    return f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{size / 1024:.1f} kB"
