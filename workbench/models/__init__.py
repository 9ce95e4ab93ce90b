"""Models: one client protocol, and what speaks it. Importing this package loads no HTTP library; OpenAI and Anthropic do when first used.

client.py      ModelClient, ModelRequest, ModelReply
http.py        the one place that speaks HTTP: timeouts, retries, streams
wire.py        what both protocols share in reading a reply
openai.py      OpenAI: any OpenAI-compatible endpoint
anthropic.py   Anthropic
prices.py      tokens → dollars
scripted.py    Scripted: replies written beforehand
function.py    Function: any callable as a model
resolve.py     resolve: a name such as "openai:gpt-5-mini" → a client
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workbench.models.client import ModelClient, ModelReply, ModelRequest
from workbench.models.function import Function
from workbench.models.resolve import resolve
from workbench.models.scripted import Scripted

if TYPE_CHECKING:
    from workbench.models.anthropic import Anthropic
    from workbench.models.openai import OpenAI

__all__ = ["Anthropic", "Function", "ModelClient", "ModelReply", "ModelRequest", "OpenAI", "Scripted", "resolve"]

_LATER = {"Anthropic": "workbench.models.anthropic", "OpenAI": "workbench.models.openai"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
