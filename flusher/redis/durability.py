"""Warns while this Redis may lose events, and refuses one that is a replica.

A flusher makes events safer by storing them, so it works on with any Redis but a replica. A replica refuses leases and
checkpoints, or loses them at its next sync, and a second flusher at the master would store the same events under other
blocks (rule 8 of docs/delivery.md).

`Leases.take` asks for the role too: a flusher at work takes no shard from a server that became a replica, and the process
ends within LOOK_SECONDS.

Not promised: that what a flusher did in those seconds lasts. A replica refuses writes, unless it is configured to take them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from flusher.redis.lease import Unclear
from schemas.durability import PAGE, Facts, Fault, Setting, judge, summary
from schemas.replication import Finding

log = logging.getLogger(__name__)
LOOK_SECONDS = 5.0
LOOK_REPLICAS_SECONDS = 30.0
PAGE_REPLICAS = "docs/operations.md#replicas-of-redis"


class Source(Protocol):
    """Gives what each server of a Redis says of itself. Raises lease.Unclear."""

    async def facts(self) -> Mapping[str, Facts]: ...


class Replica(Exception):
    """Reports that this Redis is a replica. Its text says of which server."""


def faults(facts: Mapping[str, Facts]) -> tuple[Fault, ...]:
    """Returns the faults by which this Redis may lose events, as far as its servers tell them. Raises Replica.

    Where there are several servers, a primary that became a replica is nobody's mistake: its keys are elsewhere now.
    """
    found: list[Fault] = []
    for server, told in facts.items():
        for fault in judge(told, is_trusted=True).faults:
            if fault.setting is not Setting.ROLE:
                found.append(fault._replace(text=f"{server}: {fault.text}") if server else fault)
            elif not server:
                raise Replica(summary((fault,)))
    return tuple(found)


class Replicated(Protocol):
    """Names the settings that could make a failover lose something. Raises lease.Unclear."""

    async def replication(self) -> Sequence[Finding]: ...


async def watch_replicas(source: Replicated) -> None:
    """Looks until cancelled, from the start on, and logs each change once."""
    said: frozenset[str] = frozenset()
    while True:
        with contextlib.suppress(Unclear):
            found = await source.replication()
            settings = frozenset(f"{one.setting} {one.text}" for one in found)
            for one in found:
                if f"{one.setting} {one.text}" not in said:
                    log.error("a failover of Redis may lose events, or stop everything: %s (%s)", one, PAGE_REPLICAS)
            if said and not settings:
                log.info("Redis is ready for a failover")
            said = settings
        await asyncio.sleep(LOOK_REPLICAS_SECONDS)


async def watch(source: Source, stopping: asyncio.Event) -> None:
    """Looks until cancelled, and logs each change once. On a replica it sets `stopping`, which ends the process.

    A Redis that does not answer is logged by the fleet, not here.
    """
    said: frozenset[Setting] = frozenset()
    while True:
        try:
            found = faults(await source.facts())
        except Replica as error:
            log.critical("it leaves: %s (%s)", error, PAGE)
            stopping.set()
            return
        except Unclear:
            pass
        else:
            settings = frozenset(fault.setting for fault in found)
            if settings != said:
                said = settings
                if found:
                    log.critical("Redis can lose events before they are stored: %s (%s)", summary(found), PAGE)
                else:
                    log.info("Redis keeps what it holds again")
        await asyncio.sleep(LOOK_SECONDS)
