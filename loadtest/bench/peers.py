"""`make bench-peers`: measures P14, the CPU time of an event from request to table, beside clickhouse-bulk's, in turns.

    first core    ingest's worker, or clickhouse-bulk
    second core   wrk, and what stores: Redis, the flusher and ClickHouse, or clickhouse-bulk's own ClickHouse

Each round sends P1's event through 64 connections as fast as they are answered, and ends when all that was acknowledged
can be selected; the CPU time of the whole chain until then, divided by the events, is what is compared. clickhouse-bulk
does less for it: it answers before anything is safe, keeps no sessions, views or ids, and loses what it holds when it
is killed.

Where Go is not installed, or the program can't be built, P14 is named as not run, with the reason, and the exit status
is 2. `--program` takes one that was built elsewhere.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loadtest.bench import bodies, bulk, children, machine, stand, wrk
from loadtest.bench.ask import BenchError
from loadtest.bench.figures import VERSION, Figure, paired, table, text
from loadtest.bench.posts import WARMUP_SECONDS, Posts
from loadtest.report import result

NAME = "P14"


class Arguments(argparse.Namespace):
    """Holds the command line, typed."""

    rounds: int
    seconds: int
    program: Path | None
    json: Path | None


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as ctrl-C does: everything is stopped
    if wrk.program() is None:
        print(f"bench-peers: {NAME} was not run: wrk must be installed: apt-get install wrk", file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="forebay-peers-", ignore_cleanup_errors=True) as directory:
            program = arguments.program or bulk.built(Path(directory))
            figure = measure(Path(directory), program.resolve(), rounds=arguments.rounds, seconds=arguments.seconds)
    except bulk.NotThere as error:
        print(f"bench-peers: {NAME} was not run: {error}", file=sys.stderr)
        return 2
    except (BenchError, OSError, ValueError) as error:
        print(f"bench-peers: {NAME} failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench-peers: stopped; nothing is left behind", file=sys.stderr)
        return 130
    figure.detail["program"] = str(arguments.program or f"{bulk.MODULE}@{bulk.VERSION}")
    found = _result(figure)
    if arguments.json is not None:
        result.write(arguments.json, found)
    print(text(table(found["figures"])))
    return 0


def _parse(argv: list[str]) -> Arguments:
    parser = argparse.ArgumentParser(
        prog="loadtest.bench.peers",
        description="Forebay and clickhouse-bulk in turns. Exit status: 0 measured, 1 failed, 2 not run.",
    )
    parser.add_argument("--rounds", type=int, default=4, help="pairs of rounds (default: 4)")
    parser.add_argument("--seconds", type=int, default=3, help="of one round (default: 3)")
    parser.add_argument("--program", type=Path, help="a clickhouse-bulk that is there (default: built by Go)")
    parser.add_argument("--json", type=Path, help="file for the result")
    return parser.parse_args(argv, namespace=Arguments())


def measure(directory: Path, program: Path, *, rounds: int, seconds: int) -> Figure:
    """Measures Forebay, clickhouse-bulk, Forebay ...; returns P14. Raises BenchError."""
    first, second = children.cores()
    with ExitStack() as held:
        held.enter_context(children.on(second))
        ours = held.enter_context(stand.running(directory, sys.executable, children.ROOT))
        theirs = held.enter_context(bulk.running(directory, program, first=first, second=second))
        posts = Posts(ours, first=first, second=second)
        body = bodies.fixed(directory, 1)
        posts.probe(body)
        _forebay(posts, body, WARMUP_SECONDS)
        _bulk(theirs, body, WARMUP_SECONDS, second)
        pairs = [(_forebay(posts, body, seconds), _bulk(theirs, body, seconds, second)) for _ in range(rounds)]
    costs = [(sum(one["cpu_us"].values()), sum(other["cpu_us"].values())) for one, other in pairs]
    figure = paired(NAME, [one for one, _ in costs], [other for _, other in costs])
    figure.detail = {"rounds": [{"forebay": one, bulk.NAME: other} for one, other in pairs]}
    return figure


def _forebay(posts: Posts, body: bodies.Fixed, seconds: int) -> dict[str, Any]:
    usage = posts.stand.usage()
    run = posts.round(body, seconds)  # until everything is stored
    usage.look()
    return _round(run, {name: one.cpu_s for name, one in usage.usage.items()})


def _bulk(peer: bulk.Bulk, body: bodies.Fixed, seconds: int, core: int) -> dict[str, Any]:
    run, usage = peer.round(body, seconds, core)
    return _round(run, {name: one.cpu_s for name, one in usage.usage.items()})


def _round(run: wrk.Run, cpu_s: dict[str, float]) -> dict[str, Any]:
    cpu_us = {name: round(used / run.requests * 1e6, 1) for name, used in cpu_s.items()}
    return {"events_per_s": round(run.per_s), "p50_ms": run.p50_ms, "p99_ms": run.p99_ms, "cpu_us": cpu_us}


def _result(figure: Figure) -> dict[str, Any]:
    return {
        "version": VERSION,
        "kind": "bench-peers",
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "revision": machine.revision(children.ROOT),
        "machine": machine.facts(),
        "figures": [figure.as_json()],
    }


if __name__ == "__main__":
    sys.exit(main())
