"""`forebay share` on a real Redis: what a link is made of, that its secrets are kept nowhere, and that it can be taken back."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from forebay.command_line import main
from runtime.passwords import is_right
from runtime.redis import BlockingRedis, url_of
from schemas.links import LINKS_MAX, Link, id_of
from schemas.redis.keys import LINKS_KEY
from tests.servers.forebay.commands.conftest import Run

COMMAND = "share"
PASSWORD = "four words that nobody guesses"
URL = "https://numbers.example.com"
SHOP = ("--site", "shop.example")


@pytest.fixture(autouse=True)
def _reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Says where people reach the dashboard."""
    monkeypatch.setenv("FOREBAY_DASHBOARD_URL", URL)


def only_link(redis: BlockingRedis) -> tuple[str, Link]:
    """Returns the ID and the record of the one link that there is."""
    [(link_id, value)] = redis.hgetall(LINKS_KEY).items()
    assert isinstance(link_id, bytes)
    return link_id.decode(), Link.decode(value)


def token_in(out: str) -> str:
    """Returns the token of an address that was printed."""
    return out.strip().rpartition("/")[2]


def test_a_link_is_made_and_listed(run: Run, redis: BlockingRedis) -> None:
    """Its address is printed once, alone, so that a script can take it; neither Redis nor the list has its token."""
    status, out, said = run("add", *SHOP, "--name", " the board ", "--dashboard-url", "https://other.example.com/")
    assert (status, out.count("\n")) == (0, 1)
    assert re.fullmatch(r"https://other\.example\.com/shared/[0-9A-Za-z]{10}_[0-9A-Za-z]{43}", out.strip())
    token = token_in(out)
    link_id, link = only_link(redis)
    assert (id_of(token), link.is_of(token)) == (link_id, True)
    assert (link.site, link.name, link.shows, link.days, link.password) == ("shop.example", "the board", (), 0, "")
    assert (link.since, link.until) == (None, None)
    assert link_id in said
    assert "only time" in said
    assert token not in said
    status, listed, said = run("list")
    assert (status, said) == (0, "")
    assert listed.rstrip("\n").split("\t")[:4] == [link_id, "shop.example", "all days", "no password"]
    assert listed.endswith("\tthe board\n")
    secret = token.partition("_")[2]
    assert secret not in listed
    assert secret.encode() not in (redis.hget(LINKS_KEY, link_id) or b"")


def test_days_and_ticks_are_kept(run: Run, redis: BlockingRedis) -> None:
    """The record has them, and the list names them."""
    run("add", *SHOP, "--since", "2026-03-01", "--until", "2026-03-31", "--show", "revenue", "--show", "users")
    link_id, link = only_link(redis)
    assert (link.since, link.until, link.shows) == (date(2026, 3, 1), date(2026, 3, 31), ("revenue", "users"))
    listed = run("list")[1]
    assert "\t2026-03-01 to 2026-03-31\tno password, with revenue, with users\t" in listed
    run("revoke", link_id)
    run("add", *SHOP, "--days", "7")
    assert only_link(redis)[1].days == 7
    assert "\tlast 7 days\t" in run("list")[1]


def test_a_password_is_hashed(run: Run, redis: BlockingRedis) -> None:
    """It is read from stdin, and can't be too short or the name of the site."""
    assert run("add", *SHOP, "--password")[0] == 0
    _, link = only_link(redis)
    assert is_right(link.password, PASSWORD)
    assert PASSWORD not in link.password
    assert "\tpassword\t" in run("list")[1]
    for said in ("short\n", "shop.example\n", "\n", ""):
        status, out, error = run("add", *SHOP, "--password", stdin=said)
        assert (status, out, error.partition(": ")[0]) == (2, "", "forebay share"), said
    assert redis.hlen(LINKS_KEY) == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--site", "no site"), "can't be the name of a site"),
        ((*SHOP, "--name", "x" * 121), "at most 120 characters"),
        ((*SHOP, "--name", "two\nlines"), "printable"),
        ((*SHOP, "--days", "-1"), "from 1 to 3660 days"),
        ((*SHOP, "--days", "0"), "from 1 to 3660 days"),
        ((*SHOP, "--days", "3661"), "from 1 to 3660 days"),
        ((*SHOP, "--days", "7", "--until", "2026-03-31"), "either the last days or"),
        ((*SHOP, "--since", "2026-04-01", "--until", "2026-03-31"), "before the first"),
    ],
)
def test_what_can_not_be_is_refused(run: Run, redis: BlockingRedis, words: tuple[str, ...], why: str) -> None:
    """With its reason, and nothing is kept."""
    status, out, error = run("add", *words)
    assert (status, out) == (2, "")
    assert why in error
    assert error.count("\n") == 1
    assert not redis.exists(LINKS_KEY)


