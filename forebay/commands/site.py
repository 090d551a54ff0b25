"""`forebay site add|set|list|remove|snippet`: keeps the sites that ingest accepts events of, in Redis.

Ingest reads them again every few seconds, so nothing has to be restarted.

What is kept of each is schemas/site.py. A record is written only if it still is what was read; else it is read again and
changed again, because the dashboard and other people change it too. The exit status is 1 if Redis does not answer, or if the
site, goal, funnel or rule to change or remove does not exist. It is 2 if a name, time zone, goal, funnel or rule is not valid. In both
cases nothing is changed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from msgspec import to_builtins
from msgspec.structs import replace

from forebay import config
from forebay.commands import site_rules
from forebay.options import DATA, REDIS_URL, declare
from runtime import redis, zones
from schemas.host import NoSiteName, is_site_name, named_site, site_name
from schemas.redis.keys import SITES_KEY
from schemas.redis.scripts import script
from schemas.rejected import Rejected, added_up, keys_shown
from schemas.settings import PREFIX, ToolSettings
from schemas.site import RegisteredSite, SiteSettings
from schemas.site_keys import is_site_key
from schemas.snippet import snippet
from schemas.tracker_names import TrackerNames, made_path

REPLACE = script("replace_field")
TRIES = 20  # against others who write at the same time; two writers need two
UNREADABLE = (ValueError, RecursionError)  # what `RegisteredSite.decode` raises
REJECTED_SHOWN = 20
LOOPBACKS = frozenset(("127.0.0.1", "::1", "localhost"))
SETTINGS = SiteSettings.__struct_fields__
LIMITS = {"limit", "client_limit"}


def add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="register a site, or change a registered one, and print its snippet")
    add.add_argument("name", help="usually the domain: example.com")
    add.add_argument("--public-url", help="where browsers reach ingest (default: that of the running `forebay up`)")
    change = actions.add_parser("set", help="change a registered site; what is not named stays")
    change.add_argument("name")
    for action in (add, change):
        _add_settings(action)
        site_rules.add_options(action)
    shown = actions.add_parser("snippet", help="print the tag of a site's pages, and change nothing")
    shown.add_argument("name")
    shown.add_argument("--public-url", help="where browsers reach ingest (default: that of the running `forebay up`)")
    shown.add_argument(
        "--versioned",
        action="store_true",
        help="for this version of the script alone, with its hash (SRI); an upgrade changes it",
    )
    shown.add_argument(
        "--own-path", action="store_true", help="make a path for the script and its events that no blocker's list knows"
    )
    listed = actions.add_parser("list", help="print the registered sites, and which events were rejected lately")
    remove = actions.add_parser("remove", help="accept no more events of a site; what is stored stays")
    remove.add_argument("name")
    for action in (add, change, shown, listed, remove):
        declare(action, DATA, REDIS_URL)


def _add_settings(action: argparse.ArgumentParser) -> None:
    """Adds an option for each field of SiteSettings, by its name, and one for domains."""
    action.add_argument("--domain", action="append", default=[], help="another host of the same site; repeatable")
    action.add_argument(
        "--timezone",
        metavar="ZONE",
        help="where its days begin: America/Los_Angeles. It counts from the next midnight there",
    )
    action.add_argument(
        "--privacy",
        choices=("count", "anonymise", "drop"),
        help="what to do with events of browsers that send Sec-GPC or DNT",
    )
    switch = argparse.BooleanOptionalAction
    action.add_argument("--keep-query", action=switch, help="keep query strings whole")
    action.add_argument(
        "--revenue-needs-key", action=switch, help="take events with revenue only with a server key (`forebay key add`)"
    )
    for option, what in (("--limit", "the site"), ("--client-limit", "each client of the site")):
        action.add_argument(
            option,
            metavar="EVENTS",
            help=f"how many events {what} may send: 2000/s, 6000/min, 50/s,burst=500; off; default, which is the setting",
        )
    action.add_argument("--hash-routing", action=switch, help="count the URL's fragment as part of the page")


def command(options: argparse.Namespace) -> int:
    settings = config.tool_settings(**vars(options))
    url = config.redis_url(settings)
    running = config.running(settings.data)
    named = running.sites if running is not None else ()  # whose events are accepted without a record
    takes_any = "*" in named
    try:
        with redis.blocking_client(url, seconds=5, is_text=True) as client:
            if options.action == "list":
                return _list(client, takes_any=takes_any)
            name = named_site(options.name)
            if options.action == "snippet":
                return _snippet(client, name, options, settings, is_named=takes_any or name in named)
            if options.action == "remove":
                return _remove(client, name, takes_any=takes_any)
            if options.action == "set":
                return _set(client, name, options)
            return _add(client, name, options, settings, takes_any=takes_any)
    except site_rules.Missing as error:
        sys.stderr.write(f"forebay site: {error}\n")
        return 1
    except (NoSiteName, zones.UnknownZone, site_rules.Unfit) as error:
        sys.stderr.write(f"forebay site: {error}\n")
        return 2
    except (redis.RedisError, ValueError) as error:
        sys.stderr.write(f"forebay site: Redis at {config.without_password(url)}: {error}\n")
        return 1


def _add(client: Any, name: str, options: argparse.Namespace, settings: ToolSettings, *, takes_any: bool) -> int:
    def change(text: str) -> RegisteredSite:
        return _changed(client, _read(name, text) if text else None, options)

    site = _write(client, name, change)
    url = config.public_url(settings)
    names = config.tracker_names(settings)
    sys.stdout.write(f"{snippet(url, name, hash_routing=site.settings.hash_routing, names=names)}\n")
    _say_reach(url)
    if options.timezone is not None and (since := _zone_counts_from(site, now=_now(client), takes_any=takes_any)):
        sys.stderr.write(
            f"Days of {name} begin at midnight in {site.settings.timezone} from {since} on, and until then as before\n"
        )
    return 0


def _snippet(client: Any, name: str, options: argparse.Namespace, settings: ToolSettings, *, is_named: bool) -> int:
    text = client.hget(SITES_KEY, name)
    site = (_read(name, text) if text else None) or RegisteredSite()
    names = TrackerNames(made_path()) if options.own_path else config.tracker_names(settings)
    script = files("tracker").joinpath("dist").joinpath("f.js").read_bytes() if options.versioned else None
    url = config.public_url(settings)
    sys.stdout.write(f"{snippet(url, name, hash_routing=site.settings.hash_routing, names=names, script=script)}\n")
    if options.own_path:
        sys.stderr.write(f"It works when ingest has been started with {PREFIX}TRACKER_PATH={names.script}\n")
    _say_reach(url)
    if not text and not is_named:
        sys.stderr.write(f"{name} is not registered: `forebay site add {name}` registers it\n")
    return 0


def _say_reach(url: str) -> None:
    if urlsplit(url).hostname in LOOPBACKS:
        sys.stderr.write(
            f"Browsers on other machines can't reach {url}: write the address they use, or give it as --public-url\n"
        )


def _set(client: Any, name: str, options: argparse.Namespace) -> int:
    def change(text: str) -> RegisteredSite:
        if not text:
            raise site_rules.Missing(f"{name} is not registered: `forebay site add {name}` registers it")
        try:
            known = RegisteredSite.decode(text)
        except UNREADABLE as error:
            raise site_rules.Missing(_unreadable(name, error)) from error
        return _changed(client, known, options)

    site = _write(client, name, change)
    sys.stdout.write(_line(name, site, now=_now(client), takes_any=True))
    return 0


def _write(client: Any, name: str, change: Callable[[str], RegisteredSite]) -> RegisteredSite:
    """Writes what `change` makes of a site's text, which is empty for a new site, and returns it.

    Raises redis.RedisError, also if others change the site again and again, site_rules.Unfit for a key that is another
    site's, and what `change` raises.
    """
    for _ in range(TRIES):
        found = client.hget(SITES_KEY, name) or ""
        site = change(found)
        keys = [f'"{key}"' for key in site.keys]  # as they stand in the JSON of a record
        answer = client.eval(REPLACE, 1, SITES_KEY, name, found, site.encode_over(found), *keys)
        if answer == "ok":
            return site
        if answer == "taken":
            raise site_rules.Unfit(_taken(client, name, site.keys))
    raise redis.RedisError(f"others change {name} all the time: try again")


def _taken(client: Any, name: str, keys: Collection[str]) -> str:
    """Says which other site has one of these keys, and how it is freed."""
    for other, text in sorted(client.hgetall(SITES_KEY).items()):
        for key in keys:
            if other != name and f'"{key}"' in text:
                return f"{key} is a key of {other}: `forebay site set {other} --no-key {key}` frees it"
    return "one of the keys was another site's a moment ago: try again"


def _read(name: str, text: str) -> RegisteredSite | None:
    """Returns a site; None, and says so, if its entry can't be read. Ingest goes on with what it read of it last."""
    try:
        return RegisteredSite.decode(text)
    except UNREADABLE as error:
        sys.stderr.write(f"forebay site: {_unreadable(name, error)}\n")
        return None


