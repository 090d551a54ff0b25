"""`forebay report set|list|remove|send`: says who is told what of a site, by mail or by the webhook, and sends a report at once.

The dashboard sends what is due (dashboard/reports); this only writes down who wants it. `send` starts a process of the
dashboard for one report, which asks ClickHouse as the page does.

The exit status is 1 if Redis or ClickHouse does not answer, or a report could not be sent, and 2 for what is not valid.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, get_args

import msgspec
from msgspec.structs import replace

from forebay import config
from forebay.options import CLICKHOUSE_URL, DATA, REDIS_URL, declare
from runtime import redis
from schemas.host import NoSiteName, named_site
from schemas.mail_address import mail_address
from schemas.redis.keys import REPORTS_KEY, SITES_KEY, TOLD_KEY
from schemas.redis.scripts import script
from schemas.reports import REPORTS, WEBHOOK, WISHES_MAX, What, Wish, Wishes, told_field
from schemas.settings import ToolSettings

REPLACE = script("replace_field")
TRIES = 20  # against others who write at the same time
LIMITS = {
    "spike_times": (float, "a spike: so many times as many people in the last hour as usual"),
    "spike_visitors": (int, "a spike has at least so many people"),
    "drop_percent": (int, "a drop: at most this percentage of the usual number of people in the last hour"),
    "drop_usual": (int, "a drop is one only where so many people are usual"),
    "pause_hours": (int, "for so many hours the same is not told again"),
}
UNREADABLE = (ValueError, RecursionError)


class Unfit(ValueError):
    """Says what can't be done, and what to do instead."""


def add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    put = actions.add_parser("set", help="tell somebody something of a site from now on")
    listed = actions.add_parser("list", help="print who is told what")
    remove = actions.add_parser("remove", help="tell somebody something no more")
    send = actions.add_parser("send", help="send the last report at once, or print it")
    for action in (put, remove, send):
        action.add_argument("--site", required=True, help="the name of the site")
    listed.add_argument("--site", help="of this site alone")
    for action, wanted in ((put, False), (remove, False)):
        action.add_argument(
            "--to", action="append", default=[], help=f"a mail address, or '{WEBHOOK}'; repeatable", required=wanted
        )
        action.add_argument(
            "--what",
            "--every",
            action="append",
            choices=get_args(What),
            default=[],
            help="what they are told; repeatable",
        )
    for name, (kind, text) in LIMITS.items():
        default = getattr(Wishes(), name)
        put.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"{text} (default: {default:g})")
    send.add_argument(
        "--what", "--every", choices=REPORTS, default=REPORTS[0], help=f"which report (default: {REPORTS[0]})"
    )
    send.add_argument("--to", action="append", default=[], help="to these instead of those who get it; repeatable")
    send.add_argument("--now", action="store_true", help="send it now, which is what `send` does anyway")
    send.add_argument(
        "--print", nargs="?", const="text", choices=("text", "html"), help="print it instead, as text or as html"
    )
    declare(send, CLICKHOUSE_URL)
    for action in (put, listed, remove, send):
        declare(action, DATA, REDIS_URL)


def command(options: argparse.Namespace) -> int:
    settings = config.tool_settings(**{name: value for name, value in vars(options).items() if name != "print"})
    url = config.redis_url(settings)
    try:
        site = named_site(options.site) if options.site else ""
        if options.action == "send":
            return _send(options, site, settings)
        with redis.blocking_client(url, seconds=5, is_text=True) as client:
            if options.action == "list":
                return _list(client, site)
            if options.action == "remove":
                return _remove(client, site, options)
            return _set(client, site, options)
    except (NoSiteName, Unfit) as error:
        sys.stderr.write(f"forebay report: {error}\n")
        return 2
    except redis.RedisError as error:
        sys.stderr.write(f"forebay report: Redis at {config.without_password(url)}: {error}\n")
        return 1


def _addresses(said: list[str]) -> list[str]:
    """Returns addresses in their one form. Raises Unfit."""
    try:
        return list(dict.fromkeys(one if one == WEBHOOK else mail_address(one) for one in said))
    except ValueError as error:
        raise Unfit(f"{error}, or '{WEBHOOK}'") from None


