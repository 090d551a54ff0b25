"""The list of sites, what one of them has, changes of that, health, probes, the page's files, and who is answered."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from forebay.clickhouse import ClickHouse
from schemas.redis.keys import REJECTED_LAST, SITES_KEY, rejected_key
from schemas.site import RegisteredSite
from tests.servers.dashboard.web.conftest import SITE, Browser, another
from tests.support.waiting import until

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def event(site: str, seconds_ago: int = 0) -> str:
    """Returns the SQL that stores a pageview."""
    at = int(time.time()) - seconds_ago
    return (
        "INSERT INTO forebay.events (site, name, url, ts, received_at, visitor_id, session_id, country)"
        f" SELECT '{site}', 'pageview', 'https://{site}/here', {at}, {at}, 1, bitShiftLeft(toUInt64({at}), 32), 'NP'"
    )


async def test_sites_are_listed_with_their_days(browser: Browser, seeded: ClickHouse) -> None:
    """Registered ones without events too, and those that have some where any site is accepted; each with 28 days."""
    await browser.redis.hset(SITES_KEY, "new.example", RegisteredSite().encode())
    seeded.run(event("list.example"))
    found = {site["name"]: site for site in await browser.get("/api/sites")}
    assert {SITE, "new.example", "list.example"} <= set(found)
    assert found["new.example"] == {
        "name": "new.example",
        "zone": "UTC",
        "visitors": 0,
        "pageviews": 0,
        "days": [0] * 28,
    }
    assert found["list.example"]["days"] == [0] * 27 + [1]
    assert (found["list.example"]["visitors"], found["list.example"]["pageviews"]) == (1, 1)
    assert found[SITE]["zone"] == "Asia/Kathmandu"


async def test_a_site_says_what_it_has(browser: Browser) -> None:
    """Its zone, snippet, first and last event, currencies, goals and funnels; a site without events has neither."""
    said = await browser.get(f"/api/sites/{SITE}")
    assert (said["name"], said["zone"], said["is_registered"]) == (SITE, "Asia/Kathmandu", True)
    assert said["snippet"] == f'<script defer src="http://localhost:8000/f.js" data-site="{SITE}"></script>'
    assert 0 < said["first_event"] < said["last_event"]
    assert said["currencies"] == ["EUR", "USD"]
    assert [goal["name"] for goal in said["goals"]] == ["signup", "Visit /pricing", "purchase", "never"]
    assert said["funnels"] == [{"name": "buy", "steps": ["Visit /", "Visit /pricing", "signup"]}]
    empty = await browser.get("/api/sites/none-yet.example")
    assert (empty["first_event"], empty["last_event"], empty["is_registered"]) == (None, None, False)


async def test_the_first_event_shows_within_seconds(browser: Browser, seeded: ClickHouse) -> None:
    """Whoever waits for it with an open page sees it, and what it looks like."""
    site = "first.example"
    assert (await browser.get(f"/api/sites/{site}"))["last_event"] is None
    assert await browser.get(f"/api/sites/{site}/latest") == []
    seeded.run(event(site, seconds_ago=1))

    async def is_seen() -> bool:
        facts, latest = await browser.get(f"/api/sites/{site}"), await browser.get(f"/api/sites/{site}/latest")
        return facts["last_event"] is not None and bool(latest)

    await until(is_seen)
    latest = await browser.get(f"/api/sites/{site}/latest")
    assert latest == [{"at": latest[0]["at"], "name": "pageview", "path": "/here", "bot": "", "country": "NP"}]


async def test_what_a_site_has_is_changed_on_the_page(browser: Browser) -> None:
    """Each change answers with what there is then, and the next question knows it at once."""
    said = await browser.change("PUT", f"{SITE}/goals", {"text": "Docs=Visit /docs*"})
    assert said["goals"][-1] == {"name": "Docs"}
    assert "Docs" in {row[0] for row in await browser.rows("goals")}
    said = await browser.change("PUT", f"{SITE}/funnels", {"name": "read", "steps": ["Visit /", "Docs"]})
    assert [row[0] for row in await browser.rows("funnel", parameters={"name": "read"})] == ["Visit /", "Docs"]
    said = await browser.change("DELETE", f"{SITE}/funnels/read")
    assert [one["name"] for one in said["funnels"]] == ["buy"]
    said = await browser.change("DELETE", f"{SITE}/goals/Visit%20%2Fdocs*")
    assert "Docs" in [one["name"] for one in said["goals"]]
    assert [one["name"] for one in (await browser.change("DELETE", f"{SITE}/goals/Docs"))["goals"]][-1] == "never"
    said = await browser.change("PUT", f"{SITE}/segments", {"name": "Nepal", "filters": [["is", "country", ["NP"]]]})
    number = said["segments"][0]["id"]
    assert len(await browser.rows("countries", filters=[["is", "segment", [number]]])) == 1
    assert (await browser.change("DELETE", f"{SITE}/segments/{number}"))["segments"] == []
    said = await browser.change("PUT", f"{SITE}/annotations", {"date": "2026-03-02", "text": "Launch"})
    assert said["annotations"][0]["text"] == "Launch"
    assert (await browser.change("DELETE", f"{SITE}/annotations/{said['annotations'][0]['id']}"))["annotations"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", f"{SITE}/goals", {"text": ""}, 400),
        ("PUT", f"{SITE}/goals", {"name": "x"}, 400),
        ("PUT", f"{SITE}/goals", [], 400),
        ("PUT", f"{SITE}/funnels", {"name": "x", "steps": ["one"]}, 400),
        ("PUT", f"{SITE}/segments", {"name": "", "filters": []}, 400),
        ("PUT", f"{SITE}/annotations", {"date": "yesterday", "text": "x"}, 400),
        ("PUT", f"{SITE}/nonsense", {}, 404),
        ("PUT", f"{SITE}/goals", {"text": "x" * 70_000}, 413),
        ("PUT", "no%20site/goals", {"text": "signup"}, 404),
        ("PUT", "unregistered.example/goals", {"text": "signup"}, 400),
        ("DELETE", f"{SITE}/segments/none", None, 400),
        ("POST", f"{SITE}/goals", {"text": "signup"}, 405),
    ],
)
async def test_a_change_that_can_not_be_is_said(
    browser: Browser, method: str, path: str, body: Any, status: int
) -> None:
    """In one sentence, and nothing is changed."""
    before = await browser.get(f"/api/sites/{SITE}")
    assert (await browser.change(method, path, body, status=status))["error"]
    assert await browser.get(f"/api/sites/{SITE}") == before


async def test_health_says_what_runs_and_what_was_rejected(browser: Browser, seeded: ClickHouse) -> None:
    """Parts that don't answer are not well; a reason is explained, with the site that was named."""
    seeded.run(event("health.example"))
    key = rejected_key(time.time())
    await browser.redis.hset(key, "unknown_site www.exmaple.com", "3")
    await browser.redis.hset(key, f"{REJECTED_LAST}unknown_site www.exmaple.com", "1795900000")
    said = await browser.get("/api/health")
    assert {part["name"]: part["is_well"] for part in said["parts"]} == {
        "ingest": False,
        "buffer": True,
        "flusher": False,
        "ClickHouse": True,
    }
    assert said["rejected"] == [
        {
            "reason": "unknown_site",
            "explained": "The site is not registered here: `forebay site add`.",
            "events": 3,
            "where": "www.exmaple.com",
            "at": 1795900000,
        }
    ]
    assert said["lag_seconds"] is None
    assert said["last_event"] > 0


