"""`forebay query "SELECT ..."`: ask ClickHouse, with tables for people and tabs for programs."""

from __future__ import annotations

import argparse
import os
import sys

from forebay import config
from forebay.clickhouse import FOREVER_SECONDS, ClickHouse, ClickHouseError

FOR_PEOPLE, FOR_PROGRAMS = "PrettyCompactMonoBlock", "TabSeparatedWithNames"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sql", help="one statement; - reads it from standard input")
    parser.add_argument(
        "--format", help=f"any of ClickHouse's (default: {FOR_PEOPLE} on a terminal, {FOR_PROGRAMS} else)"
    )
    parser.add_argument("--data", help="the data directory of a running forebay up (default: ./forebay-data)")
    parser.add_argument("--clickhouse-url", help="where ClickHouse answers HTTP, if it is not that one")


def command(options: argparse.Namespace) -> int:
    settings = config.load(config.ToolSettings, "tools", **vars(options))
    sql = sys.stdin.read() if options.sql == "-" else options.sql
    shape = options.format or (FOR_PEOPLE if sys.stdout.isatty() else FOR_PROGRAMS)
    try:
        client = ClickHouse(
            config.clickhouse_url(settings),
            user=settings.clickhouse_user,
            password=settings.clickhouse_password,
            timeout_seconds=FOREVER_SECONDS,  # the server has limits, and ctrl-C ends the question there too
        )
        for piece in client.stream(sql, {"default_format": shape, "database": "forebay"}):
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
    except ClickHouseError as error:
        sys.stderr.write(f"forebay query: {error}\n")
        return 1
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