def _unreadable(name: str, error: Exception) -> str:
    return f"{name}: its entry in Redis can't be read ({error}): `forebay site add {name}` writes it anew"


def _changed(client: Any, site: RegisteredSite | None, options: argparse.Namespace) -> RegisteredSite:
    """Returns the site, or a new one, with what the command line wants otherwise. Raises UnknownZone, Missing and Unfit."""
    is_new = site is None
    site = site or RegisteredSite()
    domains = tuple(sorted({*site.domains, *(site_name(domain) for domain in options.domain)}))
    wanted = {key: value for key in SETTINGS if (value := getattr(options, key)) is not None}
    zone = wanted.pop("timezone", None)
    for key in LIMITS & wanted.keys():
        wanted[key] = site_rules.limit(wanted[key])
    site = site_rules.changed(replace(site, domains=domains, settings=replace(site.settings, **wanted)), options)
    return site if zone is None else site.in_zone(zone, zones.load(zone), _now(client), is_new=is_new)


def _now(client: Any) -> int:
    """Returns the unix second by Redis's clock, which is the same for every machine on which a site is changed."""
    return int(redis.blocking_server_of(client, SITES_KEY).time()[0])


def _list(client: Any, *, takes_any: bool) -> int:
    if not client.exists(SITES_KEY):
        others = "any site" if takes_any else "the sites in FOREBAY_SITES and `forebay up --site`"
        sys.stderr.write(f"no site is registered; events of {others} are accepted anyway\n")
    now = _now(client)
    taken: set[str] = set()
    for name, text in sorted(client.hgetall(SITES_KEY).items()):
        if (site := _read(name, text)) is not None:
            sys.stdout.write(_line(name, site, now=now, takes_any=takes_any))
            taken |= {name, *site.domains, *site.keys}
    _say_rejected(client, taken)
    return 0


