"""Ends a process when the process that started it ends, however that ends: also by SIGKILL. Linux only.

Without it a killed supervisor leaves its children running, because nobody else tells them. The kernel does, once a
process has asked for it (PR_SET_PDEATHSIG): it sends SIGKILL when the parent dies.

Not promised: that a child's own children end with it. Each has to ask for itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1

# Loaded before any fork: a child must not load libraries between fork and exec.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def die_with(parent: int, niceness: int = 0) -> None:
    """Makes the kernel kill this process when `parent` dies. Runs in a child between fork and exec, as `preexec_fn`.

    `niceness` is 0 to 19: how far the child stands back when processors are short.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if niceness:
        with contextlib.suppress(OSError):  # a sandbox may forbid it, and it is no reason not to start
            os.nice(niceness)
    if os.getppid() != parent:  # it died before the call above: no signal will come
        os._exit(1)


def die_with_parent() -> None:
    """Makes the kernel kill this process when the one that started it dies. For a program that is already running."""
    die_with(os.getppid())
