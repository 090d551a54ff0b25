"""Holds a process of the simulation: its tasks, its open files and its wall clock. It can be paused and killed.

Dying is at once: every request that it makes from then on is refused, its tasks are cancelled and run to their end at
the same virtual moment, and its files are closed, which frees its locks. What it had sent stays sent, and what was on
disk stays there.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.simulation.fates import Fate
from tests.simulation.loop import PROCESS, WORLD

if TYPE_CHECKING:
    from tests.simulation.world import World

DISK_SECONDS = 0.001


class Died(BaseException):
    """Says that the process ended inside this call."""


class Process:
    """Is running, paused, dying or dead. A restart is another Process."""

    def __init__(self, world: World, name: str, life: int) -> None:
        self.world = world
        self.name = name
        self.life = life
        self.state = "running"
        self.skew = 0.0
        self.files: dict[int, Path] = {}
        self.unsynced: dict[Path, int] = {}  # files we wrote, and how much of each is synced
        self.unnamed: set[Path] = set()  # files whose folder was not synced since they were made
        self.disk_fault: Fate = Fate.NONE
        self.context = contextvars.Context()
        self.context.run(PROCESS.set, self)
        self._tasks: list[asyncio.Task[Any]] = []
        self._withheld: list[asyncio.Handle] = []

    def __repr__(self) -> str:
        return f"{self.name}.{self.life}"

    @property
    def is_running(self) -> bool:
        return self.state in {"running", "dying"}

    @property
    def is_alive(self) -> bool:
        return self.state in {"running", "paused"}

    def withhold(self, handle: asyncio.Handle) -> None:
        if self.state == "paused":
            self._withheld.append(handle)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self._tasks.append(task)
        if len(self._tasks) > 200:
            self._tasks = [task for task in self._tasks if not task.done()]

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts a task of this process."""
        return self.world.loop.create_task(coroutine, context=self.context)

    def thread(self, future: asyncio.Future[Any], work: Callable[[], Any]) -> None:
        """Does work of a thread: on the spool's files, or on the flusher's blocks."""
        if self.state == "dying":
            future.cancel()
            return
        fate = self.world.fate(self, f"disk {self.name}")
        delay = DISK_SECONDS * self.world.rng.random()
        self.world.loop.call_later(delay, self._work, future, work, fate, context=self.context)

    def _work(self, future: asyncio.Future[Any], work: Callable[[], Any], fate: Fate) -> None:
        if fate is Fate.DIE_BEFORE:
            self.kill()
            return
        self.disk_fault = fate
        try:
            result = work()
        except Died:
            return
        except OSError as error:
            if not future.done():
                future.set_exception(error)
            return
        except Exception as error:  # whatever the product raised is the product's to handle
            if not future.done():
                future.set_exception(error)
            return
        finally:
            self.disk_fault = Fate.NONE
        if fate is Fate.DIE_AFTER:
            self.kill()
        elif not future.done():
            future.set_result(result)

    def pause(self, seconds: float) -> None:
        """Stops the process for some time, as SIGSTOP does."""
        if self.state == "running":
            self.world.note(f"{self} paused for {seconds:.1f} s")
            self.state = "paused"
            self.world.loop.in_world(seconds, self.resume)

    def resume(self) -> None:
        """Lets the process go on, as SIGCONT does."""
        if self.state == "paused":
            self.world.note(f"{self} resumes")
            self.state = "running"
            self._requeue()

    def _requeue(self) -> None:
        withheld, self._withheld = self._withheld, []
        for handle in withheld:
            self.world.loop.requeue(handle)

    def kill(self) -> None:
        """Ends the process, as SIGKILL does."""
        if not self.is_alive:
            return
        self.world.note(f"{self} dies")
        self.state = "dying"
        self._requeue()
        for file in self.files:
            os.close(file)
        self.files.clear()
        self._bury(0)

    def lose_power(self) -> None:
        """Ends the process together with its machine."""
        if not self.is_alive:
            return
        self.kill()
        self.world.note(f"{self}'s machine loses power")
        for path, synced in self.unsynced.items():
            if path.exists():
                os.truncate(path, self.world.rng.randint(synced, max(synced, path.stat().st_size)))
        for path in self.unnamed:
            path.unlink(missing_ok=True)

    def _bury(self, tries: int) -> None:
        left = [task for task in self._tasks if not task.done()]
        if left and tries % 10 == 0:
            for task in left:
                task.cancel()
        if left and tries < 100:
            self.world.loop.call_soon(self._bury, tries + 1, context=WORLD)
            return
        if left:
            self.world.faults.append(f"{self} swallows its cancellation: {left}")
        self.state = "dead"
        self.world.buried(self)
