"""docs/querying.md is the catalogue as it is, with the answers that it gives."""

from __future__ import annotations

from forebay.clickhouse import ClickHouse
from tests import cookbook


def test_the_page_is_made_of_the_catalogue(clickhouse: ClickHouse) -> None:
    """Whoever changes a file of the catalogue runs `make querying`. Other tests' sites would be in some of the answers."""
    cookbook.fill(clickhouse)
    assert cookbook.PAGE.read_text("utf-8") == cookbook.page(clickhouse)
