"""Looks for what lets Redis lose events that are acknowledged and not stored yet."""

from __future__ import annotations

import sys

from forebay.stream import Streams
from schemas.durability import Proof, judge, summary


def look(streams: Streams, *, is_trusted: bool) -> int:
    """Prints a line for each setting of Redis that breaks the promise, with the command that mends it; how many.

    Printed here, for the looks that follow may take long, or find nothing out on such a Redis.
    """
    verdict = judge(streams.facts(), is_trusted=is_trusted)
    for fault in verdict.faults:
        sys.stdout.write(f"redis: {summary((fault,))}\n")
    if verdict.proof is Proof.TRUSTED:
        sys.stdout.write("redis: nobody knows whether it fsyncs before it answers: redis_fsync is `trusted`\n")
    return len(verdict.faults)
