"""The published schema and the example in docs/record.md are what the code says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from docs.schemas import generate
from docs.schemas.example import LIFETIME, example_run
from tests.record.strategies import entries
from workbench.record.codec import GENESIS, to_json
from workbench.record.entries import StoredEntry, columns_of, decode_entry, encode_entry, verify_chain
from workbench.record.envelope import ENTRY, SCHEMA, AnyEntry
from workbench.record.state import fold

REFRESH = "run make format (or python docs/schemas/generate.py)"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(generate.SCHEMA.read_text()))
BLOCK = re.compile(r"```json\n(.*?)\n```\n\n`([0-9a-f]{64})`", re.DOTALL)


def test_the_published_schema_is_the_models_own() -> None:
    assert generate.SCHEMA.read_text() == generate.schema(), REFRESH


def test_the_published_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)


@given(entries)
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_any_stored_entry_fulfils_the_published_schema(entry: AnyEntry) -> None:
    VALIDATOR.validate(json.loads(encode_entry(entry)))


BEFORE = Path(__file__).parent / "envelope-v1.before.json"
NARROW = {"type", "enum", "const", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"}
WORDS = {"required", "description", "default", "title"}


def test_what_fulfilled_the_schema_before_fulfils_this_one() -> None:
    before = BEFORE.read_text()
    assert SCHEMA in before, "there is a new version of the schema: keep its first form here instead"
    assert narrowed(json.loads(before), VALIDATOR.schema, "") == []


def test_a_schema_that_allows_less_is_found() -> None:
    now = json.loads(BEFORE.read_text())
    del now["$defs"]["Telemetry"]["properties"]["retries"]
    now["$defs"]["BlobRef"]["required"].append("media_type")
    now["$defs"]["Header"]["properties"]["status"]["enum"].pop()
    assert len(narrowed(json.loads(BEFORE.read_text()), now, "")) == 3


def narrowed(before: Any, now: Any, where: str) -> list[str]:
    """What was allowed before and is not any more: a property or variant that is gone, a new requirement, a value taken away."""
    if isinstance(before, dict) and isinstance(now, dict):
        gone = [f"{where}/{name} is gone" for name in before.keys() - now.keys() - WORDS]
        gone += [f"{where}/{name} is new there" for name in (now.keys() - before.keys()) & NARROW]
        gone += [f"{where} requires {name}" for name in set(now.get("required", ())) - set(before.get("required", ()))]
        shared = before.keys() & now.keys() - WORDS
        return gone + [each for name in sorted(shared) for each in narrowed(before[name], now[name], f"{where}/{name}")]
    if isinstance(before, list) and isinstance(now, list):
        return [f"{where} lacks {each}" for each in before if each not in now]
    return [] if before == now else [f"{where} was {before!r} and is {now!r}"]


@pytest.mark.parametrize("change", [{"seq": 0}, {"kind": "wish"}, {"surprise": 1}, {"schema": "workbench.envelope/2"}, {"header": {}}])
def test_the_published_schema_refuses_what_the_models_refuse(change: dict[str, Any]) -> None:
    entry = json.loads(encode_entry(example_run()[1])) | change
    assert not VALIDATOR.is_valid(entry)
    with pytest.raises(ValueError, match="validation error"):
        ENTRY.validate_python(entry)


def test_the_printed_example_is_the_codes_own() -> None:
    page = generate.PAGE.read_text()
    assert page == generate.refreshed(page), REFRESH


def test_the_printed_example_decodes_verifies_and_folds() -> None:
    head, stored = GENESIS, []
    for seq, (block, printed) in enumerate(BLOCK.findall(generate.PAGE.read_text()), start=1):
        data = to_json(json.loads(block))
        entry = StoredEntry(LIFETIME, seq, head, printed, data, columns_of(ENTRY.validate_json(data)))
        stored.append(entry)
        head = printed
    assert verify_chain(iter(stored), LIFETIME) == (10, head)
    assert fold(map(decode_entry, stored)) == fold(example_run())
