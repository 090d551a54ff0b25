"""How a request of the product reaches a fake server: at once, or as a simulation decides.

A fake server is state and pure steps; its connections hand every request to a Wire. What the
wire does to it (loses it, delivers it late, loses the answer) is not the server's to know.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Wire(Protocol):
    """Carries requests to one server and answers back."""

    async def call(self, what: str, effect: Callable[[], T]) -> T:
        """A request that takes effect in one step."""

    async def run(self, what: str, stages: Callable[[], Generator[None, None, T]]) -> T:
        """A request that takes effect in steps; others' come between them, and the server may die there."""


class Straight:
    """Every request arrives at once, and so does its answer."""

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
