"""ingest/collect/limiter.py: what a site, and each of its clients, may send."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.collect.keys import ServerKeys
from ingest.collect.limiter import BUCKETS_MAX, SHARED_MAX, TELL_SECONDS, Limiter
from ingest.collect.sites import Site, Sites
from ingest.fates import Reason
from schemas.limits import Limit, limit_of
from schemas.site import RegisteredSite, SiteSettings
from tests.support.collecting import URL, Bench, Collected
from tests.support.server_keys import KeyStore

CLIENT = 7
PEERS = ("203.0.113.7", "203.0.113.8")


class Now:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Said:
    """Says the record of one site."""

    def __init__(self, **settings: Any) -> None:
        self.record = RegisteredSite(settings=SiteSettings(**settings)).encode()

    async def sites(self) -> dict[str, bytes]:
        return {"example.com": self.record}


def site(limit: str = "off", client_limit: str = "off") -> Site:
    return Site("example.com", 0, "count", limit=limit_of(limit), client_limit=limit_of(client_limit))


def taken(limiter: Limiter, of: Site, now: float, events: int = 1, times: int = 1, client: int = CLIENT) -> int:
    return [limiter.take(of, client, events, now) for _ in range(times)].count(None)


def test_a_burst_comes_in_and_then_the_rate() -> None:
    """And not more than a burst after a long pause."""
    limiter, of = Limiter(), site("10/s,burst=5")
    assert [taken(limiter, of, now, times=20) for now in (0.0, 0.1, 0.35, 60.0)] == [5, 1, 3, 5]


def test_a_large_request_is_taken_whole_and_owed() -> None:
    """Nothing is taken until what it took too much has come in, and who is refused is told when that is."""
    limiter, of = Limiter(), site("10/s,burst=5")
    assert taken(limiter, of, 0.0, events=35) == 1
    refused = limiter.take(of, CLIENT, 1, 0.0)
    assert refused is not None
    assert refused == (5, 0, 3)
    assert [taken(limiter, of, now) for now in (2.9, 3.01)] == [0, 1]


def test_a_client_at_its_limit_costs_the_site_nothing() -> None:
    """What is refused is taken from neither bucket, and other clients have their own."""
    limiter, of = Limiter(), site("1/h,burst=6", "1/h,burst=2")
    assert taken(limiter, of, 0.0, times=50) == 2
    assert taken(limiter, of, 0.0, times=50, client=8) == 2
    assert taken(limiter, of, 0.0, times=50, client=9) == 2
    assert taken(limiter, of, 0.0, times=50, client=10) == 0


def test_a_server_has_no_limit_of_a_client() -> None:
    """Its number is 0."""
    limiter, of = Limiter(), site("1/h,burst=6", "1/h,burst=2")
    assert taken(limiter, of, 0.0, times=50, client=0) == 6


def test_a_worker_alone_has_its_share() -> None:
    """A burst of its own, and its part of the rate."""
    limiter, of = Limiter(workers=4), site("40/s,burst=10")
    assert [taken(limiter, of, now, times=50) for now in (0.0, 1.0)] == [10, 10]
    assert taken(limiter, of, 1.5, times=50) == 5


def test_who_is_far_from_a_limit_is_never_told() -> None:
    """Nor is anything where there is no limit."""
    now = Now()
    limiter, of = Limiter(now=now), site("10/s,burst=10")
    assert taken(limiter, of, now(), times=5) == 5
    assert limiter.due() == []
    assert taken(limiter, of, now()) == 1
    assert [(one.bucket.key, one.taken, one.most) for one in limiter.due()] == [("example.com", 6, 10.0)]


def test_what_redis_says_counts_without_what_was_taken_meanwhile() -> None:
    """A second later it is told only what was taken since, and a bucket that is full is shared no longer."""
    now = Now()
    limiter, of = Limiter(now=now), site("10/s,burst=10")
    taken(limiter, of, now(), times=8)
    told = limiter.due()
    assert taken(limiter, of, now()) == 1
    limiter.heard(told, [1.5])  # others took half an event more
    assert taken(limiter, of, now(), times=9) == 1
    now.seconds += TELL_SECONDS
    [again] = limiter.due()
    assert (again.taken, again.most) == (2, 10.0)
    limiter.heard([again], [10.0])
    now.seconds += TELL_SECONDS
    assert limiter.due() == []


def test_nothing_is_told_twice_when_an_answer_is_lost() -> None:
    """Afterwards the worker says how much its own bucket holds, in place of what it took."""
    now = Now()
    limiter, of = Limiter(now=now), site("1/h,burst=10")
    taken(limiter, of, now(), times=6)
    limiter.heard(limiter.due(), [4.0])
    taken(limiter, of, now(), times=3)
    now.seconds += TELL_SECONDS
    [lost] = limiter.due()
    assert lost.taken == 3
    limiter.heard([lost], [None])
    now.seconds += TELL_SECONDS
    [again] = limiter.due()
    assert (again.taken, round(again.most)) == (0, 1)


def test_a_bucket_that_runs_low_is_told_soon() -> None:
    """After a tenth of a second; one of which little was taken, after a whole one."""
    now = Now()
    limiter, of = Limiter(now=now), site("1/h,burst=100")
    taken(limiter, of, now(), times=60)
    limiter.heard(limiter.due(), [40.0])
    found = []
    for events in (5, 30, 0):
        now.seconds += 0.15
        taken(limiter, of, now(), times=events)
        told = limiter.due()
        limiter.heard(told, [5.0] * len(told))
        found.append(len(told))
    assert found == [0, 1, 0]


def test_a_flood_of_clients_is_bounded() -> None:
    """In memory, and in what is shared."""
    limiter, of = Limiter(), site("off", "1/h,burst=2")
    for client in range(1, 2 * BUCKETS_MAX):
        limiter.take(of, client, 3 if client <= 2 * SHARED_MAX else 1, 0.0)
    assert len(limiter._buckets) <= BUCKETS_MAX
    assert len(limiter._shared) == SHARED_MAX


def test_another_limit_counts_at_once() -> None:
    """A smaller bucket holds no more than it can."""
    limiter = Limiter()
    assert taken(limiter, site("1/h,burst=50"), 0.0) == 1
    assert taken(limiter, site("1/h,burst=3"), 0.0, times=50) == 3


async def bench(now: Now, *, keys: ServerKeys | None = None, **settings: Any) -> Bench:
    sites = Sites(named=["other.example"], privacy="count", source=Said(**settings))
    made = await Bench(sites=sites, limiter=Limiter(now=now), keys=keys).ready()
    await sites.refresh()
    return made


def names(found: Collected) -> dict[bytes, bytes]:
    return dict(found.headers)


async def test_a_request_over_the_limit_is_answered_429() -> None:
    """With when to come again, for pages of another origin too; it is counted, and noted under its site."""
    now = Now()
    made = await bench(now, limit="2/s,burst=2")
    assert [made.post([{"url": URL}] * 6).status, made.post({"url": URL}).status] == [202, 429]
    found = made.post([{"url": URL}] * 3)
    assert (found.status, found.rows, found.body) == (429, [], b'{"reason":"rate_limited"}')
    said = names(found)
    assert [said[b"retry-after"], said[b"x-ratelimit-limit"], said[b"x-ratelimit-remaining"]] == [b"2", b"2", b"0"]
    assert b"x-ratelimit-reset" in said[b"access-control-expose-headers"]
    assert made.counts.rejections["example.com", Reason.RATE_LIMITED] == 4
    assert made.rejections.take() == {("rate_limited", "example.com"): 4}
    now.seconds += 2.1
    assert len(made.post([{"url": URL}] * 3).rows) == 3


async def test_a_request_with_faulty_events_is_refused_whole() -> None:
    """Its client sends all of it again, so it must not hear that a part of it was judged."""
    made = await bench(Now(), limit="1/h,burst=1")
    made.post({"url": URL})
    assert made.post([{"url": URL}, {"url": "no"}, 5]).status == 429


async def test_of_several_sites_only_the_limited_one_loses_events() -> None:
    """The answer names them: to refuse all would double the others'."""
    made = await bench(Now(), limit="1/h,burst=1")
    made.post({"url": URL})
    found = made.post([{"url": URL}, {"url": "https://other.example/"}])
    assert (found.status, len(found.rows)) == (202, 1)
    assert found.body == b'{"accepted":1,"rejected":[{"index":0,"reason":"rate_limited"}]}'


