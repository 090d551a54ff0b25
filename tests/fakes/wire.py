"""Carries a request of the product to a fake server: at once, or as a simulation decides.

A fake server is state and pure steps, and its connections hand every request to a Wire. What the wire does to a request
(loses it, delivers it late, loses the answer) the server can't know.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Wire(Protocol):
    """Carries requests to one server, and its answers back."""

    async def call(self, what: str, effect: Callable[[], T]) -> T:
        """Carries a request that takes effect in one step."""

    async def run(self, what: str, stages: Callable[[], Generator[None, None, T]]) -> T:
        """Carries a request that takes effect in steps. Other requests come between them, and the server may
        die there.
        """


class Straight:
    """Carries every request and every answer at once."""

    async def call(self, what: str, effect: Callable[[], T]) -> T:
        return effect()

    async def run(self, what: str, stages: Callable[[], Generator[None, None, T]]) -> T:
        steps = stages()
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                found: T = stop.value
                return found
