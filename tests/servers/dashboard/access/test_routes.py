"""Every route of the dashboard: what it answers to whoever has not logged in, and to a viewer who asks for a site of others.

The routes are those of the application itself, so a new one is tried as soon as there is one. What may be answered to anybody is listed here.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from dashboard.web.panels import PANELS
from runtime.redis import Redis
from schemas.keys import Key, hash_of, written
from schemas.redis.keys import KEYS_KEY, NOTES_KEY, SITES_KEY
from tests.servers.dashboard.access.conftest import MINE, YOURS
from tests.support.dashboard.people import JSON, Person, opened

# Whoever has not logged in is answered here, with no word about a site.
ANYBODY = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/login.css"),
    ("GET", "/icon.svg"),
    ("GET", "/app.css"),
    ("GET", "/app.js"),  # the page's code, which public links need, and which knows of no site
    ("GET", "/shared/{token}"),  # those with a link are tried in test_links.py
    ("GET", "/metrics"),  # from this machine: of processes
    ("OPTIONS", "/api/v1/{rest}"),
    ("OPTIONS", "/api/v2/{rest}"),
}
STATS = ("/api/v1/", "/api/v2/")  # asks for a key, whoever has logged in
OTHERS = {
    YOURS,
    f" WWW.{YOURS.upper()}. ",
    "*",
    "",
    f"{MINE},{YOURS}",
    f"{MINE}\0{YOURS}",
    f"{MINE}/../{YOURS}",
    "nobody.example",
}
# Of a site that may be seen all methods are answered, so that these have to be refused for what they are.
CHANGES = {
    "goals": {"text": "signup"},
    "funnels": {"name": "a", "steps": ["Visit /", "signup"]},
    "segments": {"name": "a", "filters": [["is", "country", ["DE"]]]},
    "annotations": {"date": "2026-03-01", "text": "a"},
    "links": {"name": "a"},
}


def routes(person: Person) -> list[tuple[str, str]]:
    """Returns the method and the path of each route."""
    found = set()
    for route in person.app.router.routes():
        path = re.sub(r"{(\w+):[^}]*}", r"{\1}", route.resource.canonical)
        methods = ("GET", "POST", "PUT", "DELETE") if route.method == "*" else (route.method,)
        found |= {(method, path) for method in methods if method != "HEAD"}
    return sorted(found)


def filled(path: str, site: str) -> str:
    """Returns a path with this in the place of each of its variables."""
    path = path.replace("{rest}", "stats/aggregate")
    return re.sub(r"{\w+}", quote(site, safe=""), path)


@pytest.fixture
async def person(url: str) -> AsyncIterator[Person]:
    """Returns a browser of a dashboard that has all routes that a setting can switch on."""
    async with opened(url, site_metrics_max=10) as one:
        yield one


async def answered(person: Person, method: str, path: str, **more: Any) -> tuple[int, str]:
    status, text, _ = await person.ask(method, path, **more)
    return status, text


async def test_whoever_has_not_logged_in_is_told_nothing(person: Person) -> None:
    """By no route; a page leads to the form."""
    tried = 0
    for method, path in routes(person):
        if (method, path) in ANYBODY:
            continue
        body = None if method == "GET" else json.dumps({"site": MINE, "panel": "totals", "site_id": MINE})
        status, text = await answered(person, method, filled(path, MINE), data=body, headers=JSON if body else {})
        if path in {"/", "/account"}:
            assert status == 303, path
        elif path in {"/logout", "/shared", "/account/password", "/account/sessions"}:
            assert status == 415, path  # no form; those with a form are tried in test_forms.py
        else:
            assert status in {400, 401, 404, 405} if path.startswith(STATS) else status == 401, (method, path, status)
        assert YOURS not in text
        tried += 1
    assert tried > 20


def questions(site: str) -> Iterator[tuple[str, str, str | None]]:
    """Yields requests that name a site in each way that the page and its API know: method, path and body."""
    for panel in PANELS:
        asked = json.dumps({"site": site, "panel": panel, "parameters": {}})
        yield "POST", "/api/panel", asked
        yield "GET", f"/api/panel.csv?q={quote(asked)}", None
    asked = json.dumps({"site": site, "panel": "totals"})
    yield "GET", f"/api/export.zip?q={quote(asked)}", None
    yield "POST", f"/api/panel?site={quote(site)}", json.dumps({"site": site, "panel": "totals"})
    twice = f'{{"site": "{MINE}", "panel": "totals", "site": {json.dumps(site)}}}'
    yield "POST", "/api/panel", twice
    yield "GET", f"/api/panel.csv?q={quote(twice)}", None


@pytest.mark.parametrize("site", sorted(OTHERS))
async def test_a_viewer_can_not_ask_for_a_site_of_others(person: Person, site: str) -> None:
    """By no parameter of no route: it is answered as a site that does not exist, and nothing is asked of ClickHouse."""
    await person.log_in("guest")
    for method, path, body in questions(site):
        status, text = await answered(person, method, path, data=body, headers=JSON)
        assert status == 404, (method, path, status, text)
    for method, path in routes(person):
        if "{site}" not in path or not site.strip():
            continue
        at = filled(path, site)
        kind = next((name for name in CHANGES if f"/{name}" in path), "goals")
        body = json.dumps(CHANGES[kind]) if method == "PUT" else None
        status, text = await answered(person, method, at, data=body, headers=JSON)
        assert status == 404, (method, at, status, text)
    text = (await person.another().get("/metrics"))[1]
    assert "forebay_dashboard_questions_total{" not in text


async def test_a_site_of_others_is_answered_as_one_that_is_none(person: Person) -> None:
    """So nobody can find out which sites there are."""
    await person.log_in("guest")
    nobody = "nobody-at-all.example"
    for (method, path, body), (_, other, other_body) in zip(questions(YOURS), questions(nobody), strict=True):
        said = await answered(person, method, path, data=body, headers=JSON)
        other_said = await answered(person, method, other, data=other_body, headers=JSON)
        assert (said[0], said[1].replace(YOURS, nobody)) == other_said


async def test_every_route_with_a_site_is_tried(person: Person) -> None:
    """A route that takes a site in a new way has to be added to the questions here, or to the list of those that take none."""
    known = {"/api/panel", "/api/panel.csv", "/api/export.zip"}
    none = {"/", "/api/sites", "/api/health", "/metrics/sites", "/login", "/logout", "/account", "/account/password"}
    none |= {"/shared", "/shared/{token}", "/api/link", "/api/viewer", "/account/sessions", "/login.css"}
    none |= {"/metrics", "/healthz", "/readyz"}
    none |= {"/mcp"}  # it answers no session: tests/servers/dashboard/mcp tries keys there
    for _, path in routes(person):
        is_file = re.fullmatch(r"/\w+\.(js|css|svg|html)", path) is not None
        assert path in known | none or "{site}" in path or path.startswith(STATS) or is_file, (
            f"{path} is new: try it here"
        )


async def test_a_viewer_sees_own_sites_alone(person: Person, redis: Redis) -> None:
    """In the list, in the numbers for Prometheus, and on the page of health."""
    await redis.hset(SITES_KEY, "third.example", b"{}")
    await person.log_in("guest")
    for path in ("/api/sites", "/api/health", "/metrics/sites", "/account", f"/api/sites/{MINE}"):
        text = (await person.get(path))[1]
        assert not re.search(r"yours|third", text), path
    root = person.another()
    await root.log_in("root")
    assert await root.panel(YOURS) == 503


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("kind", CHANGES)
async def test_only_an_admin_of_the_site_changes_it(person: Person, redis: Redis, method: str, kind: str) -> None:
    """A viewer hears 403, an admin of another site too, and nothing is changed."""
    before = [await redis.hgetall(key) for key in (SITES_KEY, NOTES_KEY)]
    path, body = f"{kind}/1" if method == "DELETE" else kind, json.dumps(CHANGES[kind])
    guest, owner = person, person.another()
    await guest.log_in("guest")
    await owner.log_in("owner")
    for one, site, status in ((guest, MINE, 403), (guest, YOURS, 404), (owner, YOURS, 403)):
        said, text = await answered(one, method, f"/api/sites/{site}/{path}", data=body, headers=JSON)
        assert said == status, (site, text)
    assert [await redis.hgetall(key) for key in (SITES_KEY, NOTES_KEY)] == before
    said, text = await answered(owner, method, f"/api/sites/{MINE}/{path}", data=body, headers=JSON)
    assert said == (404 if (kind, method) == ("links", "DELETE") else 200), text  # there is no link of this ID


async def test_a_key_gets_its_sites_alone(person: Person, redis: Redis) -> None:
    """In the Stats API, whoever else has logged in there; a cookie does not help, and a key opens no page."""

    async def key(*sites: str) -> dict[str, str]:
        key_id, text = written(lambda letters: letters[len(sites)])
        made = Key(hash=hash_of(text), sites=sites, scope="read", rate=1_000)
        await redis.hset(KEYS_KEY, key_id, made.encode())
        return {"Authorization": f"Bearer {text}"}

    mine, every = await key(MINE), await key("*", "x.example")
    root = person.another()
    await root.log_in("root")
    for one in (person, root):
        for site, status in ((MINE, 503), (YOURS, 401)):
            path = f"/api/v1/stats/aggregate?site_id={site}"
            assert (await one.get(path, **mine))[0] == status
            question = json.dumps({"site_id": site, "metrics": ["visitors"], "date_range": "7d"})
            assert (await answered(one, "POST", "/api/v2/query", data=question, headers=mine | JSON))[0] == status
            assert (await one.get(path))[0] == 401
    assert (await person.get("/api/sites", **every))[0] == 401
    assert (await person.get("/", **every))[0] == 303
    away = person.another(Host="localhost")
    assert (await away.get("/metrics", **every))[0] == 200
    assert (await away.get("/metrics", **mine))[0] == 401


async def test_prometheus_shows_a_key_under_any_name(url: str, redis: Redis) -> None:
    """In an inner network, once there is a public URL: the key of every site opens the metrics, and nothing else there does."""
    texts = {}
    for sites in (("*",), (MINE,)):
        key_id, texts[sites] = written(secrets.choice)
        await redis.hset(KEYS_KEY, key_id, Key(hash=hash_of(texts[sites]), sites=sites, scope="read").encode())
    async with opened(url, dashboard_url="https://stats.example.com") as person:
        inner = person.another(Host="dashboard:8003")
        for said, status in (
            (f"Bearer {texts['*',]}", 200),
            (f"Bearer {texts[MINE,]}", 401),
            (f"Bearer {texts['*',]}x", 401),
            ("", 401),
            ("Basic YTpi", 401),
        ):
            found, text = await inner.get("/metrics", Authorization=said)
            assert (found, "forebay_build_info" in text) == (status, status == 200), said
        assert [(await inner.get(path))[0] for path in ("/metrics", "/", "/healthz")] == [403, 403, 403]


async def test_nothing_but_the_stats_api_has_cors(person: Person) -> None:
    """Whatever is asked, whoever asks, and whether it is refused: no page of another origin may read it."""
    root = person.another()
    await root.log_in("root")
    for one in (person, root):
        for method, path in routes(person):
            for origin in ({}, {"Origin": "https://evil.example"}):
                _, _, answer = await one.ask(method, filled(path, MINE), headers={**JSON, **origin})
                is_open = any(name.lower().startswith("access-control-") for name in answer.headers)
                assert is_open == path.startswith(("/api/v1/", "/api/v2/")), (method, path)
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
                assert answer.headers["X-Frame-Options"] == "DENY", path
                assert answer.headers["X-Robots-Tag"] == "noindex", path
                assert answer.headers["X-Content-Type-Options"] == "nosniff", path


async def test_a_request_as_to_a_proxy_is_refused(person: Person) -> None:
    """It names a host in its first line, which counts and not that of Host. Without that it only has to log in."""
    port = urlsplit(person.url).port
    for target, status in (("http://evil.example/api/sites", b"403"), ("/api/sites", b"401")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        said = await reader.read()
        writer.close()
        assert said.startswith(b"HTTP/1.1 " + status), (target, said)
