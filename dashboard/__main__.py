"""Runs the dashboard: it answers questions about stored events, and serves the page that asks them.

It only reads. It listens on loopback, or where it is told to, if it knows under which URL people reach it: then they have to log in.

SIGTERM or SIGINT ends it at once. Questions that are running are given up, because nothing is lost by that. It exits with 2 if the
settings can't be used, and with 1 if its port is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal

from aiohttp import web

from dashboard import once
from dashboard.access.guard import Door
from dashboard.access.parts import Access
from dashboard.ask.clickhouse import address
from dashboard.catalogue.contract import Asker
from dashboard.gauges.api import SiteMetrics
from dashboard.gauges.numbers import SiteNumbers
from dashboard.mcp.answers import Answers
from dashboard.mcp.api import Assistants
from dashboard.parts import parts_of
from dashboard.reports.reporter import Reporter
from dashboard.sites.changes import Changes
from dashboard.sites.health import Health
from dashboard.sites.keys import Keys
from dashboard.sites.records import Sites
from dashboard.stats.api import StatsApi
from dashboard.web.app import HEAD_BYTES_MAX, application
from dashboard.web.export import Exports
from dashboard.web.pages import Pages
from dashboard.web.panel_api import Panels
from dashboard.web.probes import Probes
from dashboard.web.site_api import SiteApi
from runtime import listen, zones
from runtime import log as logs
from runtime.bounded import Bounded
from runtime.client_ip import ClientAddresses
from runtime.ending import leave
from runtime.hosts import is_loopback
from runtime.notify.notifier import channels_of
from runtime.parent import die_with_parent
from runtime.settings import EXIT_SETTINGS, SettingsError, load, unknown
from schemas.reports import REPORTS
from schemas.settings import PAGE, PREFIX, DashboardSettings

CONNECTIONS_MAX = 100
STOP_SECONDS = 1.0
_log = logging.getLogger("dashboard")


def faults(settings: DashboardSettings) -> list[str]:
    """Returns what is wrong with settings beyond their types, each fault with its place in the documentation."""
    found = []
    host = settings.dashboard_host
    if not settings.dashboard_url and not is_loopback(f"[{host}]" if ":" in host else host):
        sentence = (
            f"{host!r} is not loopback: say in {PREFIX}DASHBOARD_URL under which address browsers reach the dashboard"
        )
        found.append(f"{PREFIX}DASHBOARD_HOST: {sentence} (see {PAGE}#dashboard_host)")
    try:
        Door(settings.dashboard_url)
    except ValueError as error:
        found.append(f"{PREFIX}DASHBOARD_URL: {error} (see {PAGE}#dashboard_url)")
    try:
        ClientAddresses(settings.trusted_proxies)
    except ValueError as error:
        found.append(f"{PREFIX}TRUSTED_PROXIES: {error} (see {PAGE}#trusted_proxies)")
    try:
        zones.load(settings.timezone)
    except zones.UnknownZone as error:
        found.append(f"{PREFIX}TIMEZONE: {error} (see {PAGE}#timezone)")
    try:
        channels_of(settings)
    except ValueError as error:
        name = str(error).partition(":")[0]
        found.append(f"{PREFIX}{name.upper()}:{str(error).removeprefix(name)[1:]} (see {PAGE}#{name})")
    try:
        address(settings.clickhouse_url)
    except ValueError as error:
        found.append(f"{PREFIX}CLICKHOUSE_URL: {error} (see {PAGE}#clickhouse_url)")
    return found


async def application_of(settings: DashboardSettings, held: contextlib.AsyncExitStack) -> web.Application:
    """Returns the application. Its connections are closed when `held` is."""
    metrics, clickhouse, asker, store, sites, notifier = parts_of(settings, held)
    panels = Panels(asker=asker, sites=sites, rows_max=settings.question_rows_max)
    health = Health(
        store,
        ingest_url=settings.ingest_internal_url,
        flusher_url=settings.flusher_internal_url,
        ping=clickhouse.ping,
        freshness=panels.last_received,
    )
    pages = SiteApi(
        panels=panels,
        sites=sites,
        changes=Changes(store, sites),
        health=health,
        public_url=settings.public_url or "http://localhost:8000",
        tracker_path=settings.tracker_path,
    )
    keys = Keys(store, sites)
    stats = StatsApi(asker=asker, grants=keys, sites=sites)
    probes = Probes(metrics=metrics, ping=clickhouse.ping)
    page = Pages()
    access = Access(settings, store, keys=keys, sites=sites, index=page.index, metrics=metrics, notifier=notifier)
    gauges = _site_metrics(settings, asker, sites, held)
    assistants = Assistants(
        Answers(
            asker=asker,
            sites=sites,
            counted=lambda tool, result: metrics.assistant_calls.labels(tool, result).inc(),
        )
    )
    held.push_async_callback(assistants.close)
    parts = (page, access.shared, probes, gauges, panels, Exports(panels), pages, stats, assistants)
    app = application(metrics=metrics, access=access, sites=sites, parts=parts)
    reporter = Reporter(
        store,
        sites=sites,
        asker=asker,
        notifier=notifier,
        looked=lambda result: metrics.looks.labels(result).inc(),
        url=settings.dashboard_url,
    )
    app.cleanup_ctx.append(reporter.with_application)
    return app


def _site_metrics(
    settings: DashboardSettings, asker: Asker, sites: Sites, held: contextlib.AsyncExitStack
) -> SiteMetrics:
    """Returns the part that shows numbers of sites to Prometheus, which is off unless there is a setting."""
    if not settings.site_metrics_max:
        return SiteMetrics(None)
    numbers = SiteNumbers(
        asker=asker, sites=sites, sites_max=settings.site_metrics_max, seconds=settings.site_metrics_seconds
    )
    held.push_async_callback(numbers.close)
    return SiteMetrics(numbers)


async def serve(settings: DashboardSettings) -> int:
    """Answers until a signal, and returns the exit code."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as held:
        runner = web.AppRunner(
            await application_of(settings, held),
            access_log=None,
            handler_cancellation=True,  # a client that leaves ends its question
            shutdown_timeout=STOP_SECONDS,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
        )
        await runner.setup()
        held.push_async_callback(runner.cleanup)
        try:
            sockets, port = listen.listen(settings.dashboard_host, settings.dashboard_port)
        except OSError as error:
            _log.error("cannot listen on port %d: %s", settings.dashboard_port, error)
            return 1
        assert runner.server is not None
        for one in sockets:
            server = await loop.create_server(Bounded(runner.server, CONNECTIONS_MAX), sock=one)
            held.callback(server.close)
        _log.info("the dashboard is at http://%s:%d/", settings.dashboard_host, port)
        await stopping.wait()
    return 0


