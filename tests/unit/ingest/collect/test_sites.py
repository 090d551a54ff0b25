"""ingest/collect/sites.py: names to sites, from settings and from Redis."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.collect import sites
from ingest.collect.sites import Sites
from schemas.row import KEEP_FRAGMENT, KEEP_QUERY


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
    """Its name and each domain lead to it, and what it wants is known."""
    registry = Registry(
        Shop={
            "domains": ["shop.example", "WWW.shop.example.org"],
            "keys": ["k1"],
            "settings": {"keep_query": True, "hash_routing": True, "privacy": "drop"},
            "later": 1,
        },
        plain={},
    )
    known = Sites(named=[], privacy="anonymise", source=registry)
    assert known.resolve("shop") is None
    await known.refresh()
    assert {name_of(known, name) for name in ("shop", "shop.example", "shop.example.org")} == {"shop"}
    shop, plain = known.resolve("shop"), known.resolve("plain")
    assert shop
    assert (shop.url_flags, shop.privacy, shop.keys) == (KEEP_QUERY | KEEP_FRAGMENT, "drop", ("k1",))
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