def _set(client: Any, site: str, options: argparse.Namespace) -> int:
    to = _addresses(options.to)
    limits = {name: getattr(options, name) for name in LIMITS if getattr(options, name) is not None}
    if bool(to) != bool(options.what) or not (to or limits):
        raise Unfit(
            "say to whom (--to) and what (--what weekly), or what counts as a spike or a drop (--spike-times 3)"
        )
    now = int(time.time())

    def change(record: Wishes) -> Wishes:
        there = {(one.to, one.what): one for one in record.wishes}
        wanted = {(one, what): Wish(to=one, what=what, since=now) for one in to for what in options.what}
        if len(wanted | there) > WISHES_MAX:
            raise Unfit(f"a site has at most {WISHES_MAX} of them: give the address of a mailing list")
        changed = replace(record, wishes=tuple((wanted | there).values()), **limits)
        try:
            return Wishes.decode(changed.encode())  # checks the ranges
        except msgspec.ValidationError as error:
            raise Unfit(f"{error}") from None

    record = _write(client, site, change)
    _print(site, record)
    if to:
        sys.stderr.write(
            f"The dashboard sends it by its notify_ settings (docs/reports.md): `forebay report send --site {site}` sends the last one now, and so shows whether it can\n"
        )
    if not client.hexists(SITES_KEY, site):
        sys.stderr.write(f"{site} is not registered (`forebay site list` shows those that are)\n")
    return 0


def _remove(client: Any, site: str, options: argparse.Namespace) -> int:
    to = _addresses(options.to)
    gone: list[Wish] = []

    def change(record: Wishes) -> Wishes:
        gone[:] = [
            one for one in record.wishes if (not to or one.to in to) and (not options.what or one.what in options.what)
        ]
        return replace(record, wishes=tuple([one for one in record.wishes if one not in gone]))

    _write(client, site, change)
    if not gone:
        sys.stderr.write(
            f"forebay report: nobody is told this of {site}: `forebay report list` shows who is told what\n"
        )
        return 1
    client.hdel(TOLD_KEY, *(told_field(one.what, site, one.to) for one in gone))
    return 0


def _write(client: Any, site: str, change: Callable[[Wishes], Wishes]) -> Wishes:
    """Writes what `change` makes of a site's record, and returns it. Raises RedisError, also if others change it all the time."""
    for _ in range(TRIES):
        found = client.hget(REPORTS_KEY, site) or ""
        try:
            record = change(Wishes.decode(found) if found else Wishes())
        except UNREADABLE as error:
            if isinstance(error, Unfit):
                raise
            sys.stderr.write(f"forebay report: the record of {site} can't be read, and is written anew\n")
            record = change(Wishes())
        if client.eval(REPLACE, 1, REPORTS_KEY, site, found, record.encode()) == "ok":
            return record
    raise redis.RedisError(f"others change {site} all the time: try again")


def _list(client: Any, site: str) -> int:
    found = {name: value for name, value in client.hgetall(REPORTS_KEY).items() if site in {"", name}}
    for name, value in sorted(found.items()):
        try:
            _print(name, Wishes.decode(value))
        except UNREADABLE:
            sys.stderr.write(
                f"forebay report: the record of {name} can't be read: `forebay report set` writes it anew\n"
            )
    if not found:
        sys.stderr.write(
            "nobody is told anything: `forebay report set --site SITE --to ADDRESS --what weekly` changes that\n"
        )
    return 0


def _print(site: str, record: Wishes) -> None:
    for one in record.wishes:
        sys.stdout.write(f"{site}\t{one.what}\t{one.to}\n")
    others = Wishes()
    said = {name: getattr(record, name) for name in LIMITS if getattr(record, name) != getattr(others, name)}
    if said:
        sys.stdout.write(
            f"{site}\t" + " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in said.items()) + "\n"
        )


def _send(options: argparse.Namespace, site: str, settings: ToolSettings) -> int:
    """Starts the dashboard for one report, and returns its exit code."""
    words = [sys.executable, "-m", "dashboard", "--report", site, "--what", options.what]
    words += [word for one in _addresses(options.to) for word in ("--to", one)]
    words += ["--print", options.print] if options.print else []
    environment = config.child_environment(
        redis_url=config.redis_url(settings), clickhouse_url=config.clickhouse_url(settings), log_format="text"
    )
    return subprocess.run(words, env=environment, check=False).returncode
