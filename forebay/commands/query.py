"""`forebay query "SELECT ..."`: asks ClickHouse, and prints a table on a terminal, tab-separated text elsewhere."""

from __future__ import annotations

import argparse
import os
import sys

from forebay import config
from forebay.clickhouse import FOREVER_SECONDS, ClickHouseError
from forebay.options import CLICKHOUSE_URL, DATA, declare

FOR_PEOPLE, FOR_PROGRAMS = "PrettyCompactMonoBlock", "TabSeparatedWithNames"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sql", help="one statement; - reads it from standard input")
    parser.add_argument(
        "--format", help=f"any format of ClickHouse (default: {FOR_PEOPLE} on a terminal, else {FOR_PROGRAMS})"
    )
    declare(parser, DATA, CLICKHOUSE_URL)


def command(options: argparse.Namespace) -> int:
    settings = config.tool_settings(**vars(options))
    sql = sys.stdin.read() if options.sql == "-" else options.sql
    shape = options.format or (FOR_PEOPLE if sys.stdout.isatty() else FOR_PROGRAMS)
    try:
        # The server has a limit, and ctrl-C ends the question there too.
        client = config.clickhouse(settings, timeout_seconds=FOREVER_SECONDS)
        for piece in client.stream(sql, {"default_format": shape, "database": "forebay"}):
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
    except ClickHouseError as error:
        sys.stderr.write(f"forebay query: {error}\n")
        return 1
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
