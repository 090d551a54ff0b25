"""Where the tracker's scripts are found: by the names of the install, and each version by its hash."""

import shutil
from pathlib import Path

import pytest

from ingest.dialects.event import Limits
from ingest.dialects.table import table
from ingest.http.tracker_files import FILES, VERCEL_PATH, check_path, tracker_scripts
from schemas.tracker_names import TrackerNames, version_of


def test_the_trackers_files_are_found(checkout: Path) -> None:
    """The tracker under the name that the setting gives it, what it loads beside it, its version, and one where @vercel/analytics looks."""
    names = TrackerNames.of("/own/stats.js")
    scripts = {path.decode(): one for path, one in tracker_scripts(names).items()}
    version = names.versioned(version_of((checkout / "tracker/dist/f.js").read_bytes()))
    loaded = {f"/own/stats{ending}" for ending in FILES}
    assert set(scripts) == {"/own/stats.js", VERCEL_PATH, version, *loaded}
    assert [path for path, one in scripts.items() if one.is_immutable] == [version]
    assert b"fetchLater" in scripts["/own/stats.js"].coded.form("").body
    assert scripts[version].coded.form("br") == scripts["/own/stats.js"].coded.form("br")
    assert b"import.meta" in scripts["/own/stats.debug.js"].coded.form("").body
    assert all(one.coded.form("br").coding == "br" for path, one in scripts.items() if path != VERCEL_PATH)
    vercel = scripts[VERCEL_PATH].coded.form("").body
    assert vercel.endswith(scripts["/own/stats.js"].coded.form("").body)
    assert b"vaq" in vercel


def test_versions_of_earlier_releases_stay(checkout: Path, tmp_path: Path) -> None:
    """A page that names a version, and its hash, goes on after an upgrade."""
    shutil.copytree(checkout / "tracker/dist", tmp_path / "dist")
    (tmp_path / "dist" / "versions").mkdir()
    old = b"/* of an earlier release */"
    for ending, text in ((".js", old), (".js.br", b"compressed")):
        (tmp_path / "dist" / "versions" / f"f.{version_of(old)}{ending}").write_bytes(text)
    script = tracker_scripts(TrackerNames(), tmp_path)[f"/f.{version_of(old)}.js".encode()]
    assert script.is_immutable
    assert script.coded.form("").body == old
    assert script.coded.form("br").body == b"compressed"


@pytest.mark.parametrize("path", ["/static/app.js", "/api/event.js", "/capture.js", "/e.js"])
def test_paths_of_other_clients_are_refused(path: str) -> None:
    """A script there would never be served, or its events be read as another product's."""
    with pytest.raises(ValueError, match="other products"):
        check_path(TrackerNames.of(path), table(Limits()))


@pytest.mark.parametrize("path", ["/f.js", "/bdf/ghj.js", "/stats.js"])
def test_other_paths_are_taken(path: str) -> None:
    """The usual one, one that was made, and one of an operator's own."""
    check_path(TrackerNames.of(path), table(Limits()))
