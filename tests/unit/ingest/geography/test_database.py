"""ingest/geography/database.py: real files of MaxMind's format, in every spelling, and damaged ones."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import maxminddb
import pytest

from ingest.geography import database as databases
from ingest.geography.database import Database
from ingest.geography.where import Unusable
from tests.support.places import country, database

SPELLINGS: list[tuple[str, dict[str, Any], tuple[str, str, str]]] = [
    ("GeoLite2-Country", {"country": {"iso_code": "DE", "names": {"en": "Germany"}}}, ("DE", "", "")),
    (
        "GeoLite2-City",
        {
            "country": {"iso_code": "DE", "geoname_id": 2921044, "is_in_european_union": True},
            "subdivisions": [
                {"iso_code": "BY", "names": {"de": "Bayern", "en": "Bavaria"}},
                {"iso_code": "X", "names": {"en": "Upper Bavaria"}},
            ],
            "city": {"geoname_id": 2867714, "names": {"de": "München", "en": "Munich"}},
            "location": {"latitude": 48.1, "longitude": 11.5, "time_zone": "Europe/Berlin"},
        },
        ("DE", "DE-BY", "Munich"),
    ),
    (
        "DBIP-City-Lite",
        {
            "country": {"iso_code": "BR"},
            "subdivisions": [{"names": {"en": "São Paulo"}}],
            "city": {"names": {"en": "Campinas"}},
        },
        ("BR", "São Paulo", "Campinas"),
    ),
    ("ip-location-db, country", {"country_code": "NL"}, ("NL", "", "")),
    (
        "ip-location-db, city",
        {"country_code": "US", "state1": "California", "state2": "Santa Clara", "city": "Palo Alto", "postcode": ""},
        ("US", "California", "Palo Alto"),
    ),
    ("IPinfo, country", {"country": "JP", "country_name": "Japan", "continent": "AS"}, ("JP", "", "")),
    ("IPinfo Lite", {"country": "Japan", "country_code": "JP", "asn": "AS2497"}, ("JP", "", "")),
    (
        "IPinfo, location",
        {"country": "GB", "region": "England", "region_code": "ENG", "city": "London"},
        ("GB", "GB-ENG", "London"),
    ),
    ("codes of a country in front", {"country_code": "FR", "region_code": "FR-IDF"}, ("FR", "FR-IDF", "")),
    ("names in words of their own", {"country_code": "fr", "region_name": "Bretagne", "city_name": "Brest"}, ("FR", "Bretagne", "Brest")),
    ("no country", {"continent": {"code": "EU"}, "city": "Nowhere"}, ("", "", "")),
    ("a country that is none", {"country": {"iso_code": "EU"}, "city": {"names": {"en": "Brussels"}}}, ("", "", "")),
    ("an empty record", {}, ("", "", "")),
    (
        "other types",
        {"country": {"iso_code": "AT"}, "subdivisions": [7], "city": 12, "region": ["x"], "region_code": 5},
        ("AT", "", ""),
    ),
    ("no subdivision", {"country": {"iso_code": "AT"}, "subdivisions": [], "city": {"names": {"de": "Wien"}}}, ("AT", "", "")),
    ("maps that are no maps", {"country": {"iso_code": "AT"}, "subdivisions": {"iso_code": "9"}, "city": {"names": "x"}}, ("AT", "", "")),
]  # fmt: skip


@pytest.mark.parametrize(("spelling", "record", "found"), SPELLINGS, ids=[name for name, *_ in SPELLINGS])
def test_a_place_is_found_in_every_spelling(
    tmp_path: Path, spelling: str, record: dict[str, Any], found: tuple[str, str, str]
) -> None:
    """Country, region and city, of IPv4 and of IPv6."""
    path = database(tmp_path / "x.mmdb", {"8.8.8.0/24": country("US"), "81.2.69.0/24": record, "2001:218::/32": record})
    places = Database(path)
    assert places.of("81.2.69.160") == found
    assert places.of("2001:218::") == found
    assert places.of("8.8.8.8") == ("US", "", "")
    assert places.of("9.9.9.9") == ("", "", "")


def test_a_file_of_ipv4_knows_nothing_of_ipv6(tmp_path: Path) -> None:
    """Nothing is raised."""
    places = Database(database(tmp_path / "x.mmdb", {"8.8.8.0/24": country("US")}, version=4))
    assert places.of("8.8.8.8").country == "US"
    assert places.of("2001:218::") == ("", "", "")


def test_its_edition_says_what_it_is_and_of_when(tmp_path: Path) -> None:
    """For the log."""
    path = database(tmp_path / "x.mmdb", {"8.8.8.0/24": country("US")}, kind="GeoLite2-Country")
    said = Database(path).edition
    assert said.startswith(f"{path} (GeoLite2-Country, built 2")


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """Each with the file's name, and why, in one sentence."""
    good = database(tmp_path / "good.mmdb", {"8.8.8.0/24": country("US")}).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path / "nothing.mmdb": "can't be read: No such file or directory",
        tmp_path: "can't be read: Is a directory",
        tmp_path / "pipe": "is not a file",
        written(tmp_path / "empty", b""): "is not a whole file of MaxMind's format",
        written(tmp_path / "rubbish", os.urandom(10_000)): "is not a whole file of MaxMind's format",
        written(tmp_path / "half", good[: len(good) // 2]): "is not a whole file of MaxMind's format",
        written(tmp_path / "tail", good[len(good) // 2 :]): "is not a whole file of MaxMind's format",
        written(tmp_path / "metadata", good.replace(b"build_epoch", b"build_epocs")): "argument 'build_epocs'",
        written(tmp_path / "text", good.replace(b"Test", b"T\xffst")): "can't decode",
    }
    for path, why in cases.items():
        with pytest.raises(Unusable) as caught:
            Database(path)
        assert str(caught.value).startswith(str(path))
        assert why in str(caught.value), path


def test_a_file_in_which_nothing_is_found_is_refused(tmp_path: Path) -> None:
    """Such as one of networks' owners: it is whole, and would leave every country empty without a word."""
    path = database(tmp_path / "x.mmdb", {"8.8.8.0/24": {"autonomous_system_number": 15169}}, kind="GeoLite2-ASN")
    with pytest.raises(
        Unusable, match=r"'GeoLite2-ASN'\) has no country for any of \d+ well-known addresses such as 8"
    ):
        Database(path)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is copied into memory."""
    path = database(tmp_path / "x.mmdb", {"8.8.8.0/24": country("US")})
    monkeypatch.setattr(databases, "FILE_BYTES_MAX", path.stat().st_size - 1)
    with pytest.raises(Unusable, match="has more than"):
        Database(path)


def test_the_reader_is_the_one_in_python_on_a_copy_in_memory(tmp_path: Path) -> None:
    """Because the library's reader in C, and any on a mapped file, end the process on a file that is bad."""
    reader = Database(database(tmp_path / "x.mmdb", {"8.8.8.0/24": country("US")}))._reader
    assert type(reader) is maxminddb.reader.Reader
    assert type(reader._buffer) is bytes


def test_a_file_that_is_cut_short_in_place_is_still_read(tmp_path: Path) -> None:
    """A file that is mapped would end the process here with SIGBUS."""
    records = {f"{first}.0.0.0/8": country("FR") for first in (1, 8, 9, 81, 193)}
    path = database(tmp_path / "x.mmdb", records)
    places = Database(path)
    os.truncate(path, 0)
    assert [places.of(f"{first}.1.1.1").country for first in (1, 8, 9, 81, 193)] == ["FR"] * 5
    path.unlink()
    assert places.of("8.8.8.8").country == "FR"


def with_record(path: Path, record: Callable[[int], bytes]) -> bytes:
    """Returns a file whose record of 2,000 letters became another, which is made from where it is in the data."""
    content, trie_bytes = path.read_bytes(), Database(path)._reader.metadata().search_tree_size
    at = content.index(b"x" * 2_000) - 3  # before the text is how long it is
    found = record(at - trie_bytes - 16)
    return content[:at] + found + content[at + len(found) :]


def pointer(at: int) -> bytes:
    return bytes([0x20 | at >> 8, at & 255])


def multiplied(at: int) -> bytes:
    """Returns lists of 20 pointers to the next list each: 20 ** 6 values."""
    return b"".join(b"\x14\x04" + pointer(at + (level + 1) * 42) * 20 for level in range(6)) + b"\x40"


DAMAGED_RECORDS: dict[str, Callable[[int], bytes]] = {
    "a pointer to itself": pointer,
    "a map that holds itself": lambda at: b"\xe1\x41a" + pointer(at),
    "records that multiply": multiplied,
    "lists in lists": lambda _: b"\x01\x04" * 900,
    "a map of 16 million values": lambda _: b"\xff\xff\xff\xff",
    "a text of 16 MB": lambda _: b"\x5f\xff\xff\xff",
    "no UTF-8": lambda _: b"\x41\xff",
    "a name that is a list": lambda _: b"\xe1\x00\x04\x41a",
    "a double of two bytes": lambda _: b"\x62\x00\x00",
    "an unknown type": lambda _: b"\x00\x7f",
}


@pytest.mark.parametrize("record", DAMAGED_RECORDS.values(), ids=DAMAGED_RECORDS)
def test_a_damaged_record_is_unknown(
    tmp_path: Path, record: Callable[[int], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Without reading on without end, recursing without end, or taking the memory that it claims; and logged once."""
    good = database(tmp_path / "x.mmdb", {"8.8.8.0/24": country("US"), "81.2.69.0/24": "x" * 2_000})
    places = Database(written(tmp_path / "damaged.mmdb", with_record(good, record)))
    for _ in range(2):
        assert places.of("81.2.69.160") == ("", "", "")
        assert places.of("8.8.8.8") == ("US", "", "")
    [said] = caplog.records
    assert "damaged.mmdb is damaged, and some addresses can't be looked up in it: " in said.message


def test_a_damaged_file_is_unknown_where_it_is_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever bytes are others, missing, or too many: a look-up answers, or the file is refused; it is logged once."""
    records = {"8.8.8.0/24": country("US"), "81.2.69.0/24": {"country_code": "GB", "city": "London"}}
    good = database(tmp_path / "good.mmdb", records).read_bytes()
    chance = random.Random(7)
    damaged = 0
    for turn in range(300):
        content = bytearray(good)
        for _ in range(chance.choice((1, 4, 40))):
            at = chance.randrange(len(content))
            match chance.randrange(6):
                case 0:
                    del content[at : at + chance.randrange(1, 30)]
                case 1:
                    content[at:at] = chance.randbytes(chance.randrange(1, 30))
                case _:
                    content[at] = chance.randrange(256)
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            try:
                places = Database(written(tmp_path / f"{turn}.mmdb", bytes(content)))
            except Unusable:
                continue
            finally:
                assert len(caplog.records) <= 1
            for address in ("8.8.8.8", "81.2.69.160", "2001:218::", "9.9.9.9", "200.3.14.10"):
                assert len(places.of(address)) == 3
                places.of(address)
        assert len(caplog.records) <= 1
        damaged += bool(caplog.records)
    assert damaged  # some of them were opened, and damaged
