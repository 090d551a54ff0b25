"""Both lanes over a real loopback socket: bodies of every kind of bad, answers, caps and headers."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
from collections.abc import AsyncIterator

import msgspec
import pytest
import uvloop

from ingest.collect.sites import Sites
from ingest.fates import Reason, Shed
from schemas.site import Exclusions, RegisteredSite
from tests.support.collecting import URL
from tests.support.remembering import Source
from tests.support.serving import GOOD, LANES, SCRIPT, SECONDS, SQUEEZED, Served, closed, head, serving
from tests.support.waiting import until

# The hook that replaces the fixture speaks for every test of the repository; these ask for one loop each.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy.:DeprecationWarning")
ORIGIN = {"Origin": "https://example.com"}


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest) -> str:
    """Both lanes answer alike."""
    return str(request.param)


@pytest.fixture
def event_loop_policy(lane: str) -> asyncio.AbstractEventLoopPolicy:
    """The fast lane on the loop it runs on; test_server.py has it on both."""
    return uvloop.EventLoopPolicy() if lane == "fast" else asyncio.DefaultEventLoopPolicy()


@pytest.fixture
async def served(lane: str) -> AsyncIterator[Served]:
    async with serving(lane) as running:
        yield running


async def test_an_event_is_answered_and_stored(served: Served) -> None:
    """202, nothing in it, and the row is where rows go."""
    async with served.session.post(served.url + "/f", data=GOOD, headers=ORIGIN) as answer:
        assert (answer.status, await answer.read()) == (202, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://example.com"
    assert [row.site for row in served.store.rows] == ["example.com"]
    assert served.bench.counts.requests["/f", 202] == 1


async def test_nothing_is_answered_before_it_is_durable(served: Served) -> None:
    """While append waits, the client waits (I1)."""
    served.store.gate.clear()
    asking = asyncio.ensure_future(served.session.post(served.url + "/f", data=GOOD))
    await until(lambda: served.store.waiting == 1)
    assert not asking.done()
    assert served.budget.held >= len(GOOD)
    served.store.gate.set()
    assert (await asking).status == 202


async def test_shed_events_are_answered_503(served: Served) -> None:
    """With Retry-After and CORS, and nothing is stored."""
    served.store.answer = Shed.QUEUE_FULL
    async with served.session.post(served.url + "/f", data=GOOD, headers=ORIGIN) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://example.com"
    assert served.bench.counts.sheds == {Shed.QUEUE_FULL: 1}


async def test_bodies_are_decompressed_by_us_alone(served: Served) -> None:
    """The library must leave the coding to what bounds it: once is enough, and a bomb is refused."""
    for body, status in ((gzip.compress(GOOD), 202), (gzip.compress(bytes(50 << 20)), 413), (GOOD, 400)):
        async with served.session.post(served.url + "/f", data=body, headers={"Content-Encoding": "gzip"}) as answer:
            assert answer.status == status
    assert len(served.store.rows) == 1


async def test_a_chunked_body_is_one(served: Served) -> None:
    """Without a length the limit holds as the chunks come."""

    async def chunks(count: int) -> AsyncIterator[bytes]:
        yield GOOD[:5]
        yield GOOD[5:]
        for _ in range(count):
            yield b" " * 10_000

    for count, status in ((0, 202), (2, 202), (30, 413)):
        async with served.session.post(served.url + "/f", data=chunks(count)) as answer:
            assert answer.status == status
    assert served.bench.reasons == {Reason.BODY_TOO_LARGE: 1}


async def test_a_length_over_the_limit_is_refused_unread(served: Served) -> None:
    """The answer comes before the body does."""
    answer = await served.raw(head(100_001, "Origin: https://example.com\r\n"), is_refused=True)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert (
        b"Access-Control-Allow-Origin: https://example.com" in answer
        or b"access-control-allow-origin: https://example.com" in answer
    )
    assert answer.endswith(b'{"reason":"body_too_large"}')
    assert served.bench.reasons == {Reason.BODY_TOO_LARGE: 1}


async def test_a_client_that_asks_first_is_told_at_once(served: Served) -> None:
    """Expect: 100-continue is how curl avoids sending a megabyte for nothing."""
    refused = await served.raw(head(100_001, "Expect: 100-continue\r\n"), is_refused=True)
    assert refused.startswith(b"HTTP/1.1 413 ")
    allowed = await served.raw(head(len(GOOD), "Expect: 100-continue\r\n") + GOOD)
    assert allowed.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 ")
    odd = await served.raw(head(len(GOOD), "Expect: miracles\r\n") + GOOD)
    assert odd.startswith(b"HTTP/1.1 417 ")


async def test_a_slow_body_times_out(lane: str) -> None:
    """408, counted, and its connection is closed."""
    async with serving(lane, body_seconds_max=0.05) as served:
        answer = await served.raw(head(len(GOOD)) + GOOD[:-1], is_refused=True)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body_incomplete" in answer
        assert served.bench.reasons == {Reason.BODY_INCOMPLETE: 1}


async def test_a_body_that_is_cut_off_is_counted(served: Served) -> None:
    """Nobody is there to answer; nothing is stored."""
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(head(len(GOOD)) + GOOD[:-1])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await until(lambda: served.bench.reasons == {Reason.BODY_INCOMPLETE: 1})
    assert served.store.rows == []


async def test_what_follows_a_body_is_another_request(served: Served) -> None:
    """Bytes after the declared length never become part of it."""
    answer = await served.raw(head(len(GOOD)).replace(b"Connection: close\r\n", b"") + GOOD + head(2) + b"{}")
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"202", b"400"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
        b"POST /f HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
        b"GET /f.gif?title=" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_bad_http_is_a_400(served: Served, request_bytes: bytes) -> None:
    """Whatever stands in it, it is the client's fault and it ends there."""
    answer = await served.raw(request_bytes)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer
    assert served.store.rows == []


