"""Shows how a run goes on: in a line that rewrites itself on a terminal, in one every few seconds elsewhere."""

from __future__ import annotations

import math
import sys
from typing import Any, TextIO

EVERY_S = 5  # between two lines, where lines can't be rewritten


class Progress:
    """Shows one run, or the rungs of a sweep one after the other."""

    def __init__(self, stream: TextIO | None = None, *, is_quiet: bool = False) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._is_quiet = is_quiet
        self._is_terminal = self._stream.isatty()
        self._duration_s = 1.0
        self._has_line = False

    def begin(self, text: str, duration_s: float) -> None:
        """Says that a run of so many seconds begins."""
        self._duration_s = duration_s
        self.say(text)

    def second(self, row: dict[str, Any]) -> None:
        """Shows a second that is over."""
        if self._is_terminal:
            self._write(f"\r\x1b[K{line(row, self._duration_s)}")
            self._has_line = True
        elif (row["second"] + 1) % EVERY_S == 0:
            self._write(line(row, self._duration_s) + "\n")

    def say(self, text: str) -> None:
        """Prints what happens now, on a line of its own."""
        self._write(("\n" if self._has_line else "") + text + "\n")
        self._has_line = False

    def _write(self, text: str) -> None:
        if not self._is_quiet:
            self._stream.write(text)
            self._stream.flush()


def line(row: dict[str, Any], duration_s: float) -> str:
    """Returns the line of one second; troubles are in it only if there are any."""
    at_s = min(row["second"] + 1, math.ceil(duration_s))  # answers may come after the last request was sent
    done = min(1.0, at_s / duration_s)
    bar = "█" * round(done * 20)
    text = (
        f"{bar:░<20} {at_s:.0f}/{duration_s:.0f} s  acknowledged {row['acknowledged']:,.0f}/s"
        f"  p50 {row['p50_ms']:.1f}  p99 {row['p99_ms']:.1f} ms"
    )
    for name in ("refused", "unclear", "unsent"):
        if row[name]:
            text += f"  {name} {row[name]:,.0f}"
    return text
