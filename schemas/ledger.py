"""The books: accepted = stored + duplicate + dead + erased + in flight, by site and minute of receipt.

This module compares counts that were taken elsewhere: `accepted` from the totals that the append script moves, the others
from where the events are (rule 12 of docs/delivery.md). A total whose `accepted` moved while the others were counted is left
for the next look. Rows that are being deleted on purpose are counted as erased before the first of them goes, so until the
last has gone each of them may be found twice.

Where the setting `sites` is `*`, anybody can invent sites, and a total for each of them and minute would fill Redis. So
beyond TOTALS_MAX totals of one kind the scripts add new ones to their minute's OTHER, and a minute that has OTHER is
compared as a whole: its books still balance, without naming sites.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

# Totals of one shard: 26 hours of 64 sites that have an event on it each minute, 6 MB; of names as long as a host's may
# be 30 MB. Each is read twice a minute.
TOTALS_MAX = 100_000
# Of one step of Redis's, which does nothing else meanwhile: 2 us a total, 96 ms for 40 000. A commit holds no more rows unless it is told to;
# a block can hold half a million copies, each of another invented site.
KEYS_MAX = 2_000
KEPT_MINUTES = 26 * 60  # what `forebay audit` can look back on: a day, and two hours to notice
OTHER = "(other)"  # no host and no site has parentheses
Key = tuple[int, str]  # minute since 1970, site


class Gap(NamedTuple):
    """Names a minute and site whose books don't balance: events that were accepted, and events that were found."""

    minute: int
    site: str
    accepted: int
    found: int

    @property
    def missing(self) -> int:
        """Counts the events that were accepted and not found; below zero, those that were found and never accepted."""
        return self.accepted - self.found


def key_of(field: str) -> Key:
    """Returns minute and site of a field "minute site" of a hash of totals. Raises ValueError."""
    minute, _, site = field.partition(" ")
    return int(minute), site


def field_of(key: Key) -> str:
    """Returns the field of a hash of totals for this minute and site."""
    return f"{key[0]} {key[1]}"


def totals_of(fields: Mapping[Any, Any]) -> dict[Key, int]:
    """Returns the totals in a hash of Redis. A field that is no total was written by somebody else, and is left out."""
    totals: dict[Key, int] = {}
    for field, count in fields.items():
        with contextlib.suppress(ValueError):
            totals[key_of(field.decode() if isinstance(field, bytes) else field)] = int(count)
    return totals


def bounded(totals: Mapping[Key, int]) -> dict[Key, int]:
    """Returns totals of which one script can count all: those beyond KEYS_MAX are their minutes' OTHER."""
    if len(totals) <= KEYS_MAX:
        return dict(totals)
    kept = dict(islice(totals.items(), KEYS_MAX))
    for (minute, _), count in islice(totals.items(), KEYS_MAX, None):
        kept[minute, OTHER] = kept.get((minute, OTHER), 0) + count
    return kept


def folded(*totals: Mapping[Key, int]) -> set[int]:
    """Returns the minutes in which some site is counted under OTHER."""
    return {minute for part in totals for minute, site in part if site == OTHER}


def gaps(
    before: Mapping[Key, int],
    after: Mapping[Key, int],
    *found: Mapping[Key, int],
    leaving: Mapping[Key, int] = MappingProxyType({}),
) -> list[Gap]:
    """Returns the minutes and sites whose books don't balance, in order of time.

    `before` and `after` are `accepted` as it was read before and after the rest was counted. What only `found` knows is
    compared too, because an event that was never accepted is as wrong as a lost one. As many events as are `leaving` may
    be found twice: as what they were, and as erased.
    """
    if minutes := folded(before, after, *found, leaving):
        before, after = _as_a_whole(before, minutes), _as_a_whole(after, minutes)
        found = tuple(_as_a_whole(part, minutes) for part in found)
        leaving = _as_a_whole(leaving, minutes)
    faults = []
    for key in sorted({*before, *(key for part in found for key in part)}):
        accepted = before.get(key, 0)
        counted = sum(part.get(key, 0) for part in found)
        if after.get(key, 0) == accepted and not accepted <= counted <= accepted + leaving.get(key, 0):
            faults.append(Gap(*key, accepted, counted))
    return faults


class Erased(NamedTuple):
    """Counts a shard's events that were erased, and those of them that ClickHouse may still hold."""

    counts: dict[Key, int]
    leaving: dict[Key, int]


def unsure(before: Erased, after: Erased) -> dict[Key, int]:
    """Counts the events that may be found twice by whoever counts between these two looks."""
    keys = {*before.leaving, *after.leaving, *before.counts, *after.counts}
    return {
        key: max(before.leaving.get(key, 0), after.leaving.get(key, 0))
        + abs(after.counts.get(key, 0) - before.counts.get(key, 0))
        for key in keys
    }


def _as_a_whole(counts: Mapping[Key, int], minutes: AbstractSet[int]) -> dict[Key, int]:
    """Adds up all sites of these minutes under OTHER."""
    summed: dict[Key, int] = {}
    for (minute, site), count in counts.items():
        key = minute, OTHER if minute in minutes else site
        summed[key] = summed.get(key, 0) + count
    return summed
