"""`forebay mcp`: lets an assistant that starts programs ask the dashboard, over standard input and output.

It says nothing itself. It hands each request to the dashboard's `/mcp`, with the key of the setting `dashboard_key`, and each answer back. So what may
be asked is decided in one place, whatever way an assistant comes. An assistant that speaks HTTP needs no command: it asks `/mcp` with the key.

Exits with 1 if the dashboard does not answer or does not take the key, and with 2 if the protocol's library is not installed or no dashboard is known.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from forebay import config
from forebay.options import DASHBOARD_URL, DATA, declare

LIBRARY_MISSING = "the protocol's library is not installed: pip install --requirement requirements/mcp.txt adds it"


def add_options(parser: argparse.ArgumentParser) -> None:
    declare(parser, DATA, DASHBOARD_URL)


def command(options: argparse.Namespace) -> int:
    settings = config.tool_settings(**vars(options))
    url = config.dashboard_url(settings)
    try:
        from forebay.assistant.bridge import Unreachable, bridge  # the library is an extra, and takes a second to load
    except ImportError as error:
        sys.stderr.write(f"forebay mcp: {LIBRARY_MISSING} ({error})\n")
        return 2
    try:
        asyncio.run(bridge(f"{url.rstrip('/')}/mcp", settings.dashboard_key))
    except Unreachable as error:
        sys.stderr.write(f"forebay mcp: {error}\n")
        return 1
    return 0
