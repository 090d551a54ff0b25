"""Runs one call on the lane that it was lent, step by step, until its answer has ended or nobody waits for it."""

from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

from forebay.embedded.clickhouse.answer import Encoder, Summary
from forebay.embedded.clickhouse.lanes import Lane, Stop
from forebay.embedded.clickhouse.request import Call


class Engine(Protocol):
    """Runs calls. Every method blocks, and a call's generator is driven and closed on one thread."""

    version: str
    timezone: str
    content_types: Mapping[str, str]  # by the output format's name in small letters

    def admit(self, call: Call) -> bool:
        """Tells whether the call only reads. Raises QueryFailed for what the public port does not allow."""

    def keep(self, limits: Mapping[str, str], fault_of: Callable[[int, Any], str]) -> Any:
        """Makes a connection for a session. Raises QueryFailed."""

    def run(self, call: Call, kept: Any = None) -> Generator[bytes, None, Summary]:
        """Yields chunks of the answer, and returns its summary. Raises QueryFailed at any step.

        Settings and state of the call end with it, except for what it leaves in a session's connection.
        """

    def probe(self) -> None:
        """Asks the engine for nothing, and returns once it has answered. Raises QueryFailed."""

    def stop(self, thread_id: int) -> None:
        """Tells the query on this thread of the system to end, and returns at once. Raises QueryFailed."""


class Work:
    """Steps through one call on its lane. With `stop`, the call is told to end when nobody waits for it any more."""

    def __init__(
        self, lane: Lane, steps: Generator[bytes, None, Summary], encoder: Encoder, stop: Stop | None = None
    ) -> None:
        self._lane = lane
        self._steps = encoder.steps(steps)
        self.encoder = encoder
        self._stop = stop

    async def step(self) -> bytes | Summary:
        """Returns the next chunk of the answer, or its summary at the end. Raises QueryFailed."""
        if self._stop is None:
            return await self._lane.do(_step, self._steps)
        return await self._lane.do_until_told(self._stop, _step, self._steps)

    async def close(self) -> None:
        """Gives back what the call holds of the engine. On a lost lane that happens once the lane comes back."""
        if self._lane.is_lost:
            self._lane.finish(self._steps.close)
        elif self._stop is None:
            await self._lane.do(self._steps.close)
        else:
            await self._lane.do_until_told(self._stop, self._steps.close)


def _step(steps: Generator[bytes, None, Summary]) -> bytes | Summary:
    try:
        return next(steps)
    except StopIteration as end:
        summary: Summary = end.value
        return summary
