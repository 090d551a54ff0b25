"""`forebay share add|list|revoke`: makes, lists and revokes public links, each of which shows the numbers of one site to whoever has it.

`add` prints the address once. It is not stored; Redis has a hash (schemas/links.py). The dashboard looks up the link of each request, so a
revoked link shows nothing from then on.

The exit status is 1 if Redis does not answer, or there is no such link; 2 if a site, a name, a date or the password can't be used.
"""

from __future__ import annotations

import argparse
import re
import secrets
import sys
import time
from datetime import UTC, date, datetime
from typing import Any

from msgspec.structs import replace

from forebay import config
from forebay.options import DASHBOARD_URL, DATA, REDIS_URL, declare
from forebay.typed import Unfit, typed_password
from runtime import passwords, redis
from schemas.host import named_site
from schemas.links import DAYS_FAULT, ID_CHARS, LINKS_MAX, NAME_MAX, SHOWN, Link, fault_of, hash_of, id_of, written
from schemas.redis.keys import LINKS_KEY, SITES_KEY

PATH = "/shared/"


def add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a public link, and print its address; it can't be printed again")
    add.add_argument("--site", required=True, help="the site whose numbers it shows")
    add.add_argument("--name", default="", help=f"whom it is for, as `list` shows it; at most {NAME_MAX} characters")
    add.add_argument("--password", action="store_true", help="ask for a password that it needs")
    add.add_argument("--since", type=_date, metavar="DATE", help="the first day that it shows, like 2026-03-01")
    add.add_argument("--until", type=_date, metavar="DATE", help="the last day that it shows")
    add.add_argument("--days", type=int, metavar="N", help="show the last N days up to today, and no others")
    add.add_argument(
        "--show",
        dest="shows",
        action="append",
        choices=SHOWN,
        default=[],
        help="show this too, which is left out otherwise; repeatable",
    )
    listed = actions.add_parser("list", help="print the links, without what is secret")
    revoke = actions.add_parser("revoke", help="let a link show nothing from now on")
    revoke.add_argument("id", metavar="ID", help="as `list` shows it, or the address itself")
    for action in (add, listed, revoke):
        declare(action, DATA, REDIS_URL)
    declare(add, DASHBOARD_URL)


def command(options: argparse.Namespace) -> int:
    settings = config.tool_settings(
        data=options.data, redis_url=options.redis_url, dashboard_url=getattr(options, "dashboard_url", None)
    )
    url = config.redis_url(settings)
    try:
        with redis.blocking_client(url, seconds=5, is_text=True) as client:
            if options.action == "add":
                return _add(client, options, config.dashboard_url(settings))
            if options.action == "list":
                return _list(client)
            return _revoke(client, options.id)
    except ValueError as error:
        sys.stderr.write(f"forebay share: {error}\n")
        return 2
    except redis.RedisError as error:
        sys.stderr.write(f"forebay share: Redis at {config.without_password(url)}: {error}\n")
        return 1


def _add(client: Any, options: argparse.Namespace, dashboard: str) -> int:
    site = named_site(options.site)
    if options.days == 0:  # which would be no bound at all
        raise Unfit(DAYS_FAULT)
    link_id, token = written(secrets.choice)
    link = Link(
        hash=hash_of(token),
        site=site,
        name=options.name.strip(),
        shows=tuple(sorted(set(options.shows))),
        since=options.since,
        until=options.until,
        days=options.days or 0,
        made=int(time.time()),
    )
    if fault := fault_of(link):
        raise Unfit(fault)
    if client.hlen(LINKS_KEY) >= LINKS_MAX:
        raise Unfit(f"there are {LINKS_MAX} links: `forebay share revoke` takes one back")
    if options.password:
        link = replace(link, password=passwords.hashed(typed_password("the link", user=site)))
    if not client.hsetnx(LINKS_KEY, link_id, link.encode()):
        raise redis.RedisError(f"there is a link {link_id} already: try again")
    sys.stdout.write(f"{dashboard.rstrip('/')}{PATH}{token}\n")
    sys.stderr.write(
        f"This is the only time that the address is shown. `forebay share revoke {link_id}` takes it back.\n"
    )
    if not client.hexists(SITES_KEY, site):
        sys.stderr.write(f"{site} is not registered (`forebay site list` shows those that are)\n")
    return 0


def _list(client: Any) -> int:
    found = client.hgetall(LINKS_KEY)
    if not found:
        sys.stderr.write("there is no link: `forebay share add --site SITE` makes one\n")
    for link_id, value in sorted(found.items()):
        try:
            link = Link.decode(value)
        except (ValueError, RecursionError):
            sys.stderr.write(
                f"forebay share: {link_id}: its record can't be read: `forebay share revoke {link_id}` removes it\n"
            )
            continue
        made = f"{datetime.fromtimestamp(link.made, UTC):%Y-%m-%d}"
        words = ["password" if link.password else "no password", *(f"with {one}" for one in link.shows)]
        sys.stdout.write(
            "\t".join((link_id, link.site, link.within, ", ".join(words), made, link.name)).rstrip() + "\n"
        )
    return 0


def _revoke(client: Any, said: str) -> int:
    link_id = id_of(said.rpartition("/")[2]) or said
    if not client.hdel(LINKS_KEY, link_id):
        shown = link_id if re.fullmatch(rf"\w{{1,{ID_CHARS}}}", link_id) else "with that ID"
        sys.stderr.write(f"forebay share: there is no link {shown}: `forebay share list` shows those that there are\n")
        return 1
    return 0


def _date(text: str) -> date:
    """Returns a date. Raises ArgumentTypeError."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no date like 2026-03-01") from error
