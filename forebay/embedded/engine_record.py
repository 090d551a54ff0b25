"""Records which ClickHouse wrote a data directory, and refuses the directory to another kind or an older version.

    data/clickhouse/engine.json    {"kind": "embedded", "version": "26.9.0"}

An older ClickHouse may be unable to read what a newer one wrote, or read it wrongly. The embedded engine and a server
keep their files in different places, so either would start with empty tables in the other's directory, in silence.
"""

from __future__ import annotations

import json
import logging
import os
import re
from importlib import metadata
from pathlib import Path

from runtime.durable import make_directory, sync_names

EMBEDDED, SERVER = "embedded", "server"
NAMES = {EMBEDDED: "the embedded engine", SERVER: "a ClickHouse server"}
_log = logging.getLogger(__name__)


class WrongEngine(Exception):
    """Reports that another kind of ClickHouse, or a newer one, wrote the directory. Its text says what to do."""


def embedded_version() -> str:
    """Returns the version of the embedded engine's package, without loading the engine."""
    return metadata.version("chdb-core")


def admit(directory: Path, *, kind: str, version: str) -> None:
    """Checks the directory of ClickHouse's data, and records this kind and version there. Raises WrongEngine."""
    check(directory, kind=kind, version=version)
    if _recorded(directory) == (kind, version):
        return
    try:
        make_directory(directory)
        _write(directory / "engine.json", json.dumps({"kind": kind, "version": version}) + "\n")
    except OSError as error:  # a full disk must not keep ClickHouse from starting; the next start records it
        _log.warning("which ClickHouse uses %s is not recorded: %s", directory, error)


def check(directory: Path, *, kind: str, version: str) -> None:
    """Checks that this kind and version may use the directory, and changes nothing. Raises WrongEngine."""
    found_kind, found_version = _recorded(directory)
    if found_kind not in {"", kind}:
        raise WrongEngine(
            f"{directory} was written by {NAMES.get(found_kind, found_kind)} ({found_version or 'of an unknown version'}),"
            f" not by {NAMES[kind]}: {_way_back(found_kind)}, or choose another directory with --data"
        )
    if found_version and _numbers(version) < _numbers(found_version):
        raise WrongEngine(
            f"{directory} was written by version {found_version}, and this is {version}, which is older: go back to"
            f" {found_version} or a later one, or choose another directory with --data"
        )


def _way_back(kind: str) -> str:
    if kind == SERVER:
        return "name that server in the setting clickhouse_server"
    return "leave the setting clickhouse_server out"


def _recorded(directory: Path) -> tuple[str, str]:
    """Returns the recorded kind and version, each "" if it is not known.

    Raises WrongEngine if the record can't be read.
    """
    path = directory / "engine.json"
    try:
        found = json.loads(path.read_text("utf-8"))
        return str(found["kind"]), str(found["version"])
    except FileNotFoundError:  # a directory from before there were records is the embedded engine's
        return (EMBEDDED, "") if (directory / "engine").exists() else ("", "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongEngine(f"{path} does not say which ClickHouse wrote the directory ({error}): restore it") from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_names(path.parent)
