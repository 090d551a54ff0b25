"""Lays out the dashboard that people import into Grafana: the panels that they look at most, from the catalogue's SQL.

The shapes are those of Grafana 11 and of its official ClickHouse plugin 4 (`grafana-clickhouse-datasource`). What a panel asks for comes
from the page's list of panels (dashboard/web/panels.py), so both show the same metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from dashboard.ask.files import query_of
from dashboard.grafana.macros import BY, CHANNEL, COUNTRY, SITE, ZONE, chosen
from dashboard.grafana.statements import DAYS, UNITS, of_file, question_of, select, values_of
from dashboard.web.panels import PANELS

UID, TITLE = "forebay-sites", "Forebay: sites"
SOURCE = {"type": "grafana-clickhouse-datasource", "uid": "clickhouse"}
SITES_DAYS = 90  # sites with a pageview in so many days are offered
WIDTH = 24
NAMES = {
    "views_per_visit": "views per visit",
    "bounce_rate": "bounce rate",
    "visit_duration": "visit duration",
    "conversion_rate": "conversion rate",
    "time_on_page": "time on page",
    "scroll_depth": "scroll depth",
    "entry_page": "entry page",
    "utm_campaign": "campaign",
}
UNIT = {
    "bounce_rate": "percent",
    "percentage": "percent",
    "conversion_rate": "percent",
    "scroll_depth": "percent",
    "visit_duration": "s",
    "time_on_page": "s",
}
# Tables of the page, with the titles that they have here.
TABLES = {
    "pages": "Pages",
    "entry_pages": "Entry pages",
    "page_times": "Time on page",
    "sources": "Sources",
    "channels": "Channels",
    "utm_campaign": "Campaigns",
    "countries": "Countries",
    "devices": "Devices",
    "browsers": "Browsers",
    "systems": "Operating systems",
    "events": "Events",
}
GOAL_METRICS = ("visitors", "events", "conversion_rate")
SERIES = ("visitors", "visits", "pageviews")


def board() -> bytes:
    """Returns the file of the dashboard, as deploy/grafana has it."""
    panels: list[dict[str, Any]] = []
    for width, height, panel in _panels():
        last = panels[-1]["gridPos"] if panels else {"x": 0, "y": 0, "w": 0, "h": height}
        x, y = last["x"] + last["w"], last["y"]
        if x + width > WIDTH:
            x, y = 0, y + last["h"]
        place = {"x": x, "y": y, "w": width, "h": height}
        panels.append({"id": len(panels) + 1, "gridPos": place, "datasource": SOURCE} | panel)
    made = {
        "uid": UID,
        "title": TITLE,
        "description": "Made by `make grafana` of dashboard/queries. The range is cut in the time zone of the site.",
        "tags": ["forebay"],
        "timezone": "browser",
        "editable": False,
        "graphTooltip": 1,
        "refresh": "5m",
        "time": {"from": "now-27d/d", "to": "now/d"},
        "schemaVersion": 39,
        "version": 1,
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "title": "Forebay", "tags": ["forebay"], "asDropdown": False}],
        "panels": panels,
    }
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"


def _panels() -> list[tuple[int, int, dict[str, Any]]]:
    """Returns the panels in order, each with its width and its height."""
    totals = PANELS["totals"].metrics
    live = of_file("live", ("visitors",), is_live=True)
    money = ("currency", "revenue", "purchases", "buyers")
    shares = ("vital", "samples", "p75", "good", "middling", "poor")
    return [
        (20, 5, _stat("Totals", select(question_of(totals)), totals)),
        (4, 5, _stat("People now", f"SELECT sum(n.visitors) AS visitors FROM (\n{live}\n) AS n", ("visitors",))),
        (WIDTH, 9, _series("Visitors, visits and pageviews", select(question_of(SERIES, (DAYS,))), SERIES)),
        *((12, 9, _table_of(name, title)) for name, title in TABLES.items()),
        (12, 9, _table("Goals: events of your own", select(question_of(GOAL_METRICS, ("goal",))), GOAL_METRICS)),
        (12, 9, _series("Revenue", of_file("revenue", ("d", "currency", "revenue"), (DAYS,)), (), is_long=True)),
        (12, 9, _table("Revenue by currency", of_file("revenue", money), ())),
        (12, 9, _table("Web vitals: 75th percentile", of_file("vital_shares", shares), ())),
        (12, 9, _series("People and bots", of_file("bot_series", ("d", "people", "bots"), (DAYS,)), ())),
    ]


def _table_of(name: str, title: str) -> dict[str, Any]:
    panel = PANELS[name]
    return _table(title, select(question_of(panel.metrics, panel.dimensions)), panel.metrics)


def _target(sql: str, *, is_series: bool = False) -> list[dict[str, Any]]:
    kind = "timeseries" if is_series else "table"
    return [
        {
            "refId": "A",
            "datasource": SOURCE,
            "editorType": "sql",
            "queryType": kind,
            "format": 0 if is_series else 1,
            "rawSql": sql,
        }
    ]


def _defaults(**more: Any) -> dict[str, Any]:
    return {"unit": "none", "color": {"mode": "palette-classic"}} | more


def _overrides(metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the names and the units of columns."""
    found = []
    for name in dict.fromkeys((*metrics, *NAMES)):
        properties = [{"id": "displayName", "value": NAMES[name]}] if name in NAMES else []
        properties += [{"id": "unit", "value": UNIT[name]}] if name in UNIT else []
        if properties:
            found.append({"matcher": {"id": "byName", "options": name}, "properties": properties})
    return found