async def test_random_bytes_never_are_our_fault(served: Served) -> None:
    """As bodies, over one connection."""
    dice = random.Random(7)
    for _ in range(100):
        body = dice.choice([b"", b"{", b'[{"url":"']) + dice.randbytes(dice.randrange(200))
        async with served.session.post(served.url + "/f", data=body) as answer:
            assert 200 <= answer.status < 500


async def test_a_body_without_room_is_shed(lane: str) -> None:
    """The process's memory is worth more than one request, compressed or not."""
    async with serving(lane, budget_bytes=10_000) as served:
        large = msgspec.json.encode([{"url": URL, "title": "x" * 300}] * 50)
        for body, headers in ((large, {}), (gzip.compress(large), {"Content-Encoding": "gzip"}), (GOOD, {})):
            async with served.session.post(served.url + "/f", data=body, headers=headers) as answer:
                assert answer.status == (202 if body is GOOD else 503)
        assert served.bench.counts.sheds == {Shed.MEMORY: 1 + 50}
        assert len(served.store.rows) == 1


async def test_connections_over_the_cap_are_told_so(lane: str) -> None:
    """The next one is closed with 503, and there is room again when one leaves."""
    async with serving(lane, connections_max=1) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(head(len(GOOD)).replace(b"Connection: close\r\n", b"") + GOOD)
        assert (await reader.readline()).startswith(b"HTTP/1.1 202")
        assert (await served.raw(b"")).startswith(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\n")
        assert served.bench.counts.connections_refused == 1
        writer.close()
        await writer.wait_closed()

        async def is_served() -> bool:
            with contextlib.suppress(ConnectionError):
                return (await served.raw(head(len(GOOD)) + GOOD)).startswith(b"HTTP/1.1 202")
            return False

        async with asyncio.timeout(60):
            while not await is_served():
                await asyncio.sleep(0.005)


async def test_peers_of_both_kinds_are_one_visitor(lane: str) -> None:
    """A dual-stack socket calls an IPv4 peer ::ffff:127.0.0.1."""
    async with serving(lane, host="::") as served:
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"):
            async with served.session.post(f"http://{host}:{served.port}/f", data=GOOD) as answer:
                assert answer.status == 202
        four, mapped, six = (row.visitor_id for row in served.store.rows)
        assert four == mapped != six


async def test_what_a_site_leaves_out_is_answered_as_taken_and_never_stored(lane: str) -> None:
    """On one connection whose head is known again, with events of the same site beside it: each has one fate."""
    source = Source()
    rules = (Exclusions(paths=("/admin",)), Exclusions(addresses=("127.0.0.0/8",)))
    source.registered |= {f"{at}.example": RegisteredSite(exclusions=one).encode() for at, one in enumerate(rules)}
    sites = Sites(named=[], privacy="count", source=source)
    await sites.refresh()
    urls = ["https://0.example/", "https://0.example/admin", "https://1.example/", URL]
    async with serving(lane, sites=sites) as served:
        for url in urls * 3:
            async with served.session.post(served.url + "/f", data=msgspec.json.encode({"url": url})) as answer:
                is_out = url in urls[1:3]
                assert (answer.status, await answer.read()) == (202, b'{"reason":"excluded"}' if is_out else b"")
        assert [row.url for row in served.store.rows] == [urls[0], urls[3]] * 3
        counted = served.bench.counts.rejections
        assert counted == {("0.example", Reason.EXCLUDED): 3, ("1.example", Reason.EXCLUDED): 3}


async def test_the_picture_and_a_preflight(served: Served) -> None:
    """The other collecting methods pass through as well."""
    async with served.session.get(served.url + "/f.gif?site=example.com&name=open") as answer:
        assert (answer.status, answer.content_type, len(await answer.read())) == (200, "image/gif", 43)
    async with served.session.options(served.url + "/f", headers=ORIGIN) as answer:
        assert (answer.status, answer.headers["Access-Control-Max-Age"]) == (204, "86400")
    async with served.session.put(served.url + "/f", data=GOOD) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST, OPTIONS")
    asked = await served.raw(b"HEAD /f.gif?site=example.com HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (asked[9:12], asked[-4:]) == (b"200", b"\r\n\r\n"), "a head, and no picture behind it"
    assert b"content-length: 43" in asked.lower()
    assert (await served.raw(b"GET http://x/f.gif?site=example.com HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))[
        9:12
    ] == b"200"
    assert [row.name for row in served.store.rows] == ["open", "pageview"]


async def test_a_version_is_kept_for_ever(served: Served) -> None:
    """Its path stands for its bytes, so a browser never asks again; also where it asks with the tag that it has."""
    for headers in ({}, {"If-None-Match": "*"}):
        async with served.session.get(served.url + "/f.0.js", headers=headers) as answer:
            assert answer.status == (304 if headers else 200)
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, br", "br"),
        ("*", "br"),
        ("br;q=0, *", "gzip"),
        ("gzip", "gzip"),
        ("gzip;q=0", ""),
        ("zstd", ""),
        ("", ""),
    ],
)
async def test_the_tracker_is_cached_and_compressed(served: Served, accepted: str, coding: str) -> None:
    """In the form the browser takes, with its own tag; the tag saves the body."""
    headers = {"Accept-Encoding": accepted, **ORIGIN}
    async with served.session.get(served.url + "/f.js", headers=headers) as answer:
        body = await answer.read()
        assert answer.headers.get("Content-Encoding", "") == coding
        assert (SQUEEZED if coding == "br" else SCRIPT) == (gzip.decompress(body) if coding == "gzip" else body)
        assert answer.content_type == "text/javascript"
        assert answer.headers["Cache-Control"] == "public, max-age=3600"
        assert answer.headers["Access-Control-Allow-Origin"] == "https://example.com"
        assert set(answer.headers.getall("Vary")) == {"Origin", "Accept-Encoding"}
        tag = answer.headers["ETag"]
    async with served.session.get(
        served.url + "/f.js", headers={**headers, "If-None-Match": f'"x", W/{tag}'}
    ) as answer:
        assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", tag)
    async with served.session.post(served.url + "/f.js") as answer:
        assert answer.status == 405
    async with served.session.get(served.url + "/f.debug.js", headers={"Accept-Encoding": "br"}) as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, "text/javascript", SCRIPT)


