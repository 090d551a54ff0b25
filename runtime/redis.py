"""Makes every client of Redis, so that redis-py never sends a command twice, and exports the names of redis-py that others use.

By itself redis-py may send a command again when no answer comes: through a proxy that lost an answer one XADD became
three entries. redis-py 8.1 sends eleven times for a client made of a host and a port, twice for one made of a URL with
`retry_on_timeout`, and once for one made of a plain URL. Whether a command may be sent again depends on the command, so
only its caller decides that.

A Redis of several servers, a cluster or one behind Sentinels, has a client that looks the same (runtime/nodes).

Every error about a connection is a RedisError or an OSError, and means that the command may have run or not. A
ResponseError is an answer: the command ran, or it was refused, as its text says.

Not promised: that a client waits for a Redis that is not there. A connection is tried once, too.
"""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from runtime.nodes.client import (
    BlockingRouted,
    Routed,
    address_of,
    blocking_doubt,
    blocking_server_of,
    blocking_servers,
    doubt,
    server_of,
    servers,
)
from runtime.nodes.routes import Routes
from runtime.nodes.steps import is_doubtful, is_old
from schemas.redis.address import Address, Kind

__all__ = [
    "AuthenticationError",
    "BlockingRedis",
    "BusyLoadingError",
    "NoPermissionError",
    "OutOfMemoryError",
    "Pipeline",
    "ReadOnlyError",
    "Redis",
    "RedisError",
    "ResponseError",
    "Routed",
    "address_of",
    "blocking_client",
    "blocking_doubt",
    "blocking_server_of",
    "blocking_servers",
    "client",
    "doubt",
    "raise_if_cancelled",
    "server_of",
    "servers",
    "url_of",
]
CONNECT_SECONDS = 2.0


def client(
    url: str, *, seconds: float, connect_seconds: float = CONNECT_SECONDS, routes: Routes | None = None
) -> Redis:
    """Returns a client for the event loop, which waits so long for an answer, and for a connection.

    `routes` are those of a process that has other clients of the same Redis, so that each learns what another hears.
    Raises ValueError if the URL can't be used.
    """
    address = Address.parse(url)
    options: dict[str, Any] = {
        "retry": AsyncRetry(NoBackoff(), 0),
        "socket_timeout": seconds,
        "socket_connect_timeout": connect_seconds,
        "health_check_interval": 0,
    }
    if address.kind is Kind.ONE:
        made = Redis.from_url(url, **options)
        pool: Any = made.connection_pool
        pool.connection_class = _leaving(pool.connection_class)
        return made
    return Routed(routes or Routes(address, seconds=seconds), **options)


@cache
def _leaving(kind: Any) -> type[AbstractConnection]:
    """Returns a kind of connection that is not used again once its server said that it is no primary any more.

    The name in the URL may lead to another server by now. A server that is demoted keeps its connections, so without this
    a flusher whose Redis was succeeded was refused for as long as it ran.
    """

    class Leaving(kind):  # type: ignore[misc]  # whichever class the URL stands for
        async def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().read_response(*args, **options)
            except ResponseError as error:
                if is_old(error) or is_doubtful(error):
                    self.mark_for_reconnect()
                raise

    return Leaving


def blocking_client(url: str, *, seconds: float, is_text: bool = False) -> BlockingRedis:
    """Returns a client that blocks its thread, and waits so long for an answer. `is_text` decodes answers as UTF-8.

    Raises ValueError if the URL can't be used.
    """
    address = Address.parse(url)
    options: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": seconds,
        "socket_connect_timeout": CONNECT_SECONDS,
        "health_check_interval": 0,
        "decode_responses": is_text,
    }
    if address.kind is Kind.ONE:
        return BlockingRedis.from_url(url, **options)
    return BlockingRouted(Routes(address, seconds=seconds), **options)


def url_of(socket: Path) -> str:
    """Returns the URL of a Redis that listens on this unix socket."""
    return f"unix://{quote(str(socket))}"


def raise_if_cancelled() -> None:
    """Raises CancelledError if the current task was cancelled and has not heard of it. Call it behind a command.

    redis-py sends in a `wait_for`, and that of Python 3.11 swallows a cancellation that comes when the sending is done.
    Without this one in 60 ingest workers that were to leave went on for good, and a flusher's cancelled keeper would
    have renewed its lease for ever, so that nobody served the shard.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
