"""Holds visits of made-up sites, for the tests of the dashboard and for its pictures.

`hand.example` is small enough to be counted on paper (hand.py). The others are made by a seed, so that each run has the same
(crowd.py): `la.example` and `auckland.example` over changes of summer time, `shop.example` with goals,
money and people who come again, `bots.example`, and `neighbour.example`, which has the pages of the others and must never be
seen in their numbers. `empty.example` has no event.

Rows are put in as the flusher puts them in: it gives addresses, and ClickHouse derives from them. Times are unix ms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

INTERNAL_REFERRER = 4


@dataclass(frozen=True)
class Agent:
    """Holds what a browser says of itself, and where it is."""

    browser: str = "Chrome"
    browser_version: str = "140"
    os: str = "Windows"
    os_version: str = "11"
    device: str = "desktop"
    screen_w: int = 1920
    language: str = "en-US"
    country: str = "US"
    region: str = ""
    city: str = ""


@dataclass(frozen=True)
class Hit:
    """Holds one event: how many ms after the visit began it happened, its address, and what it says."""

    after: int
    path: str = "/"
    name: str = "pageview"
    query: str = ""
    referrer: str = ""
    engaged_ms: int = 0
    scroll_pct: int = 0
    props: dict[str, str] = field(default_factory=dict)
    vitals: dict[str, float] = field(default_factory=dict)
    cents: int = 0
    currency: str = ""
    bot: str = ""
    bot_reasons: int = 0
    bot_name: str = ""
    bot_purpose: str = ""


@dataclass(frozen=True)
class Visit:
    """Holds one visit of a client: when it began (unix ms), and its events."""

    client: str
    began: int
    hits: Sequence[Hit]
    agent: Agent = Agent()
    user: str = ""


@dataclass(frozen=True)
class Site:
    """Holds a site, its zone and its visits."""

    name: str
    zone: str
    visits: Sequence[Visit] = ()


def moment(zone: str, day: date, hour: int, minute: int = 0, second: int = 0) -> int:
    """Returns the unix ms of a local time; of the first, where clocks show it twice."""
    return int(datetime.combine(day, time(hour, minute, second), ZoneInfo(zone)).timestamp() * 1000)


def visitor(site: str, client: str, day: date) -> int:
    """Returns the number of a client on a local day; it has no other day's."""
    return int.from_bytes(hashlib.sha256(f"{site} {client} {day}".encode()).digest()[:8], "big")


def rows(sites: Iterable[Site]) -> Iterator[dict[str, Any]]:
    """Returns the rows of `forebay.events`, as an INSERT gives them."""
    for site in sites:
        zone = ZoneInfo(site.zone)
        for visit in site.visits:
            first = visitor(site.name, visit.client, datetime.fromtimestamp(visit.began / 1000, zone).date())
            session = visit.began // 1000 << 32 | first & 0xFFFFFFFF
            for hit in visit.hits:
                ts = visit.began + hit.after
                day = datetime.fromtimestamp(ts / 1000, zone).date()
                yield _row(site.name, visit, hit, ts) | {
                    "visitor_id": visitor(site.name, visit.client, day),
                    "session_id": session,
                }


def _row(site: str, visit: Visit, hit: Hit, ts: int) -> dict[str, Any]:
    agent, at = visit.agent, datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    is_internal = f"//{site}/" in hit.referrer
    return {
        "site": site,
        "name": hit.name,
        "ts": at,
        "received_at": at,
        "user_id": visit.user,
        "url": f"https://{site}{hit.path}{hit.query and '?' + hit.query}",
        "referrer_url": hit.referrer,
        "url_flags": INTERNAL_REFERRER if is_internal else 0,
        "language": agent.language,
        "screen_w": agent.screen_w,
        "screen_h": agent.screen_w * 9 // 16,
        "revenue_e4": hit.cents * 100,
        "currency": hit.currency,
        "engaged_ms": hit.engaged_ms,
        "scroll_pct": hit.scroll_pct,
        "props": hit.props,
        "vitals": hit.vitals,
        "dialect": "forebay",
        "bot": hit.bot,
        "bot_reasons": hit.bot_reasons,
        "bot_name": hit.bot_name,
        "bot_purpose": hit.bot_purpose,
        "country": agent.country,
        "region": agent.region,
        "city": agent.city,
        "browser": agent.browser,
        "browser_version": agent.browser_version,
        "os": agent.os,
        "os_version": agent.os_version,
        "device": agent.device,
    }


def insert(sites: Iterable[Site]) -> tuple[str, bytes]:
    """Returns an INSERT and the body that goes with it."""
    made = list(rows(sites))
    return f"INSERT INTO forebay.events ({', '.join(made[0])}) FORMAT JSONEachRow", b"\n".join(
        map(msgspec.json.encode, made)
    )


def days(since: date, until: date) -> list[date]:
    """Returns the dates of a range, both included."""
    return [since + timedelta(days=number) for number in range((until - since).days + 1)]
