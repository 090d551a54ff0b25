"""Holds Redis as nodes: one for the claims and one for each shard, each with a replica that has a prefix of its writes.

A primary writes down every command that may write, with the moment of its own clock. Its replica does the same commands up
to some place in that list: at once, after a while, or only when somebody waits for it, as the seed says. A failover makes
the replica the primary, with whatever it has; the rest is lost. Its run id, its history and its clock are others.

The old primary may be dead, or be cut off from its replica and still answer some of the processes, and take what they write. A
process may then reach either of the two with each of its commands. It is told at last that the key has moved; or nobody ever
tells it, and it stays until it looks elsewhere by itself. Nobody waits for the old one with success, because its replica no
longer listens to it. The new primary's next replica is the old one, which ends that, or a third server.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import ResponseError

from schemas.redis.keys import Keys
from tests.fakes.redis import Log, Server
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

CLAIMS = "claims"
TAG = re.compile(r"\{(\w+)\}")
Effect = Callable[[Server], Any]


class Member(Server):
    """Is one server of a node. `skew` is how far its clock is ahead."""

    def __init__(self, node: Node, name: str) -> None:
        self.skew = 0.0
        super().__init__(self._now)
        self.node = node
        self.run_id = self.history = name
        self.acting = ""  # the reign of the primary, while it does what that did
        self.done: list[tuple[float, str, Effect]] = []  # what its replica has not done yet
        self.tail_ms = -1 << 40  # an entry's age is told by clocks that differ

    def _now(self) -> float:
        return self.node.now() + self.skew

    def write(self, effect: Effect) -> Any:
        at, reign = self.clock(), self.reign()
        answer = effect(self)
        self.done.append((at, reign, effect))
        self.node.wrote(self)
        return answer

    def wait(self) -> int:
        return self.node.waited_on(self)

    def reign(self) -> str:
        return self.acting or self.node.reign_of(self)

    def follow_primary(self, at: float, reign: str, effect: Effect) -> None:
        """Does what its primary did, by that one's clock and in its reign, so that it comes to the same."""
        self.clock, self.acting = lambda: at, reign
        effect(self)
        self.clock, self.acting = self._now, ""


def own_reign(server: Member) -> str:
    """Returns the reign that a script sees on a server."""
    return f"{server.run_id}:{server.history}"


