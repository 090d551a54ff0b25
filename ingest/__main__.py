"""Runs the ingest tier: its supervisor and its internal port; with `--worker`, one worker.

    SIGTERM, SIGINT   the workers drain, then it exits 0
    SIGHUP            the workers are replaced one by one; no connection is refused or reset

It exits 2 when the settings can't be used, and 4 when the Redis that it finds at its start could lose what is
acknowledged; its last words are then what is wrong, and the commands that mend it.

The internal port speaks for all workers: /metrics (their sums), /healthz (the tier lives), /readyz (some worker would
take an event durably now), /workers (their pids).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ingest import run_dir
from ingest.collect.referrer_spam import hosts_of
from ingest.dialects.event import Limits
from ingest.dialects.table import table
from ingest.geography.database import Database
from ingest.http.tracker_files import check_path
from ingest.tier import Tier, listen
from runtime import listen as sockets
from runtime import log as logs
from runtime import zones
from runtime.client_ip import ClientAddresses
from runtime.hosts import Hosts
from runtime.internal import Answer, Routes, serving
from runtime.settings import EXIT_SETTINGS, SettingsError, load, unknown
from runtime.version import build
from schemas.durability import explain
from schemas.host import named_site
from schemas.keys import EVERY_SITE
from schemas.settings import PAGE, PREFIX, IngestSettings
from schemas.tracker_names import TrackerNames

log = logging.getLogger("ingest")
EXIT_REDIS = 4  # 3 is start.EXIT_LAYOUT


def main() -> int:
    """Runs the tier, or one worker of it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="forebay ingest", description="The tier that takes events.")
    parser.add_argument("--run-dir", help="where the workers' counters are kept while it runs (default: a new one)")
    parser.add_argument("--report-workers", action="store_true", help="print the workers' pids as they become ready")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--sockets", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        settings = load(IngestSettings, os.environ)
    except SettingsError as error:
        logs.refuse(str(error), os.environ.get(f"{PREFIX}LOG_FORMAT", "text"), "ingest")
        return EXIT_SETTINGS
    # Not of a worker: files may have become bad since the tier judged them, and then a worker that died would be the last.
    if not options.worker and (found := faults(settings)):
        logs.refuse("\n".join(found), settings.log_format, "ingest")
        return EXIT_SETTINGS
    logs.set_up(settings.log_format)
    if options.worker:
        return _work(settings, options.worker, [int(number) for number in options.sockets.split(",")])
    for line in unknown(os.environ):
        log.warning(line)
    with run_dir.own(options.run_dir) as directory:
        return asyncio.run(_supervise(settings, directory, is_reporting=options.report_workers))


def faults(settings: IngestSettings) -> list[str]:
    """Returns the faults of settings that only their users can find, each with its place in the documentation."""
    uses: dict[str, Callable[[], object]] = {
        "sites": lambda: [named_site(name, every=EVERY_SITE) for name in settings.sites],
        "trusted_proxies": lambda: ClientAddresses(settings.trusted_proxies),
        "country_database": lambda: settings.country_database and Database(Path(settings.country_database)),
        "referrer_spam_file": lambda: settings.referrer_spam_file and hosts_of(settings.referrer_spam_file),
        "tracker_path": lambda: check_path(TrackerNames.of(settings.tracker_path), table(Limits())),
        "timezone": lambda: zones.load(settings.timezone),
        "log_format": lambda: msgspec.convert(settings.log_format, Literal["auto", "json", "text"]),
    }
    found: list[str] = []
    for name, use in uses.items():
        try:
            use()
        except (ValueError, OSError) as error:
            found.append(f"{PREFIX}{name.upper()}: {error} (see {PAGE}#{name})")
    return found


async def _supervise(settings: IngestSettings, directory: Path, *, is_reporting: bool) -> int:
    try:
        listeners, port = listen(settings.host, settings.port, settings.workers)
        internal, internal_port = sockets.listen(settings.internal_host, settings.internal_port)
    except OSError as error:
        log.error("cannot listen on ports %d and %d: %s", settings.port, settings.internal_port, error)  # noqa: TRY400 - the address says it all
        return 1
    log.info("listening on port %d, internal port %d", port, internal_port)

    def told(pids: Sequence[int]) -> None:
        if is_reporting:
            sys.stdout.write(json.dumps({"workers": list(pids)}) + "\n")
            sys.stdout.flush()

    tier = Tier(
        listeners,
        words=_worker_words,
        environment={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
        metrics_dir=directory,
        drain_seconds=settings.drain_seconds,
        on_ready=told,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tier.stop)
    loop.add_signal_handler(signal.SIGHUP, tier.replace)
    hosts = Hosts(settings.internal_host, settings.internal_hosts)
    async with serving(internal, _routes(tier, directory), hosts=hosts):
        await tier.run()
    if tier.refusal:
        logs.refuse(f"forebay ingest: {tier.refusal}", settings.log_format, "ingest")
        return EXIT_REDIS
    return 0


def _worker_words(name: str, descriptors: Sequence[int]) -> list[str]:
    sockets = ",".join(str(descriptor) for descriptor in descriptors)
    return [sys.executable, "-m", "ingest", "--worker", name, "--sockets", sockets]


def _routes(tier: Tier, directory: Path) -> Routes:
    """Returns what the internal port answers."""
    sites: set[str] = set()

    def metrics() -> Answer:
        from prometheus_client import CollectorRegistry, Info, exposition, multiprocess  # 10 MB, where nobody scrapes

        from ingest.metrics import Folded  # as above
        from ingest.processes import Processes  # as above

        registry = CollectorRegistry()
        workers = multiprocess.MultiProcessCollector(None, path=str(directory))  # type: ignore[no-untyped-call]  # its own
        registry.register(Folded(workers, sites))
        registry.register(Processes(lambda: {"tier": os.getpid(), **tier.workers}))
        Info("forebay_build", "Which Forebay runs, on which Python", registry=registry).info(build())
        return Answer(200, exposition.generate_latest(registry), exposition.CONTENT_TYPE_LATEST)

    def readyz() -> Answer:
        if tier.is_ready:
            return Answer(200, b"ready\n")
        return Answer(503, b"no worker would make an event durable now\n")

    return {
        "/metrics": metrics,
        "/healthz": lambda: Answer(200, b"ok\n"),
        "/readyz": readyz,
        "/workers": lambda: Answer(200, json.dumps({"workers": tier.pids}).encode(), "application/json"),
    }


def _work(settings: IngestSettings, name: str, descriptors: Sequence[int]) -> int:
    import uvloop  # the tier's own process runs without it
    from prometheus_client import values  # as above

    from ingest import server, start  # 0.4 s and 40 MB that the tier's own process does without
    from ingest.commit import durability  # as above

    # Before the first metric is made. Files named by the slot are taken over after a death, so counters go on and
    # nothing is counted twice; named by the pid, a gauge read 3 000 for 100 after 30 deaths (docs/facts.md).
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: name)  # type: ignore[no-untyped-call]  # the library's
    try:
        return uvloop.run(start.work(settings, descriptors, server=server.HttpServer, report=_report))
    except durability.NotDurable as error:
        _say(explain(error.faults).encode())
        return EXIT_REDIS


def _report(is_ready: bool) -> None:
    _say(b"1" if is_ready else b"0")


def _say(what: bytes) -> None:
    """Tells the tier, as `tier.Worker` reads it."""
    with contextlib.suppress(BrokenPipeError):  # the tier is gone, and so are we in a moment
        os.write(1, what)


if __name__ == "__main__":
    sys.exit(main())
