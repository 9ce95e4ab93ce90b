"""Writes what is published: the JSON Schemas of an entry and of a policy file, and the example in docs/record.md. Run it after a change."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from docs.schemas.example import example_run  # noqa: E402 - the script is run by its path, so the root is added first
from workbench.guardrails.schema import policy_schema  # noqa: E402 - the same
from workbench.record.codec import GENESIS  # noqa: E402 - the same
from workbench.record.entries import store_entry  # noqa: E402 - the same
from workbench.record.envelope import ENTRY  # noqa: E402 - the same

SCHEMA = ROOT / "docs" / "schemas" / "envelope-v1.json"
POLICY_SCHEMA = ROOT / "docs" / "schemas" / "policy-v1.json"
PAGE = ROOT / "docs" / "record.md"
EXAMPLE = re.compile(r"(?<=<!-- example -->\n).*?(?=<!-- /example -->)", re.DOTALL)


def schema() -> str:
    """The JSON Schema that every stored entry of envelope v1 fulfils."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "One entry of a record, envelope v1"}
    return json.dumps(head | ENTRY.json_schema(by_alias=True), indent=2, ensure_ascii=False) + "\n"


def policy() -> str:
    """The JSON Schema that every policy file fulfils."""
    return json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n"


def pretty(data: dict[str, Any]) -> str:
    """JSON with one line a section, which is as much as a reader takes in at once."""
    sections = ",\n".join(f'  "{name}": {json.dumps(section, ensure_ascii=False)}' for name, section in data.items())
    return f"{{\n{sections}\n}}"


def example() -> str:
    """The example record as Markdown: each entry's stored bytes, spread over lines, and the hash that links it to the next."""
    blocks, head = [], GENESIS
    for entry in example_run():
        stored = store_entry(entry, head)
        head = stored.hash
        blocks.append(f"```json\n{pretty(json.loads(stored.data))}\n```\n\n`{head}`\n\n")
    return "\n" + "".join(blocks)


def refreshed(page: str) -> str:
    """The page with the example as the code makes it now."""
    return EXAMPLE.sub(lambda _: example(), page)


if __name__ == "__main__":
    SCHEMA.write_text(schema())
    POLICY_SCHEMA.write_text(policy())
    PAGE.write_text(refreshed(PAGE.read_text()))
