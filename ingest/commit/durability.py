"""Remembers whether Redis keeps what it acknowledges, by what it last told this worker of its settings.

Redis is asked on every new connection, before the first append on it, and once a second while the
worker runs. While a setting is wrong nothing is appended: events go to the spool, or are refused.

An AOF that is switched on while Redis runs holds nothing until it was rewritten once, although INFO
says "enabled" meanwhile. So if a rewrite is running when this worker first looks, or when the AOF
was off before, the worker waits for its end.

Not promised: anything about the time between two looks at a connection that stayed open. A setting
that was wrong for half a second is not noticed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from schemas.durability import PAGE, Facts, Fault, Proof, Setting, first_rewrite, judge, summary

log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
WEAKEST_FIRST = (Proof.TRUSTED, Proof.WAITAOF, Proof.CONFIG)
REMIND_SECONDS = 3_600.0  # that a Redis is trusted is logged again, because logs are rotated


class Gauges(Protocol):
    """Shows what is known to an operator. `settings` are those with a fault."""

    def durability(self, settings: frozenset[Setting], proof: Proof) -> None: ...
    def redis_lost(self, times: int, commits: int) -> None: ...


class NotDurable(Exception):
    """Says that this Redis has faults that a person must mend before a worker starts on it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(summary(faults))
        self.faults = faults


class _Server:
    """Holds what is known of one server."""

    faults: tuple[Fault, ...] = ()
    proof = Proof.CONFIG
    facts: Facts | None = None  # as it said them last
    whole = ""  # the run id under which its AOF was seen to hold all of its data


class Durability:
    """Holds what is known of a worker's Redis, server by server. Of a Redis of one the address is an empty text."""

    def __init__(self, *, is_trusted: bool) -> None:
        self.faults: tuple[Fault, ...] = ()  # of all servers
        self.is_shut = False  # every server has a fault
        self.proof = Proof.CONFIG
        self.losses = 0  # found and not shown yet: commits that Redis had acknowledged, or all of its keys
        self.lost_commits = 0  # the same, as far as they could be counted
        self._is_trusted = is_trusted
        self._servers: dict[str, _Server] = {}

    def hear(self, facts: Facts, server: str = "") -> None:
        """Judges what a server said of itself."""
        known = self._servers.setdefault(server, _Server())
        verdict = judge(facts, is_trusted=self._is_trusted)
        faults = verdict.faults
        if any(fault.setting is Setting.AOF for fault in faults):
            known.whole = ""
        elif not facts.is_rewriting:
            known.whole = facts.run_id
        elif known.whole != facts.run_id and verdict.proof is not Proof.TRUSTED:
            faults = (*faults, first_rewrite())
        known.faults = tuple(_at(server, fault) for fault in faults)
        known.proof = verdict.proof
        known.facts = facts
        self._add_up()

    def keep(self, servers: Collection[str]) -> None:
        """Forgets all servers but these: the others have no keys any more."""
        if gone := self._servers.keys() - set(servers):
            for server in gone:
                del self._servers[server]
            self._add_up()

    def faults_of(self, server: str) -> tuple[Fault, ...]:
        """Returns the faults of one server; none of one that was not heard yet."""
        known = self._servers.get(server)
        return () if known is None else known.faults

    @property
    def oldest(self) -> Facts | None:
        """Returns what the server of the oldest version says of itself, because what it does not know is sent to none."""
        said = [one.facts for one in self._servers.values() if one.facts is not None]
        return min(said, key=lambda facts: facts.version, default=None)

    def _add_up(self) -> None:
        known = self._servers.values()
        self.faults = tuple(fault for one in known for fault in one.faults)
        self.is_shut = bool(known) and all(one.faults for one in known)
        proofs = {one.proof for one in known}
        self.proof = next((proof for proof in WEAKEST_FIRST if proof in proofs), Proof.CONFIG)

    def require(self) -> None:
        """Raises NotDurable if there is a fault that does not pass by itself."""
        lasting = tuple(fault for fault in self.faults if not fault.is_passing)
        if lasting:
            raise NotDurable(lasting)

    async def run(self, look: Callable[[], Awaitable[None]], gauges: Gauges) -> None:
        """Looks until it is cancelled, and logs each change once. An error that `look` suppresses is not logged: appends will meet it."""
        said: tuple[frozenset[Setting], Proof] = frozenset(), Proof.CONFIG
        since = 0.0
        now = asyncio.get_running_loop().time
        while True:
            await look()
            found = frozenset(fault.setting for fault in self.faults), self.proof
            gauges.durability(*found)
            gauges.redis_lost(self.losses, self.lost_commits)
            self.losses = self.lost_commits = 0
            is_reminder = self.proof is Proof.TRUSTED and now() - since >= REMIND_SECONDS
            if found != said or is_reminder:
                self._say(had_faults=bool(said[0]))
                said, since = found, now()
            await asyncio.sleep(LOOK_SECONDS)

    def _say(self, *, had_faults: bool) -> None:
        if self.faults and not self.is_shut:
            log.critical("nothing is appended to servers that can lose it: %s (%s)", summary(self.faults), PAGE)
        elif self.faults:
            log.critical("nothing is appended to Redis, which can lose it: %s (%s)", summary(self.faults), PAGE)
        elif had_faults:
            log.info("appending to Redis resumes: it keeps what it answers")
        if self.proof is Proof.TRUSTED:
            log.warning("nobody knows whether Redis fsyncs before it answers: redis_fsync is `trusted` (%s)", PAGE)
        elif self.proof is Proof.WAITAOF:
            log.info("CONFIG GET is forbidden: every append waits until WAITAOF says that it is fsynced")


def _at(server: str, fault: Fault) -> Fault:
    """Returns a fault that says whose it is, where there are several servers."""
    return fault._replace(text=f"{server}: {fault.text}") if server else fault
