"""What goes wrong while hundreds of requests are under way: each has one answer, what was acknowledged is stored once, and the books balance."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop

from ingest.collect.sites import Sites
from ingest.collect.visitor import EARLY_SECONDS
from ingest.commit import committer, returner
from ingest.commit.answers import Refused, Unclear
from ingest.fates import Reason, Shed
from ingest.http.connection import Connection
from ingest.http.http1 import Framed
from schemas.redis.keys import SALT_BEHIND_SECONDS
from tests.support.collecting import NOON
from tests.support.committing import SHARDS
from tests.support.loading import SITES, Load, loaded
from tests.support.spooling import opened
from tests.support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy.:DeprecationWarning")
MIDNIGHT = NOON + 12 * 3_600_000
LAST_MS = (SALT_BEHIND_SECONDS - EARLY_SECONDS) * 1_000 - 1  # so long yesterday's salt is there
CLIENTS = 200


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """Speaks for the loop that workers run on."""
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets what is tried again be tried soon."""
    for module in (committer, returner):
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(returner, "RETRY_SECONDS_MAX", 0.02)


async def is_live(load: Load) -> None:
    """Waits until all shards go to Redis."""
    await until(lambda: all(one.chain is None and not one.is_stuck for one in load.appender._committers))


@pytest.mark.parametrize("error", [Unclear("silent"), Refused("full")], ids=["unclear", "refused"])
@pytest.mark.parametrize("is_lost", [False, True], ids=["", "appended unheard"])
async def test_to_the_spool_and_back(tmp_path: Path, error: Exception, is_lost: bool) -> None:
    """Nobody is told, whatever Redis did: it comes back while requests go on."""
    spool, _ = opened(tmp_path)
    async with loaded(CLIENTS, is_open=True, spool=spool) as load:
        load.send()
        assert await load.statuses() == {202: CLIENTS}
        load.stream.gates = {shard: asyncio.Event() for shard in range(SHARDS)}
        load.send(*load.clients[::2])
        await load.under_way(CLIENTS // 2)
        load.stream.down = dict.fromkeys(range(SHARDS), error)
        load.stream.lost_answers = is_lost
        load.stream.open()
        load.send(*load.clients[1::2])
        assert await load.statuses() == {202: CLIENTS}
        assert any(one.chain is not None for one in load.appender._committers)
        load.send()
        await asyncio.sleep(0)
        load.stream.down = {}
        assert await load.statuses() == {202: CLIENTS}
        await is_live(load)
        load.send()
        assert await load.statuses() == {202: CLIENTS}
        load.assert_balanced()
    assert not list(tmp_path.rglob("*.spool"))
    spool.close()


async def test_answers_that_can_not_wait() -> None:
    """Requests in flight, in a queue, and raw behind them are all answered in time; what was on its way arrives once."""
    async with loaded(CLIENTS, answer_seconds_max=0.3, commit_rows_max=20) as load:
        load.send()
        assert await load.statuses() == {503: CLIENTS}
        assert load.books.sheds == {Shed.REDIS: len(load.answers)}
        load.appender._answer_seconds_max = 60.0  # from now on none is late, however slow the machine is
        load.stream.open()
        load.send()
        assert await load.statuses() == {202: CLIENTS}
        await until(lambda: not load.appender.bytes_waiting)
        load.assert_balanced()
        assert 0 < len(load.rows) - len(load.answers) / 2 < len(load.answers) / 2  # those that were raw are not stored


async def test_a_full_queue() -> None:
    """Those that came first keep their place."""
    async with loaded(CLIENTS, queue_bytes_max=100_000, commit_rows_max=20) as load:
        load.send()
        await until(lambda: load.books.sheds[Shed.QUEUE_FULL] and load.lanes.lane.under_way)
        await until(lambda: load.lanes.lane.under_way + sum(task.done() for task in load.sending) == CLIENTS)
        assert load.appender.bytes_waiting < 150_000  # what is collected weighs more where a body has several events
        load.stream.open()
        statuses = await load.statuses()
        assert set(statuses) == {202, 503}
        load.assert_balanced()
        assert len(load.rows) == sum(status == 202 for status in load.answers.values())
        load.send()
        await load.statuses()
        await until(lambda: not load.appender.bytes_waiting)
        load.assert_balanced()


async def test_one_shard_is_stuck() -> None:
    """Its requests are shed, with all of their events; the other shards go on; what is stuck arrives when it can."""
    async with loaded(CLIENTS, is_open=True, commit_rows_max=20) as load:
        load.stream.down = {1: Unclear("silent")}
        load.send()
        _, stuck, _ = load.appender._committers

        def is_still() -> bool:
            """Says whether all wait that can't go on while the shard is stuck, and all others have their answers."""
            is_idle = all(one is stuck or one.flight is None for one in load.appender._committers)
            waiting = sum(not task.done() for task in load.sending)
            return stuck.is_stuck and is_idle and not load.appender._inbox and waiting == load.lanes.lane.under_way

        await until(is_still)
        first = [task for task in load.sending if not task.done()]
        assert first
        others = [client for client in load.clients if client.answers]
        for _ in range(2):
            load.send(*others)
            await until(lambda: sum(not task.done() for task in load.sending) == len(first))
        said = {task.result() for task in load.sending if task.done()}
        assert said == {202, 503}
        assert load.books.sheds == {Shed.REDIS: sum(status == 503 for status in load.answers.values())}
        load.stream.down = {}
        await asyncio.gather(*first)
        assert {task.result() for task in first} == {202}
        await load.statuses()
        load.send()
        assert await load.statuses() == {202: CLIENTS}
        load.assert_balanced()
        assert {one.shard for one in load.stream.stored} == set(range(SHARDS))


async def test_midnight_passes_and_the_half_hour_after_it() -> None:
    """While requests wait raw: each has the day at which it came, and yesterday's visitor for half an hour."""
    async with loaded(CLIENTS, now_ms=MIDNIGHT - 1) as load:
        parts = [load.clients[at::4] for at in range(4)]
        moments = (MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 1, MIDNIGHT + LAST_MS)
        for again in range(2):  # in the other order, all clients have been at another side of it
            for at, moment in enumerate(moments):
                load.bench.clock.now_ms = moment
                load.send(*parts[-1 - at if again else at], many=1)
                await load.under_way(len(parts[0]) * (at + 1))
                await load.bench.salts.refresh()
            load.stream.open()
            assert await load.statuses() == {202: CLIENTS}
            load.stream.gates = {shard: asyncio.Event() for shard in range(SHARDS)}
            load.bench.clock.now_ms = MIDNIGHT - 1
            await load.bench.salts.refresh()
        load.stream.open()
        load.assert_balanced()
        by_client: dict[int, dict[int, tuple[int, int]]] = {}
        for row in load.rows:
            client = int(row.title.split()[0])
            by_client.setdefault(client, {})[row.received_at] = row.visitor_id, row.visitor_before
        assert len(by_client) == CLIENTS
        for client, seen in by_client.items():
            early, late = (moments[client % 4], moments[3 - client % 4])
            first, second = sorted((early, late))
            evening, before = seen[first]
            morning, yesterdays = seen[second]
            if first == MIDNIGHT - 1:
                assert (before, second, yesterdays) == (0, MIDNIGHT + LAST_MS, evening)
                assert morning != evening
            else:
                assert morning == evening
                assert before == yesterdays != 0


class Registry:
    """Holds the registered sites."""

    def __init__(self) -> None:
        self.names = list(SITES)

    async def sites(self) -> dict[str, bytes]:
        return dict.fromkeys(self.names, b"{}")


async def test_a_site_is_removed_and_added() -> None:
    """What waits raw is judged when it is collected; the events of other sites in the same requests are kept."""
    registry = Registry()
    sites = Sites(named=[], privacy="count", source=registry)
    await sites.refresh()
    async with loaded(CLIENTS, is_open=True, sites=sites, commit_rows_max=20) as load:
        for is_open in (True, False):  # so the places of all are remembered when the site goes
            for client in load.clients:
                load.send(client, site="" if client.number % 3 == 0 else SITES[client.number % 2])
            if is_open:
                assert await load.statuses() == {202: CLIENTS}
                load.stream.gates = {shard: asyncio.Event() for shard in range(SHARDS)}
        await load.under_way(CLIENTS)
        await until(lambda: load.appender._inbox)
        registry.names.remove(SITES[1])
        await sites.refresh()
        load.stream.open()
        statuses = await load.statuses()
        assert set(statuses) == {202, 403}
        lost = load.books.rejections["", Reason.UNKNOWN_SITE]
        stored = {row.title for row in load.rows}
        missing = {title for title, status in load.answers.items() if title not in stored}
        assert len(missing) == lost > 0
        assert any(title.endswith(" 1") for title in missing)  # beside others that are stored
        load.assert_balanced(sorted(missing))
        registry.names.append(SITES[1])
        await sites.refresh()
        load.send()
        assert await load.statuses() == {202: CLIENTS}
        load.assert_balanced(sorted(missing))


@pytest.mark.parametrize("is_closed_first", [False, True])
async def test_draining(is_closed_first: bool) -> None:
    """All that wait are answered, and no connection is left; what comes after the appender has closed is shed."""
    async with loaded(CLIENTS, commit_rows_max=20) as load:
        load.send(*load.clients[::2])
        await load.under_way(CLIENTS // 2)
        draining = [asyncio.ensure_future(load.appender.drain(10))] if is_closed_first else []
        await asyncio.sleep(0)
        for client in load.clients[1::2]:
            load.send(client)
        wanted = CLIENTS // 2 if is_closed_first else CLIENTS
        await until(lambda: load.lanes.lane.under_way + sum(task.done() for task in load.sending) == CLIENTS)
        await load.under_way(wanted)
        stopping = asyncio.ensure_future(load.lanes.stop(drain_seconds=10))
        await asyncio.sleep(0)
        load.stream.open()
        await stopping
        draining.append(asyncio.ensure_future(load.appender.drain(10)))
        assert await asyncio.gather(*draining) == [True] * len(draining)
        statuses = await load.statuses()
        assert statuses == ({202: wanted, 503: CLIENTS - wanted} if is_closed_first else {202: CLIENTS})
        assert load.lanes.connections == 0
        load.assert_balanced()


async def test_faults_behind_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ends its own connection; the worker goes on, and so do the requests that were settled together with them."""
    async with loaded(CLIENTS) as load:
        heads = load.lanes.lane.heads
        read = heads.read

        def reading(raw: bytes, peer: str) -> tuple[Framed, int] | None:
            if b"Faulty" in raw:
                raise RuntimeError("a fault of ours")
            return read(raw, peer)

        monkeypatch.setattr(heads, "read", reading)
        load.send()
        await load.under_way(CLIENTS)
        for client in load.clients[::10]:
            assert client._streams is not None
            client._streams[1].write(b"POST /f HTTP/1.1\r\nHost: x\r\nFaulty: yes\r\nContent-Length: 0\r\n\r\n")
        await until(lambda: sum(bool(one._rest) for one in connections(load)) == CLIENTS // 10)
        load.stream.open()
        assert await load.statuses() == {202: CLIENTS}
        await until(lambda: load.lanes.connections == CLIENTS - CLIENTS // 10)
        for client in load.clients[::10]:
            client.abort()
            client._streams = None
        load.send()
        assert await load.statuses() == {202: CLIENTS}
        load.assert_balanced()


def connections(load: Load) -> list[Connection]:
    return [one for one in load.lanes.lane.connections if isinstance(one, Connection)]
