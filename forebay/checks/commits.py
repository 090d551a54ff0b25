"""Looks for commits that vanished from the streams: every producer's numbers must follow one another."""

from __future__ import annotations

from collections.abc import Iterator

from forebay.stream import Streams

DEAD_PRODUCER = "dead"  # retried dead letters are not numbered


def faults(streams: Streams, shard: int) -> Iterator[str]:
    last: dict[str, tuple[str, int]] = {}
    aside = {(one.producer, one.commit) for one in streams.asides(shard).values()}
    for entry_id, producer, number in streams.commits(shard):
        if not producer or producer == DEAD_PRODUCER:
            continue
        before, expected = last.get(producer, ("", number - 1))
        if number != expected + 1 and not aside.issuperset((producer, gone) for gone in range(expected + 1, number)):
            yield (
                f"commits: shard {shard}: commits {expected + 1} to {number - 1} of producer {producer} are gone"
                f" between entries {before} and {entry_id}"
            )
        last[producer] = entry_id, number
