"""Writes what a new graph, task, plan, tool, policy or notebook begins with. A file that is there is never overwritten unasked."""

from __future__ import annotations

import json
import keyword
import re
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from workbench.errors import UserError

KINDS = {
    "graph": {"$name/graph.py": "graph.py", "$name/tests/test_graph.py": "test_graph.py", "$name/pyproject.toml": "pyproject.toml"},
    "task": {"$name.py": "task.py", "test_$name.py": "test_task.py"},
    "plan": {"$name.py": "plan.py", "test_$name.py": "test_plan.py"},
    "tool": {"$name.py": "tool.py", "test_$name.py": "test_tool.py"},
    "policy": {"$name.yaml": "policy.yaml"},
    "notebook": {"$name.ipynb": "notebook.py"},
}
"""What can be made → the files it is made of, each with its template."""

_TAKEN = frozenset({"wb", "workbench", "pytest", "conftest", "tests", "annotations"})


def write(kind: str, name: str, directory: Path, *, force: bool = False) -> list[Path]:
    """Write the files of a new `kind` called `name` below a directory, and return where they are.

    Raises:
        UserError: the name cannot be a module's, or a file is there already and `force` is not set. Nothing has been written then.
    """
    _check(name)
    made = {directory / Template(path).substitute(name=name): _text(template, name) for path, template in KINDS[kind].items()}
    there = [str(path) for path in made if path.exists()]
    if there and not force:
        raise UserError(f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} there already; choose another name, or use --force")
    for path, text in made.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{str(path)!r} cannot be written: {error.strerror}") from error
    return list(made)


def _check(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name):
        raise UserError(f"{name!r} cannot be the name of a module; use small letters, digits and _, such as 'write_report'")
    if keyword.iskeyword(name) or name in _TAKEN or name in sys.stdlib_module_names or name.startswith("test_"):
        raise UserError(f"a module called {name!r} would stand in the way of another one; choose another name, such as 'my_{name}'")


def _text(template: str, name: str) -> str:
    source = (files(__package__) / "templates" / f"{template}.tmpl").read_text(encoding="utf-8")
    text = Template(source).substitute(name=name)
    return json.dumps(_notebook(text), indent=1, ensure_ascii=False) + "\n" if template == "notebook.py" else text


def _notebook(text: str) -> dict[str, Any]:
    """The notebook of a template in which every cell begins with `# %%`, or `# %% [markdown]`."""
    return {
        "cells": list(_cells(text)),
        "metadata": {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cells(text: str) -> Iterator[dict[str, Any]]:
    for number, part in enumerate(re.split(r"^# %%", text, flags=re.MULTILINE)[1:]):
        mark, _, body = part.partition("\n")
        source = body.strip().splitlines(keepends=True)
        if mark.strip() == "[markdown]":
            yield {"cell_type": "markdown", "id": f"cell-{number:02}", "metadata": {}, "source": source}
        else:
            yield {"cell_type": "code", "execution_count": None, "id": f"cell-{number:02}", "metadata": {}, "outputs": [], "source": source}
