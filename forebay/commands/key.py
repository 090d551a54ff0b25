"""`forebay key add|list|revoke`: makes, lists and revokes the keys with which programs read a site's numbers, or send events to it.

`add` prints a key once. It is not stored; Redis has its hash (schemas/keys.py). The dashboard looks up the key of each request, so a
revoked key is refused at once; ingest reads the keys each second.

The exit status is 1 if Redis does not answer or the key to revoke does not exist, and 2 if a site, name or rate is not valid.
"""

from __future__ import annotations

import argparse
import re
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Any

from forebay import config
from forebay.options import DATA, REDIS_URL, declare
from runtime import redis
from schemas.host import NoSiteName, named_site
from schemas.keys import EVERY_SITE, ID_CHARS, NAME_MAX, RATE, RATE_MAX, Key, hash_of, id_of, written
from schemas.redis.keys import KEYS_KEY, SITES_KEY


def add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a key, and print it; it can't be printed again")
    add.add_argument(
        "--site",
        action="append",
        required=True,
        help=f"a site that it is for; repeatable; '{EVERY_SITE}' is every site",
    )
    add.add_argument(
        "--scope",
        choices=("read", "write"),
        required=True,
        help="read: numbers, from the Stats API. write: events of others, from a server",
    )
    add.add_argument("--name", default="", help="what it is for, as `list` shows it")
    add.add_argument(
        "--rate", type=int, default=RATE, help=f"how many requests it may make in an hour (default: {RATE})"
    )
    listed = actions.add_parser("list", help="print the keys, without what is secret")
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("id", metavar="ID", help="as `list` shows it, or the key itself")
    for action in (add, listed, revoke):
        declare(action, DATA, REDIS_URL)


def command(options: argparse.Namespace) -> int:
    url = config.redis_url(config.tool_settings(data=options.data, redis_url=options.redis_url))
    try:
        with redis.blocking_client(url, seconds=5, is_text=True) as client:
            if options.action == "add":
                return _add(client, options)
            if options.action == "list":
                return _list(client)
            return _revoke(client, options.id)
    except redis.RedisError as error:
        sys.stderr.write(f"forebay key: Redis at {config.without_password(url)}: {error}\n")
        return 1


def _add(client: Any, options: argparse.Namespace) -> int:
    try:
        sites = sorted({named_site(said, every=EVERY_SITE) for said in options.site})
    except NoSiteName as error:
        sys.stderr.write(f"forebay key: {error}\n")
        return 2
    if faults := _faults(options):
        sys.stderr.writelines(f"forebay key: {fault}\n" for fault in faults)
        return 2
    key_id, text = written(secrets.choice)
    key = Key(
        hash=hash_of(text),
        sites=tuple(sites),
        scope=options.scope,
        name=options.name.strip(),
        rate=options.rate,
        made=int(time.time()),
    )
    if not client.hsetnx(KEYS_KEY, key_id, key.encode()):
        raise redis.RedisError(f"there is a key {key_id} already: try again")
    sys.stdout.write(f"{text}\n")
    sys.stderr.write(f"This is the only time that the key is shown. `forebay key revoke {key_id}` takes it back.\n")
    for site in sites:
        if site != EVERY_SITE and not client.hexists(SITES_KEY, site):
            sys.stderr.write(f"{site} is not registered (`forebay site list` shows those that are)\n")
    return 0


def _faults(options: argparse.Namespace) -> list[str]:
    faults = []
    if not 1 <= options.rate <= RATE_MAX:
        faults.append(f"--rate is from 1 to {RATE_MAX} requests an hour")
    if len(options.name) > NAME_MAX or not options.name.isprintable():
        faults.append(f"--name has at most {NAME_MAX} characters, all of them printable")
    return faults


def _list(client: Any) -> int:
    found = client.hgetall(KEYS_KEY)
    if not found:
        sys.stderr.write("there is no key: `forebay key add --site SITE --scope read` makes one\n")
    for key_id, value in sorted(found.items()):
        try:
            key = Key.decode(value)
        except (ValueError, RecursionError):
            sys.stderr.write(
                f"forebay key: {key_id}: its record can't be read: `forebay key revoke {key_id}` removes it\n"
            )
            continue
        made = f"{datetime.fromtimestamp(key.made, UTC):%Y-%m-%d}"
        rate = "no limit" if key.scope == "write" else f"{key.rate}/h"  # ingest counts no requests of a key
        sys.stdout.write("\t".join((key_id, key.scope, " ".join(key.sites), rate, made, key.name)).rstrip() + "\n")
    return 0


def _revoke(client: Any, said: str) -> int:
    key_id = id_of(said) or said
    if not client.hdel(KEYS_KEY, key_id):
        shown = key_id if re.fullmatch(rf"\w{{1,{ID_CHARS}}}", key_id) else "with that ID"
        sys.stderr.write(f"forebay key: there is no key {shown}: `forebay key list` shows those that there are\n")
        return 1
    return 0
