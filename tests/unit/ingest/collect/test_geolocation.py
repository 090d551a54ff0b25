"""ingest/collect/geolocation.py: a CDN's word, or a source's, and that neither is remembered for too long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ingest.collect.geolocation import Geolocation
from ingest.geography.newest import Newest
from ingest.http.heads import Heads
from ingest.http.http1 import HeadReader
from runtime.client_ip import Client, parsed
from tests.support.collecting import CHROME, NOON, URL, Bench
from tests.support.places import country, database

GOOGLE = "8.8.8.8"
CITY = {"country": {"iso_code": "FR"}, "subdivisions": [{"iso_code": "IDF"}], "city": {"names": {"en": "Paris"}}}


def client(address: str, *, is_proxied: bool = False) -> Client:
    found = parsed(address)
    assert found
    return Client(found, is_proxied)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return database(tmp_path / "x.mmdb", {"8.8.8.0/24": CITY})


def geolocation(path: Path | str = "", header: str = "") -> Geolocation:
    return Geolocation(Newest(database=str(path), folders=()), header=header)


@pytest.mark.parametrize(
    ("said", "place"),
    [
        (b"DE", ("DE", "", "")),
        (b" de ", ("DE", "", "")),
        (b"FR", ("FR", "FR-IDF", "Paris")),  # the database means the same country, and knows more of it
        (b"T1", ("", "", "")),
        (b"XX", ("FR", "FR-IDF", "Paris")),
        (b"", ("FR", "FR-IDF", "Paris")),
        (b"DEU", ("FR", "FR-IDF", "Paris")),
        (b"\xc4\xd6", ("FR", "FR-IDF", "Paris")),
        (b"DE, FR", ("FR", "FR-IDF", "Paris")),
    ],
)
def test_a_trusted_header_comes_before_the_database(path: Path, said: bytes, place: tuple[str, str, str]) -> None:
    """A country, and Tor, which is nowhere. What is neither leaves it to the database."""
    found = geolocation(path, "CF-IPCountry").of(client(GOOGLE, is_proxied=True), {b"cf-ipcountry": said})
    assert found == place


def test_a_header_of_anyone_is_not_read(path: Path) -> None:
    """Only a trusted proxy says where its clients are."""
    assert geolocation(path, "CF-IPCountry").of(client(GOOGLE), {b"cf-ipcountry": b"DE"}).country == "FR"


def test_without_settings_the_country_is_known() -> None:
    """Out of the box, of IPv4, of IPv6, and of IPv4 in IPv6."""
    found = geolocation()
    for address in (GOOGLE, "2001:4860:4860::8888", "::ffff:8.8.8.8", "2002:808:808::1"):
        assert found.of(client(address), {}) == ("US", "", "")


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "192.168.7.7", "::1", "fe80::1", "fd00::1"])
def test_what_is_near_is_nowhere(tmp_path: Path, address: str) -> None:
    """Also if a database says where it is."""
    records = {
        GOOGLE: country("US"),
        "10.0.0.0/8": country("FR"),
        "127.0.0.0/8": country("FR"),
        "fc00::/7": country("FR"),
    }
    assert geolocation(database(tmp_path / "x.mmdb", records)).of(client(address), {}) == ("", "", "")


async def test_a_row_has_its_place(path: Path) -> None:
    """Country, region and city of the client's own address."""
    bench = await Bench(country_database=str(path)).ready()
    row = bench.row({"url": URL}, peer=GOOGLE)
    assert (row.country, row.region, row.city) == ("FR", "FR-IDF", "Paris")
    assert not bench.counts.countries_unknown


async def test_events_of_unknown_countries_are_counted(path: Path) -> None:
    """With the source that did not know them; a rejected event is not among them."""
    bench = await Bench(country_database=str(path)).ready()
    bench.post([{"url": URL}, {"url": URL}, {"url": "nonsense"}], peer="9.9.9.9")
    bench.post([{"url": "nonsense"}], peer="9.9.9.9")
    bench.post({"url": URL}, peer=GOOGLE)
    assert bench.counts.countries_unknown == {"database": 2}


async def test_nothing_of_the_last_edition_is_remembered(path: Path) -> None:
    """Neither with the address nor with a known head."""
    bench = await Bench(country_database=str(path)).ready()
    collector = bench.collector
    heads = Heads(HeadReader(collector), collector.sender)
    collector.geolocation.changed.append(heads.forget)
    raw = b"POST /f HTTP/1.1\r\nHost: x\r\nUser-Agent: " + CHROME + b"\r\nContent-Length: 4\r\n\r\n"

    def seen() -> str:
        found = heads.read(raw, GOOGLE)
        assert found
        sender = found[0].asked.sender
        assert sender
        return sender.where.country + collector.geolocation.of(client(GOOGLE), {}).country

    assert [seen(), seen()] == ["FRFR", "FRFR"]
    database(path, {"8.8.8.0/24": country("DE")})
    await collector.geolocation.refresh()
    assert seen() == "FRFR"  # it has not settled
    await collector.geolocation.refresh()
    assert seen() == "DEDE"
    database(path, {"8.8.8.0/24": {}})
    for _ in range(3):
        await collector.geolocation.refresh()
    assert seen() == "DEDE"


async def test_events_go_on_while_an_edition_is_read(path: Path) -> None:
    """It is read in a thread, and requests are collected meanwhile with the last one."""
    bench = await Bench(country_database=str(path), now_ms=NOON).ready()
    reading = asyncio.ensure_future(bench.collector.geolocation.refresh())
    assert bench.row({"url": URL}, peer=GOOGLE).country == "FR"
    await reading
