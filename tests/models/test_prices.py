"""Tokens to dollars: exact, and None where nobody knows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from workbench.models.prices import price
from workbench.record.values import Usage, nano_dollars

OPENAI = "https://api.openai.com/v1"
ANTHROPIC = "https://api.anthropic.com"
USAGE = Usage(tokens_in=1_000_000, tokens_out=100_000)


@pytest.mark.parametrize(("url", "model"), [(OPENAI, "gpt-5-mini"), (ANTHROPIC, "claude-sonnet-4-5")])
def test_a_known_model_has_an_exact_price(url: str, model: str) -> None:
    cost = price(url, (model,), USAGE)
    assert cost is not None
    assert "e" not in cost.lower(), "no exponent: the record holds plain digits"
    assert 0 < Decimal(cost) < 100
    assert nano_dollars(cost) > 0


def test_an_unknown_snapshot_falls_back_to_the_model_that_was_asked_for() -> None:
    assert price(OPENAI, ("nobody-knows-this", "gpt-5-mini"), USAGE) == price(OPENAI, ("gpt-5-mini",), USAGE)


@pytest.mark.parametrize(("url", "model"), [(OPENAI, "my-fine-tune"), ("http://127.0.0.1:8000/v1", "gpt-5-mini")])
def test_an_unknown_model_or_server_has_no_price(url: str, model: str) -> None:
    assert price(url, (model,), USAGE) is None


def test_cached_tokens_cost_less_and_written_ones_more() -> None:
    def cost(cached: int, written: int) -> Decimal:
        usage = Usage(tokens_in=1_000_000, cached_tokens=cached)
        return Decimal(price(ANTHROPIC, ("claude-sonnet-4-5",), usage, written) or "NaN")

    assert cost(500_000, 0) < cost(0, 0) < cost(0, 500_000)


def test_a_tiny_price_is_written_out() -> None:
    cost = price(OPENAI, ("gpt-5-mini",), Usage(tokens_in=1, cached_tokens=1))
    assert cost is not None
    assert cost.startswith("0.0000000")
