"""Commands of many callers on one connection to Redis, sent as they come and answered in order.

redis-py opens the connection (TLS, password, database, as the URL says); then its socket is
read and written here. An append costs 48 us of CPU so, and 200 us through redis-py's own
commands, which with 16 rows a commit is 10 us a row. What several shards commit in one turn
of the loop leaves in one write, and Redis makes one fsync of it.

Nothing is sent twice. When an answer stays away for `timeout_seconds` the connection is given
up: all that wait on it hear so, and the next command opens another. Behind a new connection may
be a new server, so each is greeted before anything else is sent on it.

Not promised: that a command whose caller heard an error did not happen.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

Part = str | bytes | int
Ask = Callable[..., Awaitable[Any]]  # of the parts of a command; raises as Pipe.command


class Pipe:
    """One connection at a time, opened when it is needed."""

    def __init__(
        self, url: str, *, timeout_seconds: float, greet: Callable[[Ask], Awaitable[None]] | None = None
    ) -> None:
        """`greet` asks on each new connection whether it may be used; what it raises, the command's caller hears."""
        self.timeout_seconds = timeout_seconds  # of commands sent from now on
        self._greet = greet
        # RESP2 has no pushes: every answer belongs to a command
        self._pool = ConnectionPool.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
        )
        self._answers: _Answers | None = None
        self._opening = asyncio.Lock()

    async def command(self, *parts: Part) -> Any:
        """Redis's answer. Raises redis.exceptions.RedisError, its own or one about the connection, or OSError."""
        answers = self._answers
        if answers is None or answers.is_lost:
            answers = await self._open()
        return await answers.command(*parts)

    async def confirmed(self, parts: Sequence[Part], confirmation: Sequence[Part]) -> tuple[Any, Any]:
        """The answers to a command and to one that follows it on the same connection. Raises as `command`."""
        answers = self._answers
        if answers is None or answers.is_lost:
            answers = await self._open()
        return await answers.command(*parts), await answers.command(*confirmation)

    async def _open(self) -> _Answers:
        async with self._opening:
            if self._answers is None or self._answers.is_lost:
                connection: Any = self._pool.make_connection()  # type: ignore[no-untyped-call]  # the library's
                async with asyncio.timeout(self.timeout_seconds):  # of all steps together, names and TLS included
                    await connection.connect()
                # redis-py has no public way to hand over a connection that it opened
                writer, connection._writer, connection._reader = connection._writer, None, None
                answers = _Answers(writer, self)
                writer.transport.set_protocol(answers)
                await self._greeted(answers)
                self._answers = answers
            return self._answers

    async def _greeted(self, answers: _Answers) -> None:
        is_welcome = False
        try:
            if self._greet is not None:
                await self._greet(answers.command)
            is_welcome = True
        finally:
            if not is_welcome:
                answers.give_up(NotConnected("not fit to be used"))

    async def close(self) -> None:
        """Close the connection; what waits on it hears so."""
        if self._answers is not None:
            self._answers.give_up(NotConnected("closed"))


class Script:
    """A Lua script, loaded when Redis does not know it."""

    def __init__(self, pipe: Pipe, text: str) -> None:
        self._pipe = pipe
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, *, keys: Sequence[str], args: Sequence[Part]) -> Any:
        """What the script returns. Raises as Pipe.command."""
        try:
            return await self._pipe.command(b"EVALSHA", self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await self._pipe.command(b"EVAL", self._text, len(keys), *keys, *args)

    async def confirmed(
        self, confirmation: Sequence[Part], *, keys: Sequence[str], args: Sequence[Part]
    ) -> tuple[Any, Any]:
        """What the script returns, and the answer to a command behind it. Raises as Pipe.command."""
        try:
            return await self._pipe.confirmed((b"EVALSHA", self._sha, len(keys), *keys, *args), confirmation)
        except NoScriptError:
            return await self._pipe.confirmed((b"EVAL", self._text, len(keys), *keys, *args), confirmation)


class _Answers(asyncio.Protocol):
    """Who waits for which answer of one connection."""

    def __init__(self, writer: asyncio.StreamWriter, pipe: Pipe) -> None:
        self.is_lost = False
        self._pipe = pipe
        self._writer = writer  # it would close the transport with itself
        self._transport = writer.transport
        self._reader = hiredis.Reader(replyError=_error)
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    async def command(self, *parts: Part) -> Any:
        """Redis's answer on this connection. Raises as Pipe.command."""
        if self.is_lost:
            raise NotConnected("connection lost")
        answer = await self._sent(hiredis.pack_command(parts))  # type: ignore[arg-type]  # a str, bytes or int each
        if isinstance(answer, RedisError):
            raise answer
        return answer

    def _sent(self, command: bytes) -> asyncio.Future[Any]:
        """The answer to come: errors that Redis answers are values of it."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((self._loop.time() + self._pipe.timeout_seconds, answer))
        self._transport.write(command)
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._pipe.timeout_seconds, self._look)
        return answer

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not False:
                if not self._waiting:
                    raise hiredis.ProtocolError("an answer to no command")  # noqa: TRY301  as the reader raises it
                _, waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(answer)
        except hiredis.ProtocolError as error:
            self.give_up(NotConnected(f"not Redis's protocol: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up(NotConnected(f"connection lost: {exc or 'closed by Redis'}"))

    def give_up(self, error: RedisError) -> None:
        """No answer counts any more."""
        self.is_lost = True
        self._transport.abort()
        if self._alarm is not None:
            self._alarm.cancel()
        while self._waiting:
            _, waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(error)

    def _look(self) -> None:
        """One timer for all: answers come in order, so the first to wait is the first to be overdue."""
        self._alarm = None
        if not self._waiting:
            return
        due, _ = self._waiting[0]
        if due <= self._loop.time():
            self.give_up(TimedOut(f"no answer for {self._pipe.timeout_seconds} s"))
        else:
            self._alarm = self._loop.call_at(due, self._look)


def _error(text: str) -> RedisError:
    """An error answer, with its code in front."""
    return NoScriptError(text) if text.startswith("NOSCRIPT") else ResponseError(text)
