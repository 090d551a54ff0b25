"""The data directory of each release is opened by this one: nothing is lost, nothing is there twice, the books balance."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from runtime.version import version
from tests.release_fixture import EXPECTED, FIXTURES, path_of, send
from tests.support.command import told_of
from tests.support.system import System

ARCHIVES = sorted(FIXTURES.glob("release-*.tar.xz"))


def opened(archive: Path, directory: Path) -> dict[str, Any]:
    """Unpacks a fixture; what it says of itself."""
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11 has it from 3.11.4 on
        packed.extractall(directory)  # noqa: S202  our own; its links stay inside
    expected: dict[str, Any] = json.loads((directory / EXPECTED).read_text())
    return expected


def test_the_first_release_has_a_fixture() -> None:
    """Without one the test below would open nothing."""
    assert "release-0.1.0.tar.xz" in [archive.name for archive in ARCHIVES]
    assert version()


@pytest.mark.parametrize("archive", ARCHIVES, ids=[archive.name for archive in ARCHIVES])
async def test_the_data_directory_of_a_release_is_opened(tmp_path: Path, archive: Path) -> None:
    """It was killed while entries waited in Redis and in the spool: all are stored, once. Its dead letter can be retried."""
    expected = opened(archive, tmp_path)
    system = System(tmp_path, "--site", "new.example")
    system.start()
    try:
        facts = await system.ready()
        await system.stored("1", expected["events"])
        await system.until(lambda: not list((system.data / "spool").glob("*/*.spool")))
        status, said = await told_of(system, "audit")
        assert (status, said.startswith("the books balance: ")) == (0, True), said
        paths = {path_of(number) for number in range(expected["events"] + 1)} - {expected["dead"]}
        assert await stored(system) == sorted(paths)
        assert (await system.ask("SELECT sum(events) FROM forebay.daily"))[0][0] == len(paths)
        status, said = await told_of(system, "site", "list")
        assert (status, expected["site"] in said) == (0, True), said
        assert await told_of(system, "dead", "retry", "--all") == (0, "retry: 1\n")
        send(facts["url"], [expected["events"] + 1])
        paths |= {expected["dead"], path_of(expected["events"] + 1)}
        await system.stored("1", len(paths))
        assert await stored(system) == sorted(paths)
        status, said = await told_of(system, "audit")
        assert status == 0, said
        assert await system.stop() == 0
    finally:
        system.close()


async def stored(system: System) -> list[str]:
    """Returns the path of every event that ClickHouse holds, as often as it holds it."""
    return sorted(row[0] for row in await system.ask("SELECT path FROM forebay.events"))
