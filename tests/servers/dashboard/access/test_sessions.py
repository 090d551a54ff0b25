"""Sessions: who is let in, what a cookie is worth that is forged or replayed, and what ends it."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from dashboard.access.sessions import SEEN_SECONDS, SESSIONS_MAX, UNUSED_SECONDS, Session
from runtime.redis import Redis
from schemas.redis.keys import SESSION_SECONDS, SIGNING_KEY, USERS_KEY, sessions_key
from schemas.users import User
from tests.servers.dashboard.access.conftest import MINE
from tests.support.dashboard.people import PASSWORD, Person, add_user, opened

ID = "guest0000000"
COOKIE = "forebay-session"
NEW = "five other words that nobody guesses"


async def kept(redis: Redis) -> dict[bytes, Session]:
    """Returns the sessions of the guest in Redis."""
    found: Any = await redis.hgetall(sessions_key(ID))
    return {field: msgspec.json.decode(value, type=Session) for field, value in found.items()}


async def test_whoever_has_the_password_is_let_in(person: Person, redis: Redis) -> None:
    """The page is behind the form; the cookie is no secret of Redis, and is for this host and for no script."""
    assert (await person.ask("GET", "/"))[2].headers["Location"] == "/login"
    assert await person.panel(MINE) == 401
    token = await person.token()
    status, _, answer = await person.ask(
        "POST", "/login", data={"name": " Guest ", "password": PASSWORD, "token": token}
    )
    assert (status, answer.headers["Location"]) == (303, "/")
    morsel = answer.cookies[COOKIE]
    assert (morsel["httponly"], morsel["samesite"], morsel["path"], morsel["domain"]) == (True, "Lax", "/", "")
    assert await person.panel(MINE) == 503
    assert (await person.get("/"))[0] == 200
    secret = morsel.value.split(".")[1]
    for key in await redis.keys():
        held = await redis.dump(key)
        assert held is not None
        assert secret.encode() not in held
        assert PASSWORD.encode() not in held


@pytest.mark.parametrize("url_of", ["https://numbers.example.com", "http://numbers.example.com", ""])
async def test_cookies_are_as_secure_as_the_public_url(url: str, url_of: str) -> None:
    """Under https they are for this host and for https alone."""
    async with opened(url, dashboard_url=url_of) as person:
        token = await person.token()
        _, _, answer = await person.ask("POST", "/login", data={"name": "guest", "password": PASSWORD, "token": token})
        is_secure = url_of.startswith("https")
        name = f"__Host-{COOKIE}" if is_secure else COOKIE
        assert (bool(answer.cookies[name]["secure"]), answer.cookies[name]["httponly"]) == (is_secure, True)


async def test_a_forged_cookie_opens_nothing(person: Person, redis: Redis) -> None:
    """Another user's id, another secret, another signature, one of another purpose, one of another installation."""
    await person.log_in("guest")
    user, secret, signature = person.cookies[COOKIE].split(".")
    number, device_signature = person.cookies["forebay-device"].split(".")
    forged = [
        f"root00000000.{secret}.{signature}",
        f"{user}.{'A' * 43}.{signature}",
        f"{user}.{secret}.{'A' * 43}",
        f"{user}.{secret}.",
        f"{user}.{secret}",
        f"{number}.{device_signature}",
        f"{user}.{secret}.{device_signature}",
        f"{user}.{secret}.{signature}.{signature}",
        f"{user}.{secret}.{signature[:-1]}",
        f"{user}.{secret}.{signature}A",
        "x" * 5_000,
        "\u00e9.\u00e9.\u00e9",
        "....",
    ]
    for text in forged:
        person.cookies[COOKIE] = text
        assert await person.panel(MINE) == 401, text
    person.cookies[COOKIE] = f"{user}.{secret}.{signature}"
    assert await person.panel(MINE) == 503
    text = (await person.another().get("/metrics"))[1]
    assert f'forebay_dashboard_refused_total{{why="forged"}} {len(forged)}.0' in text


async def test_a_cookie_is_worth_nothing_after_the_logout(person: Person) -> None:
    """Whoever has copied it before has nothing; the other sessions of the user go on."""
    other = person.another()
    await other.log_in("guest")
    await person.log_in("guest")
    copied = dict(person.cookies)
    token = await person.token("/account")
    assert (await person.send("/logout", {"token": token}))[0] == 303
    assert COOKIE not in person.cookies
    person.cookies = copied
    assert await person.panel(MINE) == 401
    assert (await person.ask("GET", "/account"))[0] == 303
    assert await other.panel(MINE) == 503