class Node:
    """Holds a primary, its replica (None while a new one is filled), and the old primary while that still answers."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self._world = world
        self._serial = 0
        self.primary = self._member()
        self.replica: Member | None = self._member()
        self.old: Member | None = None
        self.promptness = world.rng.choice((1.0, 0.5, 0.1, 0.0))  # the share of writes that the replica gets at once
        self.is_cut = False  # the replica hears nothing
        self.lost = 0  # writes
        self.reign_of: Callable[[Member], str] = own_reign
        self.read_share = self.write_share = 0.6  # of the commands that reach the old primary, where a process may
        self.doubt_share = 0.7  # of looks for another primary, that find it
        self.past: list[str] = []  # faults of primaries that are gone
        self._until: dict[str, float] = {}  # how long a process may still reach the old primary, if it does not doubt

    def _member(self) -> Member:
        self._serial += 1
        return Member(self, f"{self.name}-{self._serial}")

    def now(self) -> float:
        return self._world.redis_seconds()

    def wrote(self, server: Member) -> None:
        if server is self.primary and not self.is_cut and self._world.rng.random() < self.promptness:
            self._replicate(len(server.done))

    def waited_on(self, server: Member) -> int:
        """Returns how many replicas have everything that this server wrote: its own, if it is the primary and heard."""
        if server is not self.primary or self.replica is None or self.is_cut or self._world.rng.random() < 0.03:
            return 0
        self._replicate(len(server.done))
        return 1

    def _replicate(self, count: int) -> None:
        if self.replica is not None:
            for one in self.primary.done[:count]:
                self.replica.follow_primary(*one)
            del self.primary.done[:count]

    def at(self, process: Process, *, is_read: bool) -> Server:
        """Returns the server that a process reaches now. Raises as redis-py does, also where it is told to look elsewhere."""
        rng = self._world.rng
        if self.old is None or process.name not in self._until:
            return self.primary
        if self._world.loop.time() >= self._until[process.name]:
            del self._until[process.name]
            if rng.random() < 0.5:
                raise ResponseError("MOVED 1 127.0.0.1:1")
            raise NotConnected("connection reset")
        if rng.random() < 0.1:
            raise ResponseError("MOVED 1 127.0.0.1:1")
        return self.old if rng.random() < (self.read_share if is_read else self.write_share) else self.primary

    def doubt(self, process: Process) -> None:
        """Lets a process find the primary that the others have, if whoever it asks knows that one."""
        if self._world.rng.random() < self.doubt_share:
            self._until.pop(process.name, None)

    def fail_over(self, *, is_isolated: bool) -> None:
        """Promotes the replica, if there is one. The old primary is dead, or still answers for a while."""
        world, old, new = self._world, self.primary, self.replica
        if new is None:
            return
        if self.promptness and not self.is_cut:
            self._replicate(world.rng.randrange(len(old.done) + 1))
        self.lost += len(old.done)
        world.note(
            f"node {self.name} fails over, {len(old.done)} writes are lost{', and the old one answers' * is_isolated}"
        )
        new.history = f"{new.run_id}+{self._serial}"
        new.skew = old.skew + world.rng.choice((0.0, 0.0, -8.0, -0.5, 0.5, 8.0))
        new.is_full = old.is_full
        new.memory_share = old.memory_share
        self.primary, self.replica, self.is_cut = new, None, False
        self._vanish(self.old)
        stays = is_isolated and world.rng.random() < 0.5  # a third server becomes the replica
        if is_isolated:
            self.old = old
            is_told = world.rng.random() < 0.7
            self._until = {
                name: world.loop.time() + 6 * world.rng.random() if is_told else math.inf
                for name in world.processes
                if world.rng.random() < 0.6
            }
            if stays and is_told:
                world.loop.in_world(6.0, self._vanish, old)
        else:
            old.is_down = new.is_down = True
            world.loop.in_world(2 * world.rng.random(), self._up, new)
        world.loop.in_world(0.3 + 3 * world.rng.random(), self._fill, old if is_isolated and not stays else None)

    def _up(self, server: Member) -> None:
        server.is_down = False

    def _vanish(self, old: Member | None) -> None:
        """Ends the partition in which an old primary answered."""
        if old is not None and old is self.old:
            self.past += old.faults
            self.old = None
            self._until.clear()

    def _fill(self, old: Member | None) -> None:
        """Gives the primary a replica again: the old primary, whose process may be the same, or a new one."""
        fresh = self._member()
        if old is not None and self._world.rng.random() < 0.5:
            fresh.run_id = old.run_id
        self._vanish(old)
        fresh.restore(self.primary.copy())
        fresh.skew = self.primary.skew
        fresh.followed = self.primary.followed
        self.primary.done.clear()
        self.replica = fresh

    def crash(self) -> None:
        """Kills the primary, which comes back with everything that it held."""
        self._world.note(f"node {self.name} crashes")
        server = self.primary
        server.is_down = True

        def back() -> None:
            server.run_id = self._member().run_id
            server.history = server.run_id
            server.is_down = False

        self._world.loop.in_world(1.5 * self._world.rng.random(), back)

    def cut(self, seconds: float) -> None:
        """Lets the replica hear nothing for a while."""
        self._world.note(f"the replica of node {self.name} lags")
        self.is_cut = True

        def mend() -> None:
            self.is_cut = False

        self._world.loop.in_world(seconds, mend)


class Nodes:
    """Stands where a world has its one Redis: it passes each key to its node's primary."""

    def __init__(self, world: World) -> None:
        self.memory_share = 0.1
        self.tail_ms = 0
        self.nodes = {name: Node(world, name) for name in (CLAIMS, *map(str, range(world.shards)))}

    def node(self, key: str) -> Node:
        """Returns the node of a key. Keys of no shard lie with the claims."""
        found = TAG.search(key)
        return self.nodes[found[1]] if found else self.nodes[CLAIMS]

    def members(self, key: str) -> list[Member]:
        """Returns the primary and the replica of the node of a key."""
        node = self.node(key)
        return [one for one in (node.primary, node.replica) if one is not None]

    def seen_by(self, process: Any) -> Any:
        """Returns the servers as a process reaches them."""
        return Seen(self, process)

    @property
    def primaries(self) -> list[Member]:
        return [node.primary for node in self.nodes.values()]

    @property
    def is_down(self) -> bool:
        return any(one.is_down for one in self.primaries)

    @property
    def faults(self) -> list[str]:
        return [fault for node in self.nodes.values() for fault in (*node.past, *node.primary.faults)]

    @property
    def followed(self) -> int:
        return sum(one.followed for one in self.primaries)

    @property
    def is_full(self) -> bool:
        return any(one.is_full for one in self.primaries)

    @is_full.setter
    def is_full(self, is_full: bool) -> None:
        for one in self.primaries:
            one.is_full, one.memory_share = is_full, 1.0 if is_full else 0.1

    def clock(self) -> float:
        return self.nodes[CLAIMS].primary.clock()

    def rewind(self, shard: int, rng: random.Random) -> None:
        seed = rng.random()
        self.node(Keys(shard).log).primary.write(lambda server: server.rewind(shard, random.Random(seed)))

    def broken(self) -> str:
        """Returns which node is not whole again; empty when all are."""
        return ", ".join(
            node.name for node in self.nodes.values() if node.primary.is_down or node.replica is None or node.is_cut
        )

    def log(self, key: str) -> Log:
        return self.node(key).primary.log(key)

    def hash(self, key: str) -> dict[str, bytes]:
        return self.node(key).primary.hash(key)

    def edges(self, key: str) -> list[bytes]:
        return self.node(key).primary.edges(key)

    def stored_of(self, key: str) -> str:
        return self.node(key).primary.stored_of(key)


class Seen(NamedTuple):
    """Says which servers a process reaches. It is asked when a command arrives, which is no doing of the process any more."""

    nodes: Nodes
    process: Process

    def at(self, key: str, *, is_read: bool = False) -> Server:
        """Returns the server of this key."""
        return self.nodes.node(key).at(self.process, is_read=is_read)

    def doubt(self) -> None:
        """Lets the process look where each key's server is."""
        for node in self.nodes.nodes.values():
            node.doubt(self.process)
