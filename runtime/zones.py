"""Loads time zones by their names in the IANA database.

They come from the package `tzdata`, which is pinned as all packages are, and never from the machine: two machines with
different databases would hash one visitor under the salts of two days. Debian 12's, of 2025, did not know in November
2026 that Vancouver no longer changes its clocks.

Not promised: that the rules are those of today, or those that ClickHouse carries in itself. After a country decides to
change its clocks otherwise, its days are right once `tzdata` is upgraded, and in queries once ClickHouse is.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

NEAR_MAX = 3
PACKAGE = "tzdata"
NO_PLACES = frozenset(("Factory", "localtime", "posixrules"))  # no zone of a place or of an offset


class UnknownZone(ValueError):
    """Says that a name is no zone, and which names come near."""


@cache
def names() -> frozenset[str]:
    """Returns the names of all zones."""
    found = (files(PACKAGE) / "zones").read_text("ascii").split()
    return frozenset(found) - NO_PLACES


def load(name: str) -> ZoneInfo:
    """Returns a zone, the same object for the same name. Raises UnknownZone."""
    if name in names():
        return _read(name)
    near = near_names(name)
    hint = f": did you mean {' or '.join(near)}?" if near else ": use a name such as Europe/Berlin"
    raise UnknownZone(f"{name[:64]!r} is not a known time zone{hint}")


@cache
def _read(name: str) -> ZoneInfo:
    with files(PACKAGE).joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def near_names(name: str) -> list[str]:
    """Returns the zones that somebody may have meant who wrote this: by the whole name, or by the city alone."""
    wanted = _plain(name)
    known = {_plain(one): one for one in sorted(names())}
    cities: dict[str, str] = {}
    for plain, one in known.items():
        cities.setdefault(plain.rpartition("/")[2], one)
    if wanted in known:
        return [known[wanted]]
    found = [known[one] for one in difflib.get_close_matches(wanted, known, NEAR_MAX, cutoff=0.75)]
    city = wanted.rpartition("/")[2]
    found += [cities[one] for one in difflib.get_close_matches(city, cities, NEAR_MAX, cutoff=0.75)]
    return list(dict.fromkeys(found))[:NEAR_MAX]


def _plain(name: str) -> str:
    return name.strip()[:64].casefold().replace(" ", "_")
