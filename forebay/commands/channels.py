"""`forebay channels list|set|remove|load|diff`: says what hosts and words are called and what they are, and what that changes.

Rows of your own come before the shipped ones, for one site (`--site`) or for every site, and stay when a later release
brings a later list. They count from the next query on, for visits of the past too. A row that is refused changes nothing.

Exit status: 0 done, 1 refused, or ClickHouse does not answer; nothing was changed then.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from forebay import config
from forebay.clickhouse import ClickHouse, ClickHouseError
from forebay.options import CLICKHOUSE_URL, DATA, declare
from forebay.sources import diff, lists
from forebay.sources.words import ROWS_MAX, Refused, Source, both_forms, resolved, rows_of, word_of
from schemas.channels import KINDS, VERSION
from schemas.host import site_name

FILE_BYTES_MAX = 1 << 20
HOSTS_SHOWN = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="print your own rows, and which shipped list is in force")
    adding = actions.add_parser("set", help="say what a host, an app or a word of utm_source is")
    adding.add_argument("word", help="partner.example (with its subdomains), com.example.app, or a word of utm_source")
    adding.add_argument("--name", default="", help="what it is called")
    adding.add_argument("--kind", help=f"what it is: {', '.join(KINDS)} (none: no source at all)")
    adding.add_argument("--like", metavar="WORD", help="the same name and kind as this other host or word")
    removing = actions.add_parser("remove", help="take a row of your own back")
    removing.add_argument("word")
    loading = actions.add_parser("load", help="take over rows of a file: word TAB name TAB kind, or word TAB =other")
    loading.add_argument("file", type=Path)
    loading.add_argument("--replace", action="store_true", help="the file is the whole list; other rows of yours go")
    comparing = actions.add_parser(
        "diff", help="print what a list would change of the last days' visits, and change nothing"
    )
    comparing.add_argument(
        "--to", help=f"a file as for `load`, or a version; without it the list of this release ({VERSION})"
    )
    comparing.add_argument("--days", type=int, default=30, help="how far back (default: 30)")
    for action in (listing, adding, removing, loading, comparing):
        action.add_argument("--site", default="", help="for this site alone; without it for every site")
        declare(action, DATA, CLICKHOUSE_URL)


def command(options: argparse.Namespace) -> int:
    settings = config.tool_settings(**vars(options))
    options.site = site_name(options.site) if options.site else ""
    try:
        client = config.clickhouse(settings)
        return ACTIONS[options.action](client, options)
    except (ClickHouseError, Refused, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"forebay channels: nothing was changed: {error}\n")
        return 1


def _list(client: ClickHouse, options: argparse.Namespace) -> int:
    shown = {site: rows for site, rows in lists.own(client).items() if options.site in {"", site}}
    for site, rows in shown.items():
        for word, (name, kind) in rows.items():
            sys.stdout.write(f"{site or '(every site)'}\t{word}\t{name}\t{kind}\n")
    sys.stderr.write(
        f"{sum(map(len, shown.values()))} of your own; shipped: the list of {lists.version_in_force(client.run)}\n"
    )
    return 0


def _set(client: ClickHouse, options: argparse.Namespace) -> int:
    own = lists.own(client)
    word = word_of(options.word)
    said = (f"={options.like}",) if options.like else (options.name, options.kind or "")
    rows = resolved({word: said}, _known(own, options.site))
    return _save(client, options.site, own.get(options.site, {}) | rows)


def _remove(client: ClickHouse, options: argparse.Namespace) -> int:
    rows, forms = lists.own(client).get(options.site, {}), both_forms(word_of(options.word))
    if not forms & rows.keys():
        raise Refused(f"{options.word!r} is no row of yours for {options.site or 'every site'}")
    return _save(client, options.site, {word: source for word, source in rows.items() if word not in forms})


def _load(client: ClickHouse, options: argparse.Namespace) -> int:
    return _save(client, options.site, _with_file(client, options.file, options.site, is_whole=options.replace))


def _diff(client: ClickHouse, options: argparse.Namespace) -> int:
    now = lists.version_in_force(client.run)
    wanted = options.to or str(VERSION)
    if wanted == str(VERSION):
        other = diff.instead(lists.SHIPPED, "", lists.shipped())
        sys.stderr.write(f"in force: the list of {now}; compared with: the list of {VERSION}\n")
    elif wanted.isdigit() and not Path(wanted).exists():
        raise Refused(f"there is no list of {wanted} here: this release has that of {VERSION}")
    else:
        other = diff.instead(lists.OWN, options.site, _with_file(client, Path(wanted), options.site, is_whole=False))
    found = diff.moves(client, other, site=options.site, days=options.days)
    _print(found, options.days)
    return 0


def _print(found: list[diff.Move], days: int) -> None:
    if not found:
        sys.stdout.write(f"nothing changes of the visits of the last {days} days\n")
        return
    channels: Counter[tuple[str, str]] = Counter()
    for move in found:
        if move.channel != move.new_channel:
            channels[move.channel, move.new_channel] += move.visits
    sys.stdout.write(f"visits of the last {days} days that change their channel: {sum(channels.values())}\n")
    for (old, new), visits in channels.most_common():
        sys.stdout.write(f"{visits}\t{old}\t->\t{new}\n")
    sys.stdout.write("\nby source:\n")
    for move in found[:HOSTS_SHOWN]:
        new = f"{move.new_name or '(none)'} ({move.new_channel})"
        sys.stdout.write(
            f"{move.visits}\t{move.source or '(none)'}\t{move.name or '(none)'} ({move.channel})\t->\t{new}\n"
        )
    if rest := found[HOSTS_SHOWN:]:
        sys.stdout.write(f"visits of other sources, {len(rest)} in all: {sum(move.visits for move in rest)}\n")


def _with_file(client: ClickHouse, path: Path, site: str, *, is_whole: bool) -> dict[str, Source]:
    """Returns a list of the user's own as it would be with the rows of a file."""
    with path.open("rb") as file:
        text = file.read(FILE_BYTES_MAX + 1)  # a pipe and a device say no size
    if len(text) > FILE_BYTES_MAX:
        raise Refused(f"{path} is larger than {FILE_BYTES_MAX} bytes: a list has at most {ROWS_MAX} rows")
    own = lists.own(client)
    rows = rows_of(text.decode("utf-8"), _known(own, site))
    return rows if is_whole else own.get(site, {}) | rows


def _known(own: Mapping[str, Mapping[str, Source]], site: str) -> dict[str, Source]:
    """Returns what a word may be likened to: whatever is in force at a site."""
    return {**lists.shipped(), **own.get("", {}), **own.get(site, {})}


def _save(client: ClickHouse, site: str, rows: Mapping[str, Source]) -> int:
    if len(rows) > ROWS_MAX:
        raise Refused(f"a list has at most {ROWS_MAX} rows, and this would be {len(rows)}")
    lists.save(client.run, site, rows)
    sys.stdout.write(f"rows of your own in force for {site or 'every site'}: {len(rows)}\n")
    return 0


ACTIONS = {"list": _list, "set": _set, "remove": _remove, "load": _load, "diff": _diff}
