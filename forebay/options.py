"""Declares the command-line options that several commands share, so that each has one name and one help text.

The names are those of `config.ToolSettings`: an option that is left out leaves its setting to the environment, to
FOREBAY_CONFIG, or to the `forebay up` that runs on the data directory.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple


class Option(NamedTuple):
    """Declares one option: how it is written, and what `--help` says of it."""

    flag: str
    help: str


DATA = Option("--data", "the data directory of a running `forebay up` (default: ./forebay-data)")
REDIS_URL = Option("--redis-url", "the URL of Redis (default: the Redis of that `forebay up`)")
CLICKHOUSE_URL = Option("--clickhouse-url", "ClickHouse's HTTP URL (default: the ClickHouse of that `forebay up`)")
DASHBOARD_URL = Option("--dashboard-url", "where the dashboard is (default: the dashboard of that `forebay up`)")


def declare(parser: argparse.ArgumentParser, *wanted: Option) -> None:
    """Adds shared options to a command's parser."""
    for one in wanted:
        parser.add_argument(one.flag, help=one.help)
