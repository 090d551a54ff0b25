"""Measures CPU and memory of processes of this machine, by name, from /proc.

CPU seconds are summed over all processes that ever had a name, so a restart during the run costs only what a process
used between the last look and its death. For Redis, the children that it has waited for count too, because they write
its append-only file anew.

Not promised: anything outside Linux. Without /proc nothing is known.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
WITH_CHILDREN = "redis"


@dataclass(slots=True)
class Usage:
    """Holds the usage of all processes of one name."""

    cpu_s: float = 0.0  # since the first look
    rss_mb: list[float] = field(default_factory=list)  # at each look

    def figures(self) -> dict[str, float]:
        ordered = sorted(self.rss_mb) or [0.0]
        return {
            "cpu_s": round(self.cpu_s, 2),
            "rss_mb_max": round(ordered[-1], 1),
            "rss_mb_median": round(ordered[len(ordered) // 2], 1),
        }


class Processes:
    """Looks at the processes that `pids` names, whenever it is told to."""

    def __init__(self, pids: Callable[[], dict[str, list[int]]]) -> None:
        self.usage: dict[str, Usage] = {}
        self._pids = pids
        self._seen: dict[tuple[int, int], float] = {}  # (pid, start time): CPU seconds at the last look
        self._looked = time.monotonic()

    def look(self, *, is_first: bool = False) -> dict[str, dict[str, float]]:
        """Returns by name the CPU share of one core since the last look, and the memory now.

        The first look counts from zero.
        """
        now = time.monotonic()
        passed = max(now - self._looked, 1e-9)
        self._looked = now
        row: dict[str, dict[str, float]] = {}
        for name, ids in self._pids().items():
            used_s, rss_mb, is_there = 0.0, 0.0, False
            for pid in ids:
                found = _stat(pid, with_children=name == WITH_CHILDREN)
                if found is None:
                    continue
                is_there = True
                key, cpu_s, rss_bytes = found
                used_s += cpu_s - self._seen.get(key, cpu_s if is_first else 0.0)
                self._seen[key] = cpu_s
                rss_mb += rss_bytes / 1e6
            if not is_there:
                continue
            usage = self.usage.setdefault(name, Usage())
            usage.cpu_s += used_s
            usage.rss_mb.append(rss_mb)
            row[name] = {"cpu": round(used_s / passed, 3), "rss_mb": round(rss_mb, 1)}
        return row


def is_alive(pid: int) -> bool:
    """Tells whether a process runs; a zombie does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False


def starved_s() -> float:
    """Returns the seconds that this process's main thread was ready and had no core; 0 if the kernel doesn't say."""
    try:
        return int(Path("/proc/self/schedstat").read_text("ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def parent_of(pid: int) -> int:
    """Returns the process id of a process's parent, or 0 if the process is gone."""
    try:
        return int(_fields(pid)[1])
    except OSError:
        return 0


def _fields(pid: int) -> list[str]:
    """Returns the fields of /proc/PID/stat from the state on, because the name before it may hold any character."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def _stat(pid: int, *, with_children: bool) -> tuple[tuple[int, int], float, int] | None:
    try:
        fields = _fields(pid)
    except OSError:
        return None
    ticks = int(fields[11]) + int(fields[12])  # utime, stime
    if with_children:
        ticks += int(fields[13]) + int(fields[14])  # cutime, cstime
    return (pid, int(fields[19])), ticks / _TICKS, int(fields[21]) * _PAGE
