"""Fills variables and macros into the SQL of a panel as Grafana 11 and its ClickHouse plugin 4 do it, in their order.

The plugin's page in the browser first decides `$__conditionalAll` (applyConditionalAll in its CHDatasource.ts, which counts
brackets), then Grafana puts in variables (a format behind a colon: its formatRegistry), and the plugin's program on the server writes
macros (pkg/macros/macros.go). What is not known to them stays in the text, so ClickHouse refuses it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dashboard.grafana.board import TABLES
from runtime.zones import load
from schemas.days import start_of

ALL = "$__all"
MACRO = "$__conditionalAll("
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::(\w+))?\}")


def asked(sql: str, variables: Mapping[str, str], starts: int, ends: int, interval_s: int = 3_600) -> str:
    """Returns the SQL that ClickHouse is sent, for a range from `starts` to `ends` (unix s), which the picker has with milliseconds."""
    filled = _VARIABLE.sub(lambda found: _value(found, variables), _conditional(sql, variables))
    for name, text in (
        ("fromTime_ms", f"fromUnixTimestamp64Milli({starts * 1000})"),
        ("toTime_ms", f"fromUnixTimestamp64Milli({ends * 1000 + 999})"),
        ("fromTime", f"toDateTime({starts})"),
        ("toTime", f"toDateTime({ends})"),
        ("interval_s", str(max(interval_s, 1))),
    ):
        filled = filled.replace(f"$__{name}", text)
    return re.sub(
        r"\$__timeFilter\(([^()]*)\)",
        lambda found: f"{found[1]} >= toDateTime({starts}) AND {found[1]} <= toDateTime({ends})",
        filled,
    )


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    """Returns the text of a variable; without a format it is as it is, because the plugin quotes lists alone."""
    name = found[1] or found[2]
    if name not in variables:
        return found[0]
    value = variables[name]
    if found[3] is None or found[3] == "raw":
        return value
    if found[3] == "percentencode":
        return quote(value, safe="-_.~")  # encodeURIComponent, and !'()* as well
    if found[3] == "sqlstring":
        return "'" + value.replace("'", "''") + "'"
    raise ValueError(f"no panel uses the format {found[3]}")


def _conditional(sql: str, variables: Mapping[str, str]) -> str:
    """Returns the SQL without `$__conditionalAll`, the last one first."""
    while (at := sql.rfind(MACRO)) >= 0:
        arguments = _arguments(sql[at + len(MACRO) - 1 :])
        assert len(arguments) == 2, "the plugin takes this for another number of arguments, and leaves it"
        value = variables[arguments[1].strip()[1:]]
        phrase = "1=1" if value in ("", ALL) else arguments[0]
        sql = sql.replace(f"{MACRO}{arguments[0]},{arguments[1]})", phrase, 1)
    return sql


def _arguments(text: str) -> list[str]:
    """Returns what stands between the brackets that open at the beginning, divided at commas that are in no other brackets."""
    found, depth, begin = [], 0, 1
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 1:
            found.append(text[begin:at])
            begin = at + 1
        if sign == ")" and not depth:
            return [*found, text[begin:at]]
    return []


def moments(since: date, until: date, zone: str) -> tuple[int, int]:
    """Returns the first and the last second of local days, as the picker has them for whole days."""
    local = load(zone)
    return start_of(since, local), start_of(until + timedelta(days=1), local) - 1


def panels() -> dict[str, dict[str, Any]]:
    """Returns the panels of the dashboard of sites that the page has too, by the page's names for them."""
    board = json.loads((Path(__file__).parents[2] / "deploy/grafana/dashboards/sites.json").read_text("utf-8"))
    named = {title: name for name, title in TABLES.items()} | {
        "Totals": "totals",
        "Visitors, visits and pageviews": "series",
        "Revenue by currency": "revenue",
        "Web vitals: 75th percentile": "vital_shares",
        "People and bots": "bot_series",
    }
    found = {named[panel["title"]]: panel for panel in board["panels"] if panel["title"] in named}
    assert len(found) == len(named)
    return found
