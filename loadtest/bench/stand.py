"""Runs a stand: a `forebay up` of the bench's own, in a temporary directory, on free ports, from any checkout.

The bench sees it from outside: the process is started by its command, found by its ready file, asked over HTTP. So the
bench of this checkout can drive the server of another (`compare.py`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.bench import children
from loadtest.bench.ask import POLL_S, BenchError, metric, number, until_answers
from loadtest.bench.config import environment
from loadtest.processes import Processes
from loadtest.watch.deployment import Deployment
from schemas.runfile import Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_SECONDS = 60
DRAIN_SECONDS = 60
# A question costs the engine 3 ms: every POLL_S it would take a sixth of a core, and two cores drain.
DRAIN_POLL_S = 0.1
SETTLED_S = 0.3  # if no event was accepted for so long, all answers are out
ACCEPTED = "forebay_events_accepted_total"
EVENTS = "SELECT count() FROM forebay.events"


class Stand:
    """Holds a stand that runs; `running` makes it."""

    def __init__(self, process: Any, data: Path, ready: Path, log: Path) -> None:
        self.data = data
        self._process = process
        self.ready = ready
        self._log = log
        self.until(ready.exists, START_SECONDS, "forebay up to be ready")

    @property
    def facts(self) -> Running:
        """Returns URLs and pids as of now."""
        return Running.decode(self.ready.read_bytes())

    @property
    def url(self) -> str:
        return self.facts.url

    @property
    def clickhouse_url(self) -> str:
        return self.facts.clickhouse_url

    def usage(self) -> Processes:
        """Counts CPU and memory by process, from now on."""
        found = Processes(Deployment(run_file=self.ready).pids)
        found.look(is_first=True)
        return found

    def accepted(self) -> int:
        """Counts the events that ingest has made durable, once no more come."""
        found = -1.0
        while (now := metric(self.facts.internal_url, ACCEPTED)) != found:
            found = now
            time.sleep(SETTLED_S)
        return int(found)

    def stored(self) -> int:
        return number(self.clickhouse_url, EVENTS)

    def drained(self, events: int, seconds: float = DRAIN_SECONDS) -> float:
        """Waits until so many events are stored in all, and returns how long that took.

        Raises BenchError if there are more.
        """
        began = time.monotonic()
        self.until(lambda: self.stored() >= events, seconds, f"{events:,} events to be stored", DRAIN_POLL_S)
        took = time.monotonic() - began
        if (found := self.stored()) != events:
            raise BenchError(f"{found:,} events are stored, {events:,} were accepted")
        return took

    def pause_flusher(self) -> None:
        """Pauses the flusher, so that nothing is stored from now on."""
        for pid in self.facts.pids_of("flusher"):
            os.kill(pid, signal.SIGSTOP)

    def restart_flusher(self) -> None:
        """Kills the flusher, and returns once its successor has taken the shards."""
        old = self.facts.pids_of("flusher")
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        self.until(lambda: self.facts.pids_of("flusher") not in (old, []), 20, "another flusher")
        url = self.facts.flusher_internal_url
        until_answers(f"{url}/readyz", 200, seconds=20, alive=lambda: self._process.poll() is None)

    def until(self, condition: Callable[[], object], seconds: float, what: str, poll_s: float = POLL_S) -> None:
        """Polls until the condition holds. Raises BenchError, with the end of the log, if it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self._process.poll() is not None:
                lines = self._log.read_text("utf-8", "replace").splitlines()[-5:]
                raise BenchError(f"waited {seconds:g} s for {what}; the log ends: {' | '.join(lines)}")
            time.sleep(poll_s)


@contextlib.contextmanager
def running(directory: Path, python: str, checkout: Path, *options: str, **settings: str) -> Iterator[Stand]:
    """Runs a stand, and removes it afterwards with all that it wrote, whatever happened."""
    home = Path(tempfile.mkdtemp(prefix="up-", dir=directory))
    ready, log = home / "ready.json", home / "log"
    words = [python, "-m", "forebay", "up", "--data", str(home / "data"), "--ready-file", str(ready), *options]
    words += ["--port", "0", "--internal-port", "0", "--clickhouse-port", "0", "--dashboard-port", "0"]
    process = children.start(
        words,
        directory=checkout,
        log=log,
        # as in production: logs are JSON lines, and each is written to a file
        environment=environment(log_format="json", **settings) | {"PYTHONPATH": str(checkout)},
    )
    try:
        yield Stand(process, home / "data", ready, log)
    finally:
        # After the first it would wait until all is stored, which is not needed; the second ends it at once, in order.
        children.end(process, signal.SIGINT, signal.SIGINT)
        shutil.rmtree(home, ignore_errors=True)