async def test_without_redis_it_says_so(browser: Browser) -> None:
    """Nobody knows who may look, so nobody is let in, on this machine neither; the probes are there."""
    async with another(browser, redis_url="unix:///nowhere.sock") as lost:
        said = await lost.get("/api/sites", status=503)
        assert said == {"error": "Redis does not answer, and without it nobody can be let in; try again."}
        assert await lost.get("/healthz") == b"ok\n"
        assert b"Redis does not answer" in await lost.get("/", status=503)
    async with another(browser, clickhouse_url="http://127.0.0.1:1") as lost:
        assert await lost.problem("totals", status=503) == "ClickHouse does not answer; try again."
        assert (await lost.get("/readyz", status=503)).startswith(b"ClickHouse does not answer")


async def test_probes_and_metrics(browser: Browser) -> None:
    """They are on the same port; the metrics name no site and no filter."""
    assert await browser.get("/healthz") == b"ok\n"
    assert await browser.get("/readyz") == b"ready\n"
    assert await browser.get("/healthz?clickhouse") == b"ready\n"
    await browser.rows("pages", filters=[["is", "page", ["/secret"]]])
    text = (await browser.get("/metrics")).decode()
    assert re.search(
        r'^forebay_dashboard_questions_total\{query="events",result="answered"\} [1-9]', text, re.MULTILINE
    )
    assert SITE not in text
    assert "secret" not in text