def _stat(title: str, sql: str, metrics: Sequence[str]) -> dict[str, Any]:
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {
        "type": "stat",
        "title": title,
        "fieldConfig": {"defaults": _defaults(noValue="0"), "overrides": _overrides(metrics)},
        "options": {"colorMode": "value", "graphMode": "none", "reduceOptions": reduce, "textMode": "auto"},
        "targets": _target(sql),
    }


def _table(title: str, sql: str, metrics: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "table",
        "title": title,
        "fieldConfig": {"defaults": _defaults(), "overrides": _overrides(metrics)},
        "options": {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}},
        "targets": _target(sql),
    }


def _series(title: str, sql: str, metrics: Sequence[str], *, is_long: bool = False) -> dict[str, Any]:
    """Returns bars by time. `is_long`: a column of text tells the series apart."""
    custom = {"drawStyle": "bars", "fillOpacity": 60, "lineWidth": 1, "showPoints": "never"}
    panel = {
        "type": "timeseries",
        "title": title,
        "fieldConfig": {"defaults": _defaults(min=0, custom=custom), "overrides": _overrides(metrics)},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": _target(sql, is_series=True),
    }
    return panel | (
        {"transformations": [{"id": "prepareTimeSeries", "options": {"format": "multi"}}]} if is_long else {}
    )


def _variables() -> list[dict[str, Any]]:
    """Returns the variables: the site, its zone, the unit of series, and filters."""
    days = {"{since:Date}": f"today() - {SITES_DAYS}", "{until:Date}": "today() + 1"}
    sites = query_of("sites").sql
    for place, value in days.items():
        sites = sites.replace(place, value)
    offered = f"SELECT s.site FROM (\n{sites}\n) AS s GROUP BY s.site ORDER BY sum(s.pageviews) DESC, s.site"
    # The zone of the newest copy of a day. A site without a day that is over has none.
    zone = (
        "SELECT if(count() = 0, 'UTC', argMax(toString(c.zone), c.closed_at)) AS zone"
        f" FROM forebay.closed_days AS c WHERE c.site = {chosen(SITE)}"
    )
    by = {
        "type": "custom",
        "name": BY,
        "label": "By",
        "query": ",".join(UNITS),
        "options": [{"text": unit, "value": unit, "selected": unit == UNITS[0]} for unit in UNITS],
        "current": {"text": UNITS[0], "value": UNITS[0]},
    }
    return [
        _asked(SITE, "Site", offered),
        _asked(ZONE, "Time zone", zone),
        by,
        _asked(COUNTRY, "Country", values_of("events", "country"), has_all=True),
        _asked(CHANNEL, "Channel", values_of("visits", "channel"), has_all=True),
    ]


def _asked(name: str, label: str, sql: str, *, has_all: bool = False) -> dict[str, Any]:
    """Returns a variable whose values ClickHouse is asked for, anew when the range changes."""
    query = {"refId": name, "editorType": "sql", "queryType": "table", "format": 1, "rawSql": sql}
    everything = {"includeAll": True, "current": {"text": "All", "value": "$__all"}} if has_all else {"current": {}}
    shared = {"multi": False, "refresh": 2, "sort": 0, "hide": 0, "options": [], "regex": "", "skipUrlSync": False}
    return (
        {"type": "query", "name": name, "label": label, "datasource": SOURCE, "query": query, "definition": sql}
        | shared
        | everything
    )
