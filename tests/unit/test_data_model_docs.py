"""docs/data-model.md names what there is: routes, metrics, keys, tables and columns, and nothing that is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from dashboard.metrics import Metrics as DashboardMetrics
from flusher.metrics import Metrics as FlusherMetrics
from forebay.commands.migrate import packaged
from ingest.dialects.event import Limits
from ingest.dialects.table import table
from ingest.metrics import Metrics as IngestMetrics
from schemas.redis import keys
from schemas.redis.keys import CheckpointField, Keys

DAY = "2026-11-28"
SHARD = Keys(7)
MADE = re.compile(r"CREATE (?:OR REPLACE )?(?:TABLE|VIEW|MATERIALIZED VIEW)(?: IF NOT EXISTS)? forebay\.(\w+)")
DROPPED = re.compile(r"DROP TABLE IF EXISTS forebay\.(\w+)")
COLUMN = re.compile(r"^    `(\w+)` ", re.MULTILINE)
ADDED = re.compile(r"ADD COLUMN IF NOT EXISTS `(\w+)`")


@pytest.fixture(scope="module")
def page(checkout: Path) -> dict[str, str]:
    """The page's sections, by heading."""
    text = (checkout / "docs" / "data-model.md").read_text("utf-8")
    parts = re.split(r"^##+ (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def code(section: str) -> set[str]:
    """What stands as code in a section."""
    return set(re.findall(r"`([^`]+)`", section))


def first_column(section: str) -> set[str]:
    """What stands as code in the first column of a section's tables."""
    cells = (line.split("|")[1] for line in section.splitlines() if line.startswith("| "))
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def statements() -> str:
    return "\n".join(migration.text for migration in packaged())


def test_every_collecting_route_is_there(page: dict[str, str], checkout: Path) -> None:
    """With its methods: here, or where the other families' clients are described."""
    said = " ".join(first_column(page["The public port"]))
    for other in (checkout / "docs").glob("compatibility*.md"):
        said += " " + " ".join(code(re.sub(r"```.*?```", "", other.read_text("utf-8"), flags=re.DOTALL)))
    for row in table(Limits()):
        assert re.search(rf"\b{row.method} {re.escape(row.path)}", said), f"{row.method} {row.path}"


def test_metrics_are_those_that_there_are(page: dict[str, str]) -> None:
    """No other, and none is missing."""
    names = {"forebay_build_info"}
    for kind in (IngestMetrics, FlusherMetrics, DashboardMetrics):
        registry = CollectorRegistry()
        kind(registry)
        suffix = {"counter": "_total", "info": "_info"}
        names |= {family.name + suffix.get(family.type, "") for family in registry.collect()}
    own = {name for name in names if name.startswith("forebay_")}
    assert {name for name in first_column(page["Metrics"]) if name.startswith("forebay_")} == own


def test_keys_of_a_shard_are_those_that_there_are(page: dict[str, str]) -> None:
    """No other, and none is missing."""
    names = {getattr(SHARD, name) for name in Keys.__slots__ if name != "shard"} | {SHARD.aside_entry("ID")}
    assert first_column(page["Keys of a shard"]) == {name.replace("{7}", "{k}") for name in names}


def test_keys_of_the_installation_are_those_that_there_are(page: dict[str, str]) -> None:
    """No other, and none is missing."""
    dated = {keys.SALT_KEYS.replace("*", "START"), keys.rewritten_key(DAY).replace(DAY, "YYYY-MM-DD")}
    dated.add(keys.rate_key("ID", 0)[:-1] + "HOUR")
    dated.add(keys.limit_key(0).replace("0" * 16, "HASH"))
    dated |= {keys.sessions_key("ID"), keys.devices_key("ID"), keys.attempts_key("HASH")}
    fixed = {value for name, value in vars(keys).items() if name.endswith("_KEY")}
    assert first_column(page["Keys of the installation"]) == {*dated, *fixed, keys.rejected_key(0)[:-1] + "N"}


def test_fields_of_the_checkpoint_are_those_that_there_are(page: dict[str, str]) -> None:
    """No other, and none is missing; those of an edge or of an erasure say so."""
    said = first_column(page["Fields of the checkpoint"])
    assert {re.sub(r":[A-Z]+$", "", name) for name in said} == set(CheckpointField)
    assert "verdict:EDGE" in said
    assert "erasure:ID" in said


def test_every_table_and_view_is_there(page: dict[str, str]) -> None:
    """Those that are there when every migration has run."""
    there = set()
    for statement in (one for migration in packaged() for one in migration.statements("")):
        there |= set(MADE.findall(statement))
        there -= set(DROPPED.findall(statement))
    assert {"events", "daily"} <= there
    assert there <= code(page["ClickHouse"])


def test_every_column_of_events_is_there(page: dict[str, str]) -> None:
    """As something a reader can look for."""
    first = packaged()[0].text
    columns = {*COLUMN.findall(first), *ADDED.findall(statements())}
    assert {"site", "late", "agent_kind"} <= columns
    assert columns <= code(page["ClickHouse"])
