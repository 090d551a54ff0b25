"""Counts what a worker rejected since it last told Redis, by reason and site, with at most a few hundred names."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.rejected import OTHER, Noted, shown

NAMES_MAX = 200


class Rejections:
    """Counts rejected events until they are told."""

    def __init__(self) -> None:
        self._counts: dict[Noted, int] = {}

    def note(self, site: str, reason: str, events: int = 1) -> None:
        """Counts events that were rejected: of a `site` as we know it, or as the event names it; "" if it names none."""
        self._add((reason, shown(site)), events)

    def take(self) -> dict[Noted, int]:
        """Returns the counts and forgets them: from now on they are the caller's."""
        taken, self._counts = self._counts, {}
        return taken

    def give_back(self, taken: Mapping[Noted, int]) -> None:
        """Takes back counts that could not be told."""
        for noted, events in taken.items():
            self._add(noted, events)

    def _add(self, noted: Noted, events: int) -> None:
        if noted not in self._counts and len(self._counts) >= NAMES_MAX:
            noted = noted[0], OTHER
        self._counts[noted] = self._counts.get(noted, 0) + events
