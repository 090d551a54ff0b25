"""Gives tests our tables as a migration leaves them, without a migration, which takes 1.4 s of CPU.

An engine that tests share gets them emptied, if they still are as they were made. What was emptied knows no tokens of earlier
INSERTs, as new tables do; the numbers of its parts go on. An engine of a test's own begins with a copy of ready ones.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from forebay.clickhouse import ClickHouse
from forebay.commands.migrate import migrate, version
from tests.support.engine import EngineProcess

# What a migration puts in, and says what it did; all other tables are empty then.
FILLED = ("forebay_migrations", "source_lists", "source_index")
SHAPE = "SELECT name, create_table_query FROM system.tables WHERE database = 'forebay' ORDER BY name FORMAT TSV"
CONTENT = " UNION ALL ".join(
    f"SELECT '{name}', count(), sum(cityHash64(*)) FROM forebay.{name}" for name in FILLED
)  # of a table in the order of its parts, which changes nothing here
ROWS = "SELECT name FROM system.tables WHERE database = 'forebay' AND total_rows > 0 ORDER BY name FORMAT TSV"
MUTATIONS = "SELECT count() FROM system.mutations WHERE database = 'forebay' AND NOT is_done FORMAT TSV"


def fresh_tables(engine: EngineProcess) -> ClickHouse:
    """Returns the client of our own commands, with tables in which nothing is but what a migration puts there."""
    run = engine.tools.run
    run("SYSTEM START MERGES")
    made = engine.made
    if made and _looks(engine) == made:
        for name in run(ROWS).split():
            if name not in FILLED:
                run(f"TRUNCATE TABLE forebay.{name} SYNC")
    else:
        run("DROP DATABASE IF EXISTS forebay SYNC")
        migrate(run)
        engine.made = _looks(engine)
    return engine.tools


def _looks(engine: EngineProcess) -> str:
    """Returns what the tables are, what a migration put there, and how many changes of rows are under way."""
    run = engine.tools.run
    shape = run(SHAPE)
    if any(f"{name}\t" not in shape for name in FILLED):
        return shape
    return shape + run(f"SELECT * FROM ({CONTENT}) ORDER BY 1 FORMAT TSV") + run(MUTATIONS)


@cache
def ready_tables() -> Path:
    """Returns a data directory in which a first start has made the tables, and stored nothing. It goes when the tests end."""
    folder = tempfile.TemporaryDirectory(prefix="forebay-tables-")
    atexit.register(folder.cleanup)
    data = Path(folder.name) / "data"
    engine = EngineProcess(data / "clickhouse")
    try:
        migrate(engine.tools.run, is_alone=True)
        engine.stop()
    finally:
        engine.close()
    (data / "tables").write_text(version(), "ascii")
    for path in (data, *data.rglob("*")):  # as `forebay up` leaves them
        path.chmod(0o700 if path.is_dir() else 0o600)
    return data


def engine_with_tables(data: Path, **options: Any) -> EngineProcess:
    """Starts an engine of one's own, with tables, on a directory in which there is none."""
    shutil.copytree(ready_tables() / "clickhouse", data, symlinks=True, dirs_exist_ok=True)
    return EngineProcess(data, **options)
