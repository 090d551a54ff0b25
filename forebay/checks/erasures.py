"""Finds erasures that were begun and are not done."""

from __future__ import annotations

import time
from collections.abc import Iterator

from forebay.erase.register import Register


def faults(register: Register) -> Iterator[str]:
    """Yields a line for each erasure that is not done. Raises redis.RedisError."""
    for erasure in register.unfinished():
        at = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(erasure.at_ms / 1000))
        yield f"erasures: {erasure.id} of {at} is not done: `forebay erase --finish` goes on"
