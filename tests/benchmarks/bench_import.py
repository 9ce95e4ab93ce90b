"""Time of `import workbench`: the median of 9 fresh interpreters, less what a bare one takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 9
TARGET_MS = 150


def start_ms(program: str) -> float:
    """Milliseconds from starting an interpreter to its end."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return (time.perf_counter() - begun) * 1000


def import_ms() -> float:
    """Milliseconds that `import workbench` adds, bytecode already compiled; the two are run in turn, so both see the same machine."""
    start_ms("import workbench")
    pairs = [(start_ms("pass"), start_ms("import workbench")) for _ in range(ROUNDS)]
    return statistics.median(imported for _, imported in pairs) - statistics.median(bare for bare, _ in pairs)


if __name__ == "__main__":
    print(f"import workbench: {import_ms():.1f} ms (target: under {TARGET_MS} ms)")
