"""What schemas/bots.py says of reasons is what ClickHouse says: `bot_score`, the view `bot_reasons`, and the words of a threshold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from forebay.clickhouse import ClickHouse
from schemas.bots import REASONS, THRESHOLD, reasons_sql, score, score_sql, word, word_sql

ALL = 1 << len(REASONS)  # the first bit that no reason has
WORDS = ("no_user_agent", "headless", "crawler", "library")  # what release 0.1.0 stored


@pytest.fixture(name="clickhouse")
def with_every_sum(clickhouse: ClickHouse) -> ClickHouse:
    """The tables, with a row for every sum of reasons, also with a bit that has no reason, and the verdicts of 0.1.0."""
    clickhouse.run("TRUNCATE TABLE forebay.events SYNC")
    clickhouse.run(f"INSERT INTO forebay.events (site, bot_reasons) SELECT 'sums', number FROM numbers({2 * ALL})")
    for old in WORDS:
        clickhouse.run(f"INSERT INTO forebay.events (site, bot) VALUES ('old', '{old}')")
    return clickhouse


def test_the_view_has_every_reason(clickhouse: ClickHouse) -> None:
    """With its bit, word, weight and meaning."""
    rows = clickhouse.rows("SELECT bit, word, weight, meaning FROM forebay.bot_reasons ORDER BY bit")
    assert [tuple(row.values()) for row in rows] == [(int(reason), *weighed) for reason, weighed in REASONS.items()]


def test_the_score_is_the_sum_of_the_weights(clickhouse: ClickHouse) -> None:
    """For every sum of reasons, in the table and in mutations; a verdict of 0.1.0 counts 100."""
    rows = clickhouse.rows(
        f"SELECT bot_reasons, bot_score, {score_sql()} AS found FROM forebay.events WHERE site = 'sums'"
    )
    assert len(rows) == 2 * ALL
    assert all(row["bot_score"] == row["found"] == score(row["bot_reasons"]) for row in rows)
    old = clickhouse.rows(f"SELECT bot_score, {score_sql()} AS found FROM forebay.events WHERE site = 'old'")
    assert [tuple(row.values()) for row in old] == [(100, 100)] * 4


@pytest.mark.parametrize("threshold", [1, 30, THRESHOLD, 60, 61, 100, 101, 500, 1_000])
def test_the_word_is_that_of_the_strongest(clickhouse: ClickHouse, threshold: int) -> None:
    """For every sum of reasons, as ingest judges; and a verdict of 0.1.0 stays as long as its 100 are enough."""
    rows = clickhouse.rows(
        f"SELECT bot_reasons, {word_sql(threshold)} AS found FROM forebay.events WHERE site = 'sums'"
    )
    assert [row for row in rows if row["found"] != word(row["bot_reasons"], threshold)] == []
    old = clickhouse.rows(f"SELECT bot, {word_sql(threshold)} AS found FROM forebay.events WHERE site = 'old'")
    assert all(row["found"] == (row["bot"] if threshold <= 100 else "") for row in old)


def test_a_verdict_of_the_first_release_is_its_own_reason(clickhouse: ClickHouse) -> None:
    """So it can be taken back, and brought back."""
    rows = clickhouse.rows(f"SELECT bot, {reasons_sql()} AS found FROM forebay.events WHERE site = 'old'")
    assert {row["bot"]: word(row["found"], THRESHOLD) for row in rows} == {old: old for old in WORDS}
    rows = clickhouse.rows(f"SELECT bot_reasons, {reasons_sql()} AS found FROM forebay.events WHERE site = 'sums'")
    assert all(row["found"] == row["bot_reasons"] for row in rows)


def test_the_statement_of_the_page_judges_as_the_command_does(clickhouse: ClickHouse, checkout: Path) -> None:
    """By the default threshold, the rows that have reasons."""
    page = (checkout / "docs" / "bots.md").read_text("utf-8")
    [statement] = re.findall(r"^```sql\n(ALTER TABLE .*?)^```$", page, re.MULTILINE | re.DOTALL)
    clickhouse.run(statement, mutations_sync="1")
    rows = clickhouse.rows("SELECT bot_reasons, bot FROM forebay.events WHERE site = 'sums'")
    assert [row for row in rows if row["bot"] != word(row["bot_reasons"], THRESHOLD)] == []
    assert clickhouse.run("SELECT count() FROM forebay.events WHERE site = 'old' AND bot != ''").strip() == "4"
