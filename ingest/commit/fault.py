"""Carries an error out of callbacks, which have no caller, to the task that is there to raise it.

An error that nobody expects must end the process, which is then started again. In a callback the loop would only log it.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Fault:
    """Takes the first error that leaves a `with` block of it, and ends the block."""

    def __init__(self) -> None:
        self._error: Exception | None = None
        self._is_there = asyncio.Event()

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if self._error is None:
            self._error = error
            self._is_there.set()
        return True

    async def raised(self) -> None:
        """Waits for an error, and raises it."""
        await self._is_there.wait()
        assert self._error is not None
        raise self._error
