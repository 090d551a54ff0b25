"""Describes a backup: `manifest.json`, which is written last, so a directory without one is not a whole backup.

DIR/manifest.json · redis/ · spool/ · clickhouse/engine/
"""

from __future__ import annotations

from pathlib import Path

import msgspec

NAME = "manifest.json"
FORM = 1


class NoBackup(Exception):
    """Reports that a directory is not a whole backup. Its text says why."""


class File(msgspec.Struct, frozen=True):
    """Holds a file's size in bytes and its SHA-256."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Lists what a backup holds: `files` and `links` by their path in it.

    `tables` is the mark of the tables' version. `stored` and `waiting` count events: rows in ClickHouse, and rows of
    entries behind the checkpoint.
    """

    form: int = FORM
    forebay: str
    began_at: str
    tables: str
    stored: int
    waiting: int
    erasures_unfinished: tuple[str, ...] = ()
    files: dict[str, File]
    links: dict[str, str]

    def write(self, directory: Path) -> None:
        """Writes the manifest into a backup's directory. Raises OSError."""
        text = msgspec.json.format(msgspec.json.encode(self), indent=1)
        (directory / NAME).write_bytes(text + b"\n")


def read(directory: Path) -> Manifest:
    """Reads and checks the manifest of a backup. Raises NoBackup."""
    try:
        found = msgspec.json.decode((directory / NAME).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise NoBackup(f"{directory} is not a backup, or not a whole one: it has no {NAME}") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise NoBackup(f"{directory / NAME} can't be read: {error}") from error
    if found.form != FORM:
        raise NoBackup(
            f"{directory} is of form {found.form}, this version reads {FORM}: restore it with Forebay {found.forebay}"
        )
    for name in (*found.files, *found.links):
        if name.startswith("/") or ".." in Path(name).parts:
            raise NoBackup(f"{directory / NAME} names {name!r}, which lies outside of it")
    return found
