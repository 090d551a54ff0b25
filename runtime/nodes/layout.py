"""Says which server holds a key, as the servers or their Sentinels said last.

A cluster divides its keys among 16,384 slots, and each slot is on one primary. Behind Sentinels one master holds all keys, so
it is a cluster of one primary here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

from redis.crc import key_slot

from schemas.redis.address import Node

SLOTS = 16_384
# Commands that name no key. Which server is meant has to be said; a cluster's client can't guess it.
KEYLESS = frozenset(
    ("ASKING", "BGREWRITEAOF", "CLIENT", "CLUSTER", "CONFIG", "DBSIZE", "ECHO", "FLUSHALL", "INFO", "KEYS", "PING", "ROLE",
     "SCAN", "SCRIPT", "TIME", "WAIT", "WAITAOF")
)  # fmt: skip
SCRIPTS = frozenset(("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL"))


class Layout(NamedTuple):
    """Holds the primary of each slot, None where the cluster has none, and the replicas of all of them."""

    slots: Sequence[Node | None]
    primaries: tuple[Node, ...]
    replicas: tuple[Node, ...] = ()

    @classmethod
    def of_slots(cls, answer: Iterable[Any], asked: Node) -> Self:
        """Returns what CLUSTER SLOTS answered. A server that does not know its own address means the one that was asked."""
        slots: list[Node | None] = [None] * SLOTS
        primaries: dict[Node, None] = {}
        replicas: dict[Node, None] = {}
        for first, last, *nodes in answer:
            primary, *others = (_node(node, asked) for node in nodes)
            slots[first : last + 1] = [primary] * (last + 1 - first)
            primaries[primary] = None
            replicas |= dict.fromkeys(others)
        return cls(slots, tuple(primaries), tuple(replicas))

    @classmethod
    def of_master(cls, master: Node, replicas: Sequence[Node]) -> Self:
        """Returns the layout where one server has all keys."""
        return cls([master] * SLOTS, (master,), tuple(replicas))

    def of(self, key: str | bytes) -> Node | None:
        """Returns the primary of a key."""
        return self.slots[slot_of(key)]


def slot_of(key: str | bytes) -> int:
    """Returns the slot of a key: of what is between its first braces, if there is something."""
    return key_slot(key.encode() if isinstance(key, str) else key)


def key_of(command: Sequence[Any]) -> str | bytes | None:
    """Returns the first key that a command names, None where it names none. All keys of ours share a slot."""
    first = command[0]
    name = (first.decode() if isinstance(first, bytes) else str(first)).upper().partition(" ")[0]
    if name in KEYLESS:
        return None
    if name in SCRIPTS and not int(command[2]):
        return None
    key: str | bytes = command[3 if name in SCRIPTS else 1]
    return key


def _node(said: Sequence[Any], asked: Node) -> Node:
    host = said[0].decode() if isinstance(said[0], bytes) else said[0]
    return Node(host if host and host != "?" else asked.host, int(said[1]))
