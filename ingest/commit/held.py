"""Holds the commits that a primary acknowledged and that not all of its replicas are known to have (docs/delivery.md, rule 17).

After a failover to a replica that lacks some of them they are sent again, in order, under the same producer and numbers, so
Redis takes those that it lacks and answers `done` to the rest.

One budget bounds what all shards of a worker hold. Where it is used up, each commit waits for the replicas, as it does with
`redis_ack = replicas`, whose budget is none at all.

Not promised: that it reaches back far enough where a Redis lost more than its replicas had confirmed. Then events are lost,
and counted.
"""

from __future__ import annotations

from collections import deque

from schemas.segment import Commit


class Budget:
    """Holds how many bytes of commits a worker keeps in memory, and how many it may keep."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes = 0
        self.bytes_max = bytes_max


class Held:
    """Holds such commits of one shard's producer, in order and without a gap."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._commits: deque[Commit] = deque()

    def __len__(self) -> int:
        return len(self._commits)

    @property
    def is_full(self) -> bool:
        """Says whether the next commit must wait for the replicas."""
        return self._budget.bytes >= self._budget.bytes_max

    @property
    def commits(self) -> list[Commit]:
        """Returns what is held, the oldest first."""
        return list(self._commits)

    def add(self, commit: Commit) -> None:
        """Holds the commit behind the others."""
        self._commits.append(commit)
        self._budget.bytes += len(commit.data)

    def confirmed(self, upto: int) -> None:
        """Lets go of the commits up to this number, because all replicas have them."""
        while self._commits and self._commits[0].number <= upto:
            self._budget.bytes -= len(self._commits.popleft().data)

    def renumber(self) -> int:
        """Numbers what is held from 1 on, for a new producer. Returns the last of these numbers, 0 if nothing is held."""
        self._commits = deque(one._replace(number=at) for at, one in enumerate(self._commits, 1))
        return len(self._commits)

    def clear(self) -> None:
        """Lets go of everything."""
        while self._commits:
            self._budget.bytes -= len(self._commits.popleft().data)


def bytes_to_hold(replicas: int, ack: str, bytes_max: int) -> int | None:
    """Returns the budget by the settings; None without replicas. Who holds nothing waits for them with each commit."""
    if not replicas:
        return None
    return bytes_max if ack == "primary" else 0