async def test_clients_are_told_apart_by_their_address_alone() -> None:
    """A program that changes its user agent is one client; another address is another one."""
    made = await bench(Now(), client_limit="1/h,burst=2")
    found = [
        made.post({"url": URL}, headers=[(b"User-Agent", b"Mozilla/5.0 Safari/%d" % at)], peer=peer).status
        for peer in PEERS
        for at in range(3)
    ]
    assert found == [202, 202, 429] * 2


async def test_a_limiter_holds_no_address_and_forgets_clients_with_their_salt() -> None:
    """I8: neither an address nor what a salt made of it stays."""
    made = await bench(Now(), limit="1/h,burst=2", client_limit="1/h,burst=2")
    made.post([{"url": URL}] * 2)
    limiter = made.collector.places.limiter
    assert {type(key) for key in limiter._buckets} == {str, int}
    assert not any(peer in repr(bucket.key) for bucket in limiter._buckets.values() for peer in PEERS)
    made.clock.now_ms += 86_400_000
    await made.ready()
    made.salts.tick()
    assert list(limiter._buckets) == list(limiter._shared) == ["example.com"]


async def test_settings_of_the_installation_count_where_a_site_says_nothing() -> None:
    """`off` in a record beats them, and what can't be read does not count."""
    found = []
    for settings in ({}, {"limit": "off", "client_limit": "2/s"}, {"limit": "2/fortnight"}):
        sites = Sites(
            named=[], privacy="count", source=Said(**settings), limit=Limit(1.0, 1), client_limit=Limit(1.0, 1)
        )
        assert sites.have_limits
        await sites.refresh()
        known = sites.resolve("example.com")
        assert known is not None
        found.append((known.limit, known.client_limit))
    assert found == [(Limit(1.0, 1),) * 2, (None, Limit(2.0, 20)), (Limit(1.0, 1),) * 2]


@pytest.mark.parametrize(("has_key", "statuses"), [(True, [202, 202, 202]), (False, [202, 429, 429])])
async def test_a_server_key_counts_for_the_site(has_key: bool, statuses: list[int]) -> None:
    """A server sends for many clients, so the limit of a client does not hold it."""
    store = KeyStore()
    key = store.add("example.com")
    made = await bench(Now(), keys=await store.read(), client_limit="1/h,burst=1")
    headers = [(b"Authorization", b"Bearer " + key.encode())] if has_key else []
    assert [made.post({"url": URL}, headers=headers).status for _ in range(3)] == statuses
