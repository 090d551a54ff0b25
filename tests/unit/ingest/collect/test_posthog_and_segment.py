"""PostHog's and Segment's clients as far as the collector: whose events they are, from a server and without its key, and once."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import msgspec
import pytest

from ingest.collect.sites import Sites
from ingest.fates import Reason
from schemas.site import RegisteredSite
from tests.support.collecting import NOON, Bench, Collected
from tests.support.server_keys import KeyStore

OLD = "2026-01-02T03:04:05.000Z"  # eleven months before NOON
OLD_MS = 1_767_323_045_000
SENT = "2026-12-31T12:00:00.000Z"  # NOON
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
NODE = (b"User-Agent", b"posthog-node/5.70.0")
SEGMENT_NODE = (b"User-Agent", b"analytics-node-next/latest")
JSON = (b"Content-Type", b"application/json")


class Registry:
    """Gives one site a key of each family."""

    async def sites(self) -> dict[str, bytes]:
        return {"example.com": RegisteredSite(keys=("posthog:phc_w1", "segment:WK1")).encode()}


async def ready() -> tuple[Bench, str]:
    """Returns a collector, and a server key of the site."""
    store = KeyStore()
    key = store.add("example.com")
    sites = Sites(named=[], privacy="count", source=Registry())
    bench = await Bench(sites=sites, keys=await store.read()).ready()
    await sites.refresh()
    return bench, key


def posthog(bench: Bench, key: str, *events: dict[str, Any], target: bytes = b"/batch/") -> Collected:
    body = gzip.compress(msgspec.json.encode({"api_key": key, "batch": list(events), "sent_at": SENT}))
    return bench.post(body, target=target, headers=[JSON, NODE, (b"Content-Encoding", b"gzip")])


def segment(bench: Bench, key: str, *messages: dict[str, Any]) -> Collected:
    basic = (b"Authorization", b"Basic " + base64.b64encode(f"{key}:".encode()))
    return bench.post(
        {"batch": list(messages), "sentAt": SENT}, target=b"/v1/batch", headers=[JSON, SEGMENT_NODE, basic]
    )


OF_POSTHOG = {
    "event": "purchase", "distinct_id": "user-42", "uuid": "u-1", "timestamp": OLD,
    "properties": {
        "$current_url": "https://example.com/checkout", "$ip": "198.51.100.9", "$raw_user_agent": PHONE, "revenue": 49.9,
        "$lib": "posthog-node",
    },
}  # fmt: skip
OF_SEGMENT = {
    "type": "track", "event": "Order Completed", "userId": "user-42", "messageId": "u-1", "timestamp": OLD,
    "properties": {"revenue": 49.9},
    "context": {"ip": "198.51.100.9", "userAgent": PHONE, "page": {"url": "https://example.com/checkout"}},
}  # fmt: skip


@pytest.mark.parametrize(("send", "public", "event"), [(posthog, "phc_w1", OF_POSTHOG), (segment, "WK1", OF_SEGMENT)])
async def test_a_server_with_a_key_says_whose_event_it_was_and_when(
    send: Any, public: str, event: dict[str, Any]
) -> None:
    """It writes its key behind the site's, because its SDK has one setting for a key."""
    bench, key = await ready()
    [(_, row)] = send(bench, f"{public}:{key}", event).rows
    assert (row.site, row.ts, row.user_id, row.event_id) == ("example.com", OLD_MS, "user-42", "u-1")
    assert (row.revenue_e4, row.currency, row.device, row.os, row.bot) == (499_000, "USD", "mobile", "iOS", "")


@pytest.mark.parametrize(
    ("send", "public", "event", "status"), [(posthog, "phc_w1", OF_POSTHOG, 400), (segment, "WK1", OF_SEGMENT, 400)]
)
async def test_without_a_key_a_server_says_neither(send: Any, public: str, event: dict[str, Any], status: int) -> None:
    """An old moment is refused, counted and answered so that it does not come again; a new one is the server's own."""
    bench, _ = await ready()
    assert send(bench, public, event).status == status
    assert bench.reasons == {Reason.TOO_OLD: 1}
    [(_, row)] = send(bench, public, event | {"timestamp": SENT}).rows
    assert (row.ts, row.user_id, row.device, row.bot) == (NOON, "user-42", "", "")


