"""Where a server of Amplitude, Mixpanel, GA4 and Snowplow writes its server key, and what it may say with one."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from ingest.collect.sites import Sites
from ingest.fates import Reason
from schemas.reasons import EXPLAINED
from schemas.site import RegisteredSite
from tests.support.collecting import NOON, Bench, Collected
from tests.support.server_keys import KeyStore

SITE, KEYS = "shop.example", ("amplitude:K", "ga4:G-1", "mixpanel:K", "snowplow:K")
OLD = NOON - 40 * 86_400_000  # older than an event may be without a key
WRONG = "fbk_" + "0" * 10 + "_" + "0" * 43
AGENT = (b"user-agent", b"python-requests/2.32.0")


class Registry:
    """Gives one site the keys of all families."""

    async def sites(self) -> dict[str, bytes]:
        return {SITE: RegisteredSite(keys=KEYS).encode()}


def amplitude(key: str, ms: int) -> dict[str, Any]:
    event = {"event_type": "a", "user_id": "u", "time": ms, "insert_id": "i"}
    return {"target": b"/2/httpapi", "body": {"api_key": f"K:{key}".rstrip(":"), "events": [event]}}


def mixpanel(key: str, ms: int) -> dict[str, Any]:
    event = {"event": "a", "properties": {"token": "K", "distinct_id": "u", "time": ms, "$insert_id": "i"}}
    basic = b"Basic " + base64.b64encode(f"account:{key}".encode())
    return {"target": b"/import?strict=1", "body": [event], "headers": [(b"authorization", basic)]}


def ga4(key: str, ms: int) -> dict[str, Any]:
    body = {"client_id": "c", "user_id": "u", "timestamp_micros": ms * 1_000, "events": [{"name": "a"}]}
    return {"target": f"/mp/collect?measurement_id=G-1&api_secret={quote(key or 's')}".encode(), "body": body}


def snowplow(key: str, ms: int) -> dict[str, Any]:
    event = {"e": "se", "se_ca": "x", "se_ac": "a", "aid": "K", "uid": "u", "eid": "i", "dtm": str(ms)}
    headers = [(b"authorization", f"Bearer {key}".encode())]
    return {"target": b"/com.snowplowanalytics.snowplow/tp2", "body": {"data": [event]}, "headers": headers}


FAMILIES = pytest.mark.parametrize("family", [amplitude, mixpanel, ga4, snowplow], ids=lambda family: family.__name__)


async def ready(store: KeyStore) -> Bench:
    sites = Sites(named=[], privacy="count", source=Registry())
    bench = await Bench(sites=sites, keys=await store.read()).ready()
    await sites.refresh()
    return bench


def send(bench: Bench, target: bytes, body: Any, headers: Any = ()) -> Collected:
    return bench.collect("POST", target, [AGENT, *headers], msgspec.json.encode(body), "203.0.113.7")


@FAMILIES
async def test_only_with_a_key_an_event_may_be_old(family: Any) -> None:
    """Its key stands where the family's SDK has a place for one."""
    store = KeyStore()
    key = store.add(SITE)
    bench = await ready(store)
    [(_, row)] = send(bench, **family(key, OLD)).rows
    assert (row.name, row.ts, row.user_id, row.site) == ("a", OLD, "u", SITE)
    refused = send(bench, **family("", OLD))
    assert (refused.rows, refused.status) == ([], 400)
    assert len(send(bench, **family("", NOON)).rows) == 1


@FAMILIES
async def test_a_wrong_key_is_refused(family: Any) -> None:
    """With a status, and words, after which the client drops its events."""
    bench = await ready(KeyStore())
    refused = send(bench, **family(WRONG, NOON))
    assert (refused.rows, refused.status) == ([], 400 if family is amplitude else 401)
    assert (b"Invalid API key:" in refused.body) == (family is amplitude)


async def test_amplitude_is_told_of_a_key_of_another_site() -> None:
    """In other words than of a site that is not known."""
    store = KeyStore()
    key = store.add("other.example")
    bench = await ready(store)
    refused = send(bench, **amplitude(key, NOON))
    assert (refused.rows, refused.status) == ([], 400)
    assert EXPLAINED[Reason.WRONG_KEY].encode() in refused.body


NOTHING_KEPT: dict[str, tuple[bytes, Any]] = {
    "amplitude": (b"/2/httpapi", {"api_key": "KEY", "events": [{"event_type": "session_start", "device_id": "d"}]}),
    "mixpanel": (b"/track", [{"event": "$mp_click", "properties": {"token": "KEY"}}]),
    "posthog": (b"/e/", {"api_key": "KEY", "batch": [{"event": "$autocapture", "properties": {"distinct_id": "d"}}]}),
    "segment": (b"/v1/batch", {"writeKey": "KEY", "batch": [{"type": "delete", "userId": "u"}]}),
}


@pytest.mark.parametrize(
    ("family", "key"), [(family, "nobody") for family in NOTHING_KEPT] + [("amplitude", "K"), ("mixpanel", "K")]
)
async def test_a_key_that_nobody_registered_is_refused_whatever_it_comes_with(family: str, key: str) -> None:
    """Also with nothing that becomes an event: its owner would never hear of it, and the SDK would go on."""
    target, said = NOTHING_KEPT[family]
    body = msgspec.json.decode(msgspec.json.encode(said).replace(b'"KEY"', f'"{key}"'.encode()))
    bench = await ready(KeyStore())
    found = send(bench, target, body)
    is_taken = key == "K"
    assert (found.rows, found.status == 200) == ([], is_taken)
    assert dict(bench.counts.rejections) == ({} if is_taken else {("", Reason.UNKNOWN_SITE): 1})
    if not is_taken:
        assert bench.rejections.take() == {("unknown_site", f"{family}:nobody"): 1}
