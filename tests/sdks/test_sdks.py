"""Unmodified SDKs, as people have them embedded, send to Forebay, and each of their events becomes one row."""

from pathlib import Path

from tests.sdks.campaign import faults_of
from tests.sdks.families import ALL
from tests.sdks.installed import runnable


async def test_each_event_of_an_unmodified_sdk_is_one_row(tmp_path: Path) -> None:
    """Holds whatever an SDK is answered, and also when its connection is cut or ingest is killed: no row is missing or double."""
    wrong = await faults_of(runnable(ALL), tmp_path)
    assert not wrong, "\n".join(wrong)
