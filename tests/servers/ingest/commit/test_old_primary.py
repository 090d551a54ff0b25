"""An old primary that was succeeded tells of a gap that is its own: it is believed only where the replicas lack the commits too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingest.commit.answers import Gap, Unclear
from ingest.commit.stream import RedisStream
from schemas.segment import Commit
from tests.support import redis_cluster
from tests.support.waiting import until

SHARD = 3
TIMEOUT_MS = 30_000


def commit(number: int) -> Commit:
    return Commit(number, b"\x01\xff\x00%d" % number, 2, {"29833333 a": 2})


@pytest.fixture
async def streams(tmp_path: Path) -> AsyncIterator[tuple[RedisStream, RedisStream]]:
    """Yields the stream of a process whose appends still reach the old primary, and that of one which reaches the new one."""
    with redis_cluster.several(tmp_path, 3, repl_diskless_sync_delay="0") as (old, new, replica):
        replica.ask("REPLICAOF", "127.0.0.1", new.port)
        await until(lambda: replica.client.info("replication").get("master_link_status") == "up")
        behind, ahead = (
            RedisStream(f"redis://127.0.0.1:{one.port}/0", timeout_ms=TIMEOUT_MS, replicas=1) for one in (old, new)
        )
        own, behind._confirm = behind._confirm, ahead._confirm
        yield behind, ahead
        behind._confirm = own
        await behind.close()
        await ahead.close()


async def outdated(streams: tuple[RedisStream, RedisStream], known: int) -> None:
    """Lets the old primary have commits 1 and 2, and the new one and its replica those up to `known`."""
    behind, ahead = streams
    for number in range(1, known + 1):
        await ahead.append(SHARD, "p", commit(number))
    heard: asyncio.Queue[BaseException | None] = asyncio.Queue()
    for number in (1, 2):
        behind.send(SHARD, "p", commit(number), heard.put_nowait)
        assert await heard.get() is None


async def test_its_gap_is_not_believed(streams: tuple[RedisStream, RedisStream]) -> None:
    """The new primary has all that it lacks, so nothing is lost."""
    await outdated(streams, known=4)
    with pytest.raises(Unclear, match="succeeded"):
        await streams[0].append(SHARD, "p", commit(5))


async def test_a_gap_is_what_the_replicas_lack(streams: tuple[RedisStream, RedisStream]) -> None:
    """How much is missing is told by them, and not by the one that answered the append."""
    await outdated(streams, known=3)
    with pytest.raises(Gap) as found:
        await streams[0].append(SHARD, "p", commit(6))
    assert (found.value.known, found.value.missing) == (3, 2)


async def test_no_gap_is_believed_that_no_replica_confirms(tmp_path: Path) -> None:
    """A primary whose replicas don't answer may be the old one."""
    with redis_cluster.several(tmp_path, 1) as (old,):
        stream = RedisStream(f"redis://127.0.0.1:{old.port}/0", timeout_ms=2_000, replicas=1)
        with pytest.raises(Unclear, match="0 of 1 replicas"):
            await stream.append(SHARD, "p", commit(6))
        await stream.close()
