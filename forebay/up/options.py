"""Declares the options of `forebay up`: names of its settings (docs/configuration.md#forebay-up), and shorter words for some."""

from __future__ import annotations

import argparse

from schemas.settings import UpSettings


def add_options(parser: argparse.ArgumentParser) -> None:
    defaults = UpSettings()
    parser.add_argument("--data", help=f"where all data is kept (default: ./{defaults.data})")
    parser.add_argument("--host", help="the address to listen on; '' is every address (default: localhost)")
    parser.add_argument("--port", help=f"port for events; 0 is any free one (default: {defaults.port})")
    parser.add_argument(
        "--internal-port", help=f"port of ingest's /metrics, /healthz and /readyz (default: {defaults.internal_port})"
    )
    parser.add_argument(
        "--clickhouse-port", help=f"port of ClickHouse's HTTP interface (default: {defaults.clickhouse_port})"
    )
    parser.add_argument(
        "--flusher-internal-port",
        help="port of the flusher's /metrics, /healthz and /readyz (default: 8002, or any free one if that is taken)",
    )
    parser.add_argument(
        "--dashboard-port",
        help="port of the dashboard and its API; 0 is any free one (default: 8003, or any free one if that is taken)",
    )
    parser.add_argument("--redis-port", help="let Redis listen on loopback too (default: a unix socket alone)")
    parser.add_argument("--workers", help=f"how many processes ingest has (default: {defaults.workers})")
    parser.add_argument(
        "--site",
        dest="sites",
        action="append",
        help="a site to accept events of without `forebay site add`; repeatable (default: any; with --production none)",
    )
    parser.add_argument(
        "--timezone",
        metavar="ZONE",
        help=f"where the days of sites begin that have no zone of their own: Europe/Berlin (default: {defaults.timezone})",
    )
    parser.add_argument(
        "--production",
        action="store_const",
        const="true",
        help="for an address that strangers can reach: no demo page, and events of named sites only",
    )
    parser.add_argument("--public-url", help="where browsers reach it: https://stats.example.com; implies --production")
    parser.add_argument(
        "--dashboard-url",
        help="where browsers of others reach the dashboard, through a proxy: https://numbers.example.com",
    )
    parser.add_argument("--ready-file", help="write URLs and pids as JSON to this file once everything answers")
