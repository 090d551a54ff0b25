"""Names what the events of several client families mean alike, and reads the values that they write alike.

The names are those of docs/events.md. What a family calls them is in its own module.

Not promised: that a value can be stored. The collector's steps judge it, as they judge that of a native event.
"""

from __future__ import annotations

import re
from typing import Any, TypeGuard
from urllib.parse import quote, urlsplit

from ingest.dialects.event import Revenue, is_decimal
from schemas.acts import IDENTITIES, READ

ENGAGEMENT, VITALS_NAME = READ
IDENTIFY, ALIAS, GROUP = IDENTITIES
OUTBOUND, DOWNLOAD, FORM = "Outbound Link: Click", "File Download", "Form: Submission"
# The currency of an amount that names none: Segment's specification says so, and the others' own reports begin with it.
CURRENCY = "USD"
ORIGINAL = "original_name"  # the property that keeps what a client calls an event, where it is called otherwise here

_currency = re.compile(r"[A-Za-z]{3}").fullmatch
SEGMENTS = "/~!$&*+,;=:@"  # characters of a path that need no escape
_no_host = re.compile(r"[^A-Za-z0-9.-]+").sub


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tells whether a value of JSON is a number: true and false are not."""
    return type(value) is int or type(value) is float


def money(amount: Any, currency: Any) -> Revenue | None:
    """Returns the revenue that two properties say, or None if they are no amount and currency; they then stay properties.

    An amount is a number, or text that is one. It is negative for a refund.
    """
    if currency is None or currency == "":
        currency = CURRENCY
    if type(currency) is not str or not _currency(currency):
        return None
    if is_number(amount) or (type(amount) is str and is_decimal(amount)):
        return Revenue(amount, currency)
    return None


def refunded(revenue: Revenue) -> Revenue:
    """Returns the same amount as one that is paid back, whichever sign the client wrote."""
    said = revenue.amount
    amount = "-" + said.lstrip("+-") if type(said) is str else -abs(said)  # type: ignore[arg-type]  # it is a number if it is not a text
    return Revenue(amount, revenue.currency)


def screen_url(app: str, screen: str) -> str:
    """Returns an address for a screen of an app, which has none of its own: app://com.example.app/Home."""
    host = _no_host("-", app.strip()).strip("-.") or "app"
    path = quote(screen.strip().lstrip("/"), safe=SEGMENTS, errors="replace")
    return f"app://{host}/{path}"


def size_of(said: Any) -> tuple[float, float] | None:
    """Returns the width and the height that a text like 1920x1080 says."""
    width, _, height = said.partition("x") if type(said) is str else ("", "", "")
    is_size = all(side.isascii() and side.isdigit() and len(side) < 8 for side in (width, height))
    return (int(width), int(height)) if is_size else None


def path_of(url: str | None) -> str | None:
    """Returns the path of an address, or None where there is no address that can be read."""
    try:
        return urlsplit(url).path if url else None
    except ValueError:
        return None
