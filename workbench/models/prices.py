"""Tokens → dollars, by genai-prices. A model or endpoint without a known price is unpriced: None, never 0."""

from __future__ import annotations

import asyncio
import importlib
import sys
from functools import cache
from importlib.metadata import version

from workbench.record.values import Usage

TABLE = "genai_prices.data"
"""The module that holds the prices, which genai_prices imports when the first one is asked for."""


@cache
def table_version() -> str:
    """Which price table there is."""
    return f"genai-prices {version('genai-prices')}"


async def priced(base_url: str, models: tuple[str, ...], usage: Usage, cache_write_tokens: int = 0) -> str | None:
    """`price`, without holding the loop: the first call loads the table in a thread; later ones cost less than a thread would."""
    if TABLE in sys.modules:
        return price(base_url, models, usage, cache_write_tokens)
    return await asyncio.to_thread(price, base_url, models, usage, cache_write_tokens)


def price(base_url: str, models: tuple[str, ...], usage: Usage, cache_write_tokens: int = 0) -> str | None:
    """The cost as an exact decimal string, by the first of `models` that has a price at this endpoint.

    Loading the price table takes a quarter of a second the first time: call this outside the event loop.
    """
    prices = importlib.import_module("genai_prices")
    tokens = prices.Usage(
        input_tokens=usage.tokens_in,
        output_tokens=usage.tokens_out,
        cache_read_tokens=usage.cached_tokens or None,
        cache_write_tokens=cache_write_tokens or None,
    )
    for model in dict.fromkeys(models):
        try:
            return format(prices.calc_price(tokens, model, provider_api_url=base_url).total_price, "f")
        except (LookupError, ValueError):
            continue
    return None
