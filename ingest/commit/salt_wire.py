"""Reads and writes a salt in Redis so that no copy of it stays in the memory of this process (I8).

A client frees what it sent and received, but freed memory keeps its bytes until something else needs the place: read through
redis-py, a salt was still found three times in a worker's memory after its end. So redis-py only opens the connection, and
what is read from its socket lies in one buffer, which is overwritten with zeros, as is each salt that is no longer needed.

Not promised: anything about the buffers of TLS, which belong to OpenSSL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as TimedOut
from redis.retry import Retry

from runtime.nodes.client import ASKING
from runtime.nodes.routes import Command, Routes, led
from runtime.secret import wipe
from schemas.redis.address import Node

BUFFER_BYTES = 4_096
SALT_BYTES_MAX = 64  # of a key of BLAKE2b


class SaltWire:
    """Reads and writes salts in one Redis, each on a connection of its own: a worker does that once a day and zone.

    `routes` says which server has a key, and is None for a Redis of one server.
    """

    def __init__(self, url: str, *, seconds: float, routes: Routes | None = None) -> None:
        self._url = url
        self._seconds = seconds
        self._routes = routes

    async def salt(self, key: str) -> bytearray | None:
        """Returns the salt of a key, or None. Raises redis.RedisError and OSError."""
        (said,) = await self._said([(("GET", key), {})])
        return _salt(said)

    async def agreed(self, key: str, salt: bytearray, end: int) -> bytearray | None:
        """Returns the salt that a key has, after giving it this one, until this unix second, if it had none.

        Raises redis.RedisError, also where Redis refuses to keep it, and OSError.
        """
        kept, said = await self._said([(("SET", key, salt, "NX", "EXAT", end), {}), (("GET", key), {})])
        if isinstance(kept, Exception):
            _wiped(said)
            raise kept
        return _salt(said)

    async def _said(self, unit: list[Command]) -> list[Any]:
        routes = self._routes
        if routes is None:
            return await asyncio.to_thread(self._exchange, self._url, unit)

        async def send(node: Node, is_asking: bool) -> list[Any]:
            commands = [ASKING, *unit] if is_asking else unit
            try:
                said = await asyncio.to_thread(self._exchange, routes.address.at(node), commands)
            except (RedisError, OSError) as error:
                routes.hear(error)
                raise
            return said[len(commands) - len(unit) :]

        said = await led(routes, unit, send)
        return said if len(said) == len(unit) else [*said, *[None] * (len(unit) - len(said))]

    def _exchange(self, url: str, unit: list[Command]) -> list[Any]:
        """Returns the answers to commands on a new connection; an error answer is one."""
        pool = ConnectionPool.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=self._seconds,
            socket_connect_timeout=self._seconds,
        )
        connection: Any = pool.make_connection()
        connection.connect()
        buffer = bytearray(BUFFER_BYTES)
        try:
            socket = connection._sock  # redis-py has no public way to hand over a connection that it opened
            for words, _ in unit:
                _send(socket, words)
            answers = _Answers(socket, buffer)
            return [answers.next() for _ in unit]
        except TimeoutError as error:
            raise TimedOut(f"no answer for {self._seconds} s") from error
        finally:
            wipe(buffer)
            connection.disconnect()


class _Answers:
    """Reads the answers of a connection one after the other."""

    def __init__(self, socket: Any, buffer: bytearray) -> None:
        self._socket = socket
        self._buffer = buffer
        self._at = self._end = 0  # where the next answer begins, and up to where there is something

    def next(self) -> Any:
        """Returns a text, a number, a bytearray, None or a ResponseError."""
        kind, text = self._line()
        if kind == "-":
            return ResponseError(text)
        if kind != "$":
            return text
        size = int(text)
        if size < 0:
            return None
        while self._end < self._at + size + 2:
            self._more()
        found = bytearray(size)
        # A view, because assigning to a slice of a bytearray makes a copy, and frees it as it is.
        memoryview(found)[:] = memoryview(self._buffer)[self._at : self._at + size]
        self._at += size + 2
        return found

    def _line(self) -> tuple[str, str]:
        """Returns the first character of the next line, which says what it is, and the text behind."""
        begin = self._at
        while (end := self._buffer.find(b"\r\n", begin, self._end)) < 0:
            self._more()
        self._at = end + 2
        return chr(self._buffer[begin]), self._buffer[begin + 1 : end].decode("utf-8", "replace")

    def _more(self) -> None:
        if self._end == len(self._buffer):
            raise ResponseError("an answer is longer than a salt")
        got = self._socket.recv_into(memoryview(self._buffer)[self._end :])
        if not got:
            raise NotConnected("connection lost: closed by Redis")
        self._end += got


def _send(socket: Any, words: Sequence[Any]) -> None:
    socket.sendall(f"*{len(words)}\r\n".encode())
    for word in words:
        part = word if isinstance(word, bytearray) else str(word).encode()
        socket.sendall(f"${len(part)}\r\n".encode())
        socket.sendall(part)
        socket.sendall(b"\r\n")


def _salt(said: Any) -> bytearray | None:
    """Returns the salt in an answer. Raises the answer if it is an error, and ResponseError if it can't be a salt."""
    if isinstance(said, Exception):
        raise said
    if isinstance(said, bytearray) and len(said) > SALT_BYTES_MAX:
        _wiped(said)
        raise ResponseError("the value of a salt's key is longer than a salt")
    return said if isinstance(said, bytearray) else None


def _wiped(said: Any) -> None:
    if isinstance(said, bytearray):
        wipe(said)
