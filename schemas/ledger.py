"""The books: accepted = stored + duplicate + dead + in flight, by site and minute of receipt.

Pure comparison of counts that were taken elsewhere: `accepted` from the total that the append
script moves, the others from where the events are. A key whose `accepted` moved while the
others were counted is left for the next look.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

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


def gaps(before: Mapping[Key, int], after: Mapping[Key, int], *found: Mapping[Key, int]) -> list[Gap]:
    """Keys that don't balance, in order of time.

    `before` and `after` are accepted as read before and after the rest was counted. A key
    that only `found` knows is compared too: events nobody accepted are as wrong as lost ones.
    """
    faults = []
    for key in sorted({*before, *(key for part in found for key in part)}):
        accepted = before.get(key, 0)
        counted = sum(part.get(key, 0) for part in found)
        if after.get(key, 0) == accepted != counted:
            faults.append(Gap(*key, accepted, counted))
    return faults
