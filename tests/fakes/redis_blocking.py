"""Fakes the part of redis.Redis, the client that blocks, which an erasure uses, in front of a fake server (tests/fakes/redis.py).

Each command goes by itself to the server that has its key then, as the client of a Redis with several servers leads it. One
without a key goes where the one before it went.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from schemas.durability import INFO
from schemas.redis.scripts import name_of
from tests.fakes.redis import Server, id_text
from tests.fakes.redis_client import Effect, Servers, must_answer

Line = Callable[[str, str, Callable[[], Any]], Any]  # carries a command, its key and what it does to a server


def straight(_: str, __: str, effect: Callable[[], Any]) -> Any:
    """Carries every command, and every answer."""
    return effect()


class Commands:
    """Makes effects on a server of commands."""

    def _do(self, what: str, key: str, effect: Effect, *, is_write: bool = False) -> Any:
        raise NotImplementedError

    def get(self, key: str) -> Any:
        return self._do("get", key, lambda server: server.get(key))

    def exists(self, key: str) -> Any:
        return self._do("exists", key, lambda server: int(key in server.hashes))

    def hget(self, key: str, field: str) -> Any:
        return self._do("hget", key, lambda server: server.hash(key).get(field))

    def hexists(self, key: str, field: str) -> Any:
        return self._do("hexists", key, lambda server: field in server.hash(key))

    def hgetall(self, key: str) -> Any:
        return self._do(
            "hgetall", key, lambda server: {name.encode(): value for name, value in server.hash(key).items()}
        )

    def hsetnx(self, key: str, field: str, value: str) -> Any:
        return self._do("hsetnx", key, lambda server: server.hash(key).setdefault(field, value.encode()), is_write=True)

    def lrange(self, key: str, first: int, final: int) -> Any:
        assert (first, final) == (0, -1)
        return self._do("lrange", key, lambda server: list(server.edges(key)))

    def xlen(self, key: str) -> Any:
        return self._do("xlen", key, lambda server: len(server.log(key).entries))

    def xrange(self, key: str, first: str = "-", final: str = "+", count: int | None = None) -> Any:
        return self._do("xrange", key, lambda server: server.range(key, first, final, count))

    def xrevrange(self, key: str, *, count: int) -> Any:
        def effect(server: Server) -> list[Any]:
            return [(id_text(one), two) for one, two in list(server.log(key).entries.items())[-count:]]

        return self._do("xrevrange", key, effect)

    def eval(self, text: str, count: int, *rest: str) -> Any:
        name, keys, args = name_of(text), list(rest[:count]), list(rest[count:])
        return self._do(
            name, keys[0] if keys else "", lambda server: server.scripts[name](keys, args), is_write=bool(keys)
        )


class Connection(Commands):
    """Sends commands one by one. `connection_pool` is itself, whose end lets it look again where its servers are."""

    def __init__(self, servers: Servers, line: Line = straight) -> None:
        self._servers = servers
        self._line = line
        self.connection_pool = self

    def disconnect(self) -> None:
        self._servers.doubt()

    def close(self) -> None:
        """Has nothing to close."""

    def server(self, key: str, *, is_write: bool) -> Server:
        server = self._servers.at(key, is_read=not is_write)
        must_answer(server)
        return server

    def _do(self, what: str, key: str, effect: Effect, *, is_write: bool = False) -> Any:
        return self.sent([(what, key, effect, is_write)])[0]

    def sent(self, commands: list[tuple[str, str, Effect, bool]]) -> list[Any]:
        """Returns the answers to a command and to those without a key behind it, which one server gives."""
        what, key, _, is_write = commands[0]

        def together() -> list[Any]:
            server = self.server(key, is_write=is_write)
            return [server.write(one) if writes else one(server) for _, _, one, writes in commands]

        answers: list[Any] = self._line(what, key, together)
        return answers

    def time(self) -> tuple[int, int]:
        def effect(server: Server) -> tuple[int, int]:
            now = server.clock()
            return int(now), int(now % 1 * 1e6)

        found: tuple[int, int] = self._do("time", "", effect)
        return found

    def info(self, section: str) -> dict[str, int]:
        """Says that there is no append-only file to be written anew."""
        assert section == "persistence"
        return {"aof_rewrite_in_progress": 0, "aof_enabled": 0}

    def execute_command(self, *words: str) -> dict[str, str]:
        assert words == INFO
        return {"redis_version": "7.0.15", "role": "master"}

    def pipeline(self, *, transaction: bool) -> Pipeline:
        assert not transaction
        return Pipeline(self)


class Pipeline(Commands):
    """Collects commands."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._units: list[list[tuple[str, str, Effect, bool]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _do(self, what: str, key: str, effect: Effect, *, is_write: bool = False) -> None:
        if key:
            self._units.append([])
        self._units[-1].append((what, key, effect, is_write))

    def execute_command(self, *words: Any) -> None:
        assert words[0] == "WAIT"
        self._do("wait", "", lambda server: server.wait())

    def execute(self) -> list[Any]:
        return [answer for unit in self._units for answer in self._connection.sent(unit)]