def main() -> int:
    """Runs the dashboard, and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="forebay dashboard",
        description="Shows the numbers: the page and its API. Settings: docs/configuration.md.",
    )
    parser.add_argument(
        "--die-with-parent", action="store_true", help="end when the process that started this one does"
    )
    parser.add_argument("--report", metavar="SITE", help=argparse.SUPPRESS)  # of `forebay report send`
    parser.add_argument("--what", choices=REPORTS, default=REPORTS[0], help=argparse.SUPPRESS)
    parser.add_argument("--to", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--print", choices=("text", "html"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.die_with_parent:
        die_with_parent()
    try:
        settings = load(DashboardSettings, os.environ)
    except SettingsError as error:
        logs.refuse(str(error), os.environ.get(f"{PREFIX}LOG_FORMAT", "text"), "dashboard")
        return EXIT_SETTINGS
    if found := faults(settings):
        logs.refuse("\n".join(found), settings.log_format, "dashboard")
        return EXIT_SETTINGS
    logs.set_up(settings.log_format)
    # Its messages about requests that are not HTTP contain bytes of the request.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    for line in unknown(os.environ):
        _log.warning(line)
    if options.report is not None:
        said = once.send(settings, options.report, what=options.what, to=options.to, printed=options.print)
        return asyncio.run(said)
    return asyncio.run(serve(settings))


if __name__ == "__main__":
    leave(main())
