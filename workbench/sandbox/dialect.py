"""What a model is told of the Python it can write, made from tables of what the engines support.

The tables are not what an engine's documentation says but what was tried; a test tries every entry again on the real engine, so that the
sheet cannot lie. Nothing is probed when an agent runs.
"""

from __future__ import annotations

from typing import Literal

MODULES = (
    "asyncio", "base64", "bisect", "collections", "copy", "csv", "dataclasses", "datetime", "decimal", "functools", "hashlib", "itertools",
    "json", "math", "random", "re", "sys", "time", "typing",
)  # fmt: skip
"""What `import` finds on monty, of what agents write."""

MISSING_MODULES = (
    "calendar", "contextlib", "enum", "fractions", "heapq", "inspect", "io", "logging", "operator", "pprint", "statistics", "string",
    "struct", "textwrap", "traceback", "types", "urllib", "uuid", "zoneinfo", "numpy", "pandas", "requests",
)  # fmt: skip
"""What agents import and monty does not have."""

MISSING_NAMES = {
    "collections": ("OrderedDict", "ChainMap"),
    "datetime": ("datetime.utcnow", "datetime.today", "datetime.fromtimestamp"),
    "functools": ("cmp_to_key",),
}
"""What the modules that can be imported do not have."""

MISSING_BUILTINS = ("bytearray", "callable", "dir", "globals", "input", "issubclass", "memoryview", "super", "vars")

MISSING_FORMS = {
    "`del`: use `pop`": "x = {1: 2}\ndel x[1]",
    "`yield` and generator functions: return a list": "def f():\n    yield 1\nlist(f())",
    "class inheritance, also of exceptions": "class A:\n    pass\nclass B(A):\n    pass",
    "`@property`, `@classmethod`, `@staticmethod`": "class A:\n    @property\n    def p(self):\n        return 1",
    "`raise` with an argument that is no text": "raise KeyError(3)",
}
"""What of Python's syntax monty refuses, as it is told, and a program that shows it."""

DIFFERENT = {
    "a generator expression is a list: it is evaluated at once": "g = (n for n in [1, 2])\nlist(g)\nlist(g)",
    "sets keep no useful order; `sorted` them": "[n for n in {3, 1, 2}]",
    "`round(2.675, 2)` gives 2.67 or 2.68; do not rely on the last digit": "round(2.675, 2)",
}
"""Where monty's answer is another than CPython's, as it is told, and an expression that shows it."""

TOOL_AS_VALUE = "sorted([1], key=tool)"
"""A tool cannot be called from inside a builtin."""

LITTRS = (
    ("assign names, also several at once, and `+=`", "a, b = [1, 2]\na += 1"),
    ("call the functions below, with keywords too, and use their results", "r = tool(1, city='x')\nprint(r['args'][0])"),
    ("`if`, `elif`, `for` with `break` and `continue`", "for n in tool(1)['args']:\n    if n == 1:\n        break"),
    ("loop with `range(<number>)`, `enumerate`, `zip`, `.items()`", "for i, n in enumerate([1, 2]):\n    print(i, n)"),
    ("comparisons, `in`, `and`, `or`, `not`, `is None`", "x = tool(1)\nx is not None and 'args' in x"),
    ("`+ - * /` on numbers, `//` and `%` on whole numbers that are not negative", "7 % 3 + 2 * 1.5"),
    ("f-strings with formats", "f'{3.14159:.2f}'"),
    ("list and dict comprehensions with a new variable", "[n for n in tool(1)['args'] if n]"),
    ("start from `[]` or `{}` and then `.append(…)` or `[text] = …` through that one name", "x = []\nx.append(1)\nd = {}\nd['k'] = x"),
    ("len, list, sorted, sum, min, max, any, all, int, float, abs, str, each with one argument", "len(sorted([2, 1]))"),
    (".get, .join, .split(text), .replace, .lower, .upper, .strip, .startswith, .endswith", "'a,b'.split(',')"),
)
"""What strict littrs runs, as it is told, and a program that shows it."""

LITTRS_MISSING = (
    ("def, lambda, class, try, while, import, del, set literals", "import json"),
    ("keyword arguments of builtins and methods, such as sorted(key=…)", "sorted([1], reverse=True)"),
    ("a list or dict changed through a second name, or inside another", "x = []\ny = x\nx.append(1)"),
)
"""What strict littrs refuses, as it is told, and a program that shows it."""


def dialect(engine: Literal["auto", "littrs", "monty"]) -> str:
    """The sheet for a session's engine. With `auto` that is what monty runs: a block that littrs cannot run goes there."""
    return _littrs() if engine == "littrs" else _monty()


def _monty() -> str:
    absent = [f"{module}.{name}" for module, names in MISSING_NAMES.items() for name in names]
    return "\n".join(
        [
            "The sandbox runs most of Python 3: functions, closures, simple classes, comprehensions, f-strings, exceptions, `match`, and",
            "the methods of the built-in types. The last expression of a block is shown.",
            "",
            f"- You can import {_listed(MODULES)}.",
            f"- There is no {_listed(MISSING_MODULES)}, and nothing else from outside. Write what you need of them yourself.",
            f"- Missing too: {_listed(absent)}; the builtins {_listed(MISSING_BUILTINS)}.",
            *(f"- Not available: {form}." for form in MISSING_FORMS),
            *(f"- Different: {difference}." for difference in DIFFERENT),
            "- Call the functions below from a plain loop or comprehension: `map(tool, …)` and `sorted(key=tool)` do not work.",
            "- No files but those you are told of, no network, no processes. Times are UTC.",
        ]
    )


def _littrs() -> str:
    return "\n".join(
        [
            "The sandbox runs a small, safe part of Python 3; anything else is refused with its line and the reason. You can",
            "",
            *(f"- {form}" for form, _ in LITTRS),
            "",
            "What is refused:",
            "",
            *(f"- {form}" for form, _ in LITTRS_MISSING),
        ]
    )


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names)