async def test_all_other_sessions_end(person: Person) -> None:
    """The page lists them with the browser of each."""
    others = [person.another() for _ in range(3)]
    for one in (*others, person):
        await one.log_in("guest")
    text = (await person.get("/account"))[1]
    assert text.count("Firefox on Linux") == 4
    assert text.count("(this one)") == 1
    token = await person.token("/account")
    assert (await person.send("/account/sessions", {"token": token}))[0] == 200
    assert [await one.panel(MINE) for one in others] == [401] * 3
    assert await person.panel(MINE) == 503


async def test_another_password_ends_every_session(person: Person) -> None:
    """But the one in which it was changed, which gets another cookie; the old password lets nobody in."""
    other = person.another()
    await other.log_in("guest")
    await person.log_in("guest")
    before = person.cookies[COOKIE]
    fields = {"current": PASSWORD, "new": NEW, "again": NEW, "token": await person.token("/account")}
    for wrong, status in (
        ({"current": "wrong"}, 401),
        ({"new": "short", "again": "short"}, 400),
        ({"again": "something else"}, 400),
        ({"token": "x"}, 403),
    ):
        assert (await person.send("/account/password", fields | wrong))[0] == status
    assert person.cookies[COOKIE] == before
    assert (await person.send("/account/password", fields))[0] == 303
    assert await person.panel(MINE) == 503
    assert await other.panel(MINE) == 401
    stolen = person.another()
    stolen.cookies = {COOKIE: before}
    assert await stolen.panel(MINE) == 401
    assert (await other.log_in("guest"))[0] == 401
    assert (await other.log_in("guest", NEW))[0] == 303


async def test_what_an_admin_changes_holds_at_once(person: Person, redis: Redis) -> None:
    """Other grants, no grants, and a removal; who is called the same later does not inherit the sessions."""
    await person.log_in("guest")
    assert await person.panel(MINE) == 503
    user = User.decode(await redis.hget(USERS_KEY, "guest") or b"")
    await redis.hset(USERS_KEY, "guest", replace(user, grants={}).encode())
    assert await person.panel(MINE) == 404
    await redis.hset(USERS_KEY, "guest", user.encode())
    assert await person.panel(MINE) == 503
    await redis.hset(USERS_KEY, "guest", replace(user, stamp="1" * 12).encode())
    assert await person.panel(MINE) == 401
    await redis.hset(USERS_KEY, "guest", replace(user, id="another00000").encode())
    assert await person.panel(MINE) == 401
    await redis.hdel(USERS_KEY, "guest")
    assert await person.panel(MINE) == 401
    await redis.hset(USERS_KEY, "guest", b"{nonsense")
    assert await person.panel(MINE) == 401


@pytest.mark.parametrize(
    ("made", "seen", "status"),
    [(-SESSION_SECONDS, 0, 401), (-UNUSED_SECONDS, -UNUSED_SECONDS, 401), (60 - SESSION_SECONDS, 0, 503)],
)
async def test_a_session_ends_by_itself(person: Person, redis: Redis, made: int, seen: int, status: int) -> None:
    """After thirty days, or a week without use."""
    await person.log_in("guest")
    ((field, one),) = (await kept(redis)).items()
    now = int(time.time())
    await redis.hset(sessions_key(ID), field, msgspec.json.encode(replace(one, made=now + made, seen=now + seen)))
    assert await person.panel(MINE) == status


async def test_use_is_noted_and_brings_nothing_back(person: Person, redis: Redis) -> None:
    """A session that was last used five minutes ago is noted as used; one that has ended meanwhile stays ended."""
    await person.log_in("guest")
    ((field, one),) = (await kept(redis)).items()
    earlier = replace(one, seen=one.seen - SEEN_SECONDS)
    await redis.hset(sessions_key(ID), field, msgspec.json.encode(earlier))
    assert await person.panel(MINE) == 503
    assert (await kept(redis))[field].seen >= one.seen
    await redis.hdel(sessions_key(ID), field)
    assert await person.panel(MINE) == 401
    assert await kept(redis) == {}


