"""Gives an engine with the visits of made-up sites."""

from __future__ import annotations

import pytest

from forebay.clickhouse import ClickHouse
from tests.support.dashboard.crowd import world
from tests.support.dashboard.seed import insert


@pytest.fixture(scope="module", name="seeded")
def with_visits(clickhouse: ClickHouse) -> ClickHouse:
    """Returns our tables with the visits of `crowd.world()`, anew for each module."""
    sql, body = insert(world())
    clickhouse.run(f"{sql}\n{body.decode()}", max_partitions_per_insert_block="1000")
    return clickhouse
