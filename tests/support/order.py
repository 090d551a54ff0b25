"""Puts the dear files of tests first, so that no worker is left alone with one of them at the end.

`make test` gives each worker a whole file at a time, in this order: a file's tests share what its fixtures start. The files below
took half of the time of all tests, as last measured. Those that wait stand beside those that calculate.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

DEAR = (
    "sdks/test_sdks.py",
    "simulation/test_simulation.py",
    "e2e/test_disk_full.py",
    "e2e/test_erasing.py",
    "e2e/test_backup.py",
    "servers/flusher/blocks/test_visits.py",
    "servers/flusher/closing/test_closing.py",
    "powercut/test_powercut.py",
    "e2e/test_slow_questions.py",
    "growth/test_loops.py",
    "simulation/test_mutations.py",
    "e2e/test_redis_outage.py",
    "system/forebay/up/test_service.py",
    "system/test_redis_failover.py",
    "system/test_redis_cluster.py",
    "e2e/test_books.py",
    "e2e/test_browser.py",
    "e2e/test_restart.py",
    "e2e/test_copies.py",
    "e2e/test_rolling.py",
    "e2e/test_scripted_day.py",
    "servers/dashboard/test_filters.py",
    "servers/flusher/shards/test_stopped.py",
    "servers/schemas/test_rollups.py",
    "servers/forebay/commands/test_migrate.py",
    "system/dashboard/test_page.py",
    "system/dashboard/test_sharing.py",
    "servers/forebay/embedded/clickhouse/test_questions.py",
    "system/tracker/test_tracker_engagement.py",
    "simulation/test_nodes.py",
    "servers/flusher/test_healing.py",
)
# A folder whose tests start much before one whose tests start little.
FOLDERS = ("e2e", "powercut", "system", "servers", "growth", "simulation", "contract")
TESTS = Path(__file__).resolve().parents[1]


@cache
def rank(path: Path) -> tuple[int, int]:
    """Returns by what the files are sorted: their place among the dear ones, then that of their folder."""
    name = path.relative_to(TESTS).as_posix()
    folder = name.partition("/")[0]
    return (
        DEAR.index(name) if name in DEAR else len(DEAR),
        FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS),
    )


def gone() -> Sequence[str]:
    """Returns the names above that no file has."""
    return [name for name in DEAR if not (TESTS / name).is_file()]
