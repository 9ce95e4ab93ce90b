"""Argument texts in the three common notations."""

from __future__ import annotations

import inspect

import pytest

from workbench.tools.docstrings import argument_texts

EXPECTED = {"city": "Where, in English.", "days": "How many."}

GOOGLE = """Weather.

    Args:
        city (str): Where,
            in English.
        days: How many.

    Returns:
        city: not an argument
    """

NUMPY = """Weather.

    Parameters
    ----------
    city : str
        Where,
        in English.
    days : int, optional
        How many.

    Returns
    -------
    dict
        days : not an argument
    """

REST = """Weather.

    :param city: Where,
        in English.
    :param int days: How many.
    :returns: something
    """


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
def test_arguments_are_read_in_every_notation(docstring: str) -> None:
    assert argument_texts(inspect.cleandoc(docstring)) == EXPECTED


@pytest.mark.parametrize("docstring", ["", "One line.", "Note: this is no section.", "Args:", "Args:\nnot indented: x", "Parameters\n---"])
def test_other_docstrings_describe_no_arguments(docstring: str) -> None:
    assert argument_texts(docstring) == {}
