"""Compares other clocks with this host's while a process runs, and says when one is off (schemas/clocks.py).

Not promised: that either clock is right.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from schemas.clocks import skew

log = logging.getLogger(__name__)
LOOK_SECONDS = 15.0


class Skews:
    """Looks at clocks every fifteen seconds, and logs one that is off once for as long as it lasts."""

    def __init__(
        self,
        clocks: Mapping[str, Callable[[], Awaitable[int | Mapping[str, int]]]],
        *,
        show: Callable[[str, float], None],
        silence: tuple[type[Exception], ...],
    ) -> None:
        """Takes what reads each clock, in unix ms, by its name for people; where there are several, by their addresses too.

        `show` gets the name in small letters and the seconds by which the clock is off. `silence` is what reading
        raises where nobody answers: nothing is then said of that clock.
        """
        self._clocks = clocks
        self._show = show
        self._silence = silence
        self._said: set[str] = set()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            for name in self._clocks:
                await self.look(name)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, name: str) -> None:
        """Looks at one of the clocks."""
        began = time.time()
        try:
            theirs_ms = await self._clocks[name]()
        except self._silence:
            return
        ours_ms = int((began + time.time()) * 500)  # in the middle of asking
        several = theirs_ms if isinstance(theirs_ms, Mapping) else {"": theirs_ms}
        for address, one_ms in several.items():
            self._compare(f"{name} {address}".strip(), one_ms, ours_ms)

    def _compare(self, name: str, theirs_ms: int, ours_ms: int) -> None:
        self._show(name.lower(), abs(theirs_ms - ours_ms) / 1000)
        said = skew(name, theirs_ms, ours_ms)
        if said and name not in self._said:
            log.error("%s", said)
        (self._said.add if said else self._said.discard)(name)
