"""The widget's files are found, small, and made of nothing that a notebook would refuse."""

from __future__ import annotations

import re

import pytest

from workbench.errors import ConfigurationError
from workbench.notebook.assets import BROWSE, LIVE, ROOT_CLASS, SCRIPTS, STATIC, asset, scoped_css, small_css, small_js


def test_the_script_is_at_most_30_kb_and_the_style_of_a_saved_view_10() -> None:
    assert len(small_js().encode()) <= 30 * 1024
    assert len(small_css(STATIC).encode()) <= 10 * 1024
    assert len(small_css(STATIC, LIVE).encode()) <= 14 * 1024


def test_the_table_of_runs_does_not_style_the_runs_below_it() -> None:
    rules = re.sub(r"\{[^{}]*\}", "", small_css(BROWSE))
    assert re.fullmatch(r"\.wb-run\.wb-runs\{[^{}]*\}", rules)


def test_the_small_script_has_every_line_that_does_something() -> None:
    script = "\n".join(asset(name) for name in SCRIPTS)
    assert script.count("`") == sum(line.count("`") for line in script.splitlines() if line.count("`") % 2 == 0), "no text over lines"
    assert [line for line in small_js().splitlines() if line.startswith("*")] == []
    assert len(script.split()) > len(small_js().split()) > 0.8 * len(script.split())


def test_the_script_stands_alone_and_never_makes_markup_of_data() -> None:
    script = "\n".join(asset(name) for name in SCRIPTS)
    assert re.search(r"\bimport\b|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script) is None
    assert "export default { initialize, render };" in script


def test_a_missing_file_is_named_with_the_places_it_was_looked_for() -> None:
    with pytest.raises(ConfigurationError, match=r"'nothing\.js' is missing; looked in .*notebook/widgets and .*widgets"):
        asset("nothing.js")


def test_scoped_style_reaches_only_its_own_class() -> None:
    css = scoped_css("wb-1a2b")
    assert ROOT_CLASS not in css
    assert css.startswith(".wb-1a2b{")
    assert [rule for rule in re.findall(r"}([^{}]+){", _top_level(css)) if not rule.startswith("@keyframes")] == []


def test_small_style_has_as_many_rules_as_the_source() -> None:
    comments = re.compile(r"/\*.*?\*/", re.DOTALL)
    for name in (STATIC, LIVE):
        assert small_css(name).count("{") == comments.sub("", asset(name)).count("{")


def _top_level(css: str) -> str:
    """The sheet with what stands inside its outermost braces left out."""
    depth, kept = 0, []
    for character in css:
        depth -= character == "}"
        if depth == 0:
            kept.append(character)
        depth += character == "{"
    return "".join(kept)
