"""Public links: what one opens, what it never opens, and for how long."""

from __future__ import annotations

import json
import logging
import secrets
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from runtime import passwords
from runtime.redis import Redis
from schemas.links import Link, hash_of, written
from schemas.redis.keys import LINKS_KEY
from tests.servers.dashboard.access.conftest import MINE, YOURS
from tests.servers.dashboard.access.test_routes import OTHERS, answered, filled, questions, routes
from tests.support.dashboard.people import HASHED, JSON, PASSWORD, Person

ALLOWED = {("POST", "/api/panel"), ("GET", "/api/panel.csv"), ("GET", "/api/export.zip"), ("GET", "/api/link")}
ALLOWED |= {("GET", "/api/sites/{site}")}
TODAY = datetime.now(UTC).date()


async def link(redis: Redis, site: str = MINE, **fields: Any) -> tuple[str, str]:
    """Makes a link, and returns its ID and its token."""
    link_id, token = written(secrets.choice)
    await redis.hset(LINKS_KEY, link_id, Link(hash=hash_of(token), site=site, **fields).encode())
    return link_id, token


def linked(path: str, link_id: str) -> str:
    """Returns a path as the page of a link asks for it."""
    return f"{path}{'&' if '?' in path else '?'}link={link_id}"


async def panel(person: Person, link_id: str, **asked: Any) -> tuple[int, str]:
    """Returns the status and the text of a question: 503 if it is let through."""
    body = json.dumps({"site": MINE, "panel": "totals", **asked})
    return await answered(person, "POST", linked("/api/panel", link_id), data=body, headers=JSON)


async def test_a_link_opens_its_site_for_whoever_has_it(person: Person, redis: Redis) -> None:
    """The page, its code, what it shows, and the numbers; nobody has to log in. Its headers tell nobody of it."""
    link_id, token = await link(redis)
    status, text, answer = await person.ask("GET", f"/shared/{token}")
    assert (status, answer.headers["Referrer-Policy"], answer.headers["X-Robots-Tag"]) == (
        200,
        "no-referrer",
        "noindex",
    )
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert '<div id="app">' in text
    [cookie] = [one for name, one in answer.cookies.items() if link_id in name]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert (await person.get("/app.js"))[0] == 200
    status, text = await person.get(linked("/api/link", link_id))
    said = {"site": MINE, "hidden": ["properties", "revenue", "users"], "within": "all days"}
    assert (status, {name: json.loads(text)[name] for name in said}) == (200, said)
    assert (await panel(person, link_id))[0] == 503
    assert (await person.another().get(linked("/api/link", link_id)))[0] == 401  # the ID alone opens nothing


async def test_a_link_opens_nothing_else(person: Person, redis: Redis) -> None:
    """Each route of the application but five is closed to it, so a new one is too; and with a session it is no more than a link."""
    link_id, token = await link(redis)
    await person.log_in("root")
    assert (await person.get(f"/shared/{token}"))[0] == 200
    for method, path in routes(person):
        if (method, path) in ALLOWED or not path.startswith("/api/") or path.startswith(("/api/v1/", "/api/v2/")):
            continue
        body = None if method == "GET" else "{}"
        status, text = await answered(person, method, linked(filled(path, MINE), link_id), data=body, headers=JSON)
        assert status == 401, (method, path, status, text)
    assert (await person.get("/api/sites"))[0] == 503  # the session is still there


@pytest.mark.parametrize("site", sorted(OTHERS))
async def test_a_link_opens_no_other_site(person: Person, redis: Redis, site: str) -> None:
    """By no parameter of no route that it may use."""
    link_id, token = await link(redis)
    await person.get(f"/shared/{token}")
    for method, path, body in questions(site):
        status, text = await answered(person, method, linked(path, link_id), data=body, headers=JSON)
        assert status == 404, (method, path, status, text)
    if site.strip():
        status, _ = await person.get(linked(filled("/api/sites/{site}", site), link_id))
        assert status == 404


async def test_another_link_opens_another_site(person: Person, redis: Redis) -> None:
    """A cookie is for one link: it opens no other, under whichever ID."""
    (mine, token), (yours, _) = await link(redis), await link(redis, YOURS)
    await person.get(f"/shared/{token}")
    [(name, text)] = person.cookies.items()
    assert (await person.get(linked("/api/link", yours)))[0] == 401
    person.cookies[name.replace(mine, yours)] = text
    assert (await person.get(linked("/api/link", yours)))[0] == 401
    person.cookies[name] = text[:-1] + ("A" if text[-1] != "A" else "B")
    assert (await person.get(linked("/api/link", mine)))[0] == 401


async def test_a_revoked_link_ends_at_once(person: Person, redis: Redis) -> None:
    """Also for whoever has it open, and its address says so."""
    link_id, token = await link(redis)
    await person.get(f"/shared/{token}")
    assert (await panel(person, link_id))[0] == 503
    await redis.hdel(LINKS_KEY, link_id)
    assert (await panel(person, link_id))[0] == 401
    status, text = await person.get(f"/shared/{token}")
    assert (status, "shows nothing any more" in text) == (404, True)


async def test_a_link_with_a_password_asks_for_it(person: Person, redis: Redis) -> None:
    """A wrong one opens nothing, and another password closes what was open."""
    link_id, token = await link(redis, password=HASHED)
    status, text = await person.get(f"/shared/{token}")
    assert (status, 'type="password"' in text, person.cookies) == (200, True, {})
    assert (await person.send("/shared", {"link": token, "password": "wrong"}))[0] == 401
    assert (await person.send("/shared", {"link": token[:-1] + "0", "password": PASSWORD}))[0] == 401
    assert (await panel(person, link_id))[0] == 401
    assert (await person.send("/shared", {"link": token, "password": PASSWORD}))[0] == 303
    assert (await panel(person, link_id))[0] == 503
    other = Link(hash=hash_of(token), site=MINE, password=passwords.hashed("another one of words"))
    await redis.hset(LINKS_KEY, link_id, other.encode())
    assert (await panel(person, link_id))[0] == 401


