"""Other packages, each in an environment of its own under `.venv-peers/`, so that what they need never mixes with what we need."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".venv-peers"


def ask(name: str, requirements: list[str], script: str, *arguments: object) -> Any:
    """Run a script of this directory in the peer's environment, made if it is absent, and return the JSON of its last line."""
    python = PLACE / name / "bin" / "python"
    if not (PLACE / name / "complete").exists():
        print(f"making {PLACE / name} with {', '.join(requirements)} …", file=sys.stderr)
        venv.create(PLACE / name, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], check=True)
        (PLACE / name / "complete").touch()
    command = [python, Path(__file__).with_name(script), *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])
