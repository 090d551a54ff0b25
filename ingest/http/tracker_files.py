"""Reads the tracker's files, which are served as they are built (tracker/build.mjs).

The script has a short name, whose content changes with an upgrade, and a name with its hash, whose content never does. So that
pages that name a version go on, the versions of earlier releases are served too (tracker/dist/versions).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from ingest.collect.paths import Paths
from ingest.dialects.table import TableRow
from runtime.coded import Coded
from schemas.tracker_names import TrackerNames, version_of

# What comes behind the path that takes events: where the tracker looks for the files that a page asks for (docs/tracker.md).
FILES = (".debug.js", ".queue.js", ".vitals.js")
USUAL_PATHS = (TrackerNames().events, TrackerNames().pixel)
VERCEL_PATH = "/_vercel/insights/script.js"  # where @vercel/analytics looks for its script


class Script(NamedTuple):
    """Holds a file of the tracker, and whether its path stands for these bytes for ever."""

    coded: Coded
    is_immutable: bool = False


def tracker_scripts(names: TrackerNames, tracker: Traversable | None = None) -> dict[bytes, Script]:
    """Returns by path the tracker, its versions, the files that it loads, and the tracker as @vercel/analytics calls it."""
    tracker = files("tracker") if tracker is None else tracker
    built = tracker.joinpath("dist")
    script = built.joinpath("f.js").read_bytes()
    found = {names.file(ending): Script(_coded(built.joinpath(f"f{ending}"), built)) for ending in FILES}
    found[VERCEL_PATH] = Script(Coded(built.joinpath("vercel.js").read_bytes() + script))
    found[names.script] = Script(_coded(built.joinpath("f.js"), built))
    for one, folder in ((built.joinpath("f.js"), built), *_kept(built.joinpath("versions"))):
        found[names.versioned(version_of(one.read_bytes()))] = Script(_coded(one, folder), is_immutable=True)
    return {path.encode(): one for path, one in found.items()}


def check_path(names: TrackerNames, rows: Sequence[TableRow]) -> None:
    """Raises ValueError if one of the names is a path of the other clients' that collect."""
    paths, own = Paths(row for row in rows if row.path not in USUAL_PATHS), (names.script, names.events, names.pixel)
    for path in own:
        if paths.of(path.encode()) is not None:
            raise ValueError(f"{path} is a path of other products' clients: choose another one")


def _kept(folder: Traversable) -> Iterator[tuple[Traversable, Traversable]]:
    """Yields the scripts of earlier releases, each with its folder."""
    if folder.is_dir():
        yield from ((one, folder) for one in folder.iterdir() if one.name.endswith(".js"))


def _coded(file: Traversable, folder: Traversable) -> Coded:
    return Coded(file.read_bytes(), folder.joinpath(f"{file.name}.br").read_bytes())
