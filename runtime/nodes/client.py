"""A client of a Redis with several servers, for the event loop and, blocking, for the tools.

Both look like redis-py's client of one server, so that whoever uses one need not know how many there are. redis-py has such
clients too; 8.1's send ASKING on one connection and the command on another, and a pipeline again after no answer.

A command without a key (TIME, INFO) is meant for one server: `server_of` and `servers` return clients of one.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import groupby
from typing import Any

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.client import Pipeline as BlockingPipeline
from redis.exceptions import RedisError

from runtime.nodes.layout import Layout, key_of
from runtime.nodes.routes import Command, Routes, Unit, led, routes, units
from schemas.redis.address import Node

EVERYWHERE = frozenset(("PING", "SCRIPT LOAD"))  # are for all primaries
ASKING: Command = (("ASKING",), {})


class Server(Redis):
    """Sends to one server, whichever keys it has, and tells the routes what went wrong there."""

    routes: Routes

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # the library's
        except (RedisError, OSError) as error:
            self.routes.hear(error)
            raise


class Routed(Redis):
    """Sends each command to the server that has its key."""

    def __init__(self, routed: Routes, **options: Any) -> None:
        """Takes redis-py's options for the clients of the servers."""
        super().__init__()  # its own pool never connects
        self.routes = routed
        self._options = options
        self._clients: dict[Node, Redis] = {}

    def at(self, node: Node) -> Redis:
        """Returns the client of one server."""
        if node not in self._clients:
            client: Any = Server.from_url(self.routes.address.at(node), **self._options)
            client.routes = self.routes
            self._clients[node] = client
        return self._clients[node]

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Returns the answer. Raises it if it is an error, or what redis-py raises about a connection."""
        if args[0] in EVERYWHERE:
            layout = await self.routes.now()
            return [await self._sent(node, [(args, options)], is_asking=False) for node in layout.primaries][-1][0]
        answers = await self.unit([(args, options)])
        if isinstance(answers[0], BaseException):
            raise answers[0]
        return answers[0]

    async def unit(self, unit: Unit, refused: tuple[Node, BaseException] | None = None) -> list[Any]:
        """Returns the answers to a command, and to those without a key that follow it on the same connection."""
        return await led(
            self.routes, unit, lambda node, is_asking: self._sent(node, unit, is_asking=is_asking), refused
        )

    async def _sent(self, node: Node, unit: Unit, *, is_asking: bool) -> list[Any]:
        commands = [ASKING, *unit] if is_asking else unit
        try:
            async with self.at(node).pipeline(transaction=False) as pipe:
                for args, options in commands:
                    pipe.execute_command(*args, **options)
                answers: list[Any] = await pipe.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            self.routes.hear(error)
            raise
        return answers[len(commands) - len(unit) :]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Returns what sends several commands at once, those of each server together."""
        assert not transaction, "keys of several servers have no transaction"
        return _Several(self)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Closes the connections to all servers."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()


class _Several(Pipeline):
    def __init__(self, client: Routed) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction=False, shard_hint=None)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands, client = self.command_stack, self._client
        answers: list[Any] = []
        layout = await client.routes.now()
        for node, together in groupby(units(commands), key=partial(_first, layout)):
            those = list(together)
            flat = [command for unit in those for command in unit]
            said = await client._sent(node, flat, is_asking=False) if node is not None else []
            for unit in those:
                mine, said = said[: len(unit)], said[len(unit) :]
                if node is None or not mine:
                    mine = await client.unit(unit)
                elif isinstance(mine[0], BaseException):
                    again = await client.unit(unit, (node, mine[0]))
                    mine = [*again, *mine[len(again) :]]
                answers += mine
        await self.reset()  # type: ignore[no-untyped-call]  # the library's
        if raise_on_error:
            self.raise_first_error(commands, answers)
        return answers


