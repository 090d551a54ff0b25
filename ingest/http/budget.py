"""Bounds the memory that all bodies of a process take together."""

from __future__ import annotations


class Budget:
    """Counts the bytes of bodies that a process holds at one time, decompressed, from their arrival to their answer."""

    __slots__ = ("bytes_max", "held")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.held = 0

    def take(self, count: int) -> bool:
        """Takes so many bytes more, fewer if negative, and returns whether there was room; if not, nothing is taken."""
        if self.held + count > self.bytes_max:
            return False
        self.held += count
        return True

    def give(self, count: int) -> None:
        self.held -= count