@pytest.mark.parametrize(("send", "public", "event"), [(posthog, "phc_w1", OF_POSTHOG), (segment, "WK1", OF_SEGMENT)])
async def test_a_wrong_server_key_is_refused(send: Any, public: str, event: dict[str, Any]) -> None:
    """A server whose key was revoked must not be counted as one visitor."""
    bench, key = await ready()
    other = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert send(bench, f"{public}:{other}", event, event).status == 401
    assert bench.reasons == {Reason.WRONG_KEY: 2}


async def test_users_of_a_server_are_visitors_of_their_own() -> None:
    """They share its address, and would be one visitor with one visit otherwise."""
    bench, _ = await ready()
    people = [OF_POSTHOG | {"distinct_id": name, "uuid": name, "timestamp": SENT} for name in ("ada", "bob", "ada")]
    found = [row.visitor_id for _, row in posthog(bench, "phc_w1", *people).rows]
    assert found[0] == found[2] != found[1]


async def test_a_visitor_stays_one_when_identified() -> None:
    """The visitor is the device, and an alias of it finds the same number."""
    bench, _ = await ready()
    device = {"$device_id": "d-1", "$lib": "web", "$session_id": "01a2062a-7b8d-7be3-a640-5f1987730be0"}
    page = {"event": "$pageview", "properties": device | {"distinct_id": "d-1", "$current_url": "https://example.com/"}}
    known = {"distinct_id": "ada", "$is_identified": True}
    rows = posthog(
        bench,
        "phc_w1",
        page,
        {"event": "$identify", "properties": device | known | {"$anon_distinct_id": "d-1"}},
        {"event": "bought", "properties": device | known},
        {"event": "$create_alias", "distinct_id": "ada", "properties": {"alias": "d-1"}},
    ).rows
    assert len({row.visitor_id for _, row in rows}) == 1
    assert [(row.name, row.user_id) for _, row in rows] == [
        ("pageview", ""),
        ("identify", "ada"),
        ("bought", "ada"),
        ("alias", "ada"),
    ]


async def test_nobody_is_one_visitor_because_a_browser_keeps_no_id() -> None:
    """posthog-js without cookies gives everybody the same id, so they are known as the tracker knows them."""
    bench, _ = await ready()
    page = {"event": "$pageview", "properties": {"distinct_id": "$posthog_cookieless", "$lib": "web"}}
    [(_, one)] = posthog(bench, "phc_w1", page).rows
    body = msgspec.json.encode({"api_key": "phc_w1", "batch": [page]})
    [(_, other)] = bench.post(body, target=b"/e/", headers=[JSON], peer="203.0.113.8").rows
    assert one.visitor_id != other.visitor_id


@pytest.mark.parametrize(("send", "status"), [(posthog, 401), (segment, 403)])
async def test_a_key_of_nobody_is_refused_for_good_and_noted(send: Any, status: int) -> None:
    """4xx ends the client's tries; `forebay site list` shows the key."""
    bench, _ = await ready()
    event = OF_POSTHOG if send is posthog else OF_SEGMENT
    assert send(bench, "other", event).status == status
    assert bench.reasons == {Reason.UNKNOWN_SITE: 1}
    family = "posthog" if send is posthog else "segment"
    assert f"{family}:other" in str(bench.rejections.take())


async def test_what_is_no_event_is_counted_and_a_success() -> None:
    """A batch of nothing but clicks is taken for sent."""
    bench, _ = await ready()
    found = posthog(
        bench, "phc_w1", {"event": "$autocapture", "properties": {}}, {"event": "$exception", "properties": {}}
    )
    assert (found.status, found.body, found.rows) == (200, b'{"status":1}', [])
    assert bench.counts.unsupporteds == {("posthog", "$autocapture"): 1, ("posthog", "$exception"): 1}


async def test_a_preflight_of_segment_names_authorization() -> None:
    """A `*` would not cover it."""
    bench, _ = await ready()
    asked = [
        (b"Access-Control-Request-Method", b"POST"),
        (b"Access-Control-Request-Headers", b"authorization,content-type"),
    ]
    found = bench.post(b"", target=b"/v1/t", method="OPTIONS", headers=asked)
    assert found.status == 204
    assert dict(found.headers)[b"access-control-allow-headers"] == b"authorization,content-type"
    assert dict(found.headers)[b"access-control-allow-origin"] == b"https://example.com"
