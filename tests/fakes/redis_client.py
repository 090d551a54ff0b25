"""Fakes the part of redis.asyncio.Redis that the product uses, in front of a fake server (tests/fakes/redis.py)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, Self

from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import ResponseError

from schemas.durability import CONFIG, INFO
from schemas.redis.scripts import name_of
from tests.fakes.redis import Server, id_text
from tests.fakes.redis_leases import Text
from tests.fakes.wire import Wire

Effect = Callable[[Server], Any]


class Servers(Protocol):
    """Finds the server that serves a key now: one server, or the nodes that a process sees."""

    def at(self, key: str, *, is_read: bool = False) -> Server: ...

    def doubt(self) -> None:
        """Looks again, because the server may be an old primary."""


class Pool(NamedTuple):
    """Stands for the connections of a client, whose end lets it look again where its server is."""

    servers: Servers

    async def disconnect(self, *, inuse_connections: bool) -> None:
        assert not inuse_connections
        self.servers.doubt()


class Connection:
    """Sends the commands of redis.asyncio.Redis that the product uses to a fake server."""

    def __init__(self, servers: Servers, wire: Wire) -> None:
        self._servers = servers
        self._wire = wire
        self.connection_pool = Pool(servers)

    def server(self, key: str, *, is_read: bool = False) -> Server:
        """Returns the server that serves this key. Raises as redis-py does when it does not answer."""
        server = self._servers.at(key, is_read=is_read)
        must_answer(server)
        return server

    async def _ask(self, what: str, key: str, effect: Effect) -> Any:
        return await self._wire.call(f"{what} {key}".strip(), lambda: effect(self.server(key, is_read=True)))

    async def _write(self, what: str, key: str, effect: Effect) -> Any:
        return await self._wire.call(f"{what} {key}", lambda: self.server(key).write(effect))

    async def steps(self, what: str, key: str, effects: Sequence[Step]) -> list[Any]:
        """Does these on one connection, so on one server, one by one: other clients' commands may come between them."""

        def stages() -> Generator[None, None, list[Any]]:
            server = self.server(key, is_read=not any(effect.may_write for effect in effects))
            found = []
            for effect in effects:
                must_answer(server)
                found.append(effect.on(server))
                yield
            return found

        return await self._wire.run(what, stages)

    def register_script(self, text: str) -> Scripted:
        return Scripted(self, text)

    async def exists(self, key: str) -> int:
        found: int = await self._ask("exists", key, lambda server: int(server.get(key) is not None))
        return found

    async def pttl(self, key: str) -> int:
        def effect(server: Server) -> int:
            _, until = server.strings.get(key, (b"", 0.0))
            return -1 if until == float("inf") else int((until - server.clock()) * 1000)

        found: int = await self._ask("pttl", key, effect)
        return found

    async def pexpire(self, key: str, ttl_ms: int) -> None:
        def effect(server: Server) -> None:
            if (value := server.get(key)) is not None:
                server.set(key, value, px=ttl_ms)

        await self._write("pexpire", key, effect)

    async def get(self, key: str) -> bytes | None:
        found: bytes | None = await self._ask("get", key, lambda server: server.get(key))
        return found

    async def set(self, key: str, value: Any, *, nx: bool) -> None:
        assert nx

        def effect(server: Server) -> None:
            if server.get(key) is None:
                server.set(key, value)

        await self._write("set", key, effect)

    async def info(self, section: str = "") -> dict[str, Any]:
        def effect(server: Server) -> dict[str, Any]:
            share = int(server.memory_share * 1000)
            return {"run_id": server.run_id, "used_memory": share, "maxmemory": 1000, "role": server.role}

        found: dict[str, Any] = await self._ask(f"info {section}".strip(), "", effect)
        return found

    async def execute_command(self, *words: str) -> dict[str, str]:
        """Answers the questions of schemas/durability.py."""

        def effect(server: Server) -> dict[str, str]:
            settings = server.settings
            if words == CONFIG:
                return settings
            assert words == INFO
            return {
                "run_id": server.run_id,
                "redis_version": "7.0.15",
                "role": server.role,
                "maxmemory_policy": settings["maxmemory-policy"],
                "aof_enabled": "01"[settings["appendonly"] == "yes"],
            }

        found: dict[str, str] = await self._ask(" ".join(words), "", effect)
        return found

    async def hget(self, key: str, field: str) -> bytes | None:
        found: bytes | None = await self._ask("hget", key, lambda server: server.hash(key).get(field))
        return found

    async def zrem(self, key: str, member: str) -> None:
        await self._write("zrem", key, lambda server: server.scores.get(key, {}).pop(member, None))

    async def zrangebyscore(self, key: str, least: int, most: int) -> list[bytes]:
        def effect(server: Server) -> list[bytes]:
            return [name.encode() for name, score in server.scores.get(key, {}).items() if least <= score <= most]

        found: list[bytes] = await self._ask("zrangebyscore", key, effect)
        return found

    async def time(self) -> tuple[int, int]:
        def effect(server: Server) -> tuple[int, int]:
            now = server.clock()
            return int(now), int(now % 1 * 1e6)

        found: tuple[int, int] = await self._ask("time", "", effect)
        return found

    async def hgetall(self, key: str) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = await self._ask(
            "hgetall", key, lambda server: {field.encode(): value for field, value in server.hash(key).items()}
        )
        return found

    async def bgrewriteaof(self) -> None:
        await self._ask("bgrewriteaof", "", lambda _: None)

    async def hdel(self, key: str, *fields: str) -> None:
        def effect(server: Server) -> None:
            for field in fields:
                server.hash(key).pop(field, None)

        await self._write("hdel", key, effect)

    async def xrange(
        self, key: str, first: str = "-", final: str = "+", count: int | None = None
    ) -> list[tuple[bytes, dict[bytes, bytes]]]:
        found: list[tuple[bytes, dict[bytes, bytes]]] = await self._ask(
            "xrange", key, lambda server: server.range(key, first, final, count)
        )
        return found

    async def xinfo_stream(self, key: str) -> dict[str, bytes]:
        found: dict[str, bytes] | ResponseError = await self._ask(
            "xinfo_stream", key, lambda server: last_generated(server, key)
        )
        if isinstance(found, ResponseError):
            raise found
        return found

    async def memory_usage(self, key: str) -> int:
        found: int = await self._ask("memory_usage", key, lambda server: 100 * len(server.log(key).entries))
        return found

    def pipeline(self, *, transaction: bool) -> Pipeline:
        assert not transaction, "a Redis at maxmemory refuses MULTI"
        return Pipeline(self)

    async def aclose(self) -> None:
        pass


