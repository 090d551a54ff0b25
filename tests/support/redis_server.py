"""Runs a real redis-server for tests, as durable as production's: every write is fsynced, nothing is evicted.

A module that wants one names the fixtures, and gets one server of its own, emptied before each test:

    from tests.support import redis_server
    server = redis_server.server
    redis = redis_server.redis

With `server = redis_server.each_server` its tests run on each server that `forebay up` may take.

The server listens on a unix socket in a temporary directory and is ended by its process id; the kernel ends it when the
tests are killed. `Proxy` is a wire to it that can be cut.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from forebay.embedded.redis import find_server, prepare, socket_path
from tests.support.redis_programs import EMBEDDED, answering
from tests.support.redis_programs import program as redis_program

MEMORY_BYTES = 64 << 20
CHUNK_BYTES = 1 << 16
# Answers by which Redis says that it did not do what it was asked.
REFUSALS = (
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-READONLY You can't write against a read only replica.\r\n",
    b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    b"-MISCONF Errors writing to the AOF file: No space left on device\r\n",
    b"-BUSY Redis is busy running a script.\r\n",
    b"-NOPERM this user has no permissions to run the 'evalsha' command\r\n",
)


@contextmanager
def started(directory: Path, program: str = "") -> Iterator[tuple[BlockingRedis, subprocess.Popen[bytes]]]:
    """Starts a redis-server on this directory's files as `forebay up` configures it; yields a client and the process."""
    program, version = find_server(program)
    configuration = prepare(directory, version, port=0, memory_bytes=MEMORY_BYTES)
    with answering([program, str(configuration)], socket_path(directory)) as (client, process):
        yield client, process


@contextmanager
def running(directory: Path, program: str = "") -> Iterator[Path]:
    """Starts the same server, and yields the path of its socket."""
    with started(directory, program):
        yield socket_path(directory)


def connected(path: Path) -> Redis:
    """Returns a client that sends every command once, as those of the product do."""
    return Redis(unix_socket_path=str(path), retry=Retry(NoBackoff(), 0), socket_timeout=60)


def impatient(client: Redis, seconds: float = 0.5) -> None:
    """Lets a client that is connected wait so long for answers from now on; before, a busy machine may take its time."""
    pool = client.connection_pool
    pool.connection_kwargs["socket_timeout"] = seconds
    for connection in pool._available_connections:
        connection.socket_timeout = seconds


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yields the socket of a server that the tests of one module share."""
    with running(tmp_path_factory.mktemp("redis")) as path:
        yield path


@pytest.fixture(scope="module", params=EMBEDDED)
def each_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yields the sockets of all servers that `forebay up` may take, for modules whose tests must hold on each."""
    with running(tmp_path_factory.mktemp("redis"), redis_program(request.param)) as path:
        yield path


@pytest.fixture
async def redis(server: Path) -> AsyncIterator[Redis]:
    """Yields a client of the server, which was emptied before."""
    client = connected(server)
    await client.flushall()
    await client.config_set("maxmemory", MEMORY_BYTES)
    await client.config_resetstat()
    yield client
    await client.aclose()


@dataclass
class Proxy:
    """Passes commands and answers between clients and a server.

    While `is_mute`, commands arrive and answers do not come back; `losing` is how many answers are lost before the wire
    works again. While there is an `answer`, commands do not arrive and each of them gets that answer instead.
    """

    path: Path
    port: int = 0
    is_mute: bool = False
    losing: int = 0
    answer: bytes = b""
    asked: bytearray = field(default_factory=bytearray)  # every byte that went to the server
    lost: bytearray = field(default_factory=bytearray)  # every byte that did not come back
    ends: set[asyncio.StreamWriter] = field(default_factory=set)
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until either side ends it."""
        from_server, to_server = await asyncio.open_unix_connection(self.path)
        self.ends |= {writer, to_server}
        async with asyncio.TaskGroup() as group:
            both = {
                group.create_task(self._ask(reader, to_server, writer)),
                group.create_task(self._answer(from_server, writer)),
            }
            self.connections |= both
        self.connections -= both
        self.ends -= {writer, to_server}

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while content := await reader.read(CHUNK_BYTES):
                if self.answer:
                    back.write(self.answer)
                    continue
                self.asked += content
                writer.write(content)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while content := await reader.read(CHUNK_BYTES):
                if self.is_mute or self.losing:
                    self.losing = max(0, self.losing - 1)
                    self.lost += content
                else:
                    writer.write(content)


@asynccontextmanager
async def proxied(path: Path) -> AsyncIterator[Proxy]:
    """Runs a proxy on a free loopback port, in front of the server at this socket."""
    proxy = Proxy(path)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield proxy
        for end in proxy.ends:
            end.close()
        if proxy.connections:
            await asyncio.wait(proxy.connections)
