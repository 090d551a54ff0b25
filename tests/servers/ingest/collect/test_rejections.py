"""What was rejected lately: which names are kept, how many, and what of it reaches a terminal."""

import time
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ingest.collect.rejections import NAMES_MAX, Rejections
from ingest.commit.stream import RedisStream
from schemas import rejected
from schemas.redis.keys import REJECTED_KEPT_SECONDS, rejected_key
from schemas.rejected import ADDRESS, NO_NAME, NONE, OTHER, added_up, keys_shown, shown
from tests.support import redis_server
from tests.support.collecting import Bench

server = redis_server.server
redis = redis_server.redis


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("shop.example", "shop.example"),
        ("xn--mller-kva.example", "xn--mller-kva.example"),
        ("", NONE),
        ("192.0.2.7", ADDRESS),
        ("192.0.2.7:8080", ADDRESS),
        ("[2001:db8::1]", ADDRESS),
        ("2001:db8::1", ADDRESS),
        ("\x1b[31mevil", NO_NAME),
        ("a b", NO_NAME),
        ("a\nb", NO_NAME),
        ("\u202egnp.exe", NO_NAME),
        ("a" * 300, NO_NAME),
    ],
)
def test_what_is_kept_of_a_name(said: str, found: str) -> None:
    """A plausible name, and nothing that could be an address or move a cursor."""
    assert shown(said) == found


def test_a_worker_keeps_a_bounded_number() -> None:
    """What strangers invent beyond it is counted together; what is known goes on."""
    noted = Rejections()
    for at in range(NAMES_MAX + 50):
        noted.note(f"site{at}", "unknown_site")
    noted.note("site0", "unknown_site", 4)
    taken = noted.take()
    assert len(taken) == NAMES_MAX + 1
    assert (taken["unknown_site", "site0"], taken["unknown_site", OTHER]) == (5, 50)
    assert noted.take() == {}
    noted.give_back(taken)
    assert sum(noted.take().values()) == NAMES_MAX + 54


async def test_redis_keeps_a_bounded_number_for_a_while(
    server: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several workers add up; names beyond the bound fold; all of it goes by itself."""
    stream = RedisStream(f"unix://{server}", timeout_ms=5_000)
    await stream.tell_rejected({("unknown_site", "shop.example"): 3})
    await stream.tell_rejected({("unknown_site", "shop.example"): 4, ("privacy", "shop.example"): 1})
    await stream.tell_rejected({("unknown_site", f"site{at}"): 1 for at in range(rejected.NAMES_MAX + 100)})
    (key,) = [name async for name in redis.scan_iter("forebay:rejected:*")]
    assert 0 < await redis.ttl(key) <= REJECTED_KEPT_SECONDS
    assert await redis.hlen(key) <= 2 * rejected.NAMES_MAX + 4
    held: Any = await redis.hgetall(key)
    found = added_up([{name.decode(): value.decode() for name, value in held.items()}])
    assert sum(one.events for one in found) == 8 + rejected.NAMES_MAX + 100
    assert (found[0].site, found[1].site, found[1].events) == (OTHER, "shop.example", 7)
    assert abs(found[1].last - time.time()) < 60
    await stream.close()


def test_what_a_stranger_wrote_into_redis_is_not_shown() -> None:
    """Only what a worker could have noted is; spans of the last hour are added up."""
    spans = [{"unknown_site a.example": "2", "last unknown_site a.example": "70"}, {"unknown_site a.example": "3"}]
    assert added_up([*spans, {"unknown_site \x1b[2J": "9", "x": "y", "unknown_site b": "-1"}]) == [
        ("unknown_site", "a.example", 5, 70)
    ]
    assert keys_shown(6_000_000.0)[0] == rejected_key(6_000_599.0)
    assert len(set(keys_shown(6_000_000.0))) == rejected.SPANS_SHOWN


async def test_each_rejected_event_is_noted_under_what_it_says() -> None:
    """Its site, or the host of its url; a known one by its own name; a body that is none says no site."""
    bench = await Bench().ready()
    for body in (
        {"url": "https://WWW.Shop.example/x"},
        {"url": "https://x.example/", "site": "Shop.Example."},
        {"url": "https://192.0.2.7/"},
        {"url": "https://example.com/", "name": "n" * 5_000},
    ):
        bench.post(body)
    bench.post(b"no json")
    assert bench.rejections.take() == {
        ("unknown_site", "shop.example"): 2,
        ("unknown_site", ADDRESS): 1,
        ("name_too_long", "example.com"): 1,
        ("malformed_json", NONE): 1,
    }