def _line(name: str, site: RegisteredSite, *, now: int, takes_any: bool) -> str:
    """Returns a site's name, domains and settings, and a line for each of its goals, funnels and rules.

    If its time zone is yet to count, the moment from which it does is there too.
    """
    wants = [f"{key}={value}" for key, value in to_builtins(site.settings).items()]
    if since := _zone_counts_from(site, now=now, takes_any=takes_any):
        wants.append(f"timezone_from={since}")
    first = "\t".join((name, " ".join(site.domains), " ".join(wants))).rstrip()
    return "".join(f"{line}\n" for line in (first, *site_rules.lines(site)))


def _zone_counts_from(site: RegisteredSite, *, now: int, takes_any: bool) -> str:
    """Returns the moment from which a site's time zone counts, in UTC; "" if it counts already."""
    untils = [one.until for one in site.zones_before if takes_any or not one.if_unregistered]
    since = max(untils, default=0)
    return f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%MZ}" if since > now else ""


def _say_rejected(client: Any, taken: Collection[str]) -> None:
    """Prints which events were rejected lately: most often an event is missing because its site is not registered.

    `taken` are the names, domains and keys that are registered now.
    """
    seconds = time.time()
    found = added_up([client.hgetall(key) for key in keys_shown(seconds)])
    if not found:
        return
    sys.stdout.write("\nrejected in the last hour:\n")
    for one in found[:REJECTED_SHOWN]:
        ago = max(0, int(seconds) - one.last)
        last = f"{ago} s ago" if ago < 120 else f"{ago // 60} min ago"
        sys.stdout.write(f"  {one.reason:<16} {one.site:<30} {one.events:>8}  last {last}{_remedy(one, taken)}\n")
    if rest := found[REJECTED_SHOWN:]:
        sys.stdout.write(f"  and {sum(one.events for one in rest)} more of {len(rest)} others\n")


def _remedy(one: Rejected, taken: Collection[str]) -> str:
    """Returns the command after which events of this name are accepted, where there is one."""
    if one.reason != "unknown_site":
        return ""
    if one.site in taken:
        return "  registered meanwhile"
    if is_site_key(one.site):
        return f"  `forebay site add SITE --key {one.site}`"
    return f"  `forebay site add {one.site}`" if is_site_name(one.site) else ""


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
