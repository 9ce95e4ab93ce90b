"""The README's file tree is what lies on the disk, with what each file says of itself."""

from __future__ import annotations

from tests.project.readme_tree import ROOT, refreshed


def test_the_readme_lists_every_file_with_its_purpose() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme == refreshed(readme), "run make format (or python tests/project/readme_tree.py)"


def test_the_readme_opens_with_the_two_commands() -> None:
    commands = (ROOT / "README.md").read_text().split("```")[1].split("\n")
    assert [line.split("  ")[0] for line in commands if line] == ["make demo", "make test"]
