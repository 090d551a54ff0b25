"""Sums of money as the Stats API writes them."""

from __future__ import annotations

import msgspec
import pytest

from dashboard.stats.money import written


@pytest.mark.parametrize(
    ("currency", "value", "digits", "short", "long"),
    [
        ("USD", "1234.5", "1234.50", "$1.2K", "$1,234.50"),
        ("EUR", "0", "0.00", "€0.0", "€0.00"),
        ("EUR", "1E+3", "1000.00", "€1.0K", "€1,000.00"),
        ("USD", "950", "950.00", "$950.0", "$950.00"),
        ("USD", "999.96", "999.96", "$1.0K", "$999.96"),
        ("JPY", "999950", "999950", "¥1.0M", "¥999,950"),
        ("KWD", "1.5", "1.500", "KWD\u00a01.5", "KWD\u00a01.500"),
        ("CHF", "-12.3456", "-12.3456", "-CHF\u00a012.3", "-CHF\u00a012.35"),
        ("GBP", "12345678901234.5678", "12345678901234.5678", "£12.3T", "£12,345,678,901,234.57"),
    ],
)
def test_a_sum(currency: str, value: str, digits: str, short: str, long: str) -> None:
    """Each digit of the decimal is kept, whatever a binary fraction would make of it; texts are rounded half up."""
    said = msgspec.json.encode(written(currency, value)).decode()
    assert said == f'{{"value":{digits},"currency":"{currency}","short":"{short}","long":"{long}"}}'
