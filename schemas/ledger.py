"""The books: accepted = stored + duplicate + dead + erased + in flight, by site and minute of receipt.

Pure comparison of counts that were taken elsewhere: `accepted` from the total that the append
script moves, the others from where the events are. A key whose `accepted` moved while the
others were counted is left for the next look. Rows that are being deleted on purpose count as
erased from before the first of them goes: until the last has gone, they may be there or not.

Anybody can invent sites where the setting `sites` is `*`, and a total of each and minute would
fill Redis. Beyond TOTALS_MAX of one kind the scripts count new ones under OTHER, and a minute that
has OTHER is compared as a whole: its books still balance, without saying whose.
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
LEAVING_OF = "erasure"  # a field of the hash of what is leaving: whose it is
Key = tuple[int, str]  # minute since 1970, site


class Gap(NamedTuple):
    """Where the books don't balance; `missing` below zero means too many are accounted for."""

    minute: int
    site: str
    accepted: int
    found: int

    @property
    def missing(self) -> int:
        """Events accepted and nowhere to be found."""
        return self.accepted - self.found


def key_of(field: str) -> Key:
    """The key of a field of the accepted hash: "minute site"."""
    minute, _, site = field.partition(" ")
    return int(minute), site


def field_of(key: Key) -> str:
    """The field of a key."""
    return f"{key[0]} {key[1]}"


def totals_of(fields: Mapping[Any, Any]) -> dict[Key, int]:
    """Returns the totals that a hash of Redis keeps. What somebody else wrote into it is no total, and left out."""
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
    """Minutes of which some site is counted under OTHER."""
    return {minute for part in totals for minute, site in part if site == OTHER}


def gaps(
    before: Mapping[Key, int],
    after: Mapping[Key, int],
    *found: Mapping[Key, int],
    leaving: Mapping[Key, int] = MappingProxyType({}),
) -> list[Gap]:
    """Keys that don't balance, in order of time.

    `before` and `after` are accepted as read before and after the rest was counted. A key
    that only `found` knows is compared too: events nobody accepted are as wrong as lost ones.
    So many events as are `leaving` may be counted twice, as what they were and as erased.
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
    """A shard's events that were erased, and how many of them may still be there."""

    counts: dict[Key, int]
    leaving: dict[Key, int]


def unsure(before: Erased, after: Erased) -> dict[Key, int]:
    """How many events of a key may be counted twice, when they were counted between these two looks."""
    keys = {*before.leaving, *after.leaving, *before.counts, *after.counts}
    return {
        key: max(before.leaving.get(key, 0), after.leaving.get(key, 0))
        + abs(after.counts.get(key, 0) - before.counts.get(key, 0))
        for key in keys
    }


def _as_a_whole(counts: Mapping[Key, int], minutes: AbstractSet[int]) -> dict[Key, int]:
    """All sites of these minutes as one."""
    summed: dict[Key, int] = {}
    for (minute, site), count in counts.items():
        key = minute, OTHER if minute in minutes else site
        summed[key] = summed.get(key, 0) + count
    return summed
