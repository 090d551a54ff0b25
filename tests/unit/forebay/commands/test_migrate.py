"""The packaged migrations as texts: split into statements, repeatable, filled in for a cluster."""

import argparse
import re

import pytest

from forebay.clickhouse import ClickHouseError
from forebay.commands import migrate as migrations
from forebay.commands.migrate import Migration, packaged

NAMES = [migration.name for migration in packaged()]

# Each can be run again over its own result: what a second migrator, or one after a kill, does.
REPEATABLE = re.compile(
    r"(--[^\n]*\n\s*)*(CREATE (DATABASE|TABLE|MATERIALIZED VIEW|VIEW|DICTIONARY) IF NOT EXISTS|CREATE OR REPLACE |"
    r"DROP (TABLE|VIEW|DICTIONARY) IF EXISTS|ALTER TABLE \S+\s+"
    r"(ADD (COLUMN|INDEX|PROJECTION|CONSTRAINT) IF NOT EXISTS|DROP \w+ IF EXISTS|MODIFY|COMMENT|MATERIALIZE))"
)


@pytest.mark.parametrize("migration", packaged(), ids=NAMES)
def test_every_packaged_statement_can_be_repeated(migration: Migration) -> None:
    """Safety without the lock depends on this."""
    statements = migration.statements("")
    assert statements
    assert all(REPEATABLE.match(statement) for statement in statements), statements


def test_a_statement_ends_with_a_semicolon_at_the_end_of_a_line() -> None:
    """A semicolon within a line splits nothing, nor does the end of a file without one."""
    text = "-- first;\nSELECT ';' AS a, 1;\n\n-- only a comment\n;\nSELECT 2"
    assert Migration("x", text).statements("") == ["SELECT ';' AS a, 1", "SELECT 2"]


@pytest.mark.parametrize("migration", packaged(), ids=NAMES)
def test_on_a_cluster_every_table_is_replicated(migration: Migration) -> None:
    """Every statement runs ON CLUSTER, every MergeTree is Replicated, and the window is the replicated one."""
    for statement in migration.statements("main"):
        assert statement.count("ON CLUSTER 'main'") == 1
        assert not re.search(r"ENGINE = (?!Replicated)\w*MergeTree", statement)
        assert "non_replicated_deduplication_window" not in statement
        windows = statement.count("replicated_deduplication_window = 100000")
        assert statement.count("replicated_deduplication_window_seconds = 604800") == windows
        assert windows == (1 if "ENGINE = Replicated" in statement and "100000" in statement else 0)
    assert not any("${" in statement for statement in migration.statements(""))


def test_the_version_is_that_of_all_files() -> None:
    """It changes with any of them, and only then."""
    name, checksum = migrations.version().split()
    assert (name, len(checksum)) == (NAMES[-1], 64)
    assert migrations.version() == migrations.version()


def test_on_a_cluster_an_alter_is_waited_for_on_every_replica() -> None:
    """Unless it says otherwise itself: what rewrites rows goes on in the background."""
    alters = [
        statement
        for migration in packaged()
        for statement in migration.statements("main")
        if re.search(r"(?m)^ALTER TABLE", statement)
    ]
    background = [statement for statement in alters if not statement.endswith("SETTINGS alter_sync = 2")]
    assert len(alters) > len(background) > 0
    assert all(re.search(r"SETTINGS (alter|mutations)_sync = 0$", statement) for statement in background)
    assert not any("alter_sync = 2" in statement for migration in packaged() for statement in migration.statements(""))


def test_an_alter_is_sent_again_to_a_replica_that_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that has not heard of the last ALTER refuses the next one; every other error ends the migration."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    refusals = [ClickHouseError("metadata on replica is not up to date", 517)] * 2
    sent: list[str] = []

    def run(statement: str) -> str:
        sent.append(statement)
        if refusals:
            raise refusals.pop()
        return ""

    migrations._heard(run, "ALTER")
    assert sent == ["ALTER"] * 3
    refusals.append(ClickHouseError("syntax", 62))
    with pytest.raises(ClickHouseError, match="syntax"):
        migrations._heard(run, "ALTER")


def test_a_cluster_is_called_what_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, before anything is sent, which says what may be stored twice."""
    monkeypatch.setattr(migrations, "migrate", lambda *_, **__: [])
    options = argparse.Namespace(clickhouse_url="http://127.0.0.1:9", clickhouse_cluster="main")
    assert migrations.command(options) == 0
    assert "clickhouse_cluster is experimental, and events may be stored twice" in capsys.readouterr().err
    migrations.command(argparse.Namespace(clickhouse_url="http://127.0.0.1:9"))
    assert "experimental" not in capsys.readouterr().err
