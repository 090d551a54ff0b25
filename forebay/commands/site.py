"""`forebay site add|list|remove`: keeps the sites that ingest accepts events of, in Redis.

Ingest reads them again every few seconds, so nothing has to be restarted.

What is kept of each is schemas/site.py.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from msgspec import to_builtins
from msgspec.structs import replace

from forebay import config
from forebay.options import DATA, REDIS_URL, declare
from forebay.snippet import snippet
from runtime import redis
from schemas.host import is_site_name, site_name
from schemas.redis.keys import SITES_KEY
from schemas.rejected import added_up, keys_shown
from schemas.settings import ToolSettings
from schemas.site import RegisteredSite, SiteSettings

REJECTED_SHOWN = 20
LOOPBACKS = frozenset(("127.0.0.1", "::1", "localhost"))
SETTINGS = SiteSettings.__struct_fields__


def add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="register a site, or change a registered one, and print its snippet")
    add.add_argument("name", help="usually the domain: example.com")
    add.add_argument("--domain", action="append", default=[], help="another host of the same site; repeatable")
    add.add_argument(
        "--privacy",
        choices=("count", "anonymise", "drop"),
        help="what to do with events of browsers that send Sec-GPC or DNT",
    )
    add.add_argument("--keep-query", action="store_const", const=True, help="keep query strings whole")
    add.add_argument(
        "--hash-routing", action="store_const", const=True, help="count the URL's fragment as part of the page"
    )
    add.add_argument("--public-url", help="where browsers reach ingest (default: that of the running `forebay up`)")
    every = [add, actions.add_parser("list", help="print the registered sites, and which events were rejected lately")]
    remove = actions.add_parser("remove", help="accept no more events of a site; what is stored stays")
    remove.add_argument("name")
    for action in (*every, remove):
        declare(action, DATA, REDIS_URL)


def command(options: argparse.Namespace) -> int:
    settings = config.tool_settings(**vars(options))
    url = config.redis_url(settings)
    try:
        with redis.blocking_client(url, seconds=5, is_text=True) as client:
            if options.action == "list":
                return _list(client)
            name = site_name(options.name)
            if not is_site_name(name):
                sys.stderr.write(f"forebay site: {options.name!r} can't be the name of a site: use its domain\n")
                return 2
            if options.action == "remove":
                running = config.running(settings.data)
                return _remove(client, name, takes_any=running is not None and "*" in running.sites)
            return _add(client, name, options, settings)
    except (redis.RedisError, ValueError) as error:
        sys.stderr.write(f"forebay site: Redis at {_without_password(url)}: {error}\n")
        return 1


def _add(client: Any, name: str, options: argparse.Namespace, settings: ToolSettings) -> int:
    found = client.hget(SITES_KEY, name)
    site = RegisteredSite.decode(found) if found else RegisteredSite()
    domains = tuple(sorted({*site.domains, *(site_name(domain) for domain in options.domain)}))
    wanted = {key: value for key in SETTINGS if (value := getattr(options, key)) is not None}
    site = replace(site, domains=domains, settings=replace(site.settings, **wanted))
    client.hset(SITES_KEY, name, site.encode())
    url = config.public_url(settings)
    tag = snippet(url, name, hash_routing=site.settings.hash_routing)
    sys.stdout.write(f"{tag}\n")
    if urlsplit(url).hostname in LOOPBACKS:
        sys.stderr.write(
            f"Browsers on other machines can't reach {url}: write the address they use, or give it as --public-url\n"
        )
    return 0


def _list(client: Any) -> int:
    if not client.exists(SITES_KEY):
        sys.stderr.write(
            "no site is registered; events of the sites in FOREBAY_SITES and `forebay up --site` are accepted anyway\n"
        )
    for name, text in sorted(client.hgetall(SITES_KEY).items()):
        site = RegisteredSite.decode(text)
        wants = [f"{key}={value}" for key, value in to_builtins(site.settings).items()]
        sys.stdout.write("\t".join((name, " ".join(site.domains), " ".join(wants))).rstrip() + "\n")
    _say_rejected(client)
    return 0


def _say_rejected(client: Any) -> None:
    """Prints which events were rejected lately: most often an event is missing because its site is not registered."""
    seconds = time.time()
    found = added_up([client.hgetall(key) for key in keys_shown(seconds)])
    if not found:
        return
    sys.stdout.write("\nrejected in the last hour:\n")
    for one in found[:REJECTED_SHOWN]:
        ago = max(0, int(seconds) - one.last)
        last = f"{ago} s ago" if ago < 120 else f"{ago // 60} min ago"
        sys.stdout.write(f"  {one.reason:<16} {one.site:<30} {one.events:>8}  last {last}\n")
    if rest := found[REJECTED_SHOWN:]:
        sys.stdout.write(f"  and {sum(one.events for one in rest)} more of {len(rest)} others\n")


def _remove(client: Any, name: str, *, takes_any: bool) -> int:
    if not client.hdel(SITES_KEY, name):
        sys.stderr.write(f"forebay site: {name} is not registered\n")
        return 1
    if takes_any:
        sys.stderr.write(
            f"{name} is no longer registered, and its settings and other domains are gone. But this Forebay accepts events"
            f" of any site, so it goes on accepting those of {name}: to refuse them, name the accepted sites"
            " (--site or FOREBAY_SITES), or start it with a public URL\n"
        )
    return 0


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)
