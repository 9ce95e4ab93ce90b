"""Writes the README's file tree from the disk: every file with the first line of its docstring. Run it to refresh the README."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"(?<=<!-- tree -->\n).*?(?=<!-- /tree -->)", re.DOTALL)

FOLDERS = {
    "workbench": "the package",
    "workbench/record": "what happened: values, entries, and the fold that gives them meaning",
    "workbench/tools": "functions that a model may call: schemas, validation, one record a call",
    "workbench/guardrails": "what may not happen: policies, read from YAML and judged purely",
    "workbench/graph": "what may happen: Tasks, Plans, Edges; pure",
    "workbench/runtime": "how it happens: data plane, control plane, executors",
    "workbench/adapters": "the ports' technologies, one a module",
    "workbench/sandbox": "where model-written code runs: gate, engines, sessions",
    "workbench/models": "clients of language models",
    "workbench/agents": "the CodeAct agent, which is a graph",
    "workbench/agents/prompts": "what models are told, word for word",
    "workbench/frames": "the record as DataFrames",
    "workbench/scaffold": "`workbench new`: files to begin with",
    "workbench/scaffold/templates": "what they are made of; `$name` is filled in",
    "workbench/notebook": "the surface in Jupyter; the only package that knows it",
    "widgets": "the browser's side of the live view: plain ES modules and CSS",
    "notebooks": "one a capability; all run offline and headless",
    "notebooks/data": "real data with its source and licence",
    "tests": "mirrors workbench/; and:",
    "tests/benchmarks": "timings side by side with peers; `make bench` runs them",
    "tests/browser": "JupyterLab driven in headless Chromium",
    "tests/conformance": "one suite a port, run against every adapter",
    "tests/crash": "processes killed at random points, and what remains",
    "tests/project": "the tree, the layers, packaging, published schemas",
    "tests/replay": "captured records, and the graphs that must still decide as they did",
    "tests/stories": "from a cell, through the record, to a DataFrame",
    "binder": "the environment for Binder",
    "docs": "what is promised, one page a subject",
    "docs/schemas": "the JSON Schemas of records and of policies, published",
    ".ci": "what CI runs, and how an environment is made",
}
"""The purpose of each folder; a folder under tests/ that mirrors one under workbench/ needs none."""

LISTED = ("workbench", "widgets", "notebooks", "binder", "docs", ".ci")
"""Folders whose files are listed one by one. Of tests/ only the folders are."""

IGNORED = {"__pycache__", ".ipynb_checkpoints", ".workbench", "py.typed"}


def purpose(path: Path) -> str:
    """What a file says of itself in the first sentence of its first line.

    Raises:
        LookupError: if it says nothing.
    """
    text = path.read_text()
    match path.suffix:
        case ".tmpl":
            line = text.partition("\n")[0].strip('"# ').replace("$name", "…")
        case ".py":
            line = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        case ".ipynb":
            line = "".join(json.loads(text)["cells"][0]["source"]).lstrip("# ").partition("\n")[0]
        case ".json":
            line = json.loads(text).get("title", "")
        case ".csv":
            line = f"{text.count(chr(10)) - 1} rows"
        case ".md":
            line = text.lstrip("# ").partition("\n")[0]
        case _:
            line = next(
                (found[1] for found in map(re.compile(r"\s*(?:/\*+|\*|//|#(?!!))\s*([^\s*/].*)").match, text.splitlines()) if found), ""
            )
    line = line.removesuffix("*/").strip().partition(". ")[0].rstrip(".")
    if not line:
        raise LookupError(f"{path.relative_to(ROOT)} does not say what it is for: open it with a docstring or comment of one line")
    return line


def lines(folder: Path, depth: int) -> Iterator[tuple[str, str]]:
    """Yield `(indented name, purpose)` of a folder and all in it."""
    name = folder.relative_to(ROOT).as_posix()
    if name not in FOLDERS:
        raise LookupError(f"{name}/ has no purpose in FOLDERS of tests/project/readme_tree.py: add one line")
    yield f"{'  ' * depth}{folder.name}/", FOLDERS[name]
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if path.name in IGNORED or path.suffix in {".pyc", ".html"}:
            continue
        if path.is_dir():
            yield from lines(path, depth + 1)
        elif path.stat().st_size:
            yield f"{'  ' * (depth + 1)}{path.name}", purpose(path)


def test_folders() -> Iterator[tuple[str, str]]:
    """Yield the folders of tests/ that do not mirror one of workbench/."""
    yield "tests/", FOLDERS["tests"]
    for path in sorted((ROOT / "tests").iterdir()):
        if path.is_dir() and path.name not in IGNORED and not (ROOT / "workbench" / path.name).is_dir():
            if f"tests/{path.name}" not in FOLDERS:
                raise LookupError(f"tests/{path.name}/ has no purpose in FOLDERS of tests/project/readme_tree.py: add one line")
            yield f"  {path.name}/", FOLDERS[f"tests/{path.name}"]


def tree() -> str:
    """The block between the README's tree marks."""
    rows = [row for name in LISTED[:3] for row in lines(ROOT / name, 0)]
    rows += test_folders()
    rows += [row for name in LISTED[3:] for row in lines(ROOT / name, 0)]
    width = max(len(name) for name, _ in rows) + 2
    return "```\n" + "".join(f"{name:<{width}}{what}\n" for name, what in rows) + "```\n"


def refreshed(readme: str) -> str:
    """The README with its tree as the disk is now."""
    return FENCE.sub(lambda _: tree(), readme)


if __name__ == "__main__":
    try:
        (ROOT / "README.md").write_text(refreshed((ROOT / "README.md").read_text()))
    except LookupError as error:
        sys.exit(str(error))