async def test_every_answer_has_the_headers_that_keep_pages_out(browser: Browser) -> None:
    """The page, data, errors and refusals alike; and nothing says what we run on."""
    for path in ("/", "/app.js", "/api/sites", "/healthz", "/nothing", "/api/panel", "/api/v1/stats/aggregate"):
        async with browser.session.get(browser.url + path) as answer:
            assert answer.headers["Content-Security-Policy"] == POLICY
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert "Server" not in answer.headers
            if path.startswith("/api/"):
                assert answer.headers["Cache-Control"] == "no-store"
            assert ("Access-Control-Allow-Origin" in answer.headers) == path.startswith("/api/v1")


async def test_the_page_is_compressed_and_known_again(browser: Browser) -> None:
    """By brotli where it is taken, else by gzip; a second look is a 304."""
    for accepted, coding in (("br", "br"), ("gzip", "gzip"), ("", None)):
        headers = {"Accept-Encoding": accepted}
        async with browser.session.get(f"{browser.url}/app.js", headers=headers, auto_decompress=False) as answer:
            assert (answer.status, answer.headers.get("Content-Encoding")) == (200, coding)
            assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
            assert answer.headers["Vary"] == "Accept-Encoding"
            again = headers | {"If-None-Match": answer.headers["ETag"]}
        async with browser.session.get(f"{browser.url}/app.js", headers=again) as answer:
            assert answer.status == 304
    for path in ("/../__init__.py", "/%2e%2e/__main__.py", "/app.js.br", "/dist/app.js", "//app.js"):
        async with browser.session.get(browser.url + path) as answer:
            assert answer.status == 404


async def raw(browser: Browser, head: str) -> str:
    """Returns what is said to a request that no client library would send."""
    at = urlsplit(browser.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    text = (await reader.read(65_536)).decode()
    writer.close()
    return text


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /api/sites HTTP/1.1\nHost: localhost\nConnection: close", 200),
        ("GET /api/sites HTTP/1.1\nHost: evil.example\nConnection: close", 403),
        ("GET /api/sites HTTP/1.1\nHost: localhost\nHost: evil.example\nConnection: close", 400),
        ("GET /api/sites HTTP/1.1\nHost: evil.example\nHost: localhost\nConnection: close", 400),
        ("GET /api/sites HTTP/1.1\nConnection: close", 400),
        ("GET /api/sites HTTP/1.0\nConnection: close", 403),
        ("GET http://evil.example/api/sites HTTP/1.1\nHost: evil.example\nConnection: close", 403),
        ("GET /api/sites HTTP/1.1\nHost: localhost\nX-Forwarded-For: 127.0.0.1\nConnection: close", 403),
        ("GET / HTTP/1.1\nHost: localhost\nCF-Connecting-IP: 127.0.0.1\nConnection: close", 403),
        ("GET /api/sites HTTP/1.1\nHost: localhost\nOrigin: http://evil.example\nConnection: close", 403),
        ("GET /nothing HTTP/1.1\nHost: localhost\nSec-Fetch-Site: cross-site\nConnection: close", 403),
        ("POST /api/panel HTTP/1.1\nHost: localhost\nContent-Length: 0\nConnection: close", 415),
        ("OPTIONS /api/panel HTTP/1.1\nHost: localhost\nConnection: close", 405),
        ("OPTIONS /api/panel HTTP/1.1\nHost: localhost\nOrigin: http://evil.example\nConnection: close", 403),
        ("GET /api/v1/stats/aggregate HTTP/1.1\nHost: evil.example\nConnection: close", 403),
        ("GET /api/v1/stats/aggregate HTTP/1.1\nHost: localhost\nOrigin: http://evil.example\nConnection: close", 400),
        ("GET /api/sites HTTP/1.1\nHost: localhost\nX: " + "x" * 20_000 + "\nConnection: close", 400),
        ("GET /" + "x" * 20_000 + " HTTP/1.1\nHost: localhost\nConnection: close", 400),
        ("NONSENSE\nHost: localhost", 400),
    ],
)
async def test_who_is_answered(browser: Browser, head: str, status: int) -> None:
    """What a web page of a stranger may cause, by bytes; and requests that are too large or none."""
    said = await raw(browser, head)
    assert said.startswith((f"HTTP/1.1 {status} ", f"HTTP/1.0 {status} ")), said[:300]
    assert "hand.example" not in said or status == 200


@pytest.mark.parametrize("head", ["Host: evil.example", "Host: localhost\nOrigin: http://evil.example"])
async def test_a_refused_request_ends_its_connection(browser: Browser, head: str) -> None:
    """A page whose owner gives this machine many names can't hold all connections, of which there are not many."""
    at = urlsplit(browser.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(f"GET /api/sites HTTP/1.1\n{head}\n\n".replace("\n", "\r\n").encode())
    async with asyncio.timeout(60):
        said = await reader.read()
    writer.close()
    assert said.startswith(b"HTTP/1.1 403 ")
