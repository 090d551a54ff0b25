"""Counts what came of failovers and moves."""

from __future__ import annotations

from typing import NamedTuple


class Result(NamedTuple):
    """Holds how often something was done, and what became of events meanwhile. `longest` is in seconds without an acknowledgement."""

    failovers: int = 0
    moves: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    refused: int = 0
    longest: float = 0.0

    def plus(self, other: Result) -> Result:
        """Returns both together."""
        counts = (one + two for one, two in zip(self, other, strict=True))
        return Result._make(counts)._replace(longest=max(self.longest, other.longest))

    def __str__(self) -> str:
        return (
            f"{self.failovers} failovers, {self.moves} moves: {self.acknowledged} acknowledged, {self.lost} lost,"
            f" {self.doubled} doubled, {self.refused} refused, {self.longest:.1f} s at most without an acknowledgement"
        )
