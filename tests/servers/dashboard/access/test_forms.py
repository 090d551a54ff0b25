"""The forms: what sends them, how often a password may be tried, and that a login on a new device is told."""

from __future__ import annotations

import contextlib
import logging
import re
from typing import Any

import pytest

from dashboard.access.throttle import LIMITS, Limit
from runtime.redis import Redis
from schemas.redis.keys import sessions_key
from tests.servers.dashboard.access.conftest import MINE
from tests.support.dashboard.people import FIREFOX, PASSWORD, Person, add_user, opened
from tests.support.notifying import hook, mail_server
from tests.support.waiting import until

URL = "https://numbers.example.com"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
ADDRESS, USER, ALL, DEVICE = (LIMITS[kind].burst for kind in ("address", "user", "all", "device"))
SLOW = 1e-6  # attempts that come in a second: none while a test runs, however slow the machine is


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets buckets fill so slowly that a test can count what they hold."""
    for kind, limit in LIMITS.items():
        monkeypatch.setitem(LIMITS, kind, Limit(SLOW, limit.burst))


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json"},
    ],
)
async def test_a_form_of_another_page_is_refused(person: Person, redis: Redis, headers: dict[str, str]) -> None:
    """Whatever browsers say of it, also with the right token: a login, a logout, another password."""
    token = await person.token()
    status, _ = await person.send("/login", {"name": "guest", "password": PASSWORD, "token": token}, **headers)
    assert status in {403, 415}
    await person.log_in("guest")
    token = await person.token("/account")
    for path in ("/logout", "/account/sessions", "/account/password"):
        new = "something else altogether"
        fields = {"token": token, "current": PASSWORD, "new": new, "again": new}
        assert (await person.send(path, fields, **headers))[0] in {403, 415}
    assert await person.panel(MINE) == 503


async def test_a_form_needs_the_token_of_its_browser_and_session(person: Person) -> None:
    """None, another, that of another browser, and that of the login form, with no header that shows a foreign page."""
    other = person.another()
    foreign, own = await other.token(), await person.token()
    for token in ("", "x", foreign, own + "x", "\u00e9"):
        assert (await person.send("/login", {"name": "guest", "password": PASSWORD, "token": token}))[0] == 403, token
    bare = person.another()
    assert (await bare.send("/login", {"name": "guest", "password": PASSWORD, "token": own}))[0] == 403
    await person.log_in("guest")
    await other.log_in("guest")
    for token in ("", own, await other.token("/account")):
        for path in ("/logout", "/account/sessions", "/account/password"):
            assert (await person.send(path, {"token": token}))[0] == 403
    assert await person.panel(MINE) == 503


@pytest.mark.parametrize(
    "body", ["token=" + "x" * 9_000, "&".join("abcdefghijklm"), "name=%ff%fe&token=x", "", "\u0000"]
)
async def test_a_form_that_can_not_be_read_is_said(person: Person, body: str) -> None:
    """It is too large, has too many fields, or is no text; never a fault of ours."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    await person.token()
    assert (await person.ask("POST", "/login", data=body, headers=form))[0] in {400, 403, 413}


async def test_a_wrong_name_and_a_wrong_password_are_answered_alike(person: Person) -> None:
    """Nobody can find out who is a user. What somebody typed is escaped."""
    one = await person.log_in("guest", "wrong")
    other = await person.another().log_in("nobody", "wrong")
    assert one[0] == other[0] == 401
    token = re.compile(r'name="token" value="[^"]*"')
    assert token.sub("", one[1]).replace("guest", "nobody") == token.sub("", other[1])
    for name in ('"><script>alert(1)</script>', "x" * 5_000, "\u0000", "", "guest\nroot", "${7*7}"):
        status, text = await person.log_in(name, "wrong")
        assert status in {401, 429}
        assert "<script" not in text


def through(url: str, **more: Any) -> contextlib.AbstractAsyncContextManager[Person]:
    """Runs a dashboard behind a proxy that it believes."""
    return opened(url, dashboard_url=URL, trusted_proxies=("127.0.0.1",), **more)


def at(person: Person, number: int) -> Person:
    """Returns a new browser at an address of its own, behind the proxy."""
    return person.another(**{"X-Forwarded-For": f"198.51.{number // 250}.{number % 250 + 1}"})


async def fates(person: Person) -> dict[str, int]:
    """Returns the attempts by their fate, without the fates that none had."""
    here = person.another(Host="localhost")
    lines = (await here.get("/metrics"))[1].splitlines()
    start = 'forebay_dashboard_logins_total{fate="'
    return {
        line.removeprefix(start).partition('"')[0]: count
        for line in lines
        if line.startswith(start) and (count := int(float(line.split()[-1])))
    }


