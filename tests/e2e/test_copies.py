"""A client sends an event again with its id, to a whole running system: it is stored once, rolled up once, accounted
for.

Addresses come from a trusted proxy, so a retry from another address goes to another shard.
"""

import asyncio
import json
import os
import signal
import urllib.request
from pathlib import Path

from schemas.redis.keys import Keys
from tests.e2e.test_books import connect
from tests.support.command import told_of
from tests.support.system import System, running

ADDRESSES = [f"203.0.113.{number}" for number in range(1, 9)]  # of two shards, each with one in two


def post(url: str, address: str, *ids: str) -> None:
    """Posts events, which must be acknowledged."""
    events = [{"url": "https://copies.example/page", "id": name} for name in ids]
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address, "User-Agent": "Mozilla/5.0 Firefox/140"}
    request = urllib.request.Request(url + "/f", json.dumps(events).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202


async def send(system: System, *ids: str, addresses: list[str]) -> None:
    """Sends the same events from every address, at once."""
    url = system.facts()["url"]
    await asyncio.gather(*(asyncio.to_thread(post, url, address, *ids) for address in addresses))


def copies(system: System) -> list[int]:
    """Returns the copies that Redis has counted, by shard."""
    client = connect(system)
    counts = [sum(map(int, client.hgetall(Keys(shard).duplicate).values())) for shard in (0, 1)]
    client.close()
    return counts


def stored_entries(system: System) -> list[int]:
    """Returns the accepted events, by shard."""
    client = connect(system)
    counts = [sum(map(int, client.hgetall(Keys(shard).accepted).values())) for shard in (0, 1)]
    client.close()
    return counts


async def assert_once(system: System, *ids: str, sent: int) -> None:
    """Checks that each event is stored and rolled up once, that all others count as copies, and that the books balance."""
    await system.stored("site = 'copies.example'", len(ids))
    await system.until(lambda: sum(copies(system)) >= sent - len(ids))
    assert sorted(await system.ask("SELECT event_id FROM forebay.events")) == sorted((name,) for name in ids)
    status, said = await told_of(system, "audit")
    assert status == 0, said
    [(daily,)] = await system.ask("SELECT sum(events) FROM forebay.daily")
    [(in_sessions,)] = await system.ask("SELECT sum(events) FROM forebay.sessions")
    assert (daily, in_sessions, sum(copies(system))) == (len(ids), len(ids), sent - len(ids))


async def test_copies_at_any_time_from_anywhere(tmp_path: Path) -> None:
    """Copies come in sequence, at once, from addresses of both shards, across a flusher's death and after its restart."""
    async with running(tmp_path, FOREBAY_SHARDS="2", FOREBAY_TRUSTED_PROXIES="127.0.0.1") as system:
        first = [f"first-{number}" for number in range(20)]
        await send(system, *first, addresses=ADDRESSES)
        await assert_once(system, *first, sent=8 * 20)
        assert all(stored_entries(system)), "the addresses are all of one shard"

        await send(system, *first, "second", addresses=ADDRESSES[:1])
        await send(system, *first[:5], "second", addresses=ADDRESSES[1:2])
        await assert_once(system, *first, "second", sent=8 * 20 + 21 + 6)

        flusher = system.pids()["flusher 0"]
        await send(system, *first[:3], "third", addresses=ADDRESSES)
        os.kill(flusher, signal.SIGKILL)
        await send(system, *first[5:8], "second", "third", addresses=ADDRESSES)
        await system.until(lambda: system.pids()["flusher 0"] != flusher)
        await send(system, *first, "second", "third", "fourth", addresses=ADDRESSES[:3])
        await assert_once(system, *first, "second", "third", "fourth", sent=8 * 20 + 21 + 6 + 8 * 4 + 8 * 5 + 3 * 23)


async def test_a_restarted_system_knows_its_ids(tmp_path: Path) -> None:
    """The filter is filled from ClickHouse, and a replay of everything stored changes nothing."""
    async with running(tmp_path, FOREBAY_SHARDS="2", FOREBAY_TRUSTED_PROXIES="127.0.0.1") as system:
        names = [f"event-{number}" for number in range(10)]
        await send(system, *names, addresses=ADDRESSES[:4])
        await assert_once(system, *names, sent=40)
        assert await system.stop() == 0
        system.start()
        await system.ready()
        await send(system, *names, addresses=ADDRESSES)
        await assert_once(system, *names, sent=40 + 80)
        status, said = await told_of(system, "replay", "--since", "1h")
        assert status == 0, said
        await send(system, "last", addresses=ADDRESSES[:1])
        await assert_once(system, *names, "last", sent=40 + 80 + 1)
