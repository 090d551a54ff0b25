"""Sends commands as a Pipe does, to a Redis of several servers: each to the one that has its key, on one Pipe a server.

A server that refuses a command because its key is elsewhere is asked no further: the command goes where it says, because it
did not run (runtime/nodes/steps.py). A command without an answer is never sent again.

Not promised: that a command whose caller got an error about a connection did not happen, as with a Pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, partial
from typing import Any

from redis.exceptions import RedisError, ResponseError

from ingest.commit.pipe import Ask, Heard, Part, Pipe
from runtime.nodes.layout import key_of, slot_of
from runtime.nodes.routes import Routes, led
from runtime.nodes.steps import Steps
from schemas.redis.address import Node

Greet = Callable[[str, Ask], Awaitable[None]]  # takes the server's address too
_slot_of = lru_cache(4_096)(slot_of)


class Pipes:
    """Keeps a Pipe to each server that was needed."""

    def __init__(self, routes: Routes, *, timeout_seconds: float, greet: Greet | None = None) -> None:
        self.routes = routes
        self._seconds = timeout_seconds
        self._greet = greet
        self._pipes: dict[Node, Pipe] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # the loop keeps no task alive by itself

    @property
    def timeout_seconds(self) -> float:
        """Returns how long a server may take for an answer."""
        return self._seconds

    @timeout_seconds.setter
    def timeout_seconds(self, seconds: float) -> None:
        self._seconds = seconds
        for pipe in self._pipes.values():
            pipe.timeout_seconds = seconds

    def doubt(self) -> None:
        """Has the layout asked for again, because a server may be an old primary."""
        self.routes.doubt()

    def reaches(self, key: str) -> bool:
        """Says whether there is an open connection to the server that has this key, as far as is known."""
        node = self._node(key)
        return node is not None and (pipe := self._pipes.get(node)) is not None and pipe.is_open

    def name_of(self, key: str) -> str:
        """Returns the address of the server that has this key; an empty text where that is not known."""
        return str(self._node(key) or "")

    def _node(self, key: str) -> Node | None:
        layout = self.routes.layout
        return None if layout is None or self.routes.is_old else layout.slots[_slot_of(key)]

    def call(self, parts: Sequence[Part], heard: Heard) -> None:
        """Sends a command as Pipe.call does. Call it while its key is reached."""
        node = self._node(str(key_of(parts)))
        assert node is not None
        self._pipes[node].call(parts, partial(self._hear, parts, heard, node))

    def _hear(self, parts: Sequence[Part], heard: Heard, node: Node, said: Any) -> None:
        if isinstance(said, RedisError):
            self.routes.hear(said)
            if isinstance(said, ResponseError) and Steps().after(said, node) is not None:
                task = asyncio.ensure_future(self._again(parts, heard, node, said))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return
        heard(said)

    async def _again(self, parts: Sequence[Part], heard: Heard, node: Node, refusal: ResponseError) -> None:
        try:
            (said,) = await self._led(parts, (), refused=(node, refusal))
        except RedisError as error:
            said = error
        except OSError as error:
            said = RedisError(f"{type(error).__name__}: {error}")
        if self.routes.is_old:
            with contextlib.suppress(RedisError):  # whoever sends next finds out
                await self.routes.now()
        heard(said)

    async def command(self, *parts: Part) -> Any:
        """Returns the answer of the server that has the command's key. Raises as Pipe.command."""
        (said,) = await self._led(parts, ())
        if isinstance(said, BaseException):
            raise said
        return said

    async def confirmed(self, parts: Sequence[Part], confirmation: Sequence[Part]) -> tuple[Any, Any]:
        """Returns the answers to a command and to one that follows it on the same connection. Raises like `command`."""
        answers = await self._led(parts, confirmation)
        if isinstance(answers[0], BaseException):
            raise answers[0]
        return answers[0], answers[1]

    async def _led(
        self, parts: Sequence[Part], confirmation: Sequence[Part], refused: tuple[Node, BaseException] | None = None
    ) -> list[Any]:
        return await led(self.routes, [(parts, {})], partial(self._sent, parts, confirmation), refused)

    async def _sent(
        self, parts: Sequence[Part], confirmation: Sequence[Part], node: Node, is_asking: bool
    ) -> list[Any]:
        """Returns a node's answers, of which an error answer is one. Raises what is about the connection."""
        pipe = self.at(node)
        try:
            if confirmation:
                return [*await pipe.confirmed(parts, confirmation, is_asking=is_asking)]
            return [await pipe.command(*parts, is_asking=is_asking)]
        except ResponseError as error:
            return [error]
        except (RedisError, OSError) as error:
            self.routes.hear(error)
            raise

    def at(self, node: Node) -> Pipe:
        """Returns the pipe to one server."""
        pipe = self._pipes.get(node)
        if pipe is None:
            greet = None if self._greet is None else partial(self._greet, str(node))
            pipe = self._pipes[node] = Pipe(
                self.routes.address.at(node), timeout_seconds=self._seconds, greet=greet, is_alone=False
            )
        return pipe

    async def all(self) -> dict[str, Pipe]:
        """Returns the pipes to all primaries, by their addresses. Raises RedisError when nobody says which they are."""
        return {str(node): self.at(node) for node in (await self.routes.now()).primaries}

    async def close(self) -> None:
        """Closes all connections; callers that wait on one get an error."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pipe in self._pipes.values():
            await pipe.close()
