"""ingest/geography/registries.py: the library that comes with pip."""

from __future__ import annotations

import pytest

from ingest.geography.registries import Registries


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("8.8.8.8", "US"), ("193.0.6.139", "NL"), ("202.12.29.175", "AU"), ("200.3.14.10", "UY"), ("196.216.2.1", "ZA"),
        ("2001:4860:4860::", "US"), ("2001:67c:2e8:22::", "NL"), ("2001:218::", "JP"),
        ("203.0.113.7", ""), ("2001:db8::", ""), ("240.0.0.1", ""),
    ],
)  # fmt: skip
def test_addresses_are_where_they_were_given_to(address: str, code: str) -> None:
    """Of IPv4 and IPv6, of all five registries; a country, and nothing finer."""
    assert Registries().of(address) == (code, "", "")
