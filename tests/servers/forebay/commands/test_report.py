"""`forebay report` on a real Redis: who is told what is written down, listed and taken back."""

from __future__ import annotations

import pytest

from runtime.redis import BlockingRedis
from schemas.redis.keys import REPORTS_KEY, TOLD_KEY
from schemas.reports import WISHES_MAX, Wish, Wishes
from tests.servers.forebay.commands.conftest import Run

COMMAND = "report"
SITE = ("--site", "WWW.Shop.example")


def record(redis: BlockingRedis) -> Wishes:
    return Wishes.decode(redis.hget(REPORTS_KEY, "shop.example") or b"{}")


def test_what_is_set_is_listed_and_removed(run: Run, redis: BlockingRedis) -> None:
    """Each address and each kind by itself; what was told goes with it."""
    assert (
        run("set", *SITE, "--to", "Ann@Example.ORG", "--to", "webhook", "--every", "weekly", "--what", "spike")[0] == 0
    )
    lines = [f"shop.example\t{what}\t{to}" for to in ("Ann@example.org", "webhook") for what in ("weekly", "spike")]
    assert run("list")[1].splitlines() == lines
    since = {one.since for one in record(redis).wishes}
    assert len(since) == 1
    redis.hset(TOLD_KEY, "weekly shop.example Ann@example.org", "2026-03-23")
    redis.hset(TOLD_KEY, "weekly shop.example webhook", "2026-03-23")
    assert run("remove", *SITE, "--to", "ann@example.org")[0] == 1  # the part before the @ may have a case
    assert run("remove", *SITE, "--to", "Ann@EXAMPLE.org", "--what", "weekly")[0] == 0
    assert run("list")[1].splitlines() == lines[1:]
    assert redis.hkeys(TOLD_KEY) == [b"weekly shop.example webhook"]
    assert run("remove", *SITE)[0] == 0
    assert run("list", *SITE)[1] == ""


def test_setting_it_again_keeps_since_when(run: Run, redis: BlockingRedis) -> None:
    """Otherwise whoever changes a limit would delay the next report."""
    run("set", *SITE, "--to", "ann@example.org", "--every", "weekly")
    earlier = Wishes(wishes=(Wish(to="ann@example.org", what="weekly", since=1),))
    redis.hset(REPORTS_KEY, "shop.example", earlier.encode())
    run("set", *SITE, "--to", "ann@example.org", "--every", "weekly", "--spike-times", "4.5")
    assert record(redis).wishes == earlier.wishes
    assert record(redis).spike_times == 4.5
    assert "shop.example\t--spike-times 4.5\n" in run("list")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "ann@example.org\nBcc: eve@example.net", "--every", "weekly"), "is no mail address"),
        (("--to", "Ann <ann@example.org>", "--every", "weekly"), "is no mail address"),
        (("--to", "ann@example.org"), "say to whom (--to) and what (--what weekly)"),
        (("--every", "weekly"), "say to whom"),
        ((), "say to whom"),
        (("--spike-times", "1"), "spike_times"),
        (("--drop-percent", "100"), "drop_percent"),
        (("--pause-hours", "0"), "pause_hours"),
        (("--spike-times", "nan"), "spike_times"),
    ],
)
def test_what_is_not_valid_is_refused(run: Run, redis: BlockingRedis, words: tuple[str, ...], said: str) -> None:
    """With a sentence, and nothing is written."""
    status, out, error = run("set", *SITE, *words)
    assert (status, out) == (2, "")
    assert said in error
    assert not redis.exists(REPORTS_KEY)


def test_a_site_has_no_more_than_so_many(run: Run, redis: BlockingRedis) -> None:
    """A mailing list is for more."""
    many = [word for number in range(WISHES_MAX + 1) for word in ("--to", f"ann{number}@example.org")]
    status, _, said = run("set", *SITE, *many, "--every", "daily")
    assert (status, "at most 100" in said) == (2, True)
    assert run("set", *SITE, *many[:-2], "--every", "daily")[0] == 0


def test_what_can_not_be_read_is_said(run: Run, redis: BlockingRedis) -> None:
    """The list goes on, and `set` writes it anew."""
    redis.hset(REPORTS_KEY, "shop.example", "{")
    assert "the record of shop.example can't be read" in run("list")[2]
    assert run("set", *SITE, "--to", "ann@example.org", "--every", "weekly")[0] == 0
    assert len(record(redis).wishes) == 1


def test_a_site_that_is_not_registered_is_named(run: Run) -> None:
    """It may be taken by the settings, so it is no error."""
    status, _, said = run("set", "--site", "other.example", "--to", "ann@example.org", "--every", "weekly")
    assert (status, "other.example is not registered" in said) == (0, True)


def test_who_sets_one_is_told_how_to_see_whether_it_can_be_sent(run: Run) -> None:
    """Another process has the mail server in its settings: without one a report is never sent, which shows a week later."""
    said = run("set", *SITE, "--to", "ann@example.org", "--every", "weekly")[2]
    assert "`forebay report send --site shop.example` sends the last one now" in said
    assert run("set", *SITE, "--spike-times", "5")[2] == ""
