"""forebay/clickhouse.py on a real engine: values reach a statement as they are, whatever they hold and however many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from forebay.clickhouse import ClickHouse
from tests.support.engine import EngineProcess

MINUTES_OF_AN_AUDIT = 26 * 60


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    process = EngineProcess(tmp_path_factory.mktemp("engine"))
    yield ClickHouse(f"http://127.0.0.1:{process.port}")
    process.close()


@pytest.mark.parametrize(
    "text",
    ["", "o'ann", "' OR 1 --", "a\\", "\\N", "tab\there", "two\r\nlines\n", "nul\0", "größe 🚀", "{x:String}", "--"],
)
def test_a_text_arrives_as_it_is(clickhouse: ClickHouse, text: str) -> None:
    """No character of a value is read as SQL, as an escape or as the end of a form's field."""
    assert clickhouse.rows("SELECT {value:String} AS found", {"value": text}) == [{"found": text}]


def test_all_minutes_of_an_audit_fit(clickhouse: ClickHouse) -> None:
    """They are 14 kB, more than the line of a URL may have."""
    minutes = list(range(30_000_000, 30_000_000 + MINUTES_OF_AN_AUDIT))
    found = clickhouse.rows(
        "SELECT length({minutes:Array(Int64)}) AS n, {at:Int64} AS at", {"minutes": minutes, "at": -1}
    )
    assert found == [{"n": MINUTES_OF_AN_AUDIT, "at": -1}]


def test_a_setting_goes_with_parameters(clickhouse: ClickHouse) -> None:
    """Settings stay in the URL, beside a statement that is in a form."""
    sql = "SELECT {n:UInt8}, getSetting('max_threads') FORMAT TabSeparated"
    assert clickhouse.run(sql, {"n": 7}, max_threads="3") == "7\t3\n"