class Step(NamedTuple):
    """Holds a command of several on one connection."""

    effect: Effect
    may_write: bool = False

    def on(self, server: Server) -> Any:
        return server.write(self.effect) if self.may_write else self.effect(server)


def run(text: str, keys: Text, args: list[Any]) -> Step:
    """Returns the step that runs a script."""
    name = name_of(text)
    return Step(lambda server: server.scripts[name](keys, args), may_write=True)


WAIT = Step(lambda server: server.wait())


class Scripted:
    """Runs one script, alone or with a WAIT behind it."""

    def __init__(self, connection: Connection, text: str) -> None:
        self._connection = connection
        self._text = text

    async def __call__(self, *, keys: Text, args: list[Any], client: Any = None) -> Any:
        return await self._connection._write(name_of(self._text), keys[0], run(self._text, keys, args).effect)

    async def confirmed(self, confirmation: Sequence[Any], *, keys: Text, args: list[Any]) -> list[Any]:
        assert confirmation[0] == "WAIT"
        return await self._connection.steps(
            f"{name_of(self._text)} {keys[0]}", keys[0], [run(self._text, keys, args), WAIT]
        )


class Pipeline:
    """Collects commands and sends them together. It is called after its first script, else after its first command."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._steps: list[Step] = []
        self._what = ""
        self._key = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def _add(self, what: str, key: str, step: Step) -> None:
        self._key = self._key or key
        self._what = self._what or f"{what} {key}"
        self._steps.append(step)

    def eval(self, text: str, count: int, *rest: Any) -> None:
        keys = list(rest[:count])
        step = run(text, keys, list(rest[count:]))
        self._add(name_of(text), keys[0] if keys else self._key, step if keys else Step(step.effect))

    def execute_command(self, *words: Any) -> None:
        assert words[0] == "WAIT"
        self._steps.append(WAIT)

    def hgetall(self, key: str) -> None:
        self._add(
            "hgetall", key, Step(lambda server: {name.encode(): value for name, value in server.hash(key).items()})
        )

    def lrange(self, key: str, first: int, final: int) -> None:
        assert (first, final) == (0, -1)
        self._add("pipeline", key, Step(lambda server: list(server.edges(key))))

    def xrange(self, key: str, first: str = "-", final: str = "+", count: int | None = None) -> None:
        self._add("xrange", key, Step(lambda server: server.range(key, first, final, count)))

    def xinfo_stream(self, key: str) -> None:
        self._add("xinfo_stream", key, Step(lambda server: last_generated(server, key)))

    def xrevrange(self, key: str, *, count: int) -> None:
        assert count == 1

        def effect(server: Server) -> list[Any]:
            return [(id_text(one), two) for one, two in list(server.log(key).entries.items())[-1:]]

        self._add("pipeline", key, Step(effect))

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Runs the commands one by one, because other clients' commands may come between them."""
        answers = await self._connection.steps(self._what, self._key, self._steps)
        if raise_on_error and (error := next((one for one in answers if isinstance(one, Exception)), None)):
            raise error
        return answers


def last_generated(server: Server, key: str) -> dict[str, bytes] | ResponseError:
    """Returns what XINFO STREAM says of a stream."""
    if key not in server.logs:
        return ResponseError("no such key")
    return {"last-generated-id": id_text(server.log(key).last)}


def must_answer(server: Server) -> None:
    """Raises as redis-py does where the server is down."""
    if server.is_down:
        raise NotConnected("connection refused")
