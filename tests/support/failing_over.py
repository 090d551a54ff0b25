"""Runs a Redis with one replica, of real processes, behind relays of ours, and fails it over.

The replica reads the primary's writes through a relay that can hold them back, so it lags for as long as a test wants,
and needs no root. Clients reach the primary through another relay, which leads to the replica once that is promoted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from tests.support import redis_cluster
from tests.support.redis_cluster import Server
from tests.support.waiting import until

CHUNK_BYTES = 1 << 16


@dataclass
class Relay:
    """Passes bytes on to a port of this machine. While `is_holding`, what the server says does not come back."""

    target: int
    port: int = 0
    is_holding: bool = False
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until either side ends it, or `cut` does."""
        with contextlib.closing(writer), contextlib.suppress(OSError):
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
            with contextlib.closing(to_server):
                ways = [
                    asyncio.create_task(self._pass(reader, to_server, is_back=False)),
                    asyncio.create_task(self._pass(from_server, writer, is_back=True)),
                ]
                self.tasks.update(ways)
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                self.tasks.difference_update(ways)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_back: bool) -> None:
        while content := await reader.read(CHUNK_BYTES):
            while is_back and self.is_holding:
                await asyncio.sleep(0.005)
            writer.write(content)
            await writer.drain()

    def cut(self) -> None:
        """Ends all connections. What was held back is gone."""
        for task in self.tasks:
            task.cancel()


@asynccontextmanager
async def relayed(target: int) -> AsyncIterator[Relay]:
    """Runs a relay on a free port of loopback."""
    relay = Relay(target)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    async with server:
        yield relay
        relay.cut()


@dataclass
class Pair:
    """Holds a primary and its replica. `relay` is where clients go, and `link` what the replica reads through."""

    primary: Server
    replica: Server
    relay: Relay
    link: Relay

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.relay.port}/0"

    async def fail_over(self) -> None:
        """Kills the primary, promotes the replica with whatever it has, and gives it the old primary as its replica."""
        old, new = self.primary, self.replica
        old.kill()
        self.link.cut()
        self.link.is_holding = False
        new.ask("REPLICAOF", "NO", "ONE")
        self.primary, self.replica = new, old
        self.relay.target, self.link.target = new.port, new.port
        self.relay.cut()
        await asyncio.to_thread(old.start)
        await self.follow()

    async def part(self, seconds: float) -> None:
        """Promotes the replica while the old primary goes on to answer whoever has a connection to it, and is its replica later."""
        old, new = self.primary, self.replica
        self.link.cut()
        self.link.is_holding = False
        new.ask("REPLICAOF", "NO", "ONE")
        self.primary, self.replica = new, old
        self.relay.target, self.link.target = new.port, new.port
        await asyncio.sleep(seconds)
        await self.follow()

    async def follow(self) -> None:
        """Makes the replica follow its primary, and waits until it does."""
        self.replica.ask("REPLICAOF", "127.0.0.1", self.link.port)

        def is_up() -> bool:
            with contextlib.suppress(RedisError):
                return self.replica.client.info("replication").get("master_link_status") == "up"
            return False

        await until(is_up)


@asynccontextmanager
async def pair(directory: Path) -> AsyncIterator[Pair]:
    """Yields a primary with a replica that is up to date."""
    with redis_cluster.several(directory, 2, repl_diskless_sync_delay="0") as (primary, replica):
        async with relayed(primary.port) as relay, relayed(primary.port) as link:
            both = Pair(primary, replica, relay, link)
            await both.follow()
            yield both
