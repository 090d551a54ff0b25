"""Every query that a page gives runs on our tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.clickhouse import ClickHouse
from tests.support.fresh import engine_with_tables

PAGES = ("README.md", "deploy/*.md", "docs/*.md", "docs/how-to/*.md")


def queries_of(page: str) -> Iterator[str]:
    """Yields the SELECTs and DESCRIBEs of the page's code: blocks of SQL, what `forebay query` is given, and those in a sentence."""
    for block in re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield from (sql.strip() for sql in block.split(";") if sql.strip())
    yield from re.findall(r"forebay query \"([^\"]+)\"", page)
    rest = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`((?:SELECT\s[^`]*\sFROM|DESCRIBE)\s[^`]+)`", rest)


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[ClickHouse]:
    """Our tables on an engine of their own."""
    engine = engine_with_tables(tmp_path)
    yield engine.tools
    engine.close()


def test_every_query_of_a_page_runs(checkout: Path, clickhouse: ClickHouse) -> None:
    """Tables, columns and functions are there. What it finds is not looked at."""
    pages = sorted(path for pattern in PAGES for path in checkout.glob(pattern))
    queries = {sql for page in pages for sql in queries_of(page.read_text("utf-8"))}
    assert any("forebay.v_sessions" in sql for sql in queries)
    assert any("system.processes" in sql for sql in queries)
    for sql in sorted(queries):
        clickhouse.run(sql)
