"""Finds settings of Redis that would let it lose events that are acknowledged and not stored yet."""

from __future__ import annotations

import sys

from forebay.stream import Streams
from schemas.durability import Proof, judge, summary


def look(streams: Streams, *, is_trusted: bool) -> int:
    """Prints a line for each setting of Redis that breaks the promise, and returns how many there are.

    A line names the command that mends the setting. The lines are printed here, because the checks that follow may take
    long, or learn nothing on such a Redis.
    """
    count, proofs = 0, set()
    for server, facts in streams.facts().items():
        verdict = judge(facts, is_trusted=is_trusted)
        for fault in verdict.faults:
            sys.stdout.write(f"redis{f' {server}' if server else ''}: {summary((fault,))}\n")
        count += len(verdict.faults)
        proofs.add(verdict.proof)
    if Proof.TRUSTED in proofs:
        sys.stdout.write("redis: whether it fsyncs before it answers was not checked: redis_fsync is `trusted`\n")
    return count
