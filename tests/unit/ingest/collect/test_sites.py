"""ingest/collect/sites.py: names to sites, from settings and from Redis."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest

from ingest.collect import sites
from ingest.collect.sites import Sites
from runtime import zones
from schemas.days import Calendar
from schemas.row import KEEP_FRAGMENT, KEEP_QUERY
from schemas.site import RegisteredSite


class Registry:
    """A site source that says what it is told to."""

    def __init__(self, **found: Any) -> None:
        self.found: dict[str, bytes] | None = {name: json.dumps(said).encode() for name, said in found.items()}

    async def sites(self) -> dict[str, bytes]:
        if self.found is None:
            raise OSError("away")
        return self.found


def name_of(known: Sites, name: str) -> str | None:
    site = known.resolve(name)
    return site.name if site else None


@pytest.mark.parametrize("name", ["example.com", "Example.COM", "www.example.com", "example.com.", " example.com "])
def test_a_setting_names_a_site(name: str) -> None:
    """Case, www. and a final dot make no other site."""
    assert name_of(Sites(named=["WWW.example.com"], privacy="count"), name) == "example.com"


@pytest.mark.parametrize("name", ["", "example.org", "sub.example.com", "example.com/x", "com", "*", "www."])
def test_another_name_is_unknown(name: str) -> None:
    """A site is not its parent, nor its child."""
    assert name_of(Sites(named=["example.com"], privacy="count"), name) is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("example.com", "example.com"),
        ("WWW.Shop.Example.com", "shop.example.com"),
        ("50429a93-8479-4073-be80-d5d29c09c2ec", "50429a93-8479-4073-be80-d5d29c09c2ec"),
        ("my_site", "my_site"),
        ("localhost", "localhost"),
        ("[::1]", "[::1]"),
        ("a" * 253, "a" * 253),
        ("a" * 254, None),
        ("", None),
        ("-a", None),
        ("a b", None),
        ("a/b", None),
        ("a\0b", None),
        ("müller.example", "xn--mller-kva.example"),
        ("<script>", None),
        ("*", None),
        ("fbk_2026", "fbk_2026"),
        ("fbk_aB3dE6gH9j_" + "xY7" * 14 + "z", None),  # a server key is a secret, and no name
    ],
)
def test_a_star_takes_any_plausible_name(name: str, found: str | None) -> None:
    """What could be a host, a word or a UUID is a site of its own."""
    assert name_of(Sites(named=["*"], privacy="count"), name) == found


def test_a_star_remembers_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's names fill no memory and lock nobody out: the oldest is forgotten, and known again when it comes."""
    monkeypatch.setattr(sites, "SEEN_MAX", 10)
    known = Sites(named=["*", "mine.example"], privacy="count")
    assert all(known.resolve(f"site{at}") for at in range(100))
    assert len(known._seen) == 10
    assert known.resolve("site3")
    assert known.resolve("mine.example")


async def test_a_registered_site_has_domains_and_settings() -> None:
    """Its name, each domain and each key lead to it, and what it wants is known."""
    registry = Registry(
        Shop={
            "domains": ["shop.example", "WWW.shop.example.org"],
            "keys": ["segment:WK1", "umami:0f3c"],
            "settings": {"keep_query": True, "hash_routing": True, "privacy": "drop"},
            "later": 1,
        },
        plain={},
    )
    known = Sites(named=[], privacy="anonymise", source=registry)
    assert known.resolve("shop") is None
    await known.refresh()
    names = ("shop", "shop.example", "shop.example.org", "segment:WK1", "umami:0f3c")
    assert {name_of(known, name) for name in names} == {"shop"}
    assert known.resolve("segment:wk1") is None
    shop, plain = known.resolve("shop"), known.resolve("plain")
    assert shop
    assert (shop.url_flags, shop.privacy) == (KEEP_QUERY | KEEP_FRAGMENT, "drop")
    assert plain
    assert (plain.url_flags, plain.privacy) == (0, "anonymise")


@pytest.mark.parametrize("registered", [{"a": {"domains": ["b"]}, "b": {}}, {"b": {}, "a": {"domains": ["b"]}}])
async def test_a_domain_does_not_take_another_sites_name(registered: dict[str, Any]) -> None:
    """Whatever the order in which Redis says them."""
    known = Sites(named=[], privacy="count", source=Registry(**registered))
    await known.refresh()
    assert name_of(known, "b") == "b"


async def test_a_removed_site_is_unknown_after_a_refresh() -> None:
    """The snapshot is replaced whole; settings stay."""
    registry = Registry(a={}, b={})
    known = Sites(named=["set.example"], privacy="count", source=registry)
    await known.refresh()
    registry.found = {"b": b"{}"}
    await known.refresh()
    assert [name_of(known, name) for name in ("a", "b", "set.example")] == [None, "b", "set.example"]


async def test_a_source_that_is_away_keeps_the_snapshot() -> None:
    """Sites don't vanish with Redis."""
    registry = Registry(a={})
    known = Sites(named=[], privacy="count", source=registry)
    await known.refresh()
    registry.found = None
    with pytest.raises(OSError, match="away"):
        await known.refresh()
    assert name_of(known, "a") == "a"


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b'{"domains": "x"}', b'{"settings": {"privacy": "sell"}}', b"\xff", b"[" * 9_999]
)
async def test_a_site_that_cant_be_read_stays_as_it_was(text: bytes) -> None:
    """One bad entry costs neither itself nor its neighbours."""
    registry = Registry(a={"domains": ["a.example"]}, b={})
    known = Sites(named=[], privacy="count", source=registry)
    await known.refresh()
    registry.found = {"a": text, "b": b"{}", "c": b"{}"}
    await known.refresh()
    assert [name_of(known, name) for name in ("a", "a.example", "b", "c")] == ["a", "a", "b", "c"]


