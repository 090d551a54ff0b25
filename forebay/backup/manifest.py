"""What a backup says of itself: `manifest.json`, written last. A directory without one is no backup.

DIR/manifest.json · redis/ · spool/ · clickhouse/engine/
"""

from __future__ import annotations

from pathlib import Path

import msgspec

NAME = "manifest.json"
FORM = 1


class NoBackup(Exception):
    """A directory is no whole backup. Its text says why."""


class File(msgspec.Struct, frozen=True):
    """Its size in bytes and SHA-256."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`files` and `links` by path from the directory; `tables` as `forebay up` marks which version left them.

    `stored` and `waiting` are events: rows in ClickHouse, and rows of entries behind the checkpoint.
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
        """Raises OSError."""
        text = msgspec.json.format(msgspec.json.encode(self), indent=1)
        (directory / NAME).write_bytes(text + b"\n")


def read(directory: Path) -> Manifest:
    """Raises NoBackup."""
    try:
        found = msgspec.json.decode((directory / NAME).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise NoBackup(f"{directory} is no backup, or one that was broken off: it has no {NAME}") from None
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
