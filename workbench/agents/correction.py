"""What the model is told about an answer of the wrong shape."""

from __future__ import annotations

import json
from typing import Any

from workbench.schemas import as_json


def correction(problems: tuple[str, ...], schema: dict[str, Any], value: Any) -> str:
    """What the model is told about an answer of the wrong shape."""
    required = schema.get("required")
    lines = [
        "The answer does not have the expected shape:",
        *(f"- {problem}" for problem in problems),
        *([f"Required: {', '.join(required)}"] if required else []),
        "You gave:",
        json.dumps(as_json(value), indent=2, ensure_ascii=False, default=repr)[:4000],
        "Correct it and finish again.",
    ]
    return "\n".join(lines)
