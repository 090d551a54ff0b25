"""Fakes a Redis with dicts: the commands and scripts that the product sends, on a clock of the test's.

The product's own classes (both RedisStream classes, Leases) run on a Connection as they run on redis-py's client; only
the server behind it is faked. A script is recognised by its text and done by a method of this file, and tests/contract
holds both to the same behaviour.

`history` keeps every entry that was ever appended, so that a check can look behind a trim. `faults` names what an
honest product never asks for: that an entry is trimmed before it is stored, for example.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable
from typing import Any

from redis.exceptions import OutOfMemoryError

from schemas.names import ORIGIN, EntryId
from schemas.redis.keys import PRODUCER_KEPT_SECONDS, PRODUCER_NOTED_SECONDS, Keys
from tests.fakes.redis_erasures import Erasing, add
from tests.fakes.redis_leases import Text, as_bytes

Id = tuple[int, int]
Script = Callable[[Text, list[Any]], Any]


class Log:
    """Holds one stream."""

    def __init__(self) -> None:
        self.entries: dict[Id, dict[bytes, bytes]] = {}  # in order
        self.history: dict[Id, dict[bytes, bytes]] = {}
        self.last: Id = (0, 0)


class Server(Erasing):
    """Holds the state of one Redis and does its scripts. It outlives every connection and process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.is_down = False
        self.is_full = False
        self.settings = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "always"}
        self.memory_share = 0.1
        self.lists: dict[str, list[bytes]] = {}
        self.logs: dict[str, Log] = {}
        self.faults: list[str] = []
        self.followed = 0  # how often a checkpoint was moved up to what ClickHouse holds
        self.tail_ms = 0  # entries younger than this are not trimmed
        self.scripts: dict[str, Script] = {
            "append": self.append,
            "take_lease": self.take_lease,
            "renew_lease": self.renew_lease,
            "release_lease": self.release_lease,
            "enrol": self.enrol,
            "cut": self.cut,
            "stored": self.stored,
            "set_aside": self.set_aside,
            "withdraw": self.withdraw,
            "record_once": self.record_once,
            "follow": self.follow,
            "trim": self.trim,
            "compared": self.compared,
            "claim": self.claim,
            "enter": self.enter,
            "secure": self.secure,
            "confirm": self.confirm,
            "reign": lambda keys, args: self.reign().encode(),
            "assure": lambda keys, args: None,
            "record_erasure": self.record_erasure,
            "choose_plan": self.choose_plan,
            "settle_erasure": self.settle_erasure,
            "count_erased": self.count_erased,
            "erased_rows_left": self.erased_rows_left,
            "erase_letter": self.erase_letter,
        }

    def at(self, key: str, *, is_read: bool = False) -> Server:
        """Returns the server that serves a key: this one."""
        return self

    def seen_by(self, process: Any) -> Any:
        """Returns the server as a process reaches it."""
        return self

    def doubt(self) -> None:
        """Looks again where the server is: here."""

    def write(self, effect: Callable[[Server], Any]) -> Any:
        """Does what a command that may write does here, and returns its answer."""
        return effect(self)

    def wait(self) -> int:
        """Returns how many replicas have everything that was written."""
        return 0

    def copy(self) -> list[Any]:
        """Returns a copy of all that it holds now."""
        return copy.deepcopy([self.strings, self.hashes, self.lists, self.logs, self.scores])

    def restore(self, kept: list[Any]) -> None:
        """Goes back to a copy, so that everything since then is lost."""
        self.strings, self.hashes, self.lists, self.logs, self.scores = kept

    def edges(self, key: str) -> list[bytes]:
        return self.lists.setdefault(key, [])

    def log(self, key: str) -> Log:
        return self.logs.setdefault(key, Log())

    def append(self, keys: Text, args: list[Any]) -> bytes:
        if self.is_full:
            raise OutOfMemoryError("command not allowed when used memory > 'maxmemory'")
        log_key, producers_key, accepted_key, seen_key = keys
        producer, number, data, rows, *totals = args
        last = int(self.hash(producers_key).get(producer, b"0"))
        if not self.takes_next(number, last):
            if number > last:
                return f"gap {last}".encode()
            self.note(seen_key, producers_key, producer)
            return b"done"
        self.note(seen_key, producers_key, producer)
        if int(rows):
            fields = {b"d": data, b"n": as_bytes(rows), b"p": as_bytes(producer), b"c": as_bytes(number)}
            self.add(log_key, fields)
        self.hash(producers_key)[producer] = as_bytes(number)
        accepted = self.hash(accepted_key)
        add(accepted, totals)
        return b"ok"

    def note(self, seen_key: str, producers_key: str, producer: str) -> None:
        """Notes when the producer was seen, and forgets two that were silent for long."""
        seen, now = self.scores.setdefault(seen_key, {}), int(self.clock())
        if seen.get(producer, 0) < now - PRODUCER_NOTED_SECONDS:
            seen[producer] = now
            silent = now - PRODUCER_KEPT_SECONDS - PRODUCER_NOTED_SECONDS
            for gone in sorted((name for name in seen if seen[name] < silent), key=lambda name: (seen[name], name))[:2]:
                del seen[gone]
                self.hash(producers_key).pop(gone, None)

    def takes_next(self, number: int, last: int) -> bool:
        return number == last + 1

    def add(self, key: str, fields: dict[bytes, bytes]) -> None:
        log = self.log(key)
        now = (int(self.clock() * 1000), 0)
        log.last = now if now > log.last else (log.last[0], log.last[1] + 1)
        log.entries[log.last] = log.history[log.last] = fields

    def confirm(self, keys: Text, args: list[Any]) -> int:
        return int(self.hash(keys[0]).get(args[0], b"0"))

    def cut(self, keys: Text, args: list[Any]) -> bytes:
        lease_key, checkpoint, edges_key, log_key = keys
        value, from_id, edge, reign = args
        said = self.checked(lease_key, checkpoint, value, from_id)
        if said == b"ok" and self.is_other(reign):
            return b"moved"
        edges = self.edges(edges_key)
        if said == b"ok" and edges and _id_of(edges[-1]) != from_id:
            return b"moved"
        if said == b"ok" and log_key in self.logs and self.logs[log_key].last < EntryId.parse(edge.split()[0]):
            return b"moved"
        if said == b"ok":
            if not edges and from_id == str(ORIGIN):
                edges.append(as_bytes(f"{ORIGIN} 0 0"))
            edges.append(as_bytes(edge))
        return said

    def stored(self, keys: Text, args: list[Any]) -> bytes:
        lease_key, checkpoint, dead_key, duplicate_key, edges_key, erased_key = keys
        value, from_id, to_id, count, erased_count, *rest = args
        erased_at, letters_at = 2 * count, 2 * (count + erased_count)
        copies, erased, letters = rest[:erased_at], rest[erased_at:letters_at], rest[letters_at:]
        said = self.checked(lease_key, checkpoint, value, from_id)
        if said == b"ok" and not self.is_recorded(edges_key, to_id):
            return b"moved"
        if said == b"ok":
            known = self.hash(checkpoint)
            if rest and f"buried:{to_id}" not in known:
                known[f"buried:{to_id}"] = b"1"
                add(self.hash(duplicate_key), copies)
                add(self.hash(erased_key), erased)
                names = (b"row", b"reason", b"text", b"first_seen", b"block")
                for at in range(0, len(letters), 5):
                    self.add(dead_key, dict(zip(names, map(as_bytes, letters[at : at + 5]), strict=True)))
            known["stored"] = as_bytes(to_id)
        return said

    def is_recorded(self, edges_key: str, edge_id: str) -> bool:
        return edge_id in map(_id_of, self.edges(edges_key))

    def set_aside(self, keys: Text, args: list[Any]) -> bytes:
        lease_key, checkpoint, edges_key, log_key, aside_key, entry_key = keys
        value, from_id, entry_id, aside, reign = args
        said = self.checked(lease_key, checkpoint, value, from_id)
        if said == b"ok" and self.is_other(reign):
            return b"moved"
        edges = self.edges(edges_key)
        if said == b"ok" and edges and _id_of(edges[-1]) != from_id:
            return b"moved"
        if said == b"ok" and (fields := self.log(log_key).entries.pop(EntryId.parse(entry_id), None)) is not None:
            self.lists[entry_key] = [part for item in fields.items() for part in item]
            self.hash(aside_key)[entry_id] = aside
        return said

    def withdraw(self, keys: Text, args: list[Any]) -> bytes:
        lease_key, checkpoint, edges_key = keys
        value, from_id, to_id = args
        said = self.checked(lease_key, checkpoint, value, from_id)
        edges = self.edges(edges_key)
        if said == b"ok" and (not edges or _id_of(edges[-1]) != to_id):
            return b"moved"
        if said == b"ok":
            self.let_go(checkpoint, [to_id])
            edges.pop()
        return said

    def record_once(self, keys: Text, args: list[Any]) -> bytes:
        lease_key, checkpoint = keys
        value, from_id, name, verdict = args
        said = self.checked(lease_key, checkpoint, value, from_id)
        if said == b"ok" and self.hash(checkpoint).setdefault(name, verdict) != verdict:
            return b"moved"
        return said

    def claim(self, keys: Text, args: list[Any]) -> list[Any]:
        shard, block = args
        claims = self.hash(keys[0])
        turn, _, known = claims.get(shard, b"").decode().partition(" ")
        if known != block:
            if known.partition(":")[0] == block.partition(":")[0] and known > block:
                return []
            turn = str(int(claims.get("turn", b"0")) + 1)
            claims["turn"] = as_bytes(turn)
            claims[shard] = as_bytes(f"{turn} {block}")
        return [int(turn), [part for name, value in claims.items() for part in (name.encode(), value)]]

    def follow(self, keys: Text, args: list[Any]) -> bytes:
        lease_key, checkpoint, edges_key, log_key = keys
        value, from_id, to_id, held = args
        said = self.checked(lease_key, checkpoint, value, from_id)
        if said == b"ok":
            self.followed += 1
            self.go_on_behind(log_key, EntryId.parse(to_id), EntryId.parse(held))
            self.let_go(checkpoint, map(_id_of, self.edges(edges_key)))
            self.lists[edges_key] = [as_bytes(f"{to_id} 0 0")]
            self.hash(checkpoint)["stored"] = as_bytes(to_id)
        return said

    def go_on_behind(self, log_key: str, edge: Id, held: Id) -> None:
        """Lets the stream's next id come after the edge. If entries after `held` do not, all of them move there."""
        log = self.log(log_key)
        log.last = max(log.last, edge)
        later = [entry_id for entry_id in log.entries if entry_id > held]
        if later and later[0] <= edge:
            for entry_id in later:
                self.add(log_key, log.entries.pop(entry_id))
                del log.history[entry_id]

    def compared(self, keys: Text, args: list[Any]) -> bytes:
        lease_key, checkpoint, edges_key = keys
        value, from_id, back_to, started = args
        said = self.checked(lease_key, checkpoint, value, from_id)
        ids = [_id_of(edge) for edge in self.edges(edges_key)]
        if said == b"ok" and back_to != from_id:
            if back_to not in ids or EntryId.parse(back_to) > EntryId.parse(from_id):
                return b"moved"
            known = self.hash(checkpoint)
            if EntryId.parse(from_id) > EntryId.parse(known.get("counted", str(ORIGIN).encode()).decode()):
                known["counted"] = as_bytes(from_id)
            known["stored"] = as_bytes(back_to)
        if said == b"ok":
            self.hash(checkpoint)["compared"] = as_bytes(started)
        return said

    def trim(self, keys: Text, args: list[Any]) -> bytes:
        lease_key, checkpoint, edges_key, log_key = keys
        value, edge_id, min_id = args
        if not self.holds(lease_key, value):
            return b"lease"
        stored, edges = self.stored_of(checkpoint), self.edges(edges_key)
        ids = [_id_of(edge) for edge in edges]
        if edge_id not in ids or stored not in ids[ids.index(edge_id) :]:
            return b"moved"
        floor = ids.index(edge_id)
        del edges[:floor]
        self.let_go(checkpoint, ids[:floor])
        self.drop(log_key, EntryId.parse(min_id), EntryId.parse(stored))
        return b"ok"

    def let_go(self, checkpoint: str, edges: Iterable[str]) -> None:
        """Forgets what was recorded under these edges: verdicts, copies and erased rows."""
        for edge in edges:
            for kind in ("verdict", "duplicate", "buried", "erased"):
                self.hash(checkpoint).pop(f"{kind}:{edge}", None)

    def rewind(self, shard: int, rng: random.Random) -> None:
        """Sets `stored` back to a recorded edge and revokes the lease, in one step, as `forebay replay` does."""
        keys = Keys(shard)
        at = EntryId.parse(self.stored_of(keys.checkpoint))
        behind = [edge for edge in map(_id_of, self.edges(keys.edges)) if EntryId.parse(edge) <= at]
        if behind:
            self.hash(keys.checkpoint)["stored"] = rng.choice(behind).encode()
            self.strings.pop(keys.lease, None)

    def drop(self, key: str, floor: Id, stored: Id) -> None:
        """Trims the entries before an id, as XTRIM MINID does, and records a fault if one of them must not go."""
        log = self.log(key)
        gone = [entry_id for entry_id in log.entries if entry_id < floor]
        for entry_id in gone:
            del log.entries[entry_id]
        if any(entry_id > stored for entry_id in gone):
            self.faults.append(f"{key}: trimmed {gone[-1]} while {stored} is stored")
        if gone and gone[-1][0] > self.clock() * 1000 - self.tail_ms + 10:
            self.faults.append(f"{key}: trimmed {gone[-1]}, which the replay tail covers")
        edge = EntryId.parse(_id_of(self.edges(key.removesuffix("log") + "edges")[0]))
        if gone and (gone[-1] > edge or any(entry_id <= edge for entry_id in log.entries)):
            self.faults.append(f"{key}: trimmed up to {gone[-1]}, which is no edge")

    def range(self, key: str, first: str, final: str, count: int | None) -> list[tuple[bytes, dict[bytes, bytes]]]:
        after = (-1, 0) if first == "-" else EntryId.parse(first.removeprefix("("))
        upto = None if final == "+" else EntryId.parse(final)
        found = []
        for entry_id, fields in self.log(key).entries.items():
            if entry_id > after and (upto is None or entry_id <= upto):
                found.append((id_text(entry_id), fields))
                if len(found) == count:
                    break
        return found


def _id_of(edge: bytes) -> str:
    return edge.decode().split()[0]


def id_text(entry_id: Id) -> bytes:
    return f"{entry_id[0]}-{entry_id[1]}".encode()
