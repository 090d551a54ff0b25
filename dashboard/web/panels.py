"""Lists the panels of the page: what each of them asks for.

A panel asks either for metrics by dimensions, or for one file of the catalogue, whose columns it then shows unchanged. The page sends a
name of this list to `POST /api/panel`; dashboard/page/src/types.ts has the shapes, and dashboard/page/src/words.ts the titles.
"""

from __future__ import annotations

import msgspec

VISIT = ("visitors", "visits", "bounce_rate", "visit_duration", "percentage")
TOTALS = ("visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration", "events")


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what a panel asks for: metrics by dimensions, or a file with fixed `parameters`.

    `given` has the parameters that the page may give, each with its default; None if the page has to give it. Two of them are not
    sent to the file: `dimension` and `property` choose the dimension of the rows. `choices` lists the values of a parameter that
    does not take any text.
    """

    metrics: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    file: str = ""
    parameters: dict[str, str | int] = {}
    given: dict[str, str | None] = {}
    choices: dict[str, tuple[str, ...]] = {}


def _by(dimension: str, *more: str) -> Panel:
    return Panel(metrics=VISIT, dimensions=(dimension, *more))


PANELS: dict[str, Panel] = {
    "live": Panel(file="live", given={"dimension": ""}),
    "totals": Panel(metrics=TOTALS),
    "series": Panel(metrics=TOTALS, dimensions=("time",)),
    "channels": _by("channel"),
    "sources": _by("source"),
    "referrers": _by("referrer"),
    "utm_source": _by("utm_source"),
    "utm_medium": _by("utm_medium"),
    "utm_campaign": _by("utm_campaign"),
    "utm_term": _by("utm_term"),
    "utm_content": _by("utm_content"),
    "campaigns": Panel(file="campaigns"),
    "pages": Panel(metrics=("visitors", "visits", "pageviews", "percentage"), dimensions=("page",)),
    "page_times": Panel(metrics=("pageviews", "time_on_page", "scroll_depth"), dimensions=("page",)),
    "entry_pages": _by("entry_page"),
    "exit_pages": Panel(metrics=("visitors", "visits", "exit_rate"), dimensions=("exit_page",)),
    "hostnames": Panel(metrics=("visitors", "visits", "pageviews"), dimensions=("hostname",)),
    "countries": _by("country"),
    "regions": _by("country", "region"),
    "cities": _by("country", "city"),
    "languages": _by("language"),
    "devices": _by("device"),
    "screens": _by("screen"),
    "browsers": _by("browser"),
    "browser_versions": _by("browser", "browser_version"),
    "systems": _by("os"),
    "system_versions": _by("os", "os_version"),
    "events": Panel(metrics=("visitors", "events", "percentage"), dimensions=("event",)),
    "properties": Panel(file="properties", given={"name": None}),
    "property": Panel(metrics=("visitors", "events", "percentage"), given={"property": None}),
    "goals": Panel(
        metrics=("visitors", "events", "conversion_rate", "total_revenue"),
        dimensions=("goal",),
    ),
    "funnel": Panel(file="funnel", given={"name": None}),
    "retention": Panel(file="retention", given={"unit": "week"}, choices={"unit": ("day", "week", "month")}),
    "revenue": Panel(file="revenue", given={"dimension": ""}),
    "vitals": Panel(file="vitals", dimensions=("page",), given={"dimension": "page"}),
    "vital_shares": Panel(file="vital_shares"),
    "not_found": Panel(file="not_found"),
    "outbound": Panel(file="links", parameters={"name": "Outbound Link: Click"}),
    "downloads": Panel(file="links", parameters={"name": "File Download"}),
    "forms": Panel(file="links", parameters={"name": "Form: Submission"}),
    "assistants": Panel(file="assistants"),
    "crawlers": Panel(file="crawlers", given={"purpose": "ai-"}),
    "bots": Panel(file="bots"),
    "bot_series": Panel(file="bot_series", dimensions=("time",)),
    "durations": Panel(file="durations"),
}
