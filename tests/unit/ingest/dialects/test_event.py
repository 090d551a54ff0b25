"""ingest/dialects/event.py: limits, hosts, clocks, money and properties of one event."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ingest.dialects.event import Limits, Revenue, event_ms, flatten, revenue_e4, time_ms
from ingest.fates import Reason
from schemas.reasons import EXPLAINED

LIMITS = Limits()
NOW = 1_800_000_000_000
URL = "https://example.com/"


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        (1_700_000_000_000, 1_700_000_000_000),
        (1_700_000_000_000.9, 1_700_000_000_000),
        ("2026-01-02T03:04:05Z", 1_767_323_045_000),
        ("2026-01-02T03:04:05", 1_767_323_045_000),
        ("2026-01-02T04:04:05.678+01:00", 1_767_323_045_678),
        ("2026-01-02T03:04:05.001Z", 1_767_323_045_001),
        ("2026-01-02t03:04:05z", 1_767_323_045_000),
        ("2016-12-31T23:59:60Z", 1_483_228_799_000),
        ("２０２６-01-02", None),
        ("yesterday", None),
        ("", None),
        ("0001-01-01T00:00:00+14:00", -62_135_647_200_000),
        ((1 << 63) - 1, (1 << 63) - 1),
        (1 << 63, None),
        (-(1 << 63) - 1, None),
        (10**400, None),
        (1e300, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_a_clock_is_read_or_refused(said: float | str, moment: int | None) -> None:
    """ISO 8601 or milliseconds, within 64 bits."""
    assert time_ms(said) == moment


@pytest.mark.parametrize(
    ("ts", "sent_at", "moment"),
    [
        (NOW - 5_000, None, NOW - 5_000),
        (NOW + 60_000, None, NOW + 60_000),
        (NOW + 60_001, None, NOW),
        (NOW - 30 * 86_400_000, None, NOW - 30 * 86_400_000),
        (NOW - 30 * 86_400_000 - 1, None, Reason.TOO_OLD),
        (-5, None, Reason.TOO_OLD),
        (NOW + 3_605_000, NOW + 3_600_000, NOW + 5_000),
        (1_000, 6_000, NOW - 5_000),
        (NOW, "soon", Reason.INVALID_TIME),
        ("soon", None, Reason.INVALID_TIME),
    ],
)
def test_the_moment_of_an_event(ts: Any, sent_at: Any, moment: int | Reason) -> None:
    """The client's clock, corrected by its own sent_at, never far ahead, never too old."""
    assert event_ms(ts, sent_at, NOW, LIMITS) == moment


@pytest.mark.parametrize(
    ("amount", "currency", "money"),
    [
        ("1_000.5", "EUR", None),
        ("٤٩", "EUR", None),
        ("４９", "EUR", None),
        ("1,234.56", "EUR", None),
        ("0x10", "EUR", None),
        (" 5", "EUR", None),
        ("infinity", "EUR", None),
        ("+.5e1", "EUR", 50_000),
        ("9.90", "EUR", 99_000),
        (9.9, "eur", 99_000),
        (0.1 + 0.2, "EUR", 3_000),
        (-5, "EUR", -50_000),
        ("0.00005", "EUR", 0),
        ("0.00015", "EUR", 2),
        ("999999999999.9999", "EUR", 9_999_999_999_999_999),
        ("1000000000000", "EUR", None),
        (10**300, "EUR", None),
        ("1e999999", "EUR", None),
        ("NaN", "EUR", None),
        ("nine", "EUR", None),
        ("9", "EURO", None),
        ("9", "E1R", None),
        ("9", "ÄÖÜ", None),
    ],
)
def test_money_is_exact_or_refused(amount: Any, currency: str, money: int | None) -> None:
    """Ten-thousandths of the unit, rounded half to even."""
    assert revenue_e4(Revenue(amount, currency)) == money


def test_properties_become_text() -> None:
    """Every JSON value has one form; null is none."""
    props = {"a": "x", "b": True, "c": 1, "d": 1.5, "e": None, "f": [1, "y"], "g": {"h": {"i": 1}}, "n\0": "\0v"}
    kept, dropped = flatten(props, LIMITS)
    assert dropped == 0
    assert kept == {"a": "x", "b": "true", "c": "1", "d": "1.5", "f": '[1,"y"]', "g.h.i": "1", "n\ufffd": "\ufffdv"}


@pytest.mark.parametrize(
    ("props", "kept", "dropped"),
    [
        ({f"k{at}": 1 for at in range(31)}, 30, 1),
        ({"k" * 60: 1}, 1, 0),
        ({"k" * 61: 1}, 0, 1),
        ({"": 1}, 0, 1),
        ({"a": {"b": 1}, "a.b": 2}, 1, 1),
        ({"a\0": 1, "a": 2, "b": 3}, 3, 0),
        ({"\0": 1}, 1, 0),
        ({"k": "v" * 500}, 1, 0),
        ({"k": "v" * 501}, 0, 1),
        ({"a": {"b": {"c": {"d": 1}}}}, 0, 1),
        ({"k": 10**4_000}, 0, 1),
    ],
)
def test_a_property_over_a_limit_is_dropped_alone(props: dict[str, Any], kept: int, dropped: int) -> None:
    """The event and its other properties stay."""
    found, lost = flatten(props, LIMITS)
    assert (len(found), lost) == (kept, dropped)


def test_a_property_nested_as_deep_as_decoding_goes_is_dropped() -> None:
    """Encoding it again must not fail where decoding it just did not."""
    for depth in range(900, 1_000):
        try:
            props = msgspec.json.decode(b'{"k":' + b"[" * depth + b"]" * depth + b"}")
        except RecursionError:
            break
        assert flatten(props, LIMITS) == ({}, 1)


def test_every_reason_is_explained() -> None:
    """?debug=1 has a sentence for each."""
    assert set(EXPLAINED) == set(Reason)
    assert all(sentence.endswith((".", "`.")) for sentence in EXPLAINED.values())
