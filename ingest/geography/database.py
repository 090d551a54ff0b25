"""Finds places in a file of MaxMind's format: of MaxMind, DB-IP, IP2Location, IPinfo, or one's own.

These files differ in how they spell what they know. The country is `country.iso_code`, `country_code` or a
`country` that is a code; the region `subdivisions[0].iso_code`, `region_code`, and else a name in `subdivisions[0].names.en`,
`region`, `region_name` or `state1`; the city `city.names.en`, a `city` that is a text, or `city_name`. What is not spelt in
one of these ways is not found, and a file without a single country is refused when it is opened.

They are read by `maxminddb`, MaxMind's library, and of its readers by the one in Python, on a copy in memory. Its reader
in C, which it takes unless told otherwise, believes a file: random damage ended the process (SIGSEGV), and so did a file
that was cut short while it was mapped (SIGBUS). The one in Python raises errors, and since version 3.2 it also ends where
records point at each other. It decodes a whole record for each look-up, which takes 75 to 100 µs in GeoLite2-City,
so its callers remember what they found.

Not promised: that a file is undamaged in all its parts. What can't be read of it when it is looked up is unknown.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import maxminddb

from ingest.geography.where import DATABASE, NOWHERE, Unusable, Where, name_of, require_probes
from runtime import files
from schemas.countries import country_code

log = logging.getLogger(__name__)
FILE_BYTES_MAX = 2 << 30  # the largest on sale have 1 GB
REGION_CODE_CHARS_MAX = 3  # behind the country's (ISO 3166-2)
# What the library raises for a damaged file, beside its own error: text that is no UTF-8 is a ValueError, and a number
# or a name of another type than the format says, a TypeError.
DAMAGED = (maxminddb.InvalidDatabaseError, ValueError, TypeError)


class Database:
    """Looks addresses up in one edition of a file."""

    name = DATABASE

    def __init__(self, path: Path) -> None:
        """Reads the file into memory. Raises Unusable."""
        self._reader = _read(path)
        found = self._reader.metadata()
        self._path = path
        self._has_ipv6 = found.ip_version == 6
        self._is_damaged = False
        self.edition = f"{path} ({found.database_type}, built {_day(found.build_epoch)})"
        require_probes(self, f"{path} (its type is {found.database_type!r})")

    def of(self, address: str) -> Where:
        """Returns where an address is. What is damaged of the file is unknown, and logged once."""
        if ":" in address and not self._has_ipv6:
            return NOWHERE
        try:
            found = self._reader.get(address)
        except DAMAGED as error:
            if not self._is_damaged:
                self._is_damaged = True
                log.error("%s is damaged, and some addresses can't be looked up in it: %s", self._path, error)  # noqa: TRY400 - the stack says nothing of the file
            return NOWHERE
        return _where(found)


def _read(path: Path) -> maxminddb.Reader:
    """Returns the reader of a file that it has read whole. Raises Unusable, also for a file that is being written."""
    try:
        with files.opened(path) as source:
            before = os.fstat(source.fileno())
            if before.st_size > FILE_BYTES_MAX:
                raise Unusable(f"{path} has more than {FILE_BYTES_MAX >> 30} GiB")
            reader = _reader(source, path)
            after = os.fstat(source.fileno())
    except files.NotAFile as error:
        raise Unusable(str(error)) from error
    except OSError as error:
        raise Unusable(f"{path} can't be read: {error.strerror or error}") from error
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise Unusable(f"{path} changed while it was read")
    return reader


def _reader(source: BinaryIO, path: Path) -> maxminddb.Reader:
    """Returns the library's reader in Python, which reads a file at once and lets other threads run meanwhile."""
    try:
        return maxminddb.Reader(source, maxminddb.MODE_FD)
    except DAMAGED as error:
        raise Unusable(f"{path} is not a whole file of MaxMind's format: {error}") from error


def _day(unix_seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(unix_seconds, UTC):%Y-%m-%d}"
    except (TypeError, ValueError, OverflowError, OSError):
        return "at no time"


def _where(found: object) -> Where:
    """Returns the place that a record means."""
    if not isinstance(found, dict):
        return NOWHERE
    said = found.get("country")
    country = country_code(_of(said, "iso_code")) or country_code(found.get("country_code")) or country_code(said)
    if not country:
        return NOWHERE
    return Where(country, _region(found, country), _city(found))


def _region(found: Mapping[str, Any], country: str) -> str:
    subdivisions = found.get("subdivisions")
    widest = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else None
    for said in (_of(widest, "iso_code"), found.get("region_code")):
        code = name_of(said).upper().removeprefix(f"{country}-")
        if code.isascii() and code.isalnum() and len(code) <= REGION_CODE_CHARS_MAX:
            return f"{country}-{code}"
    for said in (_of(_of(widest, "names"), "en"), found.get("region"), found.get("region_name"), found.get("state1")):
        if name := name_of(said):
            return name
    return ""


def _city(found: Mapping[str, Any]) -> str:
    said = found.get("city")
    return name_of(_of(_of(said, "names"), "en")) or name_of(said) or name_of(found.get("city_name"))


def _of(said: object, name: str) -> object:
    """Returns a value of a map; None for what is not a map, or has no such value."""
    return said.get(name) if isinstance(said, dict) else None
