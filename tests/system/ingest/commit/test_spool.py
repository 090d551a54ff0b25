"""A spool's folder belongs to its process for as long as that lives."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import program
from tests.support.spooling import adopted, commit


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has spooled two commits, and lives."""
    with subprocess.Popen(program("spool_owner", tmp_path), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "spooled\n"
            yield process
        finally:
            process.kill()


async def test_a_living_process_keeps_its_folder_and_a_dead_ones_is_adopted(
    tmp_path: Path, owner: subprocess.Popen[str]
) -> None:
    """The lock says which it is; SIGKILL lets go of it."""
    (folder,) = tmp_path.iterdir()
    assert (await adopted(tmp_path))[0] == []
    assert folder.exists()
    owner.kill()
    owner.wait()
    found, _ = await adopted(tmp_path)
    assert found == [commit(1), commit(2)]
    assert not folder.exists()
