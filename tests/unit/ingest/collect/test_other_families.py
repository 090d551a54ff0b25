"""What the collector does for dialects other than the native one: forks, what is unsupported, keys of sites, endpoints."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import msgspec
import zstandard

from ingest.collect.sites import Sites
from ingest.dialects.contract import Answer, Decoded, Endpoint, Fates, Fork, Item, Unsupported
from ingest.dialects.event import Event, Limits
from ingest.dialects.native import Native
from ingest.dialects.reading import json_of
from ingest.dialects.request import Head, Rejected
from ingest.dialects.table import TableRow
from ingest.fates import Reason
from tests.support.collecting import BROWSER, Bench


class Foreign(Native):
    """A dialect that says what it is, and knows things that it does not keep."""

    def __init__(self, name: str) -> None:
        super().__init__(Limits())
        self.name = name
        self.route = f"/{name}"

    def decode(self, head: Head, body: bytes) -> Decoded:
        said = json_of(body)
        if said == "broken":
            raise Rejected(Reason.NOT_AN_EVENT)
        items = [self._one(one) for one in said]
        return Decoded(items, len(items) > 1, len(body))

    def _one(self, said: Any) -> Item:
        if said == "bad":
            return Reason.INVALID_FIELD
        return Event(site=said["site"]) if isinstance(said, dict) else Unsupported.named(said)

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        return Answer(200, (), f"{self.name}: {[fate.value if fate else 'fine' for fate in fates]}".encode())

    def refusal(self, head: Head, reason: Reason) -> Answer:
        return Answer(418, (), f"{self.name}: {reason}".encode())


class Config(Endpoint):
    name, route = "config", "/config"

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        return Answer(200, ((b"cache-control", b"no-store"),), b"for " + head.path.split(b"/")[2])


ONE, TWO, THREE = Foreign("one"), Foreign("two"), Foreign("three")
FORK = Fork(
    ONE, (lambda head, opening: b'"two' in opening, TWO), (lambda head, opening: b"x-retry-count" in head.fields, THREE)
)
ROWS = (
    TableRow("POST", "/batch", FORK),
    TableRow("POST", "/one", ONE),
    TableRow("GET", "/config/*/settings", Config(Limits())),
)


async def ready(**more: Any) -> Bench:
    return await Bench(routes=ROWS, **more).ready()


async def test_what_is_unsupported_is_counted_by_name_and_succeeds() -> None:
    """It becomes no row, costs no neighbour, and its client hears nothing of it."""
    bench = await ready()
    collected = bench.post(
        [{"site": "example.com"}, "$heatmap", "bad", {"site": "nobody.example"}, "$heatmap"], target=b"/one"
    )
    assert collected.body == b"one: ['fine', 'fine', 'invalid_field', 'unknown_site', 'fine']"
    assert [row.site for _, row in collected.rows] == ["example.com"]
    assert bench.counts.unsupporteds == {("one", "$heatmap"): 2}
    assert bench.reasons == {Reason.INVALID_FIELD: 1, Reason.UNKNOWN_SITE: 1}


async def test_a_request_may_hold_nothing_but_what_is_unsupported() -> None:
    """Alone, it is answered as a success, without a row."""
    bench = await ready()
    collected = bench.post(["$snapshot\x1b" + "x" * 100], target=b"/one")
    assert (collected.status, collected.body, collected.rows) == (200, b"one: ['fine']", [])
    assert bench.counts.unsupporteds == {("one", ("$snapshot?" + "x" * 100)[:64]): 1}


async def test_a_fork_chooses_for_each_request() -> None:
    """By the first bytes of the decoded body, and by the head; the rows and the answer are of the one that is chosen."""
    bench = await ready()
    site = {"site": "example.com"}
    for body, headers, name in (
        ([site], [], "one"),
        ([site, "two"], [], "two"),
        ([site], [(b"X-Retry-Count", b"1")], "three"),
    ):
        collected = bench.post(body, target=b"/batch", headers=headers)
        assert collected.body.startswith(name.encode())
        assert [row.dialect for _, row in collected.rows] == [name]


async def test_a_fork_looks_into_compressed_bodies() -> None:
    """Announced or not, in any coding; a damaged one, and one that hides beyond the beginning, are the first dialect's."""
    bench = await ready()
    text = msgspec.json.encode(["two"])

    def chosen(body: bytes, coding: bytes) -> str:
        return FORK.choose(bench.collector._reader.head("POST", b"/batch", [(b"Content-Encoding", coding)]), body).name

    raw = zlib.compressobj(wbits=-15)
    assert chosen(gzip.compress(text), b"") == "two"
    assert chosen(gzip.compress(text), b"gzip") == "two"
    assert chosen(zlib.compress(text), b"deflate") == "two"
    assert chosen(raw.compress(text) + raw.flush(), b"deflate") == "two"
    assert chosen(zstandard.ZstdCompressor().compress(text), b"zstd") == "two"
    for coding in (b"gzip", b"deflate", b"zstd", b"br"):
        assert chosen(b"\x00nothing", coding) == "one"
    assert chosen(b"[" + b" " * 2_000 + text[1:], b"") == "one"


async def test_a_refused_body_is_answered_by_the_chosen_dialect() -> None:
    """And one that was not read to its end by the first."""
    bench = await ready()
    broken = msgspec.json.encode("broken")
    assert bench.post(broken, target=b"/batch", headers=[(b"X-Retry-Count", b"1")]).body == b"three: not_an_event"
    asked = bench.collector.asked("POST", b"/batch", BROWSER)
    assert asked is not None
    assert bench.collector.refused(asked, Reason.BODY_TOO_LARGE).body == b"one: body_too_large"


async def test_an_endpoint_answers_and_counts_nothing() -> None:
    """Its path may have a key in it; another method is answered as on all paths."""
    bench = await ready()
    found = bench.collect("GET", b"/config/WK123/settings", BROWSER, b"", "203.0.113.7")
    assert (found.status, found.body, found.rows) == (200, b"for WK123", [])
    assert (b"access-control-allow-origin", b"https://example.com") in found.headers
    assert bench.collect("POST", b"/config/WK123/settings", BROWSER, b"", "203.0.113.7").status == 405
    assert bench.collect("GET", b"/config/WK123", BROWSER, b"", "203.0.113.7").status == 404
    assert not bench.reasons


async def test_a_preflight_names_the_headers_that_it_is_asked_for() -> None:
    """A browser takes no wildcard for Authorization."""
    bench = await ready()
    asked = b"authorization,content-type,x-retry-count"
    headers = [*BROWSER, (b"Access-Control-Request-Headers", asked)]
    found = bench.collect("OPTIONS", b"/batch", headers, b"", "203.0.113.7")
    assert found.status == 204
    assert (b"access-control-allow-headers", asked) in found.headers


async def test_a_key_of_nobody_is_an_unknown_site() -> None:
    """Also where any site is accepted: a key is no host. What was refused is noted as the client gave it."""
    bench = await ready(sites=Sites(named=["*"], privacy="count"))
    collected = bench.post([{"site": "posthog:phc_AbC"}, {"site": "a.example"}], target=b"/one")
    assert collected.body == b"one: ['unknown_site', 'fine']"
    assert bench.rejections.take() == {("unknown_site", "posthog:phc_AbC"): 1}
