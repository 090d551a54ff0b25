"""Sends the commands of many callers on one connection to Redis as they come, and hands out the answers in order.

redis-py opens the connection (with TLS, password and database, as the URL says); then its socket
is read and written here, because an append costs 48 us of CPU this way, and 200 us through
redis-py's own commands, which with 16 rows a commit is 10 us a row. Commits of several shards in
one turn of the loop leave in one write, and Redis makes one fsync of them.

`call` hands an answer to a callback and `command` to a coroutine. A commit is called: a future and a task for each would
be a third of what it costs.

Nothing is sent twice. If an answer does not come within `timeout_seconds`, the connection is given
up: all callers that wait on it get an error, and the next `command` opens another. A new connection
may lead to a new server, so each is greeted before anything else is sent on it.

Not promised: that a command whose caller got an error did not happen.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

from runtime.nodes.routes import DOUBT_SECONDS
from runtime.nodes.steps import is_doubtful, is_old

ASKING = (b"ASKING",)
Part = str | bytes | int
Ask = Callable[..., Awaitable[Any]]  # of the parts of a command; raises as Pipe.command
Heard = Callable[[Any], None]  # takes an answer, or the RedisError that stands for it


class Pipe:
    """Keeps one connection at a time, which it opens when it is needed."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        greet: Callable[[Ask], Awaitable[None]] | None = None,
        is_alone: bool = True,
    ) -> None:
        """Takes `greet`, which asks on each new connection whether it may be used. Its errors reach the command's caller.

        `is_alone` says that nobody else knows of a server to which its keys may have gone.
        """
        self.timeout_seconds = timeout_seconds  # of commands sent from now on
        self._greet = greet
        self._is_alone = is_alone
        # RESP2 has no pushes: every answer belongs to a command
        self._pool = ConnectionPool.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
        )
        self._answers: _Answers | None = None
        self._opened_at = 0.0  # by the loop's clock
        self._opening = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Says whether there is a greeted connection."""
        return self._answers is not None and not self._answers.is_lost

    def hear(self, error: RedisError) -> None:
        """Notes an error that the server answered."""
        if self._is_alone and (is_doubtful(error) or is_old(error)):
            self.doubt()

    def doubt(self) -> None:
        """Lets the next command open a new connection, because the server may be an old primary, and its name lead elsewhere.

        What was sent on the old one is still answered there.
        """
        answers = self._answers
        if answers is not None and asyncio.get_running_loop().time() - self._opened_at >= DOUBT_SECONDS:
            self._answers = None
            answers.retire()

    def reaches(self, key: str) -> bool:
        """Says whether there is a greeted connection to the server that has this key."""
        return self._answers is not None and not self._answers.is_lost

    def name_of(self, key: str) -> str:
        """Returns the address of the server that has this key: an empty text, because there is one."""
        return ""

    async def all(self) -> dict[str, Pipe]:
        """Returns the pipes to all servers by their addresses: this one."""
        return {"": self}

    def call(self, parts: Sequence[Part], heard: Heard) -> None:
        """Sends a command on the open connection. Call it while `is_open`.

        `heard` is called once and never from inside: with Redis's answer, which may be an error, or with the error for
        which the connection is given up.
        """
        assert self._answers is not None
        self._answers.call(parts, heard)

    async def command(self, *parts: Part, is_asking: bool = False) -> Any:
        """Returns Redis's answer. Raises redis.exceptions.RedisError (Redis's own, or about the connection) or OSError.

        `is_asking` is for a key that is on its way to this node of a cluster: ASKING goes before the command.
        """
        answers = self._answers
        if answers is None or answers.is_lost:
            answers = await self._open()
        if is_asking:
            answers.call(ASKING, _ignored)
        return await answers.command(*parts)

    async def confirmed(
        self, parts: Sequence[Part], confirmation: Sequence[Part], *, is_asking: bool = False
    ) -> tuple[Any, Any]:
        """Returns the answers to a command and to one that follows it on the same connection. Raises like `command`."""
        answers = self._answers
        if answers is None or answers.is_lost:
            answers = await self._open()
        if is_asking:
            answers.call(ASKING, _ignored)
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
                self._answers, self._opened_at = answers, asyncio.get_running_loop().time()
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
        """Closes the connection; callers that wait on it get an error."""
        if self._answers is not None:
            self._answers.give_up(NotConnected("closed"))


class Sender(Protocol):
    """Sends commands: a Pipe, or the Pipes of a Redis of several servers."""

    timeout_seconds: float

    def doubt(self) -> None: ...
    def reaches(self, key: str) -> bool: ...
    def call(self, parts: Sequence[Part], heard: Heard) -> None: ...
    async def command(self, *parts: Part) -> Any: ...
    async def confirmed(self, parts: Sequence[Part], confirmation: Sequence[Part]) -> tuple[Any, Any]: ...
    def name_of(self, key: str) -> str: ...
    async def all(self) -> dict[str, Pipe]: ...
    async def close(self) -> None: ...


class Script:
    """Runs a Lua script, and loads it if Redis does not know it."""

    def __init__(self, pipe: Sender, text: str) -> None:
        self._pipe = pipe
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def call(self, heard: Heard, *, keys: Sequence[str], args: Sequence[Part]) -> None:
        """Runs the script as Pipe.call sends a command."""

        def answered(said: Any) -> None:
            if isinstance(said, NoScriptError) and self._pipe.reaches(keys[0]):
                self._pipe.call((b"EVAL", self._text, len(keys), *keys, *args), heard)
            else:
                heard(said)

        self._pipe.call((b"EVALSHA", self._sha, len(keys), *keys, *args), answered)

    async def __call__(self, *, keys: Sequence[str], args: Sequence[Part]) -> Any:
        """Returns what the script returns. Raises like Pipe.command."""
        try:
            return await self._pipe.command(b"EVALSHA", self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await self._pipe.command(b"EVAL", self._text, len(keys), *keys, *args)

    async def confirmed(
        self, confirmation: Sequence[Part], *, keys: Sequence[str], args: Sequence[Part]
    ) -> tuple[Any, Any]:
        """Returns what the script returns, and the answer to a command after it. Raises like Pipe.command."""
        try:
            return await self._pipe.confirmed((b"EVALSHA", self._sha, len(keys), *keys, *args), confirmation)
        except NoScriptError:
            return await self._pipe.confirmed((b"EVAL", self._text, len(keys), *keys, *args), confirmation)


class _Answers(asyncio.Protocol):
    """Knows which caller waits for which answer of one connection."""

    def __init__(self, writer: asyncio.StreamWriter, pipe: Pipe) -> None:
        self.is_lost = False
        self._pipe = pipe
        self._writer = writer  # it would close the transport with itself
        self._transport = writer.transport
        self._reader = hiredis.Reader(replyError=self._error)
        self._is_retired = False
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, Heard]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    async def command(self, *parts: Part) -> Any:
        """Returns Redis's answer on this connection. Raises like Pipe.command."""
        if self.is_lost:
            raise NotConnected("connection lost")
        answer: asyncio.Future[Any] = self._loop.create_future()
        self.call(parts, lambda said: None if answer.done() else answer.set_result(said))
        said = await answer
        if isinstance(said, RedisError):
            raise said
        return said

    def call(self, parts: Sequence[Part], heard: Heard) -> None:
        """Does what Pipe.call does, on this connection. Call it while that is not lost."""
        due = self._loop.time() + self._pipe.timeout_seconds
        self._waiting.append((due, heard))
        self._transport.write(hiredis.pack_command(parts))  # type: ignore[arg-type]  # a str, bytes or int each
        if self._alarm is None:
            self._alarm = self._loop.call_at(due, self._look)
        elif due < self._alarm.when():
            # Answers may take less time than those before, and the alarm be one that was set for a command long answered.
            self._alarm.cancel()
            self._alarm = self._loop.call_at(due, self._look)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not False:
                if not self._waiting:
                    raise hiredis.ProtocolError("an answer to no command")  # noqa: TRY301  as the reader raises it
                _, heard = self._waiting.popleft()
                heard(answer)
        except hiredis.ProtocolError as error:
            self.give_up(NotConnected(f"not Redis's protocol: {error}"))
        if self._is_retired and not self._waiting:
            self.give_up(NotConnected("retired"))

    def retire(self) -> None:
        """Gives the connection up once everything that was sent on it is answered."""
        self._is_retired = True
        if not self._waiting:
            self.give_up(NotConnected("retired"))

    def _error(self, text: str) -> RedisError:
        """Returns the exception for an error answer, whose text begins with its code."""
        error = NoScriptError(text) if text.startswith("NOSCRIPT") else ResponseError(text)
        self._pipe.hear(error)
        return error

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up(NotConnected(f"connection lost: {exc or 'closed by Redis'}"))

    def give_up(self, error: RedisError) -> None:
        """Gives up the connection: all who wait hear this error, and later answers are ignored."""
        self.is_lost = True
        self._transport.abort()
        if self._alarm is not None:
            self._alarm.cancel()
        while self._waiting:
            _, heard = self._waiting.popleft()
            heard(error)

    def _look(self) -> None:
        """Gives up the connection if the first answer is overdue. One timer serves all, because answers come in order."""
        self._alarm = None
        if not self._waiting:
            return
        due, _ = self._waiting[0]
        if due <= self._loop.time():
            self.give_up(TimedOut(f"no answer for {self._pipe.timeout_seconds} s"))
        else:
            self._alarm = self._loop.call_at(due, self._look)


def _ignored(said: Any) -> None:
    """Takes the answer to ASKING. Where it is an error, the command behind it is refused too."""
