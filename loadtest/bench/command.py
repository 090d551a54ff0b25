"""Runs the load test, as a command, as anybody would run it, and reads its JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from loadtest.bench import children
from loadtest.bench.ask import BenchError
from loadtest.bench.config import environment
from loadtest.report.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadtest.bench.stand import Stand

GENERATORS = 2
MARGIN_SECONDS = 90  # beyond its own bound, for a sweep's last run and one rung's drain; after that it is ended
SITES = ("bench.example", "blog.example", "shop.example")
TRIES = 4  # at a run that is sent in time
T = TypeVar("T")


class Late(BenchError):
    """Says that everything was taken, but that some of it was sent so late that the rate was another one."""


def run(stand: Stand, directory: Path, *options: str, seconds: float) -> dict[str, Any]:
    """Returns the JSON of a run on a stand, or of a sweep, that takes about so long. Raises BenchError."""
    return send(["--data", str(stand.data)], directory, *options, seconds=seconds)


def send(place: list[str], directory: Path, *options: str, seconds: float) -> dict[str, Any]:
    """Does the same to the place that these options of the load test name."""
    path, log = directory / "loadtest.json", directory / "loadtest.log"
    path.unlink(missing_ok=True)
    words = [sys.executable, "-m", "loadtest", *place, "--json", str(path), "--quiet"]
    words += ["--generators", str(GENERATORS), "--site", *SITES, *options]
    process = children.start(words, directory=children.ROOT, log=log, environment=environment())
    try:
        process.wait(seconds + MARGIN_SECONDS)
    except subprocess.TimeoutExpired:
        raise BenchError(f"the load test was not over after {seconds + MARGIN_SECONDS:.0f} s") from None
    finally:
        process.kill()  # it still runs if we were interrupted; its generators end with it
        process.wait()
    if not path.exists():
        raise BenchError(f"the load test has no result: {log.read_text('utf-8', 'replace')[-300:]}")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def acknowledged(found: dict[str, Any], rate: int) -> int:
    """Returns how many events of a run were acknowledged. Raises BenchError if that is not all of them."""
    if not Result(found).all_acknowledged:
        raise BenchError(f"not all of {rate:,} events a second were taken: {found['events']}")
    return int(found["events"]["acknowledged"])


def need_in_time(found: dict[str, Any], rate: int) -> None:
    """Raises Late if a run of which all was acknowledged was over too late."""
    if not Result(found).is_complete:
        raise Late(f"{rate:,} events a second were sent late: this machine does other things")


def in_time(measure: Callable[[], T]) -> T:
    """Returns what is measured, by another try where a run was late. Raises the last one's Late if each of a few was."""
    for _ in range(TRIES - 1):
        try:
            return measure()
        except Late:
            continue
    return measure()
