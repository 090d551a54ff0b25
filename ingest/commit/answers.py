"""Says what an answer of Redis to a commit means: appended, refused, perhaps appended, or too early.

`Refused` says that nothing was appended, `Unclear` that the commit perhaps was, and `Gap` that one before it is missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtime.nodes.steps import hint
from runtime.redis import (
    AuthenticationError,
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    raise_if_cancelled,
)

GAP = b"gap "


class Unclear(Exception):
    """Says that no answer came: the commit may have been appended or not. Only the same number may follow."""


class Refused(Exception):
    """Says that Redis will not take the commit now, and appended nothing."""


class Gap(Exception):
    """Says that Redis knows fewer commits of this producer than we sent: it lost some, or forgot it after a silent week.

    `known` is the number of the last one that it knows, and `missing` is how many it lacks.
    """

    def __init__(self, text: str, *, known: int = 0, missing: int = 1) -> None:
        super().__init__(text)
        self.known = known
        self.missing = missing


# The rest of ResponseError is an answer too: MISCONF (AOF write failed), NOPERM, a script that did not run.
REFUSALS = (OutOfMemoryError, ReadOnlyError, BusyLoadingError, AuthenticationError, ResponseError)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Translates the errors of Redis by what may have happened there. Raises Refused or Unclear."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise meaning(error) from error
    finally:
        raise_if_cancelled()


def meaning(error: RedisError | OSError) -> Refused | Unclear:
    """Returns what an error of Redis, or of the connection to it, says about what was sent."""
    kind = Refused if isinstance(error, REFUSALS) else Unclear
    return kind(f"{type(error).__name__}: {error}{hint(error)}")


def gap(shard: int, producer: str, number: int, known: int) -> Gap:
    text = f"shard {shard}: commit {number} of {producer} comes too early"
    return Gap(text, known=known, missing=number - 1 - known)


def unfsynced(seconds: float) -> Unclear:
    return Unclear(f"appended, and not fsynced in {seconds:.0f} s")