@pytest.mark.parametrize("words", [("--since", "yesterday"), ("--show", "everything"), ("--days", "many")])
def test_an_option_that_is_no_such_thing_is_refused(
    run: Run, redis: BlockingRedis, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The message repeats what was typed, and nothing is kept."""
    with pytest.raises(SystemExit) as ended:
        run("add", *SHOP, *words)
    assert ended.value.code == 2
    assert words[1] in capsys.readouterr().err
    assert not redis.exists(LINKS_KEY)


def test_a_site_that_is_not_registered_gets_a_link_and_a_word(run: Run) -> None:
    """It may be registered later, or need not be."""
    status, out, said = run("add", "--site", "Other.Example.")
    assert status == 0
    assert "/shared/" in out
    assert "other.example is not registered" in said


def test_there_are_only_so_many(run: Run, redis: BlockingRedis) -> None:
    """More links than that are refused, with the command that makes room."""
    redis.hset(LINKS_KEY, mapping={f"{at:010}": b"{}" for at in range(LINKS_MAX)})
    status, out, error = run("add", *SHOP)
    assert (status, out) == (2, "")
    assert "forebay share revoke" in error
    assert redis.hlen(LINKS_KEY) == LINKS_MAX


def test_a_link_is_revoked_by_its_id_or_its_address(run: Run, redis: BlockingRedis) -> None:
    """A secret that was typed by mistake is not repeated."""
    addresses = [run("add", *SHOP)[1].strip() for _ in range(3)]
    tokens = [token_in(address) for address in addresses]
    for said in (addresses[0], tokens[1], id_of(tokens[2])):
        assert run("revoke", str(said)) == (0, "", "")
    assert not redis.exists(LINKS_KEY)
    for said in (addresses[0], tokens[1], str(id_of(tokens[2])), "nothing like it"):
        status, out, error = run("revoke", said)
        assert (status, out) == (1, "")
        assert "there is no link" in error
        assert tokens[0] not in error
        assert "nothing like it" not in error


def test_nothing_to_list_is_said(run: Run) -> None:
    """An empty list is a list, and standard error says how to make a link."""
    status, out, said = run("list")
    assert (status, out) == (0, "")
    assert "there is no link" in said


def test_a_record_that_can_not_be_read_is_named(run: Run, redis: BlockingRedis) -> None:
    """The others are listed, and it can be removed."""
    run("add", *SHOP)
    good, _ = only_link(redis)
    redis.hset(LINKS_KEY, "brokenbrok", b"[[[")
    status, out, said = run("list")
    assert (status, out.partition("\t")[0], out.count("\n")) == (0, good, 1)
    assert "brokenbrok" in said
    assert run("revoke", "brokenbrok")[0] == 0


def test_an_address_needs_a_dashboard(
    server: Path,
    redis: BlockingRedis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where none runs and none is named, nothing is made whose address would be lost."""
    monkeypatch.delenv("FOREBAY_DASHBOARD_URL", raising=False)
    assert main(["share", "add", *SHOP, "--redis-url", url_of(server), "--data", str(tmp_path)]) == 2
    assert "--dashboard-url" in capsys.readouterr().err
    assert not redis.exists(LINKS_KEY)


def test_redis_that_is_away_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each action ends with 1 and a sentence."""
    monkeypatch.setenv("FOREBAY_DASHBOARD_URL", URL)
    for words in (("add", *SHOP), ("list",), ("revoke", "0123456789")):
        assert main(["share", words[0], "--redis-url", url_of(tmp_path / "nothing"), *words[1:]]) == 1
        assert "forebay share: Redis at " in capsys.readouterr().err
