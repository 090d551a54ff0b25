"""ingest/dialects/forks.py: each pair of families on one path is told apart by what its clients really send."""

from __future__ import annotations

import base64
import gzip
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from ingest.collect.sites import Sites
from ingest.dialects.amplitude import Amplitude
from ingest.dialects.contract import Fork
from ingest.dialects.event import Limits
from ingest.dialects.forks import is_amplitude, is_posthog
from ingest.dialects.mixpanel import Mixpanel
from ingest.dialects.posthog import PostHog
from ingest.dialects.request import FieldReader
from schemas.site import RegisteredSite
from tests.support.collecting import Bench

AMPLITUDE, MIXPANEL, POSTHOG = Amplitude(Limits()), Mixpanel(Limits()), PostHog(Limits())
BATCH = Fork(POSTHOG, (is_amplitude, AMPLITUDE))
TRACK = Fork(MIXPANEL, (is_posthog, POSTHOG))


def chosen(fork: Fork, body: bytes, target: bytes = b"/track/", coding: bytes = b"") -> Any:
    return fork.choose(FieldReader().head("POST", target, [(b"content-encoding", coding)]), body)


def json(said: Any) -> bytes:
    return msgspec.json.encode(said)


LONG = {"event": "x", "properties": {"text": "y" * 2_000}}


@pytest.mark.parametrize(
    ("body", "is_amplitudes"),
    [
        ({"api_key": "KEY", "events": [{"event_type": "a"}], "options": {}}, True),
        ({"api_key": "KEY", "events": [{"event_type": "a", "event_properties": {"batch": 1}}]}, True),
        ({"options": {}, "api_key": "KEY", "client_upload_time": "2026-11-29T07:19:27Z", "events": []}, True),
        ({"api_key": "phc_1", "batch": [{"event": "a", "properties": {"events": 1}}], "sent_at": "2026"}, False),
        ({"batch": [LONG], "historical_migration": False, "sentAt": "2026", "api_key": "phc_1"}, False),
        ({"api_key": "phc_1"}, False),
    ],
)
def test_a_batch_is_amplitudes_or_posthogs(body: Any, is_amplitudes: bool) -> None:
    """Whatever it is packed in."""
    expected = AMPLITUDE if is_amplitudes else POSTHOG
    packed = gzip.compress(json(body))
    assert chosen(BATCH, json(body)) is expected
    assert chosen(BATCH, packed) is expected
    assert chosen(BATCH, packed, coding=b"gzip") is expected


def coded(said: Any) -> bytes:
    return base64.b64encode(json(said))


MP = {
    "event": "a",
    "properties": {"$os": "Linux", "mp_lib": "web", "$lib_version": "2.83.0", "token": "TOKEN", "text": "???>>>"},
}
PH = {"event": "$pageview", "properties": {"$os": "Linux", "$lib": "web", "token": "phc_1"}}


@pytest.mark.parametrize("forms", ["json", "base64", "escaped", "blank", "in a query", "with fields"])
@pytest.mark.parametrize(("said", "is_posthogs"), [(MP, False), ([MP] * 9, False), (PH, True), ([PH] * 9, True)])
def test_an_event_is_mixpanels_or_posthogs(forms: str, said: Any, is_posthogs: bool) -> None:
    """In each of the forms in which both write."""
    body, target = json(said), b"/track/"
    if forms == "base64":
        body = b"data=" + coded(said)
    elif forms == "escaped":
        body = b"data=" + quote(coded(said), safe="").encode()
    elif forms == "blank":
        body = b"data=" + coded(said).replace(b"+", b" ")
    elif forms == "in a query":
        body, target = b"", b"/track?ip=0&data=" + quote(coded(said)).encode()
    elif forms == "with fields":
        body = b"verbose=1&ip=0&data=" + quote(json(said)).encode()
    assert chosen(TRACK, body, target) is (POSTHOG if is_posthogs else MIXPANEL)


@pytest.mark.parametrize("query", [b"compression=gzip-js", b"ip=1&_=5&ver=1.96.1", b"retry_count=2"])
def test_a_query_of_posthog_is_posthogs(query: bytes) -> None:
    """Also where the body says nothing."""
    assert chosen(TRACK, b"", b"/track/?" + query) is POSTHOG


@pytest.mark.parametrize(
    "body", [b"", b"data=", b"data=%", b"data=A", b"\xff\xfe", b"{", b"data=A===", b"\x1f\x8b\x08broken"]
)
def test_what_says_nothing_is_the_firsts(body: bytes) -> None:
    """And breaks nothing."""
    assert chosen(TRACK, body) is MIXPANEL
    assert chosen(BATCH, body) is POSTHOG


class Registry:
    """Gives one site the keys of the families."""

    async def sites(self) -> dict[str, bytes]:
        return {"shop.example": RegisteredSite(keys=("amplitude:KEY", "mixpanel:TOKEN", "posthog:phc_1")).encode()}


@pytest.mark.parametrize(
    ("path", "said", "dialect"),
    [
        ("/batch", {"api_key": "KEY", "events": [{"event_type": "a", "user_id": "u"}]}, "amplitude"),
        ("/batch/", {"api_key": "KEY", "events": [{"event_type": "a", "user_id": "u"}]}, "amplitude"),
        ("/batch", {"api_key": "phc_1", "batch": [{"event": "a", "distinct_id": "u"}]}, "posthog"),
        ("/batch/", {"api_key": "phc_1", "batch": [{"event": "a", "distinct_id": "u"}]}, "posthog"),
        ("/track", MP, "mixpanel"),
        ("/track/", [MP], "mixpanel"),
        ("/track/", {"api_key": "phc_1", "event": "a", "distinct_id": "u"}, "posthog"),
        ("/engage", {"$token": "TOKEN", "$append": {"$transactions": {"$amount": 5}}}, "mixpanel"),
        ("/engage/", [{"$token": "phc_1", "$distinct_id": "u", "$set": {"a": 1}}], "posthog"),
    ],
)
async def test_a_row_is_of_the_family_that_sent_it(path: str, said: Any, dialect: str) -> None:
    """Through the table of routes, as ingest reads it."""
    sites = Sites(named=[], privacy="count", source=Registry())
    bench = await Bench(sites=sites).ready()
    await sites.refresh()
    found = bench.post(said, target=path.encode())
    assert [(row.site, row.dialect) for _, row in found.rows] == [("shop.example", dialect)]
