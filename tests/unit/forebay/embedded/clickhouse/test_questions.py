"""A socket that nobody listens on is no answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay.clickhouse import ClickHouse, ClickHouseError


def test_a_socket_of_nobody_is_no_answer(tmp_path: Path) -> None:
    """ClickHouseError names the socket."""
    with pytest.raises(ClickHouseError, match=r"nobody\.sock"):
        ClickHouse(f"unix://{tmp_path}/nobody.sock").run("SELECT 1")
