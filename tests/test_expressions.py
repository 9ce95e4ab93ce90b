"""Expressions say what they are allowed to say, exactly, and nothing else."""

from decimal import Decimal

import pytest

from workbench.expressions import ExpressionError, parse

VALUES = {"n": 3, "result.accepted": True, "tool": "shell", "cost_usd": Decimal("0.30"), "latency_ms": 2.5, "items": [1, 2], "none": None}


def value_of(text):
    return parse(text, functions=["sum", "len"]).evaluate(VALUES.__getitem__, {"sum": lambda field: field * 10, "len": len})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n > 2", True),
        ("1 < n <= 3", True),
        ("result.accepted", True),
        ("not result.accepted or n == 3", True),
        ("tool in ['shell', 'http_post']", True),
        ("sum(n) > 10 000", False),
        ("sum(n) < 10_000", True),
        ("1 234 567 == 1234567", True),
        ("cost_usd == 0.3", True),
        ("cost_usd + 0.1 == 0.4", True),
        ("latency_ms * 0.5 == 1.25", True),
        ("items[1] == 2", True),
        ("len(items) - 1", 1),
        ("none is None", True),
        ("-n % 2 == 1", True),
        ("'a' in 'abc'", True),
    ],
)
def test_what_is_allowed_means_what_it_says(text, value):
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "().__class__",
        "n.__class__",
        "'a'.join([])",
        "[x for x in items]",
        "lambda: 1",
        "n ** n",
        "n << 100",
        "{'a': 1}",
        "f'{n}'",
        "(n := 1)",
        "sum(n, *items)",
        "sum(key=1)",
        "max(n)",
        "n if n else n",
        "items[n]",
        "b'x'",
        "1j",
        "...",
        "",
        "n >",
        "n; n",
        "(" * 500,
        "-" * 1900 + "1",
        "n" * 3000,
        "+".join(["n"] * 300),
    ],
)
def test_everything_else_is_refused_when_it_is_read(text):
    with pytest.raises(ExpressionError):
        parse(text, functions=["sum"])


@pytest.mark.parametrize(
    "text", ["'a' * 1000000000", "n < tool", "n / 0", "items[9]", "missing", "tool + tool", "result.accepted + 1", "3 in n"]
)
def test_what_cannot_be_evaluated_says_so(text):
    with pytest.raises(ExpressionError, match="cannot be evaluated"):
        value_of(text)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ExpressionError, match="the names are cost_usd, tokens_used"):
        parse("tokens > 3", names=["tokens_used", "cost_usd"])


def test_an_expression_knows_what_it_reads_and_calls():
    expression = parse("sum(tokens_used) > 3 and result.ok", functions=["sum"])
    assert (expression.names, expression.functions) == ({"tokens_used", "result.ok"}, {"sum"})


def test_a_function_of_a_name_is_given_the_name():
    read = parse("sum(spent) > 2 * spent", names=["spent"], of_names=["sum"])
    assert (read.aggregates, read.names) == ({("sum", "spent")}, {"spent"})
    assert read.evaluate(lambda name: 3, {"sum": lambda name: {"spent": 7}[name]}) is True


@pytest.mark.parametrize(("text", "limit"), [("sum(x) > 10 000", 10_000), ("x <= 0.5", Decimal("0.5")), ("x == 3", None), ("x > y", None)])
def test_one_comparison_with_a_number_has_a_limit_that_can_be_changed(text, limit):
    read = parse(text, names=["x", "y"], of_names=["sum"])
    assert read.limit == limit
    if limit is None:
        with pytest.raises(ExpressionError, match="no limit"):
            read.with_limit(5)
    else:
        assert read.with_limit(5).limit == 5
