"""A backup that is restored has copies that are true, or copies that do not count, also where its tables are of different moments."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from forebay.commands.migrate import migrate
from tests.support.closed_site import ONE_MORE, Site
from tests.support.engine import EngineProcess

STORE = "SELECT data_paths[1] FROM system.tables WHERE database = 'forebay' AND name = 'events'"


@pytest.fixture(name="kept")
def with_two_backups(tmp_path: Path) -> Callable[[str, str], Path]:
    """Takes the engine's files before and after a late event, each time with all days closed.

    Returns what makes a directory of the events of one moment (`before`, `after`) and all other tables of one.
    """
    data = tmp_path / "data"
    with closing(EngineProcess(data)) as engine:
        migrate(engine.tools.run)
        site = Site(engine)
        site.fill()
        events = Path(site.run(STORE).strip()).resolve().relative_to(data.resolve())
        engine.stop()
    shutil.copytree(data, tmp_path / "before", symlinks=True)
    with closing(EngineProcess(data)) as engine:
        Site(engine).run(ONE_MORE)
        assert Site(engine).close() == 1
        engine.stop()
    data.rename(tmp_path / "after")

    def restored(of_events: str, of_others: str) -> Path:
        made = tmp_path / "restored"
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(tmp_path / of_others, made, symlinks=True)
        shutil.rmtree(made / events)
        shutil.copytree(tmp_path / of_events / events, made / events, symlinks=True)
        return made

    return restored


def test_a_backup_is_restored(kept: Callable[[str, str], Path]) -> None:
    """With tables of one moment all copies are true. With tables of two, that of the day that differs is not, and it is copied again."""
    for events, others in (("before", "before"), ("before", "after"), ("after", "before")):
        with closing(EngineProcess(kept(events, others))) as engine:
            site = Site(engine)
            assert site.agrees()
            # After the late event the copy of before is there, too, until it is swept.
            assert site.close() == (events == "after")
            assert site.agrees()
            assert site.close() == 0
