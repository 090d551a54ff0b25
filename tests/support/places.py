"""Writes small files of places, of both formats that ingest reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]  # it has no types

HEAD = "# Location Database Export\n#\n# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n# License:   CC BY-SA 4.0\n#\n"
FOUR = (("8.8.8.0", "8.8.8.255", "US"), ("81.2.69.0", "81.2.70.255", "GB"))
SIX = (("2001:218::", "2001:218:ffff:ffff:ffff:ffff:ffff:ffff", "JP"),)


def database(path: Path, records: Mapping[str, Any], *, version: int = 6, kind: str = "Test") -> Path:
    """Writes a file of MaxMind's format with a record for each network, in place of what is there."""
    writer = MMDBWriter(version, kind, languages=["en"], ipv4_compatible=version == 6, description="Test")
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    written = path.with_suffix(".new")
    writer.to_db_file(str(written))
    return written.rename(path)


def country(code: str) -> dict[str, Any]:
    """Returns a record as MaxMind spells it."""
    return {"country": {"iso_code": code}}


def ranges(folder: Path, four: Sequence[Sequence[str]] = FOUR, six: Sequence[Sequence[str]] = SIX) -> Path:
    """Writes the two files of Debian's package, from ranges with addresses as people write them."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = ((str(_number(first)), str(_number(final)), code) for first, final, code in four)
    for name, lines in (("geoip", numbers), ("geoip6", six)):
        written = folder / f"{name}.new"
        written.write_text(HEAD + "".join(f"{','.join(line)}\n" for line in lines))
        written.rename(folder / name)
    return folder


def touch_later(path: Path) -> None:
    """Gives a file the next second's time, because two writes may have the same."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000_000))


def _number(address: str) -> int:
    return int.from_bytes(bytes(map(int, address.split("."))))
