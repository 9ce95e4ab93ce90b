"""Rows as a Parquet file, in batches: a file of any length is written in bounded memory."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.errors import ConfigurationError
from workbench.frames.columns import ANY, BOOL, FLOAT, INT, TEXT, UTC, Column
from workbench.frames.reading import framed

ROWS = 50_000
"""Rows written at a time."""


def write(path: Path, columns: Sequence[Column], rows: Iterable[dict[str, Any]]) -> int:
    """Write rows and return how many there were. What has no type of its own is written as JSON; exact dollars are text in it.

    Raises:
        ConfigurationError: the package pyarrow is missing.
    """
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigurationError("Parquet needs the package pyarrow: pip install 'agent-workbench[parquet]'") from None
    types = {
        TEXT: arrow.string(),
        INT: arrow.int64(),
        FLOAT: arrow.float64(),
        BOOL: arrow.bool_(),
        UTC: arrow.timestamp("us", tz="UTC"),
        ANY: arrow.string(),
    }
    schema = arrow.schema([(column.name, types[column.dtype]) for column in columns])
    written = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for batch in _batches(rows):
            frame = framed(columns, batch)
            for column in columns:
                if column.dtype == ANY:
                    frame[column.name] = [_json(value) for value in frame[column.name]]
            writer.write_table(arrow.Table.from_pandas(frame, schema=schema, preserve_index=False))
            written += len(batch)
    return written


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    left = iter(rows)
    while batch := list(islice(left, ROWS)):
        yield batch


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)