NOON = 1_798_718_400  # 2026-12-31 12:00 UTC


class Failures:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def starts(known: Sites, name: str, moment: int = NOON) -> int:
    """Returns the start of the local day of a site, as seconds after noon of the 31st in UTC."""
    site = known.resolve(name)
    assert site
    return site.calendar.day(moment).start - NOON


async def test_sites_have_the_days_of_their_zones() -> None:
    """Gives sites without a zone, and unregistered ones, the days of the setting; sites with equal zones share a calendar."""
    registry = Registry(
        tokyo={"settings": {"timezone": "Asia/Tokyo"}}, other={"settings": {"timezone": "Asia/Tokyo"}}, plain={}
    )
    calendar = Calendar(zones.load("America/Los_Angeles"))
    known = Sites(named=["*", "named"], privacy="count", calendar=calendar, source=registry)
    await known.refresh()
    assert starts(known, "tokyo") == 3 * 3_600 - 86_400
    assert starts(known, "plain") == starts(known, "named") == starts(known, "anybody") == -4 * 3_600
    tokyo, other = known.resolve("tokyo"), known.resolve("other")
    assert tokyo
    assert other
    assert tokyo.calendar is other.calendar
    assert known.calendars == {calendar, tokyo.calendar}


async def test_salts_are_there_before_a_site_has_its_new_days() -> None:
    """Or its first event would be refused; if they can't be had, everything stays as it was."""
    registry = Registry(tokyo={})
    known = Sites(named=[], privacy="count", source=registry)
    await known.refresh()
    registry.found = {"tokyo": b'{"settings":{"timezone":"Asia/Tokyo"}}'}
    held: list[set[Calendar]] = []

    async def hold(calendars: Collection[Calendar]) -> None:
        assert starts(known, "tokyo") == -12 * 3_600
        held.append(set(calendars))
        if len(held) == 1:
            raise OSError("away")

    known.hold = hold
    with pytest.raises(OSError, match="away"):
        await known.refresh()
    assert starts(known, "tokyo") == -12 * 3_600
    await known.refresh()
    assert starts(known, "tokyo") == 3 * 3_600 - 86_400
    assert held == [known.calendars] * 2


@pytest.mark.parametrize(("named", "is_taken"), [(["*"], True), (["tokyo.example"], True), (["other.example"], False)])
async def test_a_site_that_is_registered_with_a_zone_changes_only_if_it_had_events(
    named: list[str], is_taken: bool
) -> None:
    """Where it was accepted unregistered it had the days of the setting, until the next midnight of the new zone."""
    site = RegisteredSite().in_zone("Asia/Tokyo", zones.load("Asia/Tokyo"), NOON, is_new=True)
    registry = Registry()
    registry.found = {"tokyo.example": site.encode()}
    known = Sites(named=named, privacy="count", source=registry)
    await known.refresh()
    assert starts(known, "tokyo.example") == (-12 * 3_600 if is_taken else 3 * 3_600 - 86_400)
    assert starts(known, "tokyo.example", NOON + 3 * 3_600) == 3 * 3_600


async def test_a_zone_that_this_process_does_not_know_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is warned of and counted once; the site stays as it was, and its neighbours are read."""
    failures = Failures()
    registry = Registry(a={"settings": {"timezone": "Asia/Tokyo"}}, b={})
    known = Sites(named=[], privacy="count", source=registry, failed=failures)
    await known.refresh()
    was = known.resolve("a")
    for at in range(3):
        bad = b'{"domains":["a.example"],"settings":{"timezone":"Mars/Olympus_Mons","privacy":"drop"}}'
        registry.found = {"a": bad, f"c{at}": b"{}"}
        await known.refresh()
        assert known.resolve("a") is was
        assert known.resolve(f"c{at}")
    assert failures.count == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "site a: its entry in Redis can't be used: 'Mars/Olympus_Mons' is not a known time zone" in caplog.text
    registry.found = {"a": b'{"settings":{"timezone":"Europe/Berlin"}}'}
    await known.refresh()
    assert starts(known, "a") == -13 * 3_600


async def test_a_new_site_with_a_zone_that_this_process_does_not_know_has_the_days_of_the_setting() -> None:
    """Counts its events in the wrong days, which is better than to refuse them: this process may be older than the command."""
    registry = Registry(a={"domains": ["a.example"], "settings": {"timezone": "Mars/Olympus_Mons", "privacy": "drop"}})
    failures = Failures()
    known = Sites(named=[], privacy="count", source=registry, failed=failures)
    await known.refresh()
    site = known.resolve("a.example")
    assert site
    assert (site.privacy, site.calendar, failures.count) == ("drop", known.calendar, 1)


async def test_an_entry_that_cant_be_read_is_counted_once() -> None:
    """Until it is another one."""
    failures = Failures()
    registry = Registry(a={})
    known = Sites(named=[], privacy="count", source=registry, failed=failures)
    for text, count in ((b"{", 1), (b"{", 1), (b"[", 2), (b"{}", 2), (b"[", 3)):
        registry.found = {"a": text}
        await known.refresh()
        assert failures.count == count
