"""What one call does: on the lane it was lent, step by step, until its answer has ended or nobody waits for it."""

from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

from forebay.embedded.clickhouse.answer import Encoder, Summary
from forebay.embedded.clickhouse.lanes import Lane, Stop
from forebay.embedded.clickhouse.request import Call


class Engine(Protocol):
    """Every method blocks; a call's generator is driven and closed on one thread."""

    version: str
    timezone: str
    content_types: Mapping[str, str]  # of each output format, by its name in small letters

    def admit(self, call: Call) -> bool:
        """Whether the call only reads. Raises QueryFailed for what the public port does not allow."""

    def keep(self, limits: Mapping[str, str], fault_of: Callable[[int, Any], str]) -> Any:
        """A connection for a session. Raises QueryFailed."""

    def run(self, call: Call, kept: Any = None) -> Generator[bytes, None, Summary]:
        """Chunks of the answer. Settings and state of the call end with it, but for what it leaves in a session's
        connection. Raises QueryFailed at any step.
        """

    def probe(self) -> None:
        """Returns once the engine has answered a query. Raises QueryFailed."""

    def stop(self, thread_id: int) -> None:
        """Tells what runs on this thread of the system to end; returns at once. Raises QueryFailed."""


class Work:
    """What one call does on its lane; with `stop`, it is told to end when nobody waits for it any more."""

    def __init__(
        self, lane: Lane, steps: Generator[bytes, None, Summary], encoder: Encoder, stop: Stop | None = None
    ) -> None:
        self._lane = lane
        self._steps = encoder.steps(steps)
        self.encoder = encoder
        self._stop = stop

    async def step(self) -> bytes | Summary:
        """The next chunk of the answer, or its end. Raises QueryFailed."""
        if self._stop is None:
            return await self._lane.do(_step, self._steps)
        return await self._lane.do_until_told(self._stop, _step, self._steps)

    async def close(self) -> None:
        """Gives back what the call holds of the engine; of a lost lane, when it comes back."""
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
