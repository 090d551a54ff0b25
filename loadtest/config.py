"""Reads what a run is asked to do: the command line, and addresses and passwords from the settings of the tools."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from loadtest.load.profile import PROFILES
from loadtest.settings import Settings, SweepSettings
from loadtest.watch import deployment
from runtime.settings import load
from schemas.settings import ToolSettings

EVENTS_PER_BODY_MAX = 500  # the most a request may carry
VICTIMS = ("redis", "clickhouse", "ingest", "flusher")


class Arguments(argparse.Namespace):
    """Holds the command line, typed."""

    tools: ToolSettings
    url: str
    data: str
    profile: str
    clickhouse_url: str
    redis_url: str
    rate: float | None
    duration: float | None
    events_per_body: int | None
    arrivals: str
    seed: int
    site: list[str]
    generators: int
    connections: int
    timeout: float
    warmup: int | None
    resend: int | None
    ahead_mb: int
    fault_kind: str
    ack_log: Path | None
    fsync: bool
    json: Path | None
    report: Path | None
    verify: bool
    verify_timeout: float
    cost: bool
    sweep: bool
    sweep_seconds: float
    rung: float
    stored_within: float
    quiet: bool

    def settings(self) -> Settings:
        """Returns the settings of a run. Raises NoDeploymentError."""
        profile = PROFILES[self.profile]
        if self.events_per_body is not None:
            profile = replace(profile, bodies=((self.events_per_body, 1.0),))
        return Settings(
            profile=profile,
            deployment=deployment.find(
                url=self.url,
                clickhouse_url=self.clickhouse_url,
                redis_url=self.redis_url,
                data=self.data,
                data_default=self.tools.data,
                clickhouse_user=self.tools.clickhouse_user,
                clickhouse_password=self.tools.clickhouse_password,
                given={name: tuple(ids) for name in VICTIMS if (ids := getattr(self, f"pid_{name}"))},
            ),
            rate=self.rate,
            duration_s=self.duration,
            sites=tuple(self.site),
            seed=self.seed,
            arrivals="fixed" if self.arrivals == "fixed" else "poisson",
            generators=self.generators,
            connections=self.connections,
            timeout_s=self.timeout,
            warmup_s=self.warmup or 0,
            resends=self.resend,
            ahead_bytes=self.ahead_mb * 1_000_000,
            fault_kind="kill" if self.fault_kind == "kill" else "pause",
            ack_log=self.ack_log,
            fsync=self.fsync,
            verify=self.verify,
            verify_timeout_s=self.verify_timeout,
            cost=self.cost,
        )

    def asked(self) -> SweepSettings:
        """Returns the settings of a sweep, which begins at `--rate`. Raises NoDeploymentError."""
        settings = self.settings()
        defaults = SweepSettings(settings=settings)
        return SweepSettings(
            settings=settings,
            rate_first=self.rate or max(defaults.rate_first, settings.profile.rate / 2),
            rung_s=self.rung,
            warmup_s=min(3, int(self.rung / 4)) if self.warmup is None else self.warmup,
            stored_within_s=self.stored_within,
            seconds_max=self.sweep_seconds,
        )


def parse(argv: list[str]) -> Arguments:
    """Parses the command line; exits with status 2 and a message if it makes no sense. Raises SettingsError."""
    tools = load(ToolSettings, os.environ)
    parser = _parser(tools)
    arguments = parser.parse_args(argv, namespace=Arguments(tools=tools))
    for name in ("rate", "duration", "timeout", "connections", "generators", "rung"):
        value = getattr(arguments, name)
        if value is not None and value <= 0:
            parser.error(f"--{name} must be more than 0")
    if arguments.events_per_body is not None and not 1 <= arguments.events_per_body <= EVENTS_PER_BODY_MAX:
        parser.error(f"--events-per-body must be 1 to {EVENTS_PER_BODY_MAX}, the most a request may carry")
    if arguments.sweep and not arguments.verify:
        parser.error("--sweep needs to ask ClickHouse what was stored, so it can't be used with --no-verify")
    if arguments.sweep and PROFILES[arguments.profile].fault is not None:
        parser.error(f"--sweep needs a profile without a fault, and {arguments.profile} has one")
    if not arguments.site:
        arguments.site = ["demo"]
    return arguments


def _parser(tools: ToolSettings) -> argparse.ArgumentParser:
    profiles = "\n".join(
        f"  {one.name:<13} {one.about} ({one.rate:,.0f}/s, {one.duration_s:,.0f} s)" for one in PROFILES.values()
    )
    parser = argparse.ArgumentParser(
        prog="forebay loadtest",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Sends events at a rate that no slow answer changes, and compares every acknowledged event with"
        " ClickHouse, id by id.\n`forebay loadtest report RESULT.json [PAGE.html]` draws a result that was kept.",
        epilog=f"profiles:\n{profiles}\n\nExit status: 0 everything acknowledged is stored exactly once, 1 it is not,"
        " 2 it could not be found out.",
    )
    _add_load(parser)
    _add_place(parser, tools)
    _add_output(parser)
    return parser


def _add_load(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("load").add_argument
    add("--profile", choices=PROFILES, default="smoke", metavar="NAME", help="one of those below (default: smoke)")
    add("--rate", type=float, help="events per second (default: the profile's); the first rate of a sweep")
    add("--duration", type=float, help="seconds of the run (default: the profile's)")
    add("--events-per-body", type=int, help="1, or the length of the array in a body (default: the profile's)")
    add("--arrivals", choices=("poisson", "fixed"), default="poisson", help="intervals of requests (default: poisson)")
    add("--seed", type=int, default=1, help="the same seed makes the same visits (default: 1)")
    add("--site", nargs="+", action="extend", default=[], help="sites, the busiest first (default: demo)")
    add("--generators", type=int, default=1, help="processes that share the rate (default: 1)")
    add("--connections", type=int, default=64, help="keep-alive connections of all generators (default: 64)")
    add("--timeout", type=float, default=10.0, help="seconds until a request counts as unclear (default: 10)")
    add("--warmup", type=int, help="seconds that rates and latencies leave out (default: 0; in a sweep 3)")
    add("--resend", type=int, metavar="TIMES", help="send shed and unclear requests again, as SDKs do")
    add("--ahead-mb", type=int, default=256, help="MB of bodies made before the clock starts (default: 256)")
    add("--fault-kind", choices=("pause", "kill"), default="pause", help="for the outage profiles (default: pause)")
    add("--sweep", action="store_true", help="find the highest rate at which everything is stored in time")
    add("--sweep-seconds", type=float, default=300.0, help="begin no rung that would end later (default: 300)")
    add("--rung", type=float, default=20.0, help="seconds of a rung of the sweep (default: 20)")
    add(
        "--stored-within",
        type=float,
        default=5.0,
        help="seconds after a rung's end until all is to be stored (default: 5)",
    )


def _add_place(parser: argparse.ArgumentParser, tools: ToolSettings) -> None:
    add = parser.add_argument_group("where").add_argument
    add("--url", default="", help="the server; without a path its /f (default: the local `forebay up`)")
    add("--data", default="", help="data directory of a running `forebay up` (default: ./forebay-data if one runs)")
    add("--clickhouse-url", default=tools.clickhouse_url or "", help="the ClickHouse whose rows are counted")
    add("--redis-url", default=tools.redis_url or "", help="the Redis, which only --cost needs")
    for name in VICTIMS:
        add(f"--pid-{name}", type=int, nargs="+", default=[], metavar="PID", help="if no `forebay up` knows it")
    add("--no-verify", dest="verify", action="store_false", help="ask ClickHouse nothing")
    add("--verify-timeout", type=float, default=60.0, help="seconds to wait for what is missing (default: 60)")


def _add_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what is kept").add_argument
    add("--json", type=Path, help="file for the result")
    add("--report", type=Path, help="file for the result as a page of HTML")
    add("--ack-log", type=Path, help="file for acknowledged ids, which is replaced (default: a temporary one)")
    add("--fsync", action="store_true", help="count an id as logged only after an fsync")
    add("--cost", action="store_true", help="measure bytes per event: merges the table, scans the streams in Redis")
    add("--quiet", action="store_true", help="print no progress")
