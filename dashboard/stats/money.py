"""Writes sums of money as the Stats API v2 has them, in English.

    {"value": 1234.5, "currency": "EUR", "short": "€1.2K", "long": "€1,234.50"}

`value` has the exact digits of ClickHouse's decimal, because it is never converted to a float.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import msgspec

# Signs of currencies in English; all others are written by their codes.
_SIGNS = {
    "AUD": "A$", "BRL": "R$", "CAD": "CA$", "CNY": "CN¥", "EUR": "€", "GBP": "£", "HKD": "HK$", "ILS": "₪", "INR": "₹",
    "JPY": "¥", "KRW": "₩", "MXN": "MX$", "NZD": "NZ$", "PHP": "₱", "TWD": "NT$", "USD": "$", "VND": "₫",
}  # fmt: skip
# Currencies with no decimals, and with three; all others have two.
_WHOLE = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF")
)
_THOUSANDTHS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
_SCALES = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))
_NO_BREAK = "\u00a0"


def written(currency: str, value: str | Decimal) -> dict[str, object]:
    """Returns a sum as JSON has it. `value` is a decimal number."""
    amount = Decimal(value)
    digits = 0 if currency in _WHOLE else 3 if currency in _THOUSANDTHS else 2
    return {
        "value": msgspec.Raw(_plain(amount, digits).encode()),
        "currency": currency,
        "short": _signed(currency, amount, _short(abs(amount))),
        "long": _signed(currency, amount, f"{_rounded(abs(amount), digits):,}"),
    }


def _plain(amount: Decimal, digits: int) -> str:
    """Returns all digits of an amount, and at least those that its currency has."""
    text = f"{amount.normalize():f}"
    behind = len(text.partition(".")[2])
    return text if behind >= digits else f"{amount:.{digits}f}"


def _short(amount: Decimal) -> str:
    for scale, letter in _SCALES:
        if _rounded(amount * 1_000 / scale, 1) >= 1_000:  # 999,950 is 1.0M, and no 1000.0K
            return f"{_rounded(amount / scale, 1)}{letter}"
    return str(_rounded(amount, 1))


def _signed(currency: str, amount: Decimal, text: str) -> str:
    sign = _SIGNS.get(currency, f"{currency}{_NO_BREAK}")
    return f"{'-' if amount < 0 else ''}{sign}{text}"


def _rounded(amount: Decimal, digits: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
