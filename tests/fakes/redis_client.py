"""Fakes the part of redis.asyncio.Redis that the product uses, in front of a fake server (tests/fakes/redis.py)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Self

from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import ResponseError

from schemas.durability import CONFIG, INFO
from schemas.redis.scripts import name_of
from tests.fakes.redis import Server, Text, id_text
from tests.fakes.wire import Wire


class Connection:
    """Sends the commands of redis.asyncio.Redis that the product uses to a fake server."""

    def __init__(self, server: Server, wire: Wire) -> None:
        self._server = server
        self._wire = wire

    def _must_answer(self) -> None:
        if self._server.is_down:
            raise NotConnected("connection refused")

    async def _send(self, what: str, effect: Callable[[], Any]) -> Any:
        def arrives() -> Any:
            self._must_answer()
            return effect()

        return await self._wire.call(what, arrives)

    def register_script(self, text: str) -> Callable[..., Any]:
        server = self._server
        name = name_of(text)

        async def send(*, keys: Text, args: list[Any], client: Any = None) -> Any:
            return await self._send(f"{name} {keys[0]}", lambda: server.scripts[name](keys, args))

        return send

    async def exists(self, key: str) -> int:
        found: int = await self._send(f"exists {key}", lambda: int(self._server.get(key) is not None))
        return found

    async def pttl(self, key: str) -> int:
        def effect() -> int:
            _, until = self._server.strings.get(key, (b"", 0.0))
            return -1 if until == float("inf") else int((until - self._server.clock()) * 1000)

        found: int = await self._send(f"pttl {key}", effect)
        return found

    async def pexpire(self, key: str, ttl_ms: int) -> None:
        def effect() -> None:
            if (value := self._server.get(key)) is not None:
                self._server.set(key, value, px=ttl_ms)

        await self._send(f"pexpire {key}", effect)

    async def get(self, key: str) -> bytes | None:
        found: bytes | None = await self._send(f"get {key}", lambda: self._server.get(key))
        return found

    async def set(self, key: str, value: Any, *, nx: bool) -> None:
        assert nx

        def effect() -> None:
            if self._server.get(key) is None:
                self._server.set(key, value)

        await self._send(f"set {key}", effect)

    async def info(self, section: str = "") -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            share = int(self._server.memory_share * 1000)
            return {"run_id": self._server.run_id, "used_memory": share, "maxmemory": 1000, "role": self._server.role}

        found: dict[str, Any] = await self._send(f"info {section}".strip(), effect)
        return found

    async def execute_command(self, *words: str) -> dict[str, str]:
        """Answers the questions of schemas/durability.py."""

        def effect() -> dict[str, str]:
            settings = self._server.settings
            if words == CONFIG:
                return settings
            assert words == INFO
            return {
                "run_id": self._server.run_id,
                "redis_version": "7.0.15",
                "role": self._server.role,
                "maxmemory_policy": settings["maxmemory-policy"],
                "aof_enabled": "01"[settings["appendonly"] == "yes"],
            }

        found: dict[str, str] = await self._send(" ".join(words), effect)
        return found

    async def hget(self, key: str, field: str) -> bytes | None:
        found: bytes | None = await self._send(f"hget {key}", lambda: self._server.hash(key).get(field))
        return found

    async def zrem(self, key: str, member: str) -> None:
        await self._send(f"zrem {key}", lambda: self._server.scores.get(key, {}).pop(member, None))

    async def zrangebyscore(self, key: str, least: int, most: int) -> list[bytes]:
        def effect() -> list[bytes]:
            return [name.encode() for name, score in self._server.scores.get(key, {}).items() if least <= score <= most]

        found: list[bytes] = await self._send(f"zrangebyscore {key}", effect)
        return found

    async def time(self) -> tuple[int, int]:
        def effect() -> tuple[int, int]:
            now = self._server.clock()
            return int(now), int(now % 1 * 1e6)

        found: tuple[int, int] = await self._send("time", effect)
        return found

    async def hgetall(self, key: str) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = await self._send(
            f"hgetall {key}", lambda: {field.encode(): value for field, value in self._server.hash(key).items()}
        )
        return found

    async def bgrewriteaof(self) -> None:
        await self._send("bgrewriteaof", lambda: None)

    async def hdel(self, key: str, *fields: str) -> None:
        def effect() -> None:
            for field in fields:
                self._server.hash(key).pop(field, None)

        await self._send(f"hdel {key}", effect)

    async def xrange(
        self, key: str, first: str = "-", final: str = "+", count: int | None = None
    ) -> list[tuple[bytes, dict[bytes, bytes]]]:
        found: list[tuple[bytes, dict[bytes, bytes]]] = await self._send(
            f"xrange {key}", lambda: self._server.range(key, first, final, count)
        )
        return found

    async def xinfo_stream(self, key: str) -> dict[str, bytes]:
        def effect() -> dict[str, bytes]:
            if key not in self._server.logs:
                raise ResponseError("no such key")
            return {"last-generated-id": id_text(self._server.log(key).last)}

        found: dict[str, bytes] = await self._send(f"xinfo_stream {key}", effect)
        return found

    async def memory_usage(self, key: str) -> int:
        found: int = await self._send(f"memory_usage {key}", lambda: 100 * len(self._server.log(key).entries))
        return found

    def pipeline(self, *, transaction: bool) -> Pipeline:
        assert not transaction, "a Redis at maxmemory refuses MULTI"
        return Pipeline(self)

    async def aclose(self) -> None:
        pass


class Pipeline:
    """Collects commands and sends them together."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._steps: list[Callable[[], Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def hgetall(self, key: str) -> None:
        server = self._connection._server
        self._steps.append(lambda: {field.encode(): value for field, value in server.hash(key).items()})

    def lrange(self, key: str, first: int, final: int) -> None:
        assert (first, final) == (0, -1)
        server = self._connection._server
        self._steps.append(lambda: list(server.edges(key)))

    def xrevrange(self, key: str, *, count: int) -> None:
        assert count == 1
        server = self._connection._server
        self._steps.append(lambda: [(id_text(one), two) for one, two in list(server.log(key).entries.items())[-1:]])

    async def execute(self) -> list[Any]:
        """Runs the commands one by one, because other clients' commands may come between them."""

        def stages() -> Generator[None, None, list[Any]]:
            found = []
            for step in self._steps:
                self._connection._must_answer()
                found.append(step())
                yield
            return found

        return await self._connection._wire.run("pipeline", stages)
