"""docs/events.md names every field of an event, and the limits that hold."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from dashboard.ask.files import catalogue
from dashboard.web.panels import PANELS
from ingest.dialects.contract import STATUS
from ingest.dialects.event import Event, Limits
from ingest.fates import Reason
from schemas.acts import NO_ACTS
from schemas.reasons import EXPLAINED


def test_every_field_is_in_the_table(checkout: Path) -> None:
    """And no other."""
    lines = (checkout / "docs" / "events.md").read_text("utf-8").partition("\n## ")[0].splitlines()
    first = [line.split("|")[1] for line in lines if line.startswith("| `")]
    named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    assert named == {field.name for field in msgspec.structs.fields(Event)}


def test_its_limits_are_the_defaults(checkout: Path) -> None:
    """Numbers as the page writes them."""
    text = (checkout / "docs" / "events.md").read_text("utf-8")
    limits = Limits()
    rows = {cells[1].strip(): cells[4] for line in text.splitlines() if len(cells := line.split("|")) == 6}
    for field, said in {
        "`url`": f"{limits.url_bytes_max:,}".replace(",", " ") + " bytes",
        "`name`": f"{limits.name_chars_max} characters",
        "`title`": f"{limits.field_chars_max} characters",
        "`id`": f"{limits.id_chars_max} characters",
        "`props`": f"{limits.props_max} properties, keys of {limits.prop_key_chars_max}"
        f" and values of {limits.prop_value_chars_max} characters",
        "`ts`": f"{limits.age_ms_max // 86_400_000} days",
    }.items():
        assert said in rows[field]
    assert f"at most {limits.events_max}." in text
    assert f"{limits.event_bytes_max >> 10} KiB, a body {limits.body_bytes_max >> 20} MiB" in text


def test_reasons_on_the_page_exist(checkout: Path) -> None:
    """And what explains them leads to the page."""
    text = (checkout / "docs" / "events.md").read_text("utf-8")
    said = set(re.findall(r"`((?:url|field|name)_too_long|too_old|unknown_site|invalid_\w+)`", text))
    assert said <= {reason.value for reason in Reason}
    assert "docs/events.md" in EXPLAINED[Reason.INVALID_FIELD]


def test_every_reason_is_in_the_table(checkout: Path) -> None:
    """With the status and the explanation that a client gets, and no other."""
    table = (checkout / "docs" / "events.md").read_text("utf-8").partition("\n## Reasons\n")[2]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{reason}` | {STATUS.get(reason, 400)} | {EXPLAINED[reason]} |" for reason in Reason]


def test_names_that_mean_something_are_those_that_the_dashboard_counts(checkout: Path) -> None:
    """The table has the names and the properties that the catalogue's files and the page's panels have in them, and no others."""
    text = (checkout / "docs" / "events.md").read_text("utf-8").partition("\n## Names that mean something\n")[2]
    rows = [line.split("|") for line in text.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    sql = "\n".join(query.sql for query in catalogue().values())
    counted = set(re.findall(r"e\.name = '([^']+)'", sql)) | set(NO_ACTS)
    by_default = {"signup", "purchase"}  # goals and steps that stand in files for somebody's own
    asked = {str(panel.parameters["name"]) for panel in PANELS.values() if panel.file == "links"}
    assert {cells[1].strip(" `") for cells in rows} == counted - by_default | asked
    properties = {name for cells in rows if "propert" in cells[3] for name in re.findall(r"`(\w+)`", cells[3])} - {
        "url"
    }
    used = re.findall(r"e\.props\['(\w+)'\]", catalogue()["links"].sql + catalogue()["not_found"].sql)
    assert properties | {"url"} == set(used)