class BlockingRouted(BlockingRedis):
    """Does what Routed does, and blocks its thread."""

    def __init__(self, routed: Routes, **options: Any) -> None:
        super().__init__()
        self.routes = routed
        self._options = options
        self._clients: dict[Node, BlockingRedis] = {}

    def at(self, node: Node) -> BlockingRedis:
        """Returns the client of one server."""
        client = self._clients.get(node)
        if client is None:
            client = self._clients[node] = BlockingRedis.from_url(self.routes.address.at(node), **self._options)
        return client

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Returns the answer. Raises as Routed.execute_command."""
        if args[0] in EVERYWHERE:
            nodes = self.routes.find().primaries
            return [self._sent(node, [(args, options)], is_asking=False) for node in nodes][-1][0]
        answers = self.unit([(args, options)])
        if isinstance(answers[0], BaseException):
            raise answers[0]
        return answers[0]

    def unit(self, unit: Unit) -> list[Any]:
        """Returns what Routed.unit returns."""
        actions = routes(self.routes, unit)
        answer: Any = None
        while True:
            try:
                action = actions.send(answer)
            except StopIteration as end:
                answers: list[Any] = end.value
                return answers
            if action is None:
                answer = self.routes.find()
            elif isinstance(action, float):
                time.sleep(action)
                answer = None
            else:
                answer = self._sent(action[0], unit, is_asking=action[1])

    def _sent(self, node: Node, unit: Unit, *, is_asking: bool) -> list[Any]:
        commands = [ASKING, *unit] if is_asking else unit
        try:
            with self.at(node).pipeline(transaction=False) as pipe:
                for args, options in commands:
                    pipe.execute_command(*args, **options)  # type: ignore[no-untyped-call]  # the library's
                answers: list[Any] = pipe.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            self.routes.hear(error)
            raise
        return answers[len(commands) - len(unit) :]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> BlockingPipeline:
        """Returns what sends several commands, one after the other, in their order."""
        assert not transaction, "keys of several servers have no transaction"
        return _BlockingSeveral(self)

    def close(self) -> None:
        """Closes the connections to all servers."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()


class _BlockingSeveral(BlockingPipeline):
    def __init__(self, client: BlockingRouted) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction=False, shard_hint=None)
        self._client = client

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands = self.command_stack
        answers = [answer for unit in units(commands) for answer in self._client.unit(unit)]
        self.reset()
        if raise_on_error:
            self.raise_first_error(commands, answers)  # type: ignore[no-untyped-call]  # the library's
        return answers


async def server_of(client: Redis, key: str) -> Redis:
    """Returns the client of the one server that has this key. Raises as a command does."""
    if not isinstance(client, Routed):
        return client
    node = (await client.routes.now()).of(key)
    return client if node is None else client.at(node)


async def address_of(client: Redis, key: str) -> str:
    """Returns the address of the one server that has this key; an empty text where there is one server, or it is not known."""
    if not isinstance(client, Routed):
        return ""
    return str((await client.routes.now()).of(key) or "")


async def servers(client: Redis, *, with_replicas: bool = False) -> dict[str, Redis]:
    """Returns the clients of all primaries by their addresses; of a Redis of one server that one, by an empty text.

    With replicas it asks for the layout anew, because one that came to a primary is no reason for anybody to hear of it.
    """
    if not isinstance(client, Routed):
        return {"": client}
    client.routes.is_old |= with_replicas
    return {str(node): client.at(node) for node in _all(await client.routes.now(), with_replicas=with_replicas)}


def blocking_server_of(client: BlockingRedis, key: str) -> BlockingRedis:
    """Returns what `server_of` returns."""
    if not isinstance(client, BlockingRouted):
        return client
    node = client.routes.find().of(key)
    return client if node is None else client.at(node)


def blocking_servers(client: BlockingRedis, *, with_replicas: bool = False) -> dict[str, BlockingRedis]:
    """Returns what `servers` returns."""
    if not isinstance(client, BlockingRouted):
        return {"": client}
    client.routes.is_old |= with_replicas
    return {str(node): client.at(node) for node in _all(client.routes.find(), with_replicas=with_replicas)}


async def doubt(client: Redis) -> None:
    """Has the client look again where its server is, because the one that answers may be an old primary.

    Where there is one server, its idle connections are closed, because its name may lead to another one by now.
    """
    if isinstance(client, Routed):
        client.routes.doubt()
    else:
        await client.connection_pool.disconnect(inuse_connections=False)


def blocking_doubt(client: BlockingRedis) -> None:
    """Does what `doubt` does."""
    if isinstance(client, BlockingRouted):
        client.routes.doubt()
    else:
        client.connection_pool.disconnect()


def _all(layout: Layout, *, with_replicas: bool) -> tuple[Node, ...]:
    return (*layout.primaries, *layout.replicas) if with_replicas else layout.primaries


def _first(layout: Layout, unit: Unit) -> Node | None:
    """Returns the server to which a unit of several is sent; None: its key has none now, or it names no key."""
    key = key_of(unit[0][0])
    return None if key is None else layout.of(key)
