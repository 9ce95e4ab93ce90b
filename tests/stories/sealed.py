"""A process that runs an agent on an encrypted store, with one word in everything that can hold a word, until a person is asked."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import workbench as wb

CANARY = "quetzalcoatlus-canary"

CODE = f"""```python
word = "{CANARY}"
print(word)
try:
    fails(word)
except Exception as error:
    print(error)
page = big(word)
finish([send(word), page[:40]])
```"""


def fails(word: str) -> str:
    """Fail."""
    raise ValueError(f"no {word}")


def big(word: str) -> str:
    """A page that is too big for the log."""
    return word * 100_000


def send(word: str) -> str:
    """Send a word."""
    print(word)
    return f"sent {word}"


def tools() -> list[wb.Tool]:
    return [
        wb.Tool.from_function(fails),
        wb.Tool.from_function(big, idempotent=True),
        wb.Tool.from_function(send, approval=True),
    ]


def begin(home: Path, keys: str) -> wb.Run:
    """Start the agent, and return once it has asked."""
    bench = wb.connect(home=home, encryption=keys)
    agent = wb.Agent(wb.models.Scripted([CODE]), tools=tools(), workbench=bench, system=f"You know {CANARY}.")
    run = agent.start(f"Say {CANARY}")
    while not run.pending:
        time.sleep(0.01)
    return run


if __name__ == "__main__":
    print(begin(Path(sys.argv[1]), sys.argv[2]).id, flush=True)
    time.sleep(60)
