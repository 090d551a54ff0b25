"""Keeps the best source of places that can be used, and takes a new edition of it while the process runs.

In this order: the file of the setting `country_database`; the ranges of Debian's `tor-geoipdb`, where they are
installed; the registries' data that comes with pip. What can't be used at the start is left out, and the next one is in force.

Every few seconds `look` compares the files with what it saw before. Files that are others, and that two looks found the
same, are opened and probed; then they are in force. If they can't be used (half a file, another kind of file, no file),
what was in force stays in force, one line of the log says why, and it is counted. They are not tried again until they change.

Not promised: that what is in force survives the process. One that starts while a file is bad begins with the next source.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from ingest.geography.database import Database
from ingest.geography.ranges import FILES, Ranges
from ingest.geography.registries import Registries
from ingest.geography.where import NONE, NOWHERE, Source, Unusable, Where

log = logging.getLogger(__name__)
# Where Debian's package has its files, and where `make up` unpacks them.
RANGES_FOLDERS = (Path("/usr/share/tor"), Path(sys.prefix) / "share" / "tor")

Stamp = tuple[tuple[int, int, int, int], ...]  # of each file; empty while one of them is missing


class Counts(Protocol):
    """Shows which source is in force, and counts what could not be used."""

    def country_source(self, name: str) -> None: ...
    def reload_failed(self, what: Literal["country_database"]) -> None: ...


class Nothing:
    """Knows no place."""

    name = NONE
    edition = "nothing"

    def of(self, _: str) -> Where:
        return NOWHERE


class _Candidate:
    """Opens one source, and knows which edition of its files was tried last."""

    def __init__(self, opened: Callable[[], Source], paths: Sequence[Path], *, is_wanted: bool = False) -> None:
        """Takes in `is_wanted` that a setting names it, so that it is a fault if it is not there."""
        self.opened = opened
        self.is_wanted = is_wanted
        self._paths = paths
        self._seen = self._tried = self._stamp()

    @property
    def is_kept_in_files(self) -> bool:
        """Returns whether there is something to look at, and not a library of this process."""
        return bool(self._paths)

    @property
    def is_there(self) -> bool:
        return bool(self._seen) or not self._paths

    def has_settled_anew(self) -> bool:
        """Looks at the files. Returns whether they are others than those that were tried, and the same as at the last look."""
        seen, self._seen = self._seen, self._stamp()
        if self._seen != seen or self._seen == self._tried:
            return False
        self._tried = self._seen
        return True

    def _stamp(self) -> Stamp:
        try:
            found = [path.stat() for path in self._paths]
        except OSError:
            return ()
        return tuple((one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


class Newest:
    """Holds the source in force."""

    def __init__(
        self,
        *,
        database: str = "",
        folders: Sequence[Path] = RANGES_FOLDERS,
        counts: Counts | None = None,
    ) -> None:
        """Opens the first source that can be used."""
        self._counts = counts
        self._candidates: list[_Candidate] = []
        if database:
            self._candidates.append(_Candidate(partial(Database, Path(database)), [Path(database)], is_wanted=True))
        for folder in folders:
            self._candidates.append(_Candidate(partial(Ranges, folder), [folder / name for name in FILES]))
        self._candidates.append(_Candidate(Registries, []))
        self.source: Source = Nothing()
        self._in_force = len(self._candidates)
        for at, candidate in enumerate(self._candidates):
            if (candidate.is_there or candidate.is_wanted) and self._use(at):
                return
        self._say()

    def look(self) -> bool:
        """Returns whether another source is in force than before. It may read files for a second: call it in a thread."""
        for at, candidate in enumerate(self._candidates[: self._in_force + 1]):
            if not candidate.has_settled_anew():
                continue
            if not candidate.is_there and at != self._in_force and not candidate.is_wanted:
                continue  # it went away, and is neither in force nor named by a setting
            if self._use(at):
                return True
        return False

    def _use(self, at: int) -> bool:
        """Opens a source and puts it in force; returns False, and keeps what is in force, if it can't be used."""
        candidate = self._candidates[at]
        try:
            source = candidate.opened()
        except Unusable as error:
            stays = "" if self.source.name == NONE else f"; {self.source.edition} stays in force"
            log.error("countries: %s%s", error, stays)  # noqa: TRY400 - the sentence says it all
            if self._counts is not None and candidate.is_kept_in_files:
                self._counts.reload_failed("country_database")
            return False
        self.source, self._in_force = source, at
        self._say()
        return True

    def _say(self) -> None:
        log.info("countries come from %s", self.source.edition)
        if self._counts is not None:
            self._counts.country_source(self.source.name)
