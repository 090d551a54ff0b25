"""Runs the load test, as a command, as anybody would run it, and reads its JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from loadtest.bench import children
from loadtest.bench.ask import BenchError
from loadtest.bench.config import environment

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.bench.stand import Stand

GENERATORS = 2
MARGIN_SECONDS = 90  # beyond its own bound, for a sweep's last run and one rung's drain; after that it is ended
SITES = ("bench.example", "blog.example", "shop.example")


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
