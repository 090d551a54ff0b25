"""runtime/redis.py: no client sends a command a second time by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from forebay.erase.register import Register
from forebay.stream import Streams
from ingest.commit import answers
from ingest.commit import stream as ingest_stream
from loadtest.watch import redis_weight as watched
from runtime import redis
from runtime.listen import listen
from runtime.redis import RedisError

GREETING = b"+OK\r\n"  # the answer to each of redis-py's own questions at a connection's start


class Silent:
    """Takes connections as a Redis does, and closes each one upon a command, unanswered."""

    def __init__(self) -> None:
        sockets, port = listen("127.0.0.1", 0)
        # without the option redis-py 8.1 sends once what a client made of a URL asks, and eleven times otherwise
        self.url = f"redis://127.0.0.1:{port}/0?protocol=2&retry_on_timeout=true"
        self.commands: list[bytes] = []
        self._listener = sockets[0]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            with connection:
                while data := connection.recv(65_536):
                    parts = data.upper().count(b"CLIENT\r\n") + data.upper().count(b"HELLO\r\n")
                    answer = GREETING * parts or self._answered(data)
                    if not answer:
                        self.commands.append(data)
                        break
                    connection.sendall(answer)

    def _answered(self, data: bytes) -> bytes:
        return b""

    def close(self) -> None:
        self._listener.shutdown(2)
        self._listener.close()
        self._thread.join(10)


class SilentCluster(Silent):
    """Says that it is a cluster of its own, and is silent about everything else."""

    def __init__(self) -> None:
        super().__init__()
        self.url = self.url.replace("redis://", "redis+cluster://")

    def _answered(self, data: bytes) -> bytes:
        port = int(self.url.rpartition(":")[2].partition("/")[0])
        if b"SLOTS" in data:
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\nid\r\n" % port
        return b"$16\r\ncluster_state:ok\r\n" if b"CLUSTER" in data else b""


@pytest.fixture(params=[Silent, SilentCluster])
def silent(request: pytest.FixtureRequest) -> Iterator[Silent]:
    one: Silent = request.param()
    yield one
    one.close()


BLOCKING: dict[str, Callable[[str], object]] = {
    "a blocking client": lambda url: redis.blocking_client(url, seconds=2).incr("x"),
    "the tools' streams": lambda url: Streams(url).clocks_ms(),
    "the register of erasures": lambda url: Register(Streams(url).redis).unfinished(),
    "the load test": watched.held,
}
WAITING: dict[str, Callable[[str], Awaitable[object]]] = {
    "a client": lambda url: redis.client(url, seconds=2).incr("x"),
    "ingest's stream": lambda url: ingest_stream.RedisStream(url, timeout_ms=2_000).clocks_ms(),
}
FAULTS = (RedisError, answers.Unclear, watched.RedisUnreachableError)


@pytest.mark.parametrize("who", BLOCKING)
def test_a_command_without_an_answer_is_not_sent_again(silent: Silent, who: str) -> None:
    """The command may have run, so it is sent once, whatever an option in the URL says."""
    with pytest.raises(FAULTS):
        BLOCKING[who](silent.url)
    assert len(silent.commands) == 1


@pytest.mark.parametrize("who", WAITING)
async def test_a_client_of_the_event_loop_sends_a_command_once(silent: Silent, who: str) -> None:
    """A command that a task waits for is sent once too."""
    with pytest.raises(FAULTS):
        async with asyncio.timeout(20):
            await WAITING[who](silent.url)
    assert len(silent.commands) == 1


def test_a_socket_has_a_url() -> None:
    """Signs in the path that mean something in a URL are quoted."""
    assert redis.url_of(Path("/a b/50%/redis.sock")) == "unix:///a%20b/50%25/redis.sock"
