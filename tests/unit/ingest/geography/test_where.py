"""ingest/geography/where.py: what is a country, a name, and an address that is somewhere."""

from __future__ import annotations

from importlib.resources import files

import pytest

from ingest.geography.where import TEXT_CHARS_MAX, located, name_of
from schemas.countries import COUNTRIES, country_code


def test_the_countries_are_those_of_iso_3166() -> None:
    """As the time zone database lists them, and Kosovo."""
    lines = files("tzdata").joinpath("zoneinfo/iso3166.tab").read_text("utf-8").splitlines()
    assert {line.split("\t")[0] for line in lines if not line.startswith("#")} | {"XK"} == COUNTRIES


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("DE", "DE"), (" de ", "DE"), ("UK", "GB"), ("XK", "XK"),
        ("", ""), ("??", ""), ("XX", ""), ("T1", ""), ("EU", ""), ("AP", ""), ("ZZ", ""), ("A1", ""), ("AN", ""),
        ("DEU", ""), ("Germany", ""), ("D", ""), ("ß", ""), ("\u212aE", ""), (None, ""), (49, ""), ({"iso_code": "DE"}, ""),
    ],
)  # fmt: skip
def test_a_country_is_an_assigned_code(said: object, code: str) -> None:
    """Reserved codes, invented ones, names, and values that are not texts become empty."""
    assert country_code(said) == code


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("São Paulo", "São Paulo"), (" Bern ", "Bern"), ("a\0b\nc", "abc"), ("", ""), (None, ""), (["x"], ""), (7, ""),
        ("x" * 1_000, "x" * TEXT_CHARS_MAX),
    ],
)  # fmt: skip
def test_a_name_fits_a_row(said: object, name: str) -> None:
    """No control characters, and no novel."""
    assert name_of(said) == name


@pytest.mark.parametrize(
    ("address", "looked_up"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("172.15.0.1", "172.15.0.1"), ("172.32.0.1", "172.32.0.1"), ("100.63.0.1", "100.63.0.1"),
        ("100.128.0.1", "100.128.0.1"), ("192.167.0.1", "192.167.0.1"), ("223.255.0.1", "223.255.0.1"),
        ("10.1.2.3", ""), ("127.0.0.1", ""), ("192.168.1.1", ""), ("172.16.0.1", ""), ("172.31.255.1", ""),
        ("169.254.1.1", ""), ("100.64.0.1", ""), ("0.0.0.0", ""), ("224.0.0.1", ""), ("255.255.255.255", ""),
        ("2001:4860:4860::8888", "2001:4860:4860::"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:8.8.8.8", "8.8.8.8"), ("::ffff:10.0.0.1", ""),
        ("2002:808:808::1", "8.8.8.8"), ("2002:a00:1::1", ""),
        ("64:ff9b::808:808", "8.8.8.8"), ("64:ff9b::7f00:1", ""), ("64:ff9b:1::1", ""),
        ("::1", ""), ("::", ""), ("fe80::1", ""), ("fd00::1", ""), ("ff02::1", ""), ("::1.2.3.4", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_an_address_is_looked_up_as_what_is_public_of_it(address: str, looked_up: str) -> None:
    """Of IPv6 the /64, and the IPv4 address that it carries. Addresses of this machine, of private networks, and reserved ones are not looked up."""
    assert located(address) == looked_up
