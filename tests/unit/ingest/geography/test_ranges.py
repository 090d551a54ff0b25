"""ingest/geography/ranges.py: the format of Debian's tor-geoipdb, and the real files where they are installed."""

from __future__ import annotations

import random
from bisect import bisect_right
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from ingest.geography import ranges as module
from ingest.geography.newest import RANGES_FOLDERS
from ingest.geography.ranges import FILES, Ranges
from ingest.geography.where import Unusable
from schemas.countries import country_code
from tests.support.places import FOUR, HEAD, SIX, ranges

SHOWN = (
    ("1.0.0.0", "1.0.0.255", "AU"),
    ("1.0.1.0", "1.0.3.255", "CN"),
    ("1.0.8.0", "1.0.8.0", "JP"),
    ("2.0.0.0", "2.0.0.255", "??"),
    ("2.0.1.0", "2.0.1.255", "EU"),
    ("2.0.2.0", "2.0.2.255", "UK"),
    *FOUR,
)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("0.255.255.255", ""), ("1.0.0.0", "AU"), ("1.0.0.255", "AU"), ("1.0.1.0", "CN"), ("1.0.3.255", "CN"),
        ("1.0.4.0", ""), ("1.0.7.255", ""), ("1.0.8.0", "JP"), ("1.0.8.1", ""), ("2.0.0.7", ""), ("2.0.1.7", ""),
        ("2.0.2.7", "GB"), ("8.8.8.8", "US"), ("81.2.71.0", ""), ("255.255.255.255", ""),
        ("2001:217:ffff:ffff::", ""), ("2001:218::", "JP"), ("2001:218:ffff:ffff::", "JP"), ("2001:219::", ""), ("::", ""),
        ("3fff:ffff:ffff:ffff::", ""),
    ],
)  # fmt: skip
def test_a_range_holds_its_first_and_its_last_address(tmp_path: Path, address: str, code: str) -> None:
    """The addresses beside it are unknown, and so is a range of `??` or another word that is not a country."""
    places = Ranges(ranges(tmp_path, SHOWN))
    assert places.of(address) == (code, "", "")


def test_a_range_within_a_64_counts_where_its_first_address_is(tmp_path: Path) -> None:
    """A client is looked up by its /64, so the first of several countries in one /64 has it."""
    six = (
        ("2001:1::", "2001:1::7", "DE"),
        ("2001:1::8", "2001:1::f", "FR"),  # begins and ends within the /64: left out
        ("2001:1:0:1::8", "2001:1:0:5::8", "IT"),  # begins within one and ends within another
        ("2001:1:0:5::9", "2001:1:0:6:ffff:ffff:ffff:ffff", "ES"),
        *SIX,
    )
    places = Ranges(ranges(tmp_path, six=six))
    found = [places.of(f"2001:1:0:{at:x}::").country for at in range(8)]
    assert found == ["DE", "", "IT", "IT", "IT", "IT", "ES", ""]


def test_its_edition_says_of_when_it_is(tmp_path: Path) -> None:
    """For the log."""
    assert Ranges(ranges(tmp_path)).edition == f"{tmp_path}/geoip (of Thu, 25 Jun 2026 04:33:59 GMT)"


GOOD = HEAD + "134744064,134744319,US\n"
BAD = {
    "rubbish": "\x00\x01\x02\n",
    "empty": "",
    "comments alone": HEAD,
    "an end without its line": GOOD + "134744320,134744321,U",
    "an end at the last field": GOOD + "134744320,134744321,US",
    "two fields": GOOD + "134744320,134744321\n",
    "four fields and two": GOOD + "134744320,134744321,US,1\n134744330,134744331\n",
    "four fields": GOOD + "134744320,134744321,US,X\n",
    "no number": GOOD + "134744320,x,US\n",
    "no country": GOOD + "134744320,134744321,\n",
    "a number that is too large": GOOD + "134744320,4294967296,US\n",
    "a number below 0": HEAD + "-1,134744321,US\n",
    "an end before its beginning": GOOD + "134744330,134744320,US\n",
    "ranges that overlap": GOOD + "134744319,134744321,US\n",
    "ranges that do not ascend": GOOD + "134744000,134744010,US\n",
    "not ASCII": GOOD + "134744320,134744321,ÄÖ\n",
    "no well-known address": HEAD + "100,200,US\n",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, text: str) -> None:
    """With its name, and why."""
    folder = ranges(tmp_path, six=(("2001::", "2001::ffff", "US"),))
    (folder / "geoip").write_text(text, encoding="utf-8")
    with pytest.raises(Unusable, match=str(folder)):
        Ranges(folder)


@pytest.mark.parametrize(
    "line", ["2001:219::,x,US\n", "2001:219::,1.2.3.4,US\n", "2001:200::,2001:201::,US\n", "2001:219::\n"]
)
def test_a_bad_file_of_ipv6_is_refused(tmp_path: Path, line: str) -> None:
    """As one of IPv4."""
    folder = ranges(tmp_path)
    with (folder / "geoip6").open("a") as file:
        file.write(line)
    with pytest.raises(Unusable, match="geoip6 is not a whole file of ascending ranges"):
        Ranges(folder)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """Both are needed."""
    folder = ranges(tmp_path)
    (folder / "geoip6").unlink()
    with pytest.raises(Unusable, match="geoip6 can't be read: No such file"):
        Ranges(folder)


def test_pieces_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is read in pieces of any size says the same; and ranges must ascend over their borders."""
    chance = random.Random(3)
    bounds = sorted(chance.sample(range(1 << 24, 200 << 24), 400))
    four = [
        (str(IPv4Address(first)), str(IPv4Address(final)), chance.choice(("DE", "US", "??")))
        for first, final in zip(bounds[::2], bounds[1::2], strict=True)
    ]
    folder = ranges(tmp_path / "x", four)
    addresses = [str(IPv4Address(bound + off)) for bound in bounds for off in (-1, 0, 1)]
    whole = [Ranges(folder).of(address) for address in addresses]
    monkeypatch.setattr(module, "PIECE_BYTES", 100)
    assert [Ranges(folder).of(address) for address in addresses] == whole
    ranges(tmp_path / "x", [*four[100:], *four[:100]])
    with pytest.raises(Unusable):
        Ranges(folder)


INSTALLED = [folder for folder in RANGES_FOLDERS if all((folder / name).exists() for name in FILES)]


@pytest.mark.skipif(not INSTALLED, reason="tor-geoipdb is neither installed nor unpacked here")
def test_the_real_files_say_what_a_plain_reading_of_them_says() -> None:
    """Of random addresses in their ranges and between them."""
    [folder, *_] = INSTALLED
    places = Ranges(folder)
    chance = random.Random(11)
    for name, kind, bits in (("geoip", IPv4Address, 0), ("geoip6", IPv6Address, 64)):
        lines = (folder / name).read_text("ascii").splitlines()
        said = [line.split(",") for line in lines if not line.startswith("#")]
        number = int if kind is IPv4Address else lambda text: int(IPv6Address(text))
        table = [(number(first), number(final), code) for first, final, code in said]
        starts = [first for first, *_ in table]
        for first, final, _ in chance.choices(table, k=20_000):
            address = (chance.randint(first, final) + chance.choice((0, 0, 0, 1 << bits))) >> bits << bits
            at = bisect_right(starts, address) - 1
            wanted = country_code(table[at][2]) if at >= 0 and address <= table[at][1] else ""
            assert places.of(str(kind(address))).country == wanted, address
