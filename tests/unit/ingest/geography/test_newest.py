"""ingest/geography/newest.py: which source is in force, and that nothing bad ever is."""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path

import pytest

from ingest.geography.newest import Newest
from tests.support.places import FOUR, country, database, ranges, touch_later


class Counts:
    def __init__(self) -> None:
        self.shown = ""
        self.failed: Counter[str] = Counter()

    def country_source(self, name: str) -> None:
        self.shown = name

    def reload_failed(self, what: str) -> None:
        self.failed[what] += 1


@pytest.fixture
def counts() -> Counts:
    return Counts()


def looked(newest: Newest) -> bool:
    """Looks until files have settled."""
    return newest.look() or newest.look()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return database(tmp_path / "country.mmdb", {"8.8.8.0/24": country("FR")})


def test_the_best_source_that_is_there_is_in_force(path: Path, tmp_path: Path, counts: Counts) -> None:
    """The setting's, then Debian's, then what comes with pip."""
    folder = ranges(tmp_path / "tor", (("8.8.8.0", "8.8.8.255", "DE"),))
    absent = tmp_path / "absent"
    for name, code, newest in (
        ("database", "FR", Newest(database=str(path), folders=[absent, folder], counts=counts)),
        ("tor-geoipdb", "DE", Newest(folders=[absent, folder], counts=counts)),
        ("iptocc", "US", Newest(folders=[absent], counts=counts)),
    ):
        assert (newest.source.name, newest.source.of("8.8.8.8").country) == (name, code)
    assert counts.shown == "iptocc"
    assert not counts.failed  # a package that is not installed is not a failure


def test_the_source_in_force_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once, at the start."""
    with caplog.at_level(logging.INFO):
        newest = Newest(database=str(path), folders=())
        assert not looked(newest)
    assert [record.message for record in caplog.records] == [f"countries come from {newest.source.edition}"]


def test_a_start_on_a_bad_file_takes_the_next_source(
    tmp_path: Path, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that starts again must not end for a file that went bad since the tier started."""
    folder = ranges(tmp_path / "tor")
    (folder / "geoip").write_text("half,")
    newest = Newest(database=str(tmp_path / "gone.mmdb"), folders=[folder], counts=counts)
    assert newest.source.name == "iptocc"
    assert counts.failed == {"country_database": 2}
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 2
    database(tmp_path / "gone.mmdb", {"8.8.8.0/24": country("FR")})
    assert looked(newest)
    assert newest.source.of("8.8.8.8").country == "FR"


def test_a_new_edition_is_in_force_once_two_looks_found_it(path: Path, counts: Counts) -> None:
    """Whoever writes a file in place is not read in the middle of it."""
    newest = Newest(database=str(path), folders=(), counts=counts)
    assert not newest.look()
    database(path, {"8.8.8.0/24": country("DE")})
    assert not newest.look()
    assert newest.source.of("8.8.8.8").country == "FR"
    assert newest.look()
    assert newest.source.of("8.8.8.8").country == "DE"
    assert not newest.look()
    assert not counts.failed


def test_a_file_that_grows_is_not_read_before_it_stands_still(path: Path, counts: Counts) -> None:
    """A slow download in place: each look finds another size."""
    whole = database(path.with_name("whole"), {"8.8.8.0/24": country("DE")}).read_bytes()
    newest = Newest(database=str(path), folders=(), counts=counts)
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        assert not newest.look()
    assert not counts.failed
    path.write_bytes(whole)
    touch_later(path)
    assert looked(newest)
    assert newest.source.of("8.8.8.8").country == "DE"


@pytest.mark.parametrize("what", ["truncated", "rubbish", "empty", "gone", "no country", "a folder"])
def test_a_bad_edition_leaves_the_last_good_one_in_force(
    path: Path, counts: Counts, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted once and logged once, however often it is looked at, and a good one mends it."""
    newest = Newest(database=str(path), folders=(), counts=counts)
    good = path.read_bytes()
    if what == "truncated":
        os.truncate(path, len(good) // 2)
    elif what in {"gone", "a folder"}:
        path.unlink()
        if what == "a folder":
            path.mkdir()
    elif what == "no country":
        database(path, {"8.8.8.0/24": {"asn": 1}})
    else:
        path.write_bytes(b"" if what == "empty" else os.urandom(len(good)))
    for _ in range(5):
        assert not newest.look()
    assert newest.source.of("8.8.8.8").country == "FR"
    assert counts.failed == {"country_database": 1}
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert str(path) in record.message
    assert f"{newest.source.edition} stays in force" in record.message
    if what == "a folder":
        path.rmdir()
    path.write_bytes(good)
    touch_later(path)
    assert looked(newest)
    assert newest.source.of("8.8.8.8").country == "FR"
    assert counts.failed == {"country_database": 1}


def test_ranges_that_are_installed_later_come_into_force(tmp_path: Path, counts: Counts) -> None:
    """They stay in force when the package is removed. One of its two files alone is not used."""
    newest = Newest(folders=[tmp_path / "tor"], counts=counts)
    assert counts.shown == "iptocc"
    folder = ranges(tmp_path / "tor")
    (folder / "geoip6").rename(folder / "away")
    assert not looked(newest)
    (folder / "away").rename(folder / "geoip6")
    assert looked(newest)
    assert counts.shown == "tor-geoipdb"
    ranges(folder, [*FOUR, ("193.0.0.0", "193.0.255.255", "NL")])
    assert looked(newest)
    assert newest.source.of("193.0.6.139").country == "NL"
    assert not counts.failed
    (folder / "geoip").unlink()
    assert not looked(newest)
    assert counts.failed == {"country_database": 1}
    assert newest.source.of("193.0.6.139").country == "NL"
