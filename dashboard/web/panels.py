"""Lists the panels of the page: what each asks, and the columns that it answers with.

A panel of numbers by a dimension is answered by metrics; any other is one file of the catalogue, whose columns it has as they
are. The page asks `POST /api/panel` with a name of this list; dashboard/page/src/types.ts has the shapes.
"""

from __future__ import annotations

import msgspec

VISIT = ("visitors", "visits", "bounce_rate", "visit_duration", "percentage")
TOTALS = ("visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration", "events")


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what a panel asks: metrics by dimensions, or a file with parameters that are always these.

    `given` are parameters that the page gives, with what they are by default; None if there is no default. `dimension` and
    `property` among them choose what the rows are of. `choices` are all that a parameter can be, where that is not any text.
    """

    title: str
    metrics: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    file: str = ""
    parameters: dict[str, str | int] = {}
    given: dict[str, str | None] = {}
    choices: dict[str, tuple[str, ...]] = {}


def _by(title: str, dimension: str, *more: str) -> Panel:
    return Panel(title=title, metrics=VISIT, dimensions=(dimension, *more))


PANELS: dict[str, Panel] = {
    "live": Panel(title="People now", file="live", given={"dimension": ""}),
    "totals": Panel(title="Totals", metrics=TOTALS),
    "series": Panel(title="Series", metrics=TOTALS, dimensions=("time",)),
    "channels": _by("Channels", "channel"),
    "sources": _by("Sources", "source"),
    "referrers": _by("Referrers", "referrer"),
    "utm_source": _by("UTM source", "utm_source"),
    "utm_medium": _by("UTM medium", "utm_medium"),
    "utm_campaign": _by("UTM campaign", "utm_campaign"),
    "utm_term": _by("UTM term", "utm_term"),
    "utm_content": _by("UTM content", "utm_content"),
    "campaigns": Panel(title="Campaigns with revenue", file="campaigns"),
    "pages": Panel(title="Pages", metrics=("visitors", "visits", "pageviews", "percentage"), dimensions=("page",)),
    "page_times": Panel(
        title="Time on page", metrics=("pageviews", "time_on_page", "scroll_depth"), dimensions=("page",)
    ),
    "entry_pages": _by("Entry pages", "entry_page"),
    "exit_pages": Panel(title="Exit pages", metrics=("visitors", "visits", "exit_rate"), dimensions=("exit_page",)),
    "hostnames": Panel(title="Host names", metrics=("visitors", "visits", "pageviews"), dimensions=("hostname",)),
    "countries": _by("Countries", "country"),
    "regions": _by("Regions", "country", "region"),
    "cities": _by("Cities", "country", "city"),
    "languages": _by("Languages", "language"),
    "devices": _by("Devices", "device"),
    "screens": _by("Screens", "screen"),
    "browsers": _by("Browsers", "browser"),
    "browser_versions": _by("Browser versions", "browser", "browser_version"),
    "systems": _by("Systems", "os"),
    "system_versions": _by("System versions", "os", "os_version"),
    "events": Panel(title="Events", metrics=("visitors", "events", "percentage"), dimensions=("event",)),
    "properties": Panel(title="Properties of an event", file="properties", given={"name": None}),
    "property": Panel(
        title="Values of a property", metrics=("visitors", "events", "percentage"), given={"property": None}
    ),
    "goals": Panel(
        title="Goals",
        metrics=("visitors", "events", "conversion_rate", "total_revenue"),
        dimensions=("goal",),
    ),
    "funnel": Panel(title="Funnel", file="funnel", given={"name": None}),
    "retention": Panel(
        title="Retention", file="retention", given={"unit": "week"}, choices={"unit": ("day", "week", "month")}
    ),
    "revenue": Panel(title="Revenue", file="revenue", given={"dimension": ""}),
    "vitals": Panel(title="Web vitals", file="vitals", dimensions=("page",), given={"dimension": "page"}),
    "vital_shares": Panel(title="Web vitals: shares", file="vital_shares"),
    "not_found": Panel(title="404s", file="not_found"),
    "outbound": Panel(title="Outbound links", file="links", parameters={"name": "Outbound Link: Click"}),
    "downloads": Panel(title="Downloads", file="links", parameters={"name": "File Download"}),
    "forms": Panel(title="Forms", file="links", parameters={"name": "Form: Submission"}),
    "assistants": Panel(title="AI assistants", file="assistants"),
    "crawlers": Panel(title="AI crawlers", file="crawlers", given={"purpose": "ai-"}),
    "bots": Panel(title="Bots by reason", file="bots"),
    "bot_series": Panel(title="People and bots", file="bot_series", dimensions=("time",)),
    "durations": Panel(title="Visits by duration", file="durations"),
}
