"""`make bench`: measures P1 to P13 of docs/performance.md in one run of under ten minutes.

    P1 P1c P2   one stand and an nginx, pinned                posts.py
    P3          two stands on both cores                      drain.py
    P13         one stand and an nginx on both cores          low_rate.py, and before it idle and a trickle: rates.py
    P4 P4b      the same stand, a sweep, and what is at 70 %  knee.py

Everything listens on loopback, lives in one temporary directory and is gone at the end, also after ctrl-C. One figure
that fails does not keep the others from being measured.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from loadtest.bench import bodies, children, config, drain, knee, low_rate, machine, nginx, posts, rates, stand, wrk
from loadtest.bench.ask import BenchError
from loadtest.bench.baseline import Tables
from loadtest.bench.figures import VERSION, Figure, failed, notes, table, text
from loadtest.bench.posts import Posts
from loadtest.bench.redis_blocks import Streams
from loadtest.bench.stand import Stand
from loadtest.report import result
from loadtest.watch.reconcile import VerifyError
from loadtest.watch.redis_weight import RedisUnreachableError
from runtime.redis import RedisError

RATE_FIRST = {"P4": 5_000, "P4b": 20_000}  # where a sweep begins: it doubles from there, or halves
RATE_LIKE = {"P4": ("P1", 0.5), "P4b": ("P2", 0.25)}  # if one worker was measured alone, it begins at a share of that
SWEEP_SHARE = 0.5  # of the time that is left, for the first of two
FINAL_SECONDS = 25  # a sweep's run at 70 %, and the end of its last rung
SWEEP_SECONDS_MIN = 15


class Bench:
    """Does one run, target by target."""

    def __init__(self, arguments: config.Arguments, directory: Path) -> None:
        self._arguments = arguments
        self._directory = directory
        self._began = time.monotonic()
        self._first, self._second = children.cores()
        self._machine = machine.facts()
        self._figures: list[Figure] = []
        self._cost: dict[str, Any] = {}
        self._versions: dict[str, str] = {}

    def run(self) -> None:
        only = self._arguments.only
        with children.on(self._first, self._second):
            if "P1" in only or "P2" in only:
                self._attempt([name for name in ("P1", "P2") if name in only], self._posts)
            if "P3" in only:
                self._attempt(["P3"], self._drain)
            if {"P13", "P4", "P4b"} & set(only):
                self._attempt([name for name in ("P13", "P4", "P4b") if name in only], self._rates)

    def _attempt(self, names: list[str], measure: Callable[[list[str]], None]) -> None:
        """Says what is measured, and measures it."""
        print(f"{self._seconds:4.0f} s  measuring {' and '.join(names)}", file=sys.stderr, flush=True)
        self._guard(names, measure)

    def _guard(self, names: list[str], measure: Callable[[list[str]], None]) -> None:
        """Measures some targets; a figure that was not brought is a failed one."""
        fault = "not measured"
        try:
            measure(names)
        except (BenchError, VerifyError, RedisError, RedisUnreachableError, OSError) as error:
            fault = str(error)
        done = {figure.name for figure in self._figures}
        self._figures += [failed(name, fault) for name in names if name not in done]

    def _stand(self, held: ExitStack, **settings: str) -> Stand:
        return held.enter_context(stand.running(self._directory, sys.executable, children.ROOT, **settings))

    def _posts(self, names: list[str]) -> None:
        with ExitStack() as held:
            held.enter_context(children.on(self._second))
            measured = self._stand(held)
            self._ask_versions(measured)
            baseline = held.enter_context(nginx.running(self._directory, self._first))
            each = Posts(measured, first=self._first, second=self._second)
            for name in names:
                body = bodies.fixed(self._directory, 50 if name == "P2" else 1)
                rounds, seconds = self._arguments.rounds, self._arguments.seconds
                self._figures += posts.measure(
                    name, each, baseline, body, rounds=rounds, seconds=seconds, core=self._second
                )

    def _drain(self, _names: list[str]) -> None:
        with ExitStack() as held:
            filled = self._stand(held, **drain.SETTINGS)
            self._ask_versions(filled)
            figure = drain.measure(filled, self._stand(held), self._directory, core=self._second)
            self._figures.append(figure)

    def _rates(self, names: list[str]) -> None:
        """Measures one stand at rates from none to its knee."""
        sweeps = [name for name in names if name != "P13"]
        with ExitStack() as held:
            tested = self._stand(held, redis_bytes_max=str(drain.REDIS_BYTES))
            self._ask_versions(tested)
            points: list[rates.Point] = []
            weighed = knee.weighed(tested, self._directory) if "P4" in names else None
            # P9's run is the first, because it weighs streams that must hold nothing else. What it wrote is merged at its
            # end, so the stand is idle after it.
            if weighed:
                self._cost = weighed["cost"]
                points += [rates.idle(tested), rates.trickle(tested, self._directory)]
            if "P13" in names:
                self._guard(["P13"], lambda _: points.extend(self._low_rate(tested)))
            if weighed:
                points.append(rates.until_stored(weighed))
            for at, name in enumerate(sweeps):
                self._guard([name], partial(self._knee, tested, points, len(sweeps) - at))

    def _low_rate(self, tested: Stand) -> list[rates.Point]:
        with nginx.running(self._directory, self._first, self._second) as baseline:
            figures, points = low_rate.measure(tested, baseline, self._directory)
        self._figures += figures
        return points

    def _knee(self, tested: Stand, points: list[rates.Point], rest: int, names: list[str]) -> None:
        """Searches the knee of P4 or P4b. `rest` is how many sweeps share the time that is left."""
        (name,) = names
        left = config.SECONDS_MAX - self._seconds - FINAL_SECONDS * rest
        seconds = max(SWEEP_SECONDS_MIN, left * (SWEEP_SHARE if rest > 1 else 1))
        profile = "batch" if name == "P4b" else "single"
        found = knee.sweep(tested, self._directory, profile=profile, rate=self._rate_first(name), seconds=seconds)
        self._figures.append(knee.knee(name, found))
        if name == "P4":
            self._figures += knee.beside(found, points)

    def _rate_first(self, name: str) -> float:
        like, share = RATE_LIKE[name]
        known = [figure.measured for figure in self._figures if figure.name == like and not figure.fault]
        return max(known[0] * share, 500) if known else RATE_FIRST[name]

    def _ask_versions(self, one: Stand) -> None:
        if not self._versions:
            with closing(Streams(one.facts.redis_url)) as streams, closing(Tables(one.clickhouse_url)) as tables:
                self._versions = machine.versions(redis=streams.version(), clickhouse=tables.version())

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def result(self) -> dict[str, Any]:
        """Returns the result as JSON has it."""
        drained = next((figure.detail for figure in self._figures if figure.name == "P3" and not figure.fault), None)
        rows = drained["rows"] if drained else 0
        figures = self._figures + knee.weights(self._cost, drained["disk_bytes"] if drained else {}, rows)
        return {
            "version": VERSION,
            "kind": "bench",
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "command": config.command(self._arguments),
            "revision": machine.revision(children.ROOT),
            "machine": self._machine,
            "versions": self._versions,
            "took_s": round(self._seconds, 1),
            "figures": [figure.as_json() for figure in sorted(figures, key=lambda figure: config.ORDER[figure.name])],
        }


def main() -> int:
    arguments = config.parse(sys.argv[1:])
    if missing := missing_tools(arguments.only):
        print(f"bench: {missing}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as ctrl-C does: everything is stopped
    try:
        with tempfile.TemporaryDirectory(prefix="forebay-bench-", ignore_cleanup_errors=True) as directory:
            bench = Bench(arguments, Path(directory))
            bench.run()
            found = bench.result()
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: stopped; nothing is left behind", file=sys.stderr)
        return 130
    if arguments.json is not None:
        result.write(arguments.json, found)
    print(summary(found))
    return 1 if any(figure["fault"] for figure in found["figures"]) else 0


def missing_tools(only: list[str]) -> str:
    """Returns in words what must be installed first, or "" if nothing must."""
    wanted = {"wrk": wrk.program()} if {"P1", "P2", "P3"} & set(only) else {}
    wanted |= {"nginx": nginx.program()} if {"P1", "P2", "P13"} & set(only) else {}
    names = [name for name, program in wanted.items() if program is None]
    return f"{' and '.join(names)} must be installed: apt-get install {' '.join(names)}" if names else ""


def summary(found: dict[str, Any]) -> str:
    """Returns the table, and where it was measured."""
    where = found["machine"]
    head = f"{found['at']}, revision {found['revision']}, {where['cpu']}, two of {where['cores']} cores"
    return "\n".join((f"{head}; {found['took_s']:.0f} s\n", text(table(found["figures"])), *notes(found["figures"])))


if __name__ == "__main__":
    sys.exit(main())
