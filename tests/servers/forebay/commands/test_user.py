"""`forebay user` on a real Redis: who may look, with what password, and that a change ends sessions."""

from __future__ import annotations

import pytest

from runtime.passwords import is_right
from runtime.redis import BlockingRedis
from schemas.redis.keys import USERS_KEY, devices_key, sessions_key
from schemas.users import User
from tests.servers.forebay.commands.conftest import Run

COMMAND = "user"
PASSWORD = "four words that nobody guesses"
NEW = "five other words that nobody guesses"


def user(redis: BlockingRedis, name: str) -> User:
    value = redis.hget(USERS_KEY, name)
    assert isinstance(value, bytes)
    return User.decode(value)


def test_a_user_is_added_and_listed(run: Run, redis: BlockingRedis) -> None:
    """As a viewer of every site, unless something else is said; the password is nowhere."""
    status, out, said = run("add", "Ann@Example.com", "--email", "Ann@EXAMPLE.org")
    assert (status, out) == (0, "")
    assert "from now on everybody has to" in said
    assert "--role admin" in said
    ann = user(redis, "ann@example.com")
    assert is_right(ann.password, PASSWORD)
    assert (ann.grants, ann.email) == ({"*": "viewer"}, "Ann@example.org")
    status, _, said = run("add", "root", "--role", "admin")
    assert (status, "--role admin" in said) == (0, False)
    assert run("add", "customer", "--site", "WWW.shop.example", "--site", "new.example")[2].startswith(
        "new.example is not registered"
    )
    status, listed, _ = run("list")
    assert [line.split("\t")[:2] for line in listed.splitlines()] == [
        ["ann@example.com", "*:viewer"],
        ["customer", "new.example:viewer shop.example:viewer"],
        ["root", "*:admin"],
    ]
    assert PASSWORD not in listed + repr(redis.hgetall(USERS_KEY))
    assert "argon2" not in listed


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (("add", "two words"), PASSWORD),
        (("add", "-"), PASSWORD),
        (("add", "bob", "--site", "no site"), PASSWORD),
        (("add", "bob", "--email", "nonsense"), PASSWORD),
        (("add", "bob"), "short\n"),
        (("add", "bob"), ""),
        (("add", "bob"), "bob\n" * 4),
        (("set", "ann", "--password"), "short\n"),
        (("set", "ann", "--email", "a@b\nBcc: c@d"), PASSWORD),
    ],
)
def test_what_can_not_be_is_said(run: Run, redis: BlockingRedis, words: tuple[str, ...], stdin: str) -> None:
    """In one line, with status 2, and nothing is changed."""
    run("add", "ann")
    before = redis.hgetall(USERS_KEY)
    status, out, said = run(*words, stdin=stdin)
    assert (status, out) == (2, "")
    assert said.startswith("forebay user: ")
    assert redis.hgetall(USERS_KEY) == before


def test_nobody_is_added_twice_and_nobody_else_changed(run: Run) -> None:
    """With status 1, and the command that would do it."""
    run("add", "ann")
    assert "`forebay user set ann`" in run("add", "ANN")[2]
    assert run("add", "ann")[0] == run("set", "bob")[0] == run("remove", "bob")[0] == 1


def test_what_a_user_may_see_is_changed(run: Run, redis: BlockingRedis) -> None:
    """Site by site; the password, and with it the sessions, stay."""
    run("add", "ann", "--site", "shop.example")
    before = user(redis, "ann")
    redis.hset(sessions_key(before.id), "a", "b")
    for words, grants in (
        (("--site", "new.example", "--role", "admin"), {"shop.example": "viewer", "new.example": "admin"}),
        (("--role", "admin"), {"shop.example": "admin", "new.example": "admin"}),
        (("--no-site", "new.example"), {"shop.example": "admin"}),
        (("--no-site", "shop.example"), {}),
        (("--role", "viewer"), {"*": "viewer"}),
        (("--email", "ann@example.org"), {"*": "viewer"}),
        (("--email", ""), {"*": "viewer"}),
    ):
        assert run("set", "ann", *words)[0] == 0, words
        assert user(redis, "ann").grants == grants
    after = user(redis, "ann")
    assert (after.password, after.stamp, after.id, after.email) == (before.password, before.stamp, before.id, "")
    assert redis.exists(sessions_key(before.id))


def test_another_password_and_a_removal_end_the_sessions(run: Run, redis: BlockingRedis) -> None:
    """At once; who is added again is somebody else."""
    run("add", "ann")
    first = user(redis, "ann")
    redis.hset(sessions_key(first.id), "a", "b")
    assert run("set", "ann", "--password", stdin=f"{NEW}\r\n")[0] == 0
    second = user(redis, "ann")
    assert is_right(second.password, NEW)
    assert second.stamp != first.stamp
    assert not redis.exists(sessions_key(first.id))
    redis.hset(sessions_key(first.id), "a", "b")
    redis.hset(devices_key(first.id), "a", "1")
    status, _, said = run("remove", "ann")
    assert (status, "There is no user any more" in said) == (0, True)
    assert redis.keys("forebay:[sd]e[sv]*") == []
    run("add", "ann")
    assert user(redis, "ann").id != first.id


def test_a_record_that_can_not_be_read_is_said(run: Run, redis: BlockingRedis) -> None:
    """And can be removed."""
    redis.hset(USERS_KEY, "ann", "{nonsense")
    assert "`forebay user remove ann`" in run("list")[2]
    assert "`forebay user remove ann`" in run("set", "ann", "--role", "admin")[2]
    assert run("remove", "ann")[0] == 0
    assert "add NAME --role admin" in run("list")[2]
