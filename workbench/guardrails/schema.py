"""The JSON Schema of a policy file, for editors. What names and functions a condition may use is checked when the policy is read."""

from __future__ import annotations

from typing import Any, get_args

from workbench.guardrails.names import ACTIONS, POINTS, SCOPES
from workbench.guardrails.reading import KIND, MAX_RULES, RULE_ID, WINDOW
from workbench.guardrails.rules import Severity
from workbench.record.statistics import SPENT


def policy_schema() -> dict[str, Any]:
    """The schema that every policy file fulfils."""
    points = {"enum": list(POINTS)}
    rule = {
        "type": "object",
        "additionalProperties": False,
        "required": ["id", "when", "action"],
        "properties": {
            "id": {"type": "string", "pattern": RULE_ID},
            "scope": {"enum": list(SCOPES)},
            "on": {"anyOf": [points, {"type": "array", "items": points, "minItems": 1}]},
            "when": {"type": "string", "minLength": 1},
            "action": {"enum": list(ACTIONS)},
            "window": {"type": "string", "pattern": WINDOW},
            "message": {"type": "string", "minLength": 1, "maxLength": 500},
            "severity": {"enum": list(get_args(Severity))},
            "unpriced": {"enum": ["fire", "ignore"]},
            "reserve": {
                "type": "object",
                "additionalProperties": False,
                "properties": {name: {"type": "number", "minimum": 0} for name in SPENT},
            },
        },
    }
    short = {"type": "string", "pattern": f"^.+?(->|→)\\s*({'|'.join(ACTIONS)})\\s*$"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A guardrail policy, version 1",
        "type": "object",
        "additionalProperties": False,
        "required": ["kind", "rules"],
        "properties": {
            "kind": {"const": KIND},
            "version": {"type": ["integer", "number", "string"]},
            "rules": {"type": "array", "minItems": 1, "maxItems": MAX_RULES, "items": {"anyOf": [short, rule]}},
        },
    }
