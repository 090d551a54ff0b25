"""The packaged migrations as texts: split into statements, repeatable, filled in for a cluster."""

import re

import pytest

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
    assert not any("${" in statement for statement in migration.statements(""))


def test_the_version_is_that_of_all_files() -> None:
    """It changes with any of them, and only then."""
    name, checksum = migrations.version().split()
    assert (name, len(checksum)) == (NAMES[-1], 64)
    assert migrations.version() == migrations.version()
