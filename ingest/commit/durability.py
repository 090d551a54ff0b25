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
from collections.abc import Awaitable, Callable
from typing import Protocol

from schemas.durability import PAGE, Facts, Fault, Proof, Setting, first_rewrite, judge, summary

log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
REMIND_SECONDS = 3_600.0  # that a Redis is trusted is logged again, because logs are rotated


class Gauges(Protocol):
    """Shows what is known to an operator. `settings` are those with a fault."""

    def durability(self, settings: frozenset[Setting], proof: Proof) -> None: ...
    def redis_lost(self, times: int) -> None: ...


class NotDurable(Exception):
    """Says that this Redis has faults that a person must mend before a worker starts on it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(summary(faults))
        self.faults = faults


class Durability:
    """Holds what is known of a worker's Redis."""

    def __init__(self, *, is_trusted: bool) -> None:
        self.faults: tuple[Fault, ...] = ()
        self.proof = Proof.CONFIG
        self.losses = 0  # found and not shown yet: commits that Redis had acknowledged, or all of its keys
        self._is_trusted = is_trusted
        self._whole = ""  # the run id of a server whose AOF was seen to hold all of its data

    def hear(self, facts: Facts) -> None:
        """Judges what Redis said of itself."""
        verdict = judge(facts, is_trusted=self._is_trusted)
        faults = verdict.faults
        if any(fault.setting is Setting.AOF for fault in faults):
            self._whole = ""
        elif not facts.is_rewriting:
            self._whole = facts.run_id
        elif self._whole != facts.run_id and verdict.proof is not Proof.TRUSTED:
            faults = (*faults, first_rewrite())
        self.faults, self.proof = faults, verdict.proof

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
            gauges.redis_lost(self.losses)
            self.losses = 0
            is_reminder = self.proof is Proof.TRUSTED and now() - since >= REMIND_SECONDS
            if found != said or is_reminder:
                self._say(had_faults=bool(said[0]))
                said, since = found, now()
            await asyncio.sleep(LOOK_SECONDS)

    def _say(self, *, had_faults: bool) -> None:
        if self.faults:
            log.critical("nothing is appended to Redis, which can lose it: %s (%s)", summary(self.faults), PAGE)
        elif had_faults:
            log.info("appending to Redis resumes: it keeps what it answers")
        if self.proof is Proof.TRUSTED:
            log.warning("nobody knows whether Redis fsyncs before it answers: redis_fsync is `trusted` (%s)", PAGE)
        elif self.proof is Proof.WAITAOF:
            log.info("CONFIG GET is forbidden: every append waits until WAITAOF says that it is fsynced")
