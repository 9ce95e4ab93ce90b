"""One Tool, three wire forms: the CodeAct stub that a prompt shows, the OpenAI schema and the Anthropic schema.

All three come from the same parameters, so they cannot disagree. `$defs` are kept: both providers resolve them.
"""

from __future__ import annotations

import textwrap
from typing import Any

from workbench.tools.annotations import fields_text
from workbench.tools.docstrings import argument_texts
from workbench.tools.parameters import REQUIRED, Parameter
from workbench.tools.tool import Tool


def stub(tool: Tool) -> str:
    """Python that declares the tool: signature with its real defaults, the whole docstring, and what is known of each argument."""
    documentation = stub_documentation(tool)
    if not documentation:
        return f"def {tool.signature}: ..."
    text = documentation.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    closing = "\n" if "\n" in text or text.endswith('"') else ""
    return f"def {tool.signature}:\n" + textwrap.indent(f'"""{text}{closing}"""', "    ")


def stub_documentation(tool: Tool) -> str:
    """The docstring, with the arguments and the returned keys that it does not describe itself."""
    described = argument_texts(tool.description)
    missing = [(parameter.name, text) for parameter in tool.parameters if (text := _about(parameter, described))]
    parts = [tool.description] if tool.description else []
    if missing:
        heading = "More on the arguments" if any(parameter.name in described for parameter in tool.parameters) else "Args"
        parts.append(f"{heading}:\n" + "\n".join(f"    {name}: {text}" for name, text in missing))
    if tool.returns is not REQUIRED and (keys := fields_text(tool.returns)):
        parts.append(f"Returned: {keys}")
    return "\n\n".join(parts)


def _about(parameter: Parameter, described: dict[str, str]) -> str:
    own = "" if described.get(parameter.name) == parameter.doc else parameter.doc
    keys = fields_text(parameter.hint)
    return f"{own} ({keys})" if own and keys else own or keys


def anthropic_schema(tool: Tool, *, strict: bool = False) -> dict[str, Any]:
    """`{name, description, input_schema}`; `strict` closes every object in it with `additionalProperties: false`."""
    return {"name": tool.name, "description": tool.description, "input_schema": _closed(tool.schema) if strict else tool.schema}


def openai_schema(tool: Tool, *, strict: bool = False) -> dict[str, Any]:
    """`{type: function, function: {name, description, parameters}}`.

    `strict` closes every object. The provider's own strict flag is set only where all arguments are required, as it demands: a default
    that the model must restate would be no default.
    """
    function: dict[str, Any] = {"name": tool.name, "description": tool.description}
    function["parameters"] = _closed(tool.schema) if strict else tool.schema
    if strict and _all_required(function["parameters"]):
        function["strict"] = True
    return {"type": "function", "function": function}


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: value if key in ("default", "enum", "const", "examples") else _closed(value) for key, value in schema.items()}
    return closed | {"additionalProperties": False} if _is_object(schema) else closed


def _all_required(schema: Any) -> bool:
    if isinstance(schema, list):
        return all(_all_required(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    if _is_object(schema) and set(schema["properties"]) != set(schema.get("required", ())):
        return False
    if schema.get("type") == "object" and "properties" not in schema:
        return False
    return all(_all_required(value) for key, value in schema.items() if key not in ("default", "enum", "const", "examples"))


def _is_object(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "object" and isinstance(schema.get("properties"), dict)
