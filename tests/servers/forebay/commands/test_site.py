"""`forebay site` on a real Redis: goals, funnels and exclusions of a record, and two who change one at once."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from forebay.command_line import main
from runtime.redis import BlockingRedis, url_of
from schemas.goals import goal_text
from schemas.redis.keys import SITES_KEY, rejected_key
from schemas.rejected import ADDRESS
from schemas.runfile import RUN_FILE, Running
from schemas.site import RegisteredSite

COMMAND = "site"
SHOP = "shop.example"
Run = Callable[..., tuple[int, str, str]]


def record(redis: BlockingRedis) -> RegisteredSite:
    return RegisteredSite.decode(redis.hget(SITES_KEY, SHOP) or b"")


def test_goals_funnels_and_rules_are_set_and_listed(run: Run, redis: BlockingRedis) -> None:
    """With one command; `list` shows what is there as it was given."""
    status, said, fault = run(
        "set", SHOP, "--goal", "purchase", "--goal", "Visit /thanks", "--funnel", "buy=Visit /cart,purchase",
        "--exclude-address", "203.0.113.9/24", "--exclude-path", "/admin/*", "--exclude-country", "fr",
        "--exclude-hostname", "WWW.Staging.example", "--exclude-address", "2001:db8::5",
    )  # fmt: skip
    wanted = (
        f"{SHOP}\n  goal     purchase\n  goal     Visit /thanks\n  funnel   buy=Visit /cart,purchase\n"
        "  exclude  address 203.0.113.0/24\n  exclude  address 2001:db8::/64\n  exclude  path /admin/*\n"
        "  exclude  country FR\n  exclude  hostname staging.example\n"
    )
    assert (status, said, fault) == (0, wanted, "")
    assert run("list") == (0, wanted, "")
    # What is not named stays, and the same again is there once.
    assert run("set", SHOP, "--privacy", "drop", "--exclude-country", "FR", "--goal", "purchase")[1] == wanted.replace(
        f"{SHOP}\n", f"{SHOP}\t\tprivacy=drop\n"
    )


def test_a_new_site_can_have_them_at_once(run: Run, redis: BlockingRedis) -> None:
    """`add` takes the same options."""
    assert run("add", "new.example", "--goal", "Big order=purchase plan=pro", "--exclude-country", "DE")[0] == 0
    site = RegisteredSite.decode(redis.hget(SITES_KEY, "new.example") or b"")
    assert [goal_text(one) for one in site.goals] == ["Big order=purchase plan=pro"]
    assert site.exclusions.countries == ("DE",)


def test_what_was_set_is_taken_back(run: Run, redis: BlockingRedis) -> None:
    """By the name, or as the rule was written; then the record is as it was."""
    run(
        "set",
        SHOP,
        "--goal",
        "Big order=purchase plan=pro",
        "--funnel",
        "buy=Visit /cart,Big order",
        "--exclude-address",
        "2001:db8::5",
    )
    assert run("set", SHOP, "--no-goal", "Big order", "--no-funnel", "buy", "--no-exclude-address", "2001:db8::6") == (
        0,
        f"{SHOP}\n",
        "",
    )
    assert redis.hget(SITES_KEY, SHOP) == RegisteredSite().encode()


def test_a_goal_and_a_funnel_get_another_meaning(run: Run, redis: BlockingRedis) -> None:
    """Under the same name there is one."""
    run("set", SHOP, "--goal", "Big=purchase plan=pro", "--funnel", "buy=a,b")
    assert run("set", SHOP, "--goal", "Big=purchase plan=max", "--funnel", "buy=c,d")[1] == (
        f"{SHOP}\n  goal     Big=purchase plan=max\n  funnel   buy=c,d\n"
    )


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--no-goal", "purchse"], 1, "there is no goal 'purchse': there is 'Big'"),
        (["--no-funnel", "x"], 1, "there is no funnel 'x': there is 'buy'"),
        (["--no-exclude-country", "DE"], 1, "there is no excluded country 'DE': there is none at all"),
        (["--no-goal", "Big"], 2, "the funnel 'buy' has the goal 'Big' as a step"),
        (["--goal", "engagement"], 2, "every page sends"),
        (["--funnel", "x=one"], 2, "has 1 steps: it may have 2 to 8"),
        (["--exclude-address", "0.0.0.0/0"], 2, "would leave out every event"),
        (["--exclude-address", "localhost"], 2, "neither an address nor a network"),
        (["--exclude-path", "admin"], 2, "it begins with / or *"),
        (["--exclude-country", "XX"], 2, "is no country"),
        (["--exclude-hostname", "https://x.example"], 2, "is no host name"),
        (["--key", "phc_x"], 2, "write FAMILY:KEY, with one of amplitude, ga4"),
        (["--key", "plausible:x"], 2, "write FAMILY:KEY"),
        (["--key", "posthog:a b"], 2, "can't be the key of a site"),
        (["--no-key", "posthog:x"], 1, "there is no key 'posthog:x': there is none at all"),
        (["--host", "*"], 2, "every host"),
        (["--limit", "2000"], 2, "is no limit: write 2000/s"),
        (["--client-limit", "0/s"], 2, "is no limit: write 2000/s"),
        (["--host", "https://x.example"], 2, "is no host name"),
        ([word for at in range(101) for word in ("--key", f"segment:{at}")], 2, "may have 100 keys"),
        ([word for at in range(51) for word in ("--goal", f"goal {at}")], 2, "may have 50 goals"),
        ([word for at in range(21) for word in ("--funnel", f"f {at}=a,b")], 2, "may have 20 funnels"),
        ([word for at in range(101) for word in ("--exclude-path", f"/{at}")], 2, "may have 100 excluded paths"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused_and_nothing_is_changed(
    run: Run, redis: BlockingRedis, words: list[str], status: int, said: str
) -> None:
    """Not even what else the command wants: a person who made one mistake repeats the whole command."""
    run("set", SHOP, "--goal", "Big=purchase plan=pro", "--funnel", "buy=Big,purchase")
    before = redis.hget(SITES_KEY, SHOP)
    code, out, err = run("set", SHOP, "--keep-query", *words)
    assert (code, out) == (status, "")
    assert said in err
    assert redis.hget(SITES_KEY, SHOP) == before


def test_keys_and_hosts_are_set_listed_and_taken_back(run: Run, redis: BlockingRedis) -> None:
    """In one form, whatever case and name of a family they were given with."""
    status, _, _ = run(
        "add", SHOP, "--key", "segment:WK123", "--key", "umami:0F3C-1", "--key", "RudderStack:wk", "--key", "segment:WK123",
        "--host", "WWW.shop.example", "--host", "*.preview.example",
    )  # fmt: skip
    assert status == 0
    assert record(redis).keys == ("segment:WK123", "umami:0f3c-1", "segment:wk")
    assert record(redis).hosts == ("shop.example", "*.preview.example")
    listed = (
        f"{SHOP}\n  key      segment:WK123\n  key      umami:0f3c-1\n  key      segment:wk\n"
        "  host     shop.example\n  host     *.preview.example\n"
    )
    assert run("list") == (0, listed, "")
    words = ("--no-key", "umami:0F3C-1", "--no-key", "jitsu:wk", "--no-key", "segment:WK123")
    assert run("set", SHOP, *words, "--no-host", "shop.example", "--no-host", "*.preview.example") == (
        0,
        f"{SHOP}\n",
        "",
    )
    assert redis.hget(SITES_KEY, SHOP) == RegisteredSite().encode()


def test_limits_are_set_listed_and_taken_back(run: Run, redis: BlockingRedis) -> None:
    """In one form; `off` is another thing than what the installation says."""
    assert run("add", SHOP, "--limit", "2000 / S", "--client-limit", "off")[0] == 0
    assert run("list")[1] == f"{SHOP}\t\tlimit=2000/s client_limit=off\n"
    assert run("set", SHOP, "--keep-query", "--limit", "5/min,burst=9")[1] == (
        f"{SHOP}\t\tkeep_query=True limit=5/min,burst=9 client_limit=off\n"
    )
    run("set", SHOP, "--no-keep-query", "--limit", "default", "--client-limit", "default")
    assert redis.hget(SITES_KEY, SHOP) == RegisteredSite().encode()


def test_a_key_belongs_to_one_site(run: Run, redis: BlockingRedis) -> None:
    """Another site is refused it, with the command that frees it, and nothing of that site is changed."""
    run("set", SHOP, "--key", "segment:WK1")
    status, out, err = run("add", "other.example", "--key", "segment:WK1", "--keep-query")
    assert (status, out) == (2, "")
    assert "segment:WK1 is a key of shop.example: `forebay site set shop.example --no-key segment:WK1` frees it" in err
    assert not redis.hexists(SITES_KEY, "other.example")
    assert run("add", "other.example", "--key", "segment:WK")[0] == 0
    run("set", SHOP, "--no-key", "segment:WK1")
    assert run("set", "other.example", "--key", "segment:WK1")[0] == 0


def test_of_two_who_want_a_key_at_once_one_gets_it(server: Path, redis: BlockingRedis) -> None:
    """The one script that writes also looks, so no moment lies between the two."""
    start = threading.Barrier(4)
    statuses: list[int] = []

    def want(who: int) -> None:
        start.wait()
        words = ["site", "add", f"s{who}.example", "--redis-url", url_of(server), "--key"]
        statuses.extend(main([*words, f"segment:{at}"]) for at in range(5))

    threads = [threading.Thread(target=want, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [0] * 5 + [2] * 15
    held = [key for text in redis.hvals(SITES_KEY) for key in RegisteredSite.decode(text).keys]
    assert sorted(held) == [f"segment:{at}" for at in range(5)]


def test_who_is_refused_is_listed_with_what_registers_it(run: Run, redis: BlockingRedis) -> None:
    """A key as one of a site, a name as a site, and nothing for what is neither."""
    seconds = redis.time()[0]
    for name in ("posthog:phc_X", "new.example", ADDRESS):
        redis.hset(rejected_key(seconds), f"unknown_site {name}", "3")
    said = run("list")[1]
    assert "posthog:phc_X                         3  last" in said
    assert "`forebay site add SITE --key posthog:phc_X`\n" in said
    assert "`forebay site add new.example`\n" in said
    assert len([line for line in said.splitlines() if "`forebay" in line]) == 2


def test_who_was_registered_after_a_refusal_is_not_to_be_registered_again(run: Run, redis: BlockingRedis) -> None:
    """What was refused before stays in the list for an hour."""
    redis.hset(rejected_key(redis.time()[0]), "unknown_site posthog:phc_X", "3")
    run("add", "shop.example", "--key", "posthog:phc_X")
    said = run("list")[1]
    assert "registered meanwhile\n" in said
    assert "`forebay" not in said


def test_a_rule_that_another_release_wrote_can_be_removed(run: Run, redis: BlockingRedis) -> None:
    """Also if this one would not take it."""
    redis.hset(SITES_KEY, SHOP, b'{"exclusions": {"addresses": ["203.0.113.0-203.0.113.9"]}}')
    assert run("set", SHOP, "--no-exclude-address", "203.0.113.0-203.0.113.9") == (0, f"{SHOP}\n", "")


def test_of_two_who_change_a_site_at_once_neither_loses(server: Path, redis: BlockingRedis) -> None:
    """Each writes on top of what the other wrote; before, the later of two `site set` took the earlier's goal away."""
    start = threading.Barrier(4)
    statuses: list[int] = []

    def change(who: int) -> None:
        start.wait()
        words = ["site", "set", SHOP, "--redis-url", url_of(server), "--goal"]
        statuses.extend(main([*words, f"goal {who} {at}"]) for at in range(5))

    threads = [threading.Thread(target=change, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0] * 20
    assert len(record(redis).goals) == 20


def test_a_zone_that_is_yet_to_count_is_said(run: Run, redis: BlockingRedis, tmp_path: Path) -> None:
    """Or somebody who has just registered a site looks for days that begin there, and finds those of UTC."""
    for name, words, is_said in (
        (SHOP, ("--timezone", "Asia/Kathmandu"), True),
        (SHOP, ("--keep-query",), False),
        ("new.example", ("--timezone", "Asia/Kathmandu"), False),  # no event of it was accepted before
    ):
        said = run("add", name, *words, "--data", str(tmp_path))[2]
        found = re.search(rf"Days of {name} begin at midnight in Asia/Kathmandu from \S+T18:15Z on", said)
        assert bool(found) is is_said, said
    (tmp_path / RUN_FILE).write_bytes(Running(sites=("*",)).encode())
    said = run("add", "other.example", "--timezone", "Asia/Kathmandu", "--data", str(tmp_path))[2]
    assert "from " in said, "a site whose events were accepted before it was registered has days already"


def test_the_snippet_of_a_site_whose_events_are_refused_is_printed_with_a_word(run: Run, tmp_path: Path) -> None:
    """It may be registered later, but who forgets it sees nothing arrive."""
    word = "other.example is not registered: `forebay site add other.example` registers it"
    status, out, said = run("snippet", "other.example", "--data", str(tmp_path))
    assert (status, 'data-site="other.example"' in out, word in said) == (0, True, True)
    assert "registered" not in run("snippet", SHOP, "--data", str(tmp_path))[2]
    for sites, is_said in ((("*",), False), (("other.example",), False), (("third.example",), True)):
        (tmp_path / RUN_FILE).write_bytes(Running(sites=sites).encode())
        assert (word in run("snippet", "other.example", "--data", str(tmp_path))[2]) is is_said, sites
