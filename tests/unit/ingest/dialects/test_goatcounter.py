"""ingest/dialects/goatcounter.py: what GoatCounter's clients send, and what they are answered."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from ingest.collect.sites import Sites
from ingest.dialects.event import Event, Limits
from ingest.dialects.goatcounter import GoatCounter
from ingest.dialects.request import FieldReader, Head
from ingest.fates import Reason, Shed
from schemas.bots import BotReason
from tests.support.collecting import Bench, Collected
from tests.support.seeds.goatcounter import CLICK, PAGE
from tests.support.server_keys import KeyStore

PAGES = GoatCounter(Limits())
SITE = "example.com"


def head(said: dict[str, Any], path: str = "/count", referer: bytes = b"https://example.com/") -> Head:
    return FieldReader().head("GET", f"{path}?{urlencode(said)}".encode(), ((b"Referer", referer),) if referer else ())


def event(*said: Any) -> Event:
    [found] = PAGES.decode(head(*said), b"").items
    assert isinstance(found, Event)
    return found


def test_a_pageview() -> None:
    """The browser says the host, the query the campaign."""
    found = event(PAGE)
    assert (found.name, found.url, found.site) == (None, "https://example.com/pricing?utm_source=x", None)
    assert (found.title, found.referrer, found.screen, found.auto) == (
        "Pricing",
        "https://a.example/",
        (1920, 1080),
        None,
    )


def test_an_event() -> None:
    """What is a path for a page is its name."""
    found = event(CLICK)
    assert (found.name, found.url, found.title) == ("download", "https://example.com/", "Download")


def test_a_path_with_a_query_is_whole() -> None:
    """The page's own query is that of another address."""
    assert event(PAGE | {"p": "/a?b=1"}).url == "https://example.com/a?b=1"


def test_the_path_may_name_the_site() -> None:
    """For pages that send no referrer."""
    found = event(PAGE, "/goatcounter/example.com/count", b"")
    assert (found.site, found.url) == ("example.com", None)


def test_a_driven_browser_is_known() -> None:
    """The page saw it, as our tracker does."""
    assert event(PAGE | {"b": "153"}).auto == 1


@pytest.mark.parametrize(
    ("referer", "status"), [(b"https://example.com/", 200), (b"", 400), (b"https://a.example/", 403)]
)
async def test_a_page_is_of_its_host(referer: bytes, status: int) -> None:
    """A picture says in a header why nothing was counted."""
    bench = await Bench().ready()
    found = bench.collect("GET", b"/count?p=/a", [(b"referer", referer)] if referer else [], b"", "203.0.113.7")
    assert found.status == status
    assert found.body[:3] == b"GIF"
    assert (b"x-goatcounter" in dict(found.headers)) == (status != 200)


async def api(said: Any, *, site: str = SITE, is_known: bool = True) -> tuple[Collected, Bench]:
    store = KeyStore()
    key = store.add(SITE) if is_known else "x"
    bench = await Bench(sites=Sites(named=[SITE], privacy="count"), keys=await store.read()).ready()
    fields = [(b"authorization", f"Bearer {key}".encode()), (b"user-agent", b"curl/8")]
    found = bench.collect(
        "POST", f"/goatcounter/{site}/api/v0/count".encode(), fields, msgspec.json.encode(said), "203.0.113.7"
    )
    return found, bench


async def test_a_server_says_of_whom_its_hits_are() -> None:
    """Each with an address, an agent, and a moment that may be old."""
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
    hit = {
        "path": "/a",
        "ip": "203.0.113.9",
        "user_agent": agent,
        "created_at": "2026-11-01T12:00:00Z",
        "size": [1920, 1080, 1],
    }
    found, _ = await api({"no_sessions": True, "hits": [hit, {"path": "buy", "event": True, "bot": 5}]})
    assert (found.status, found.body) == (202, b"{}")
    [(_, page), (_, act)] = found.rows
    assert (page.url, page.browser, page.screen_w) == ("https://example.com/a", "Chrome", 1920)
    assert act.name == "buy"
    assert act.bot_reasons & BotReason.AUTOMATION


async def test_hits_at_fault_are_named() -> None:
    """They cost no neighbour."""
    found, bench = await api({"hits": [{"path": "/a"}, {}, 5]})
    assert (found.status, len(found.rows)) == (202, 1)
    assert list(msgspec.json.decode(found.body)["errors"]) == ["1", "2"]
    assert bench.reasons == {Reason.MISSING_URL: 1, Reason.NOT_AN_EVENT: 1}


@pytest.mark.parametrize(("site", "is_known", "status"), [(SITE, False, 401), ("other.example", True, 400)])
async def test_without_a_key_nothing_is_taken(site: str, is_known: bool, status: int) -> None:
    """Nor with the key of another site."""
    found, _ = await api({"hits": [{"path": "/a"}]}, site=site, is_known=is_known)
    assert (found.status, found.rows) == (status, [])


def test_back_pressure_is_said() -> None:
    """With the only status that says it."""
    assert PAGES.shed(Shed.REDIS).status == 503
