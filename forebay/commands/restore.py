"""`forebay restore DIR --data NEW`: makes a data directory from a backup, for `forebay up --data NEW`.

Every file is compared with the manifest while it is copied. The directory gets its name at the end, after an fsync.
Exit status: 0 it is made, 1 the backup is not whole or there is no room, 2 nothing was begun.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from forebay import config, modes
from forebay.backup import files, manifest
from forebay.backup.files import Unheld
from forebay.backup.manifest import Manifest, NoBackup
from runtime.durable import make_directory, sync_names


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="the backup")
    parser.add_argument("--data", help="the data directory to make: empty, or not there yet (default: ./forebay-data)")
    parser.add_argument("--check", action="store_true", help="only compare the backup's files with its manifest")


def command(options: argparse.Namespace) -> int:
    os.umask(modes.OTHERS)
    settings = config.tool_settings(data=options.data)
    data = Path(settings.data).resolve()
    part = data.with_name(f"{data.name}.part")
    try:
        found = manifest.read(options.directory)
        if options.check:
            _check(options.directory, found)
            sys.stdout.write(f"{options.directory} is what was written: {len(found.files)} files\n")
            return 0
        if os.path.lexists(data) and (not data.is_dir() or any(data.iterdir())):
            sys.stderr.write(f"forebay restore: {data} is not empty: nothing is overwritten\n")
            return 2
        shutil.rmtree(part, ignore_errors=True)
        _restored(options.directory, found, part)
        part.rename(data)
        sync_names(data.parent)
    except (NoBackup, Unheld, OSError) as error:
        shutil.rmtree(part, ignore_errors=True)
        sys.stderr.write(f"forebay restore: {error}\n")
        return 1
    sys.stdout.write(
        f"{data}: as of {found.began_at}, {found.stored} events stored, {found.waiting} waiting.\n"
        f"Start it: forebay up --data {data}. Erasures that were made since then have to be made again"
        + (
            ", and `forebay erase --finish` goes on with those that were under way.\n"
            if found.erasures_unfinished
            else ".\n"
        )
    )
    return 0


def _restored(directory: Path, found: Manifest, part: Path) -> None:
    make_directory(part)
    for source in directory.rglob("*"):  # also empty directories
        if source.is_dir() and not source.is_symlink():
            (part / source.relative_to(directory)).mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, file in found.files.items():
        if files.copy(directory / name, part / name, file.size) != file.sha256:
            raise Unheld(f"{directory / name} is not what was written")
    for name, where in found.links.items():
        (part / name).symlink_to(where)
    (part / "clickhouse" / "unclean").touch()  # the engine was copied as a kill at that moment would have left it
    (part / "tables").write_text(found.tables, "ascii")
    files.sync_all(part)


def _check(directory: Path, found: Manifest) -> None:
    for name, file in found.files.items():
        if files.digest(directory / name) != (file.size, file.sha256):
            raise Unheld(f"{directory / name} is not what was written")
    for name, where in found.links.items():
        if str((directory / name).readlink()) != where:
            raise Unheld(f"{directory / name} leads elsewhere")
