"""The examples in the sandbox's docstrings do what they say."""

from __future__ import annotations

import doctest

from workbench.sandbox import box


def test_the_examples_of_the_sandbox_are_right() -> None:
    result = doctest.testmod(box, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 20
    assert result.failed == 0
