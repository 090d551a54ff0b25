"""What a run is asked to do: the command line, with ClickHouse's access from the environment."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


class Arguments(argparse.Namespace):
    """The command line, typed."""

    url: str
    clickhouse_url: str
    clickhouse_user: str
    clickhouse_password: str
    rate: float
    duration: float
    events_per_body: int
    arrivals: str
    seed: int
    site: list[str]
    connections: int
    timeout: float
    warmup: int
    resend: int
    ack_log: Path | None
    fsync: bool
    json: Path | None
    verify: bool
    verify_timeout: float


def parse(argv: list[str]) -> Arguments:
    """Exits with status 2 and a message when they make no sense."""
    parser = _parser()
    arguments = parser.parse_args(argv, namespace=Arguments())
    for name in ("rate", "duration", "timeout", "connections"):
        if getattr(arguments, name) <= 0:
            parser.error(f"--{name} must be more than 0")
    if not 1 <= arguments.events_per_body <= 500:
        parser.error("--events-per-body must be 1 to 500, the most a request may carry")
    if not arguments.site:
        arguments.site = ["demo"]
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loadtest",
        description="Open-loop load with exact reconciliation. Exit status: 0 all that was acknowledged is stored"
        " once, 1 it is not, 2 it could not be found out.",
    )
    add = parser.add_argument
    add("--url", default="http://127.0.0.1:8000", help="the server; without a path, its /f")
    add("--rate", type=float, default=200.0, help="events per second (default: 200)")
    add("--duration", type=float, default=10.0, help="seconds (default: 10)")
    add("--events-per-body", type=int, default=1, help="1, or so many in an array (default: 1)")
    add("--arrivals", choices=("poisson", "fixed"), default="poisson", help="the clock (default: poisson)")
    add("--seed", type=int, default=1, help="the same seed makes the same visits (default: 1)")
    add("--site", nargs="+", action="extend", default=[], help="sites, the busiest first (default: demo)")
    add("--connections", type=int, default=64, help="kept alive, one request each at a time (default: 64)")
    add("--timeout", type=float, default=10.0, help="seconds until an answer counts as unclear (default: 10)")
    add("--warmup", type=int, default=0, help="seconds left out of rates and latencies (default: 0)")
    add("--resend", type=int, default=0, metavar="TIMES", help="send shed and unclear ones again, as SDKs do")
    add("--ack-log", type=Path, help="file of acknowledged ids; replaced (default: a temporary one)")
    add("--fsync", action="store_true", help="an id counts as logged only after fsync")
    add("--json", type=Path, help="file for the result")
    add("--no-verify", dest="verify", action="store_false", help="do not reconcile with ClickHouse")
    add("--verify-timeout", type=float, default=60.0, help="seconds to wait for what is missing (default: 60)")
    add("--clickhouse-url", default=os.environ.get("FOREBAY_CLICKHOUSE_URL", "http://127.0.0.1:8123"))
    parser.set_defaults(
        clickhouse_user=os.environ.get("FOREBAY_CLICKHOUSE_USER", "default"),
        clickhouse_password=os.environ.get("FOREBAY_CLICKHOUSE_PASSWORD", ""),
    )
    return parser
