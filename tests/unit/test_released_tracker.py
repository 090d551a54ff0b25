"""What a page names by its hash is served for ever: each release keeps its tracker."""

import re
from pathlib import Path

import pytest

from ingest.http.tracker_files import tracker_scripts
from schemas.tracker_names import TrackerNames, version_of
from tests.released_tracker import DIST, keep, noted

FIRST = "0.1.0"  # whose tracker had one name


def test_every_release_has_kept_its_tracker(checkout: Path) -> None:
    """`python -m tests.released_tracker VERSION` does it."""
    *released, first = re.findall(r"^## \[(\d[^]]*)\]", (checkout / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == FIRST
    assert [*noted()] == released[::-1]


def test_what_is_kept_never_changes() -> None:
    """Each file has the hash that it is called by, both of its forms are there, and nothing else is."""
    kept = {path.name: path for path in (DIST / "versions").glob("*")}
    names = {f"f.{version}.js" for version in noted().values()}
    assert {*kept} == names | {f"{name}.br" for name in names}
    assert {f"f.{version_of(kept[name].read_bytes())}.js" for name in names} == names


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Returns a copy of what is built, before the first release with versions."""
    folder = tmp_path / "tracker" / "dist"
    folder.mkdir(parents=True)
    for path in DIST.glob("*.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    (tmp_path / "noted").touch()
    return folder


def build(dist: Path, script: bytes) -> None:
    (dist / "f.js").write_bytes(script)
    (dist / "f.js.br").write_bytes(b"compressed " + script)


def test_a_release_keeps_its_tracker_and_those_of_others(dist: Path, tmp_path: Path) -> None:
    """Two releases with two scripts and one with none of its own: all are served under their names after the next change."""
    notes = tmp_path / "noted"
    for release, script in (("0.2.0", b"first"), ("0.2.1", b"first"), ("0.3.0", b"second")):
        build(dist, script)
        keep(release, dist, notes)
    build(dist, b"third")
    assert noted(notes) == {
        "0.2.0": version_of(b"first"),
        "0.2.1": version_of(b"first"),
        "0.3.0": version_of(b"second"),
    }
    served = tracker_scripts(TrackerNames(), dist.parent)
    for script in (b"first", b"second", b"third"):
        coded = served[f"/f.{version_of(script)}.js".encode()].coded
        assert (coded.form("").body, coded.form("br").body) == (script, b"compressed " + script)


def test_what_a_release_has_kept_is_not_replaced(dist: Path, tmp_path: Path) -> None:
    """Its pages ask for these bytes. Once more with the same script changes nothing."""
    notes = tmp_path / "noted"
    place = keep("0.2.0", dist, notes)
    before = notes.read_text()
    assert keep("0.2.0", dist, notes) == place
    build(dist, b"another")
    with pytest.raises(ValueError, match=r"the tracker of 0\.2\.0 is"):
        keep("0.2.0", dist, notes)
    assert notes.read_text() == before
    assert len([*place.parent.iterdir()]) == 2
