"""Finds commits that vanished from the streams: the numbers of each producer's commits must be contiguous."""

from __future__ import annotations

from collections.abc import Iterator

from forebay.stream import Streams

DEAD_PRODUCER = "dead"  # the producer of retried dead letters, which have no numbers


def faults(streams: Streams, shard: int) -> Iterator[str]:
    """Yields a line for each stretch of a producer's numbers that is gone and was not set aside.

    Raises redis.RedisError.
    """
    last: dict[str, tuple[str, int]] = {}
    aside = {(one.producer, one.commit) for one in streams.asides(shard).values()}
    for entry in streams.records(shard):
        producer, number = entry.producer, entry.commit
        if not producer or producer == DEAD_PRODUCER:
            continue
        before, expected = last.get(producer, ("", number - 1))
        if number != expected + 1 and not aside.issuperset((producer, gone) for gone in range(expected + 1, number)):
            yield (
                f"commits: shard {shard}: commits {expected + 1} to {number - 1} of producer {producer} are gone"
                f" between entries {before} and {entry.id}"
            )
        last[producer] = str(entry.id), number