async def test_one_address_tries_so_many_passwords(url: str, slow: None) -> None:
    """Whatever names it tries; others are not held up, and a right password does not make it clean."""
    async with through(url) as person:
        tried = at(person, 1)
        for number in range(ADDRESS):
            if number == ADDRESS - 1:
                assert (await at(person, 1).log_in("owner"))[0] == 303
            assert (await tried.log_in(f"user{number}", "wrong"))[0] == 401
        token = await tried.token()
        status, text, answer = await tried.ask(
            "POST", "/login", data={"name": "guest", "password": PASSWORD, "token": token}
        )
        assert (status, "Try again in" in text, int(answer.headers["Retry-After"]) > 0) == (429, True, True)
        six = person.another(**{"X-Forwarded-For": "198.51.100.9"})
        assert (await six.log_in("guest"))[0] == 303
        assert (await fates(person)) == {"in": 2, "wrong": ADDRESS, "throttled_address": 1}


async def test_a_network_of_ipv6_is_one_address(url: str, slow: None) -> None:
    """Who has one has all of a /64."""
    async with through(url) as person:
        for number in range(ADDRESS):
            tried = person.another(**{"X-Forwarded-For": f"2001:db8::{number:x}"})
            assert (await tried.log_in(f"user{number}", "wrong"))[0] == 401
        assert (await person.another(**{"X-Forwarded-For": "2001:db8::ffff"}).log_in("guest"))[0] == 429


async def test_many_addresses_try_one_user_so_often(url: str, slow: None) -> None:
    """The owner is not locked out: not where he or she was before, and not on the server. Others get in from anywhere."""
    async with through(url) as person:
        owner = at(person, 0)
        assert (await owner.log_in("owner"))[0] == 303
        token = await owner.token("/account")
        assert (await owner.send("/logout", {"token": token}))[0] == 303
        for number in range(USER):
            assert (await at(person, number + 1).log_in("owner", "wrong"))[0] == 401
        assert (await at(person, USER + 1).log_in("OWNER "))[0] == 429
        assert (await owner.log_in("owner"))[0] == 303
        assert (await person.another(Host="localhost").log_in("owner"))[0] == 303
        assert (await at(person, USER + 2).log_in("guest"))[0] == 303
        stranger = at(person, USER + 3)
        stranger.cookies = {name: text for name, text in owner.cookies.items() if "device" in name}
        assert (await stranger.log_in("root", "wrong"))[0] == 401  # a device of one user is none of another's
        for _ in range(DEVICE):
            assert (await stranger.log_in("owner", "wrong"))[0] == 401
        assert (await stranger.log_in("owner"))[0] == 429
        counted = await fates(person)
        assert (counted["throttled_user"], counted["throttled_device"]) == (1, 1)


async def test_many_addresses_try_many_users_so_often(url: str, redis: Redis, slow: None) -> None:
    """One password for each of many names is no way around it, and what is counted in Redis names nobody."""
    async with through(url) as person:
        owner = at(person, 0)
        await owner.log_in("owner")
        for number in range(ALL):
            status = (await at(person, number + 1).log_in(f"user{number}", "wrong"))[0]
            assert status == 401
        assert (await at(person, ALL + 1).log_in("guest"))[0] == 429
        assert (await fates(person))["throttled_all"] == 1
        owner.cookies.pop("__Host-forebay-session")
        assert (await owner.log_in("owner"))[0] == 303
    found: Any = await redis.keys("forebay:{logins}:*")
    names = [name.decode() for name in found]
    assert len(names) > ALL
    assert not any("198.51" in name or "user" in name for name in names)
    assert all([await redis.ttl(name) > 0 for name in names])


async def test_a_bucket_fills_again(url: str, redis: Redis, slow: None) -> None:
    """With time alone: whoever waits gets a turn, and an attempt that was refused costs nothing."""
    async with through(url) as person:
        tried = at(person, 1)
        for number in range(ADDRESS):
            await tried.log_in(f"user{number}", "wrong")
        for _ in range(3):
            assert (await tried.log_in("guest"))[0] == 429
        for name in await redis.keys("forebay:{logins}:*"):
            moment = float(await redis.hget(name, "at") or 0)
            await redis.hset(name, "at", f"{moment - 1.5 / SLOW:.6f}")  # time passes
        assert (await tried.log_in("guest"))[0] == 303


