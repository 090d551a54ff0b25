"""Some statements change a session, and others don't."""

from __future__ import annotations

import pytest

from forebay.embedded.clickhouse.sessions import changes_session
from forebay.embedded.clickhouse.sql import read


@pytest.mark.parametrize(
    ("sql", "may_change"),
    [
        ("SELECT 1", False),
        ("WITH 1 AS a SELECT a", False),
        ("INSERT INTO t VALUES (1)", False),
        ("CREATE TABLE t (n UInt8) ENGINE = Memory", False),
        ("SET a = 1", True),
        ("use system", True),
        ("CREATE /* a */ TEMPORARY TABLE t (n UInt8)", True),
        ("create or replace temporary table t (n UInt8)", True),
        ("BEGIN TRANSACTION", True),
        ("whatever comes", True),
    ],
)
def test_which_statements_may_change_a_session(sql: str, may_change: bool) -> None:
    """All do except those that are known to leave nothing."""
    assert changes_session(read(sql.encode())) == may_change