async def test_guesses_are_throttled(person: Person, redis: Redis) -> None:
    """Of a password, and of tokens; whoever has the right token is let in as often as they like."""
    _, token = await link(redis, password=HASHED)
    statuses = [(await person.send("/shared", {"link": token, "password": str(at)}))[0] for at in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert (await person.send("/shared", {"link": token, "password": PASSWORD}))[0] == 429
    for key in await redis.keys("forebay:{logins}:*"):
        await redis.delete(key)
    _, right = await link(redis)
    for _ in range(15):
        assert (await person.get(f"/shared/{right}"))[0] == 200
    statuses = [(await person.get(f"/shared/{written(secrets.choice)[1]}"))[0] for _ in range(12)]
    assert statuses == [404] * 10 + [429] * 2


def days(count: int) -> str:
    return f"{TODAY - timedelta(days=count - 1)},{TODAY}"


@pytest.mark.parametrize(
    ("fields", "shown", "closed"),
    [
        ({"days": 7}, ["7d", "28d", "all", "day", "realtime"], ["2020-01-01,2020-02-01", "2026-01-01,2026-01-31"]),
        ({"since": date(2026, 3, 1), "until": date(2026, 3, 31)}, ["2026-03-02,2026-03-05", "all", "2020-01-01,2026-12-31"],
         ["7d", "day", "realtime", "2026-04-01,2026-04-02", "2026-02-01,2026-02-28"]),
        ({"until": date(2026, 3, 31)}, ["2026-03-30,2026-04-05"], ["day", "realtime"]),
    ],
    ids=["last days", "between", "until"],
)  # fmt: skip
async def test_a_link_is_bound_to_its_days(
    person: Person, redis: Redis, fields: dict[str, Any], shown: list[str], closed: list[str]
) -> None:
    """A longer period is cut, one outside is refused, in each way to ask; `all` asks ClickHouse first."""
    link_id, token = await link(redis, **fields)
    await person.get(f"/shared/{token}")
    for period in shown:
        status, text = await panel(person, link_id, period=period)
        assert status == 503, (period, text)
    for period in closed:
        asked = json.dumps({"site": MINE, "panel": "totals", "period": period})
        for method, path, body in (
            ("POST", "/api/panel", asked),
            ("GET", f"/api/panel.csv?q={quote(asked)}", None),
            ("GET", f"/api/export.zip?q={quote(asked)}", None),
        ):
            status, text = await answered(person, method, linked(path, link_id), data=body, headers=JSON)
            assert (status, "This link shows" in text) == (403, True), (period, path, text)
    is_today = "realtime" in shown
    status, _ = await panel(person, link_id, panel="live", period=shown[0])
    assert status == (503 if is_today else 403)


async def test_an_admin_makes_lists_and_revokes_links(person: Person, redis: Redis) -> None:
    """The address is told once, and works; a list has nothing that is secret; a viewer may do none of it."""
    await person.log_in("owner")
    path = f"/api/sites/{MINE}/links"
    asked = {"name": "the board", "password": PASSWORD, "shows": ["revenue"], "days": 30}
    status, text = await answered(person, "PUT", path, data=json.dumps(asked), headers=JSON)
    assert status == 200, text
    made = json.loads(text)
    token = made["address"].rpartition("/")[2]
    status, listed = await person.get(path)
    assert status == 200
    assert token not in listed
    [one] = json.loads(listed)
    assert (one["name"], one["shows"], one["has_password"], one["within"]) == (
        "the board",
        ["revenue"],
        True,
        "last 30 days",
    )
    stored = str(await redis.hgetall(LINKS_KEY))
    assert token not in stored
    assert PASSWORD not in stored
    reader = person.another()
    assert (await reader.send("/shared", {"link": token, "password": PASSWORD}))[0] == 303
    assert (await panel(reader, made["id"]))[0] == 503
    for wrong in (
        {"days": 5, "since": "2026-01-01"},
        {"days": -1},
        {"name": "a" * 121},
        {"password": "short"},
        {"shows": ["all"]},
    ):
        assert (await answered(person, "PUT", path, data=json.dumps(wrong), headers=JSON))[0] == 400, wrong
    assert (await answered(person, "DELETE", f"/api/sites/{YOURS}/links/{made['id']}", headers=JSON))[0] == 403
    assert (await answered(person, "DELETE", f"{path}/{made['id']}", headers=JSON))[0] == 200
    assert (await panel(reader, made["id"]))[0] == 401
    guest = person.another()
    await guest.log_in("guest")
    for method in ("GET", "PUT"):
        assert (await answered(guest, method, path, data="{}" if method == "PUT" else None, headers=JSON))[0] == 403


async def test_no_token_is_logged(person: Person, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Nor counted under its own name, whatever came of it."""
    with caplog.at_level(logging.DEBUG):
        _, token = await link(redis)
        await person.get(f"/shared/{token}")
        await person.send("/shared", {"link": token, "password": "wrong"})
        await redis.delete(LINKS_KEY)
        await person.get(f"/shared/{token}")
    metrics = (await person.another().get("/metrics"))[1]
    assert 'forebay_dashboard_links_total{fate="opened"} 1.0' in metrics
    ours = [record.getMessage() for record in caplog.records if record.name != "aiohttp.access"]  # which we have not
    assert not any(token[11:] in text for text in (*ours, metrics))
