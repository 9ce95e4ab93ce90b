"""The test profile: the same seed and the same run give the same bytes, in any interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def stored(seed: int, hash_seed: str) -> list[str]:
    """What another interpreter stores."""
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "tests.stories.seeded", str(seed)]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    one, other, different = stored(7, "1"), stored(7, "2"), stored(8, "1")
    assert len(one) > 60
    assert one == other
    assert set(one).isdisjoint(different)
