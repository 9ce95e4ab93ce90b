"""What may not lie in the tree: paths of one machine, addresses of registries, lock files, outputs of notebooks, undescribed data."""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "notebooks" / "data"

MACHINE_PATH = re.compile(rf"(?<![\w./~$}}*])(?:{re.escape(str(ROOT))}|{re.escape(str(Path.home()))}|/work|/opt)/\w")
REGISTRY = re.compile("|".join(map(re.escape, ("pypi" + ".org", "pythonhosted" + ".org", "registry." + "npmjs", "deb." + "debian.org"))))
LOCK = re.compile(r"(^|/)(\w+\.lock|package-lock\.json|pnpm-lock\.yaml)$")


def files() -> dict[str, str]:
    """The text of every file that is committed or about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: (ROOT / name).read_text(errors="replace") for name in names if (ROOT / name).is_file()}


def test_no_file_names_a_path_of_one_machine() -> None:
    assert {name: found[0] for name, text in files().items() if (found := MACHINE_PATH.search(text))} == {}


def test_no_file_names_a_registry() -> None:
    assert [name for name, text in files().items() if REGISTRY.search(text)] == []


def test_no_lock_file_is_committed() -> None:
    assert [name for name in files() if LOCK.search(name)] == []


def test_notebooks_carry_no_outputs() -> None:
    check = subprocess.run([sys.executable, ROOT / ".ci" / "stripped.py"], capture_output=True, text=True, check=False)
    assert (check.returncode, check.stderr) == (0, "")


def test_the_penguins_are_all_there() -> None:
    with (DATA / "penguins.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 344
    assert Counter(row["species"] for row in rows) == {"Adelie": 152, "Gentoo": 124, "Chinstrap": 68}
    assert sum(row["body_mass_g"] == "NA" for row in rows) == 2


def test_the_penguins_are_the_ones_their_readme_describes() -> None:
    assert f"`{hashlib.sha256((DATA / 'penguins.csv').read_bytes()).hexdigest()}`" in (DATA / "README.md").read_text()


def test_every_data_file_has_its_source_and_licence_noted() -> None:
    readme = (DATA / "README.md").read_text()
    assert [path.name for path in DATA.iterdir() if path.name not in readme and path.name != "README.md"] == []
    assert "Licence" in readme
    assert "Source" in readme
