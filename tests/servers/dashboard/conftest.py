"""Gives an engine with the visits of made-up sites."""

from __future__ import annotations

import pytest

from forebay.clickhouse import ClickHouse
from tests.support.closing import close_days
from tests.support.dashboard.crowd import world
from tests.support.dashboard.seed import insert
from tests.support.engine import EngineProcess
from tests.support.fresh import fresh_tables

MARK = "forebay.seeded"  # it goes with the database that the next module may drop


@pytest.fixture(scope="module", name="seeded")
def with_visits(engine: EngineProcess) -> ClickHouse:
    """Returns our tables with the visits of `crowd.world()`, every second day of which is closed; those that another module was given, if they are still there.

    A test may put in rows of a site of its own, and changes nothing else.
    """
    clickhouse = engine.tools
    if clickhouse.run(f"EXISTS TABLE {MARK}").strip() != "1":
        fresh_tables(engine)
        sql, body = insert(world())
        clickhouse.run(f"{sql}\n{body.decode()}", max_partitions_per_insert_block="1000")
        assert close_days(f"http://127.0.0.1:{engine.port}") > 20
        clickhouse.run(f"CREATE TABLE {MARK} (at DateTime) ENGINE = Memory")
    return clickhouse
