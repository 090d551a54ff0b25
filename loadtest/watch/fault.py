"""Takes a process away for a while, and always gives it back.

A pause is SIGSTOP and later SIGCONT: the process's connections stay open and nothing answers on them, which is worse
than a process that is gone. A small guard is started first. It sends SIGCONT when its stdin ends: when we close it, or
when we die, by whatever signal. A kill is SIGKILL, and the process's supervisor brings it back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import Literal

from loadtest.watch.deployment import Deployment, NoDeploymentError

Kind = Literal["pause", "kill"]
GUARD = 'read -r _; kill -CONT "$@"'


def victims(deployment: Deployment, victim: str) -> list[int]:
    """Returns the victim's process ids. Raises NoDeploymentError if they are not known."""
    found = deployment.pids().get(victim, [])
    if not found:
        raise NoDeploymentError(
            f"this profile stops {victim}, and so needs its process on this machine: test a local `forebay up`"
            f" (--data DIR names its data directory), or give --pid-{victim} PID"
        )
    return found


class Outage:
    """Lasts from `begin` to `end`, which may be called at any time, and again."""

    def __init__(self, deployment: Deployment, victim: str, kind: Kind) -> None:
        self._deployment = deployment
        self._victim = victim
        self._kind = kind
        self._killed: list[int] = []
        self._paused: list[int] = []
        self._guard: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Pauses or kills the victim. Raises NoDeploymentError if there is none."""
        ids = victims(self._deployment, self._victim)
        if self._kind == "pause":
            self._paused = ids
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "guard", *map(str, ids)],
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        number = signal.SIGSTOP if self._kind == "pause" else signal.SIGKILL
        for pid in ids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        self._killed = ids if self._kind == "kill" else []

    def is_over(self) -> bool:
        """Tells whether a supervisor has brought a killed victim back; a paused one comes back only by `end`."""
        found = self._deployment.pids().get(self._victim, [])
        return bool(self._killed and found) and not set(found) & set(self._killed)

    def end(self) -> None:
        for pid in self._paused:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._paused = []
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
