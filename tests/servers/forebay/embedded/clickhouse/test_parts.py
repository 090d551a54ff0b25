"""After an unclean end the embedded engine says what it can't read, and rebuilds projections: on a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.clickhouse import ClickHouse
from tests.support.engine import EngineProcess
from tests.support.fresh import engine_with_tables
from tests.support.waiting import wait_until

EVENTS = """
INSERT INTO forebay.events (ts, received_at, site, name, url, block_id)
SELECT now(), now(), 's', 'pageview', concat('https://s.example/', toString(number % 5)), '{}' FROM numbers(50)
"""
COUNTS = (
    "SELECT (SELECT count() FROM forebay.events WHERE late = 0), (SELECT sum(events) FROM forebay.daily),"
    " (SELECT sum(n) FROM (SELECT count() AS n FROM forebay.events GROUP BY toStartOfFifteenMinutes(ts)))"
)
PROJECTIONS = (
    "SELECT countIf(is_broken), countIf(rows > 0) FROM system.projection_parts WHERE active AND database = 'forebay'"
)


class Scene:
    """Holds an engine with our tables, which is killed and started again on what is left of it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._errors = (data / "errors").open("w+")
        self.engine = engine_with_tables(data, errors=self._errors)

    @property
    def client(self) -> ClickHouse:
        return ClickHouse(f"http://127.0.0.1:{self.engine.port}")

    def parts(self) -> list[Path]:
        """Returns the parts of `events`, the oldest first."""
        uuid = self.client.run("SELECT uuid FROM system.tables WHERE database = 'forebay' AND name = 'events'").strip()
        return sorted((self.data / "engine" / "store" / uuid[:3] / uuid).glob("2*_*_*_*"))

    def start(self) -> None:
        self.engine.close()
        self.engine = EngineProcess(self.data, errors=self._errors)

    def said(self) -> str:
        """Returns what the engine's process logged."""
        return (self.data / "errors").read_text()

    def close(self) -> None:
        self.engine.close()
        self._errors.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Gives an engine with two parts of 50 rows."""
    scene = Scene(tmp_path)
    scene.client.run("SYSTEM STOP MERGES forebay.events")
    for block in ("a", "b"):
        scene.client.run(EVENTS.format(block))
    yield scene
    scene.close()


def emptied(directory: Path) -> None:
    """Empties files, as a power cut does to those that were not fsynced."""
    for path in directory.iterdir():
        if path.is_file():
            path.write_bytes(b"")


@pytest.mark.parametrize("projection", ["daily", "quarter_hours", "session_days"])
def test_a_projection_that_was_not_on_disk_is_built_anew(scene: Scene, projection: str) -> None:
    """Until then its rows themselves are counted and its part is not merged; afterwards all is as before."""
    _, part = scene.parts()
    scene.engine.kill()
    emptied(part / f"{projection}.proj")
    scene.start()
    assert scene.client.run(COUNTS) == "100\t100\t100\n"
    wait_until(lambda: scene.client.run(PROJECTIONS) == "0\t6\n")
    assert scene.client.run(COUNTS) == "100\t100\t100\n"
    assert f"the projection {projection} of 1 parts of forebay.events (50 rows) is broken" in scene.said()


def test_a_part_that_is_gone_for_good_is_named_with_its_rows(scene: Scene) -> None:
    """No other part holds its rows, so they are missing, and the log says so."""
    _, part = scene.parts()
    scene.engine.kill()
    (part / "data.bin").write_bytes(b"")
    scene.start()
    assert scene.client.run(COUNTS) == "50\t50\t50\n"
    assert f"set aside as broken-on-start_{part.name}: 50 rows; other parts hold 0 of these rows" in scene.said()
    scene.engine.kill()
    scene.start()
    assert scene.said().count("is set aside") == 1, "each part is said once"


def test_a_merged_part_that_was_not_on_disk_is_replaced_by_what_it_was_made_of(scene: Scene) -> None:
    """The parts that it replaced still exist, so nothing is missing."""
    scene.client.run("SYSTEM START MERGES forebay.events")
    scene.client.run("OPTIMIZE TABLE forebay.events FINAL")
    merged = max(scene.parts(), key=lambda path: int(path.name.split("_")[3]))
    scene.engine.kill()
    emptied(merged)
    scene.start()
    assert scene.client.run(COUNTS) == "100\t100\t100\n"
    assert f"set aside as broken-on-start_{merged.name}" in scene.said()
    assert "an unknown number of rows; other parts hold 100 of these rows" in scene.said()


def test_a_clean_end_leaves_nothing_to_look_at(scene: Scene) -> None:
    """Changes to the files of a stopped engine are not taken for a power cut."""
    _, part = scene.parts()
    assert scene.engine.stop() == 0
    emptied(part / "daily.proj")
    scene.start()
    assert scene.client.run(COUNTS) == "100\t100\t100\n"
    assert "unclean" not in scene.said()
