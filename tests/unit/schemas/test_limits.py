"""schemas/limits.py: limits as people write them."""

from __future__ import annotations

import pytest

from schemas.limits import Limit, limit_form, limit_of


@pytest.mark.parametrize(
    ("said", "form", "limit"),
    [
        ("2000/s", "2000/s", Limit(2_000.0, 20_000)),
        (" 6000 / MIN ", "6000/min", Limit(100.0, 6_000)),
        ("36000/h", "36000/h", Limit(10.0, 36_000)),
        ("50/s, burst=75", "50/s,burst=75", Limit(50.0, 75)),
        ("off", "off", None),
        ("", "off", None),
    ],
)
def test_a_limit_is_read(said: str, form: str, limit: Limit | None) -> None:
    """In any spelling, with the burst that it has or ten seconds of it."""
    assert (limit_form(said), limit_of(form)) == (form, limit)


@pytest.mark.parametrize(
    "said", ["5", "0/s", "-1/s", "1.5/s", "5/d", "5/s,burst=0", "9999999999/s", "5/s;burst=5", "٣/s"]
)
def test_what_is_no_limit_is_refused(said: str) -> None:
    """With a text that shows how one is written."""
    with pytest.raises(ValueError, match="2000/s"):
        limit_form(said)
