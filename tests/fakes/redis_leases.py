"""Holds the strings, hashes and sorted sets of a fake Redis, and does the scripts that grant and fence leases in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from redis.exceptions import ReadOnlyError

from schemas.names import ORIGIN
from schemas.redis.keys import LEASE_TIMES_MAX

Text = list[str]


class Leasing:
    """Knows who holds a shard, and in which reign. The rest of the server is in tests/fakes/redis.py."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.run_id = "run-1"
        self.history = "1"  # the replication id
        self.role = "master"
        self.strings: dict[str, tuple[bytes, float]] = {}  # value, and when it expires
        self.hashes: dict[str, dict[str, bytes]] = {}
        self.scores: dict[str, dict[str, float]] = {}
        self._runs = itertools.count(2)

    def restart(self) -> None:
        """Restarts with everything that it held, because everything was fsynced, under a new run id."""
        self.run_id = f"run-{next(self._runs)}"

    def get(self, key: str) -> bytes | None:
        value, until = self.strings.get(key, (None, 0.0))
        if value is not None and until <= self.clock():
            del self.strings[key]
            return None
        return value

    def set(self, key: str, value: Any, *, px: float | None = None) -> None:
        self.strings[key] = (as_bytes(value), self.clock() + px / 1000 if px is not None else float("inf"))

    def hash(self, key: str) -> dict[str, bytes]:
        return self.hashes.setdefault(key, {})

    def stored_of(self, key: str) -> str:
        return self.hash(key).get("stored", str(ORIGIN).encode()).decode()

    def holds(self, key: str, value: str) -> bool:
        """Tells whether the lease is held under this value: the fence of every script that moves a checkpoint."""
        return self.get(key) == value.encode()

    def checked(self, lease_key: str, checkpoint: str, value: str, from_id: str) -> bytes:
        """Checks the lease and compares `stored`, as every script does before it moves a checkpoint."""
        if not self.holds(lease_key, value):
            return b"lease"
        return b"ok" if self.stored_of(checkpoint) == from_id else b"moved"

    def reign(self) -> str:
        """Returns what names this server and the history that it goes on with."""
        return f"{self.run_id}:{self.history}"

    def take_lease(self, keys: Text, args: list[Any]) -> Any:
        lease_key, checkpoint, incarnation = keys
        owner, ttl_ms, fresh, *waited_out = args
        if self.get(lease_key) is not None:
            return None
        if self.role != "master":
            raise ReadOnlyError("it is a replica now: nothing is taken from it")
        known, now = self.hash(checkpoint), as_bytes(self.reign())
        if known.get("run", now) != now and self.reign() not in waited_out:
            return [now]
        generation = int(known.get("generation", b"0")) + 1
        known["generation"] = as_bytes(generation)
        known["run"] = now
        if self.get(incarnation) is None:
            self.set(incarnation, fresh)
        self.set(lease_key, f"{generation}:{owner}", px=ttl_ms)
        return [now, generation, self.get(incarnation)]

    def enter(self, keys: Text, args: list[Any]) -> bytes:
        lease_key, checkpoint = keys
        if not self.holds(lease_key, args[0]):
            return b"lease"
        self.hash(checkpoint)["run"] = as_bytes(self.reign())
        return as_bytes(self.reign())

    def secure(self, keys: Text, args: list[Any]) -> bytes:
        lease_key, checkpoint = keys
        value, from_id, reign = args
        said = self.checked(lease_key, checkpoint, value, from_id)
        return b"moved" if said == b"ok" and reign != self.reign() else said

    def is_other(self, reign: str) -> bool:
        """Tells whether this is another reign than the one in which a script's sender read the shard."""
        return reign not in {"", self.reign()}

    def renew_lease(self, keys: Text, args: list[Any]) -> int:
        value, ttl_ms = args
        if not self.holds(keys[0], value):
            return 0
        self.set(keys[0], value, px=ttl_ms)
        return 1

    def release_lease(self, keys: Text, args: list[Any]) -> int:
        if not self.holds(keys[0], args[0]):
            return 0
        self.hash(keys[1]).pop("run", None)
        self.strings.pop(keys[0], None)
        return 1

    def enrol(self, keys: Text, args: list[Any]) -> list[bytes]:
        owner, ttl_ms = args
        now = int(self.clock() * 1000)
        latest = now + LEASE_TIMES_MAX * ttl_ms
        alive = {name: score for name, score in self.scores.get(keys[0], {}).items() if now <= score <= latest}
        self.scores[keys[0]] = {**alive, owner: now + ttl_ms}
        return [
            name.encode() for name in sorted(self.scores[keys[0]], key=lambda name: (self.scores[keys[0]][name], name))
        ]


def as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