async def test_only_collecting_and_tracker_answers_have_cors(served: Served) -> None:
    """The demo page and what is not there are nobody else's to read."""
    async with served.session.get(served.url + "/", headers=ORIGIN) as answer:
        assert (answer.status, await answer.read()) == (200, b"<html>demo</html>")
        assert "Access-Control-Allow-Origin" not in answer.headers
    for path in ("/nothing", "/f/", "/metrics", "/F"):
        async with served.session.post(served.url + path, data=GOOD, headers=ORIGIN) as answer:
            assert answer.status == 404
            assert "Access-Control-Allow-Origin" not in answer.headers
    assert served.store.rows == []


async def test_no_log_says_who_came_with_what(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Not an address, not a URL, not a user agent, not a body, at any level."""
    caplog.set_level(0)
    for body in (GOOD, b"secret", b'{"url":"https://secret.example/"}'):
        async with served.session.post(
            served.url + "/f?secret=1", data=body, headers={"User-Agent": "secret"}
        ) as answer:
            await answer.read()
    assert "secret" not in caplog.text
    assert "127.0.0.1" not in caplog.text


async def test_what_is_no_http_is_counted_and_not_repeated_in_the_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """A request line with raw UTF-8 is 400 and counted; no log line holds a piece of it, nor the peer's address."""
    answer = await served.raw("GET /f.gif?url=https://canary.test/… HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.split(b" ")[1] == b"400"
    assert served.bench.counts.rejections == {("", Reason.MALFORMED_REQUEST): 1}
    assert "canary" not in caplog.text
    assert "127.0.0.1" not in caplog.text


@pytest.mark.parametrize(
    "head_bytes",
    [
        b"POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /f HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /f.gif?site=a&url=http://a/ HTTP/0.9\r\nHost: x\r\n\r\n",
    ],
)
async def test_a_length_that_can_be_read_in_two_ways_is_refused(served: Served, head_bytes: bytes) -> None:
    """What a proxy and we might read differently is 400, counted, and the connection ends."""
    answer = await served.raw(head_bytes)
    assert answer.split(b" ")[1] == b"400"
    assert served.bench.counts.rejections == {("", Reason.MALFORMED_REQUEST): 1}
    assert served.store.rows == []


async def test_an_offer_to_upgrade_costs_nobody_an_answer(lane: str) -> None:
    """Java's client offers h2c with every first request; nothing behind it may be left waiting."""
    offer = "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    async with serving(lane) as served:
        for target in ("/f.gif?site=example.com", "/f.js"):
            answer = await served.raw(
                f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n{offer}\r\n".encode()
                + head(len(GOOD))
                + GOOD
            )
            assert answer.startswith(b"HTTP/1.1 200 ")
            is_last = b"connection: close" in answer.lower().split(b"\r\n\r\n")[0]
            assert is_last or b"HTTP/1.1 202 " in answer


async def test_a_last_answer_survives_what_the_client_sent_behind_it() -> None:
    """A close with bytes unread would reset the connection, and the reset can overtake the answer."""
    async with serving() as served:
        served.store.gate.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(head(len(GOOD)) + GOOD + b"x" * 3_000_000)
        await until(lambda: served.store.waiting)
        served.store.gate.set()
        async with asyncio.timeout(SECONDS):
            assert (await reader.read()).startswith(b"HTTP/1.1 202 ")
        await closed(writer)


async def test_heads_of_requests_that_wait_are_held_in_the_budget() -> None:
    """A head of 24 kB with a small body takes 40 kB until its answer. One that is known again is held once."""
    async with serving() as served:
        served.store.gate.clear()
        writers = []
        for more in ("a", "b", "b"):
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writers.append(writer)
            pad = "".join(f"X-{at}: {more * 1_000}\r\n" for at in range(3))
            writer.write(f"POST /f HTTP/1.1\r\nHost: x\r\n{pad}Content-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD)
            await until(lambda: served.store.waiting == len(writers))
        assert 6_000 < served.budget.held < 9_000
        served.store.gate.set()
        for writer in writers:
            await closed(writer)