async def test_a_user_has_so_many_sessions(person: Person, redis: Redis) -> None:
    """The one that was longest out of use ends when there are too many, and those that have ended are removed."""
    now = int(time.time())
    for number in range(SESSIONS_MAX + 5):
        one = Session(user="guest", stamp="0" * 12, made=now, seen=now - number)
        await redis.hset(sessions_key(ID), f"{number}", msgspec.json.encode(one))
    await redis.hset(sessions_key(ID), "old", msgspec.json.encode(Session(user="guest", stamp="x", made=now, seen=now)))
    await person.log_in("guest")
    fields = set(await kept(redis))
    assert len(fields) == SESSIONS_MAX
    assert b"0" in fields
    assert not fields & {b"old", b"54", b"49"}


async def test_a_login_begins_another_session(person: Person, redis: Redis) -> None:
    """Nobody can give somebody a session beforehand, and the one that this browser had ends."""
    await person.log_in("guest")
    before = person.cookies[COOKIE]
    token = await person.token("/account")
    person.cookies.pop(COOKIE)
    form = await person.token()
    person.cookies[COOKIE] = before
    await person.send("/login", {"name": "guest", "password": PASSWORD, "token": form})
    assert person.cookies[COOKIE] != before
    assert len(await kept(redis)) == 1
    assert (await person.send("/logout", {"token": token}))[0] == 403  # a form of the session before


async def test_another_signature_ends_every_session(url: str, redis: Redis) -> None:
    """Of all users, on a dashboard that has not read the one before."""
    async with opened(url) as one:
        await one.log_in("guest")
        await redis.delete(SIGNING_KEY)
        async with opened(url) as fresh:
            fresh.cookies = one.cookies
            assert await fresh.panel(MINE) == 401
            assert (await fresh.log_in("guest"))[0] == 303


async def test_two_dashboards_share_their_sessions(url: str) -> None:
    """A login on one is known to the other, and so is the logout."""
    async with opened(url) as one, opened(url) as other:
        await one.log_in("guest")
        other.cookies = dict(one.cookies)
        assert await other.panel(MINE) == 503
        await other.send("/logout", {"token": await other.token("/account")})
        assert await one.panel(MINE) == 401


async def test_without_redis_nobody_is_let_in(url: str, redis: Redis) -> None:
    """Not even this machine, of which it is not known whether it has to log in; the page says so and asks again."""
    async with opened("unix:///nowhere.sock") as lost:
        for path in ("/", "/login", "/account"):
            status, text, answer = await lost.ask("GET", path)
            assert (status, "Redis does not answer" in text, 'http-equiv="refresh"' in text) == (503, True, True)
            assert answer.headers["Retry-After"] == "5"
        assert await lost.panel(MINE) == 503
        status, text, _ = await lost.ask("POST", "/login", data={"name": "guest", "password": PASSWORD, "token": "x"})
        assert (status, COOKIE in lost.cookies) == (503, False)
        assert (await lost.get("/healthz"))[0] == 200


async def test_this_machine_needs_no_login_until_there_is_a_user(url: str, redis: Redis) -> None:
    """The first user closes it, also if the record can't be read; a public URL does, also without a user."""
    await redis.delete(USERS_KEY)
    async with opened(url) as person:
        assert (await person.panel(MINE), (await person.get("/"))[0]) == (503, 200)
        assert (await person.ask("GET", "/login"))[2].headers["Location"] == "/"
        await redis.hset(USERS_KEY, "somebody", b"{nonsense")
        assert await person.panel(MINE) == 401
        await redis.delete(USERS_KEY)
        await add_user(redis, "guest", {MINE: "viewer"})
        assert await person.panel(MINE) == 401
        assert (await person.get("/metrics"))[0] == 200  # of processes, for a Prometheus on this machine
    await redis.delete(USERS_KEY)
    for settings in (
        {"dashboard_url": "https://numbers.example.com"},
        {"dashboard_url": "http://localhost:8003"},
        {"public_url": "https://collect.example.com"},
        {"public_url": "http://192.168.1.5:8000"},
    ):
        async with opened(url, **settings) as person:
            assert await person.panel(MINE) == 401, settings
            assert "There is no user yet" in (await person.get("/login"))[1]
    async with opened(url, public_url="http://127.0.0.1:8000") as person:
        assert await person.panel(MINE) == 503