async def test_a_new_device_is_told_and_an_old_one_is_not(
    url: str, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """By mail to the user, and by the webhook; the log has no address."""
    await add_user(redis, "guest", {MINE: "viewer"}, email="guest@example.org")
    async with mail_server() as mails, hook() as posts:
        settings = {
            "notify_smtp_url": f"smtp+plain://127.0.0.1:{mails.port}",
            "notify_from": "forebay@example.org",
            "notify_to": ("admin@example.org",),
            "notify_webhook_url": posts.url,
        }
        async with through(url, **settings) as person:
            first = at(person, 1)
            assert (await first.log_in("guest"))[0] == 303

            async def told(count: int) -> None:
                async def is_told() -> bool:
                    return len(mails.mails) >= count and len(posts.posts) >= count

                await until(is_told)

            await told(1)
            text = mails.mails[0].get_content()
            assert mails.to == ["guest@example.org"]
            assert mails.mails[0]["Subject"] == "A login of guest on a new device"
            for said in ("guest has logged in", "Firefox on Linux", "198.51.0.2", f"{URL}/account"):
                assert said in text
            assert posts.posts[0]["facts"] == {"user": "guest", "browser": "Firefox on Linux", "address": "198.51.0.2"}
            await first.send("/logout", {"token": await first.token("/account")})
            assert (await first.log_in("guest"))[0] == 303  # the same device
            elsewhere = person.another(**{"X-Forwarded-For": "203.0.113.9", "User-Agent": CHROME})
            elsewhere.cookies = {name: text for name, text in first.cookies.items() if "device" in name}
            assert (await elsewhere.log_in("guest"))[0] == 303  # the same, at another place
            assert (await elsewhere.another().log_in("guest", "wrong"))[0] == 401  # it was no login
            second = person.another(**{"X-Forwarded-For": "203.0.113.9", "User-Agent": CHROME})
            assert (await second.log_in("guest"))[0] == 303
            await told(2)
            assert "Chrome on Windows" in mails.mails[1].get_content()
            assert (len(mails.mails), len(posts.posts)) == (2, 2)
            other = at(person, 2)
            other.cookies = dict(first.cookies)
            other.cookies.pop("__Host-forebay-session")
            assert (await other.log_in("owner"))[0] == 303  # a device of guest is new to owner, who has no address
            await told(3)
            assert mails.to[2] == "admin@example.org"
    assert len([record for record in caplog.records if "new device" in record.getMessage()]) == 3
    assert not any("198.51" in record.getMessage() for record in caplog.records if record.name.startswith("dashboard"))


async def test_a_mail_that_is_not_taken_holds_up_no_login(url: str) -> None:
    """A server that never answers, and one that is not there."""
    async with mail_server() as mails:
        mails.answers = [None]
        for port in (mails.port, 1):
            settings = {
                "notify_smtp_url": f"smtp+plain://127.0.0.1:{port}",
                "notify_from": "forebay@example.org",
                "notify_to": ("admin@example.org",),
            }
            async with opened(url, **settings) as person:
                assert (await person.log_in("guest"))[0] == 303
                assert await person.panel(MINE) == 503


async def test_no_secret_is_in_a_log_or_a_metric(url: str, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Passwords, cookies, tokens, and what somebody types in the place of a name; not even when something goes wrong."""
    caplog.set_level(logging.DEBUG)
    typed = "a password in the place of a name"
    async with opened(url) as person:
        token = await person.token()
        await person.log_in(typed, PASSWORD)
        await person.log_in("guest", "the wrong password here")
        await person.log_in("guest")
        account = await person.token("/account")
        new = "five other words that nobody guesses"
        fields = {"current": PASSWORD, "new": new, "again": new, "token": account}
        before = dict(person.cookies)
        await person.send("/account/password", fields)
        await person.get(f"/api/sites?token={token}&password={PASSWORD.replace(' ', '+')}")
        forged = person.another()
        forged.cookies = {"forebay-session": before["forebay-session"]}
        await forged.panel(MINE)
        await redis.set(sessions_key("guest0000000"), "no hash")  # a fault of ours, on the way
        status, said, _ = await person.ask("GET", "/account")
        metrics = (await person.another().get("/metrics"))[1]
    assert status == 503, said
    logged = [
        record.getMessage() for record in caplog.records if record.name != "aiohttp.access"
    ]  # the test's own server
    text = "\n".join((*logged, metrics, said))
    secrets = {typed, PASSWORD, new, "the wrong password here", token, account}
    secrets |= {
        part for cookies in (before, person.cookies) for cookie in cookies.values() for part in cookie.split(".")[1:]
    }
    assert not [secret for secret in secrets if secret in text]
    assert FIREFOX not in text
