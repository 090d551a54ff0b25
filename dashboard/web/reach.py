"""Bounds what a public link shows: the days, and what its site's owner did not tick (properties, user ids, revenue).

It is applied where a request of the page becomes a question (dashboard/web/panel_api.py), so to panels, CSV and ZIP alike. What a file of the
catalogue shows is read from its SQL, so a new file needs no entry here. A period that goes beyond the link's days is cut to them, and a
comparison that does is left out.

Not promised: that nobody can work out a hidden number from those that are shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta

import msgspec
from msgspec.structs import replace

from dashboard.access.viewer import Forbidden, Viewer
from dashboard.ask.files import query_of
from dashboard.catalogue import periods
from dashboard.catalogue.contract import FileQuestion, Period, Question, Refused
from dashboard.catalogue.copies import lean
from dashboard.catalogue.dimensions import GOAL, PROPERTY
from dashboard.catalogue.filter_json import from_json
from dashboard.catalogue.filters import Compare, Filter, compares
from dashboard.catalogue.measures import MEASURES
from dashboard.sites.records import SiteView
from schemas.days import start_of
from schemas.goals import goal_of
from schemas.links import Link, Shown
from schemas.site import RegisteredSite

WORDS: Mapping[Shown, str] = {"properties": "properties", "users": "what is known by user ids", "revenue": "revenue"}
_COLUMNS: Mapping[Shown, re.Pattern[str]] = {
    "properties": re.compile(r"\bprops\b"),
    "users": re.compile(r"\buser_id\b"),
    "revenue": re.compile(r"\brevenue\b"),
}


class Days(msgspec.Struct, frozen=True, kw_only=True):
    """Holds the local days of a site that a viewer may see, both included."""

    since: date
    until: date

    def has(self, period: Period) -> bool:
        """Tells whether all of a period lies in these days."""
        return self.since <= period.since and period.until <= self.until

    def is_at(self, now: int, zone: str) -> bool:
        """Tells whether today is one of these days."""
        return self.since <= periods.today(zone, now) <= self.until


def days_of(link: Link, zone: str, now: int) -> Days:
    """Returns the days that a link shows. The last one may lie in the future."""
    today = periods.today(zone, now)
    if link.days:
        return Days(since=today - timedelta(days=link.days - 1), until=today)
    return Days(since=link.since or date.min, until=link.until or date.max)


def bounded(period: Period, viewer: Viewer, now: int) -> Period:
    """Returns a period without the days that the viewer may not see. Raises Forbidden if none is left."""
    if viewer.link is None:
        return period
    days = days_of(viewer.link, period.zone, now)
    if days.has(period):
        return period
    since, until = max(period.since, days.since), min(period.until, days.until)
    if since > until or period.starts is not None:
        raise Forbidden(f"This link shows {viewer.link.within}, and nothing of the period that was asked for.")
    try:
        return periods.days(since, until, period.zone, now)
    except Refused as error:  # of days that have not come yet
        raise Forbidden(f"This link shows {viewer.link.within}.") from error


def reached(question: Question | FileQuestion, viewer: Viewer, site: SiteView, now: int) -> Question | FileQuestion:
    """Returns a question as far as the viewer may ask it. Raises Forbidden."""
    if viewer.link is None:
        return question
    for one in viewer.link.hidden:
        if one in _asked_for(question):
            raise Forbidden(f"This link does not show {WORDS[one]}.")
    if "properties" in viewer.link.hidden and not _names_goals_alone(question.filters, site):
        raise Forbidden("Under this link a filter by goal names one of the site's goals.")
    if isinstance(question, FileQuestion):
        if question.file == "live" and not days_of(viewer.link, question.period.zone, now).is_at(now, site.zone):
            raise Forbidden(f"This link shows {viewer.link.within}, and so not who is here now.")
        return question
    if "revenue" in viewer.link.hidden:
        question = replace(question, metrics=tuple(name for name in question.metrics if not _is_revenue(name)))
    if question.compare is not None and not days_of(viewer.link, question.period.zone, now).has(question.compare):
        question = replace(question, compare=None)
    return question


def shows_revenue(viewer: Viewer) -> bool:
    """Tells whether the viewer may see revenue."""
    return viewer.link is None or "revenue" not in viewer.link.hidden


def known(site: SiteView, viewer: Viewer, now: int) -> SiteView:
    """Returns a site with those of its goals, funnels, segments and annotations that the viewer may know."""
    if viewer.link is None:
        return site
    days = days_of(viewer.link, site.zone, now)
    record, notes = site.record, site.notes
    segments = notes.segments
    if "properties" in viewer.link.hidden:
        segments = tuple(one for one in segments if not _has_property(from_json(one.filters)))
        record = _without_properties(record)
    annotations = tuple(one for one in notes.annotations if days.since <= date.fromisoformat(one.date) <= days.until)
    return replace(site, record=record, notes=replace(notes, segments=segments, annotations=annotations))


def seen(first: int | None, last: int | None, viewer: Viewer, zone: str, now: int) -> tuple[int | None, int | None]:
    """Returns when a site's first and last event were (unix s), as far as the viewer may know it; None for both if no day is left.

    An event beyond the viewer's days is said to be at their beginning or end, so nobody learns when it was.
    """
    if viewer.link is None:
        return first, last
    if first is None or last is None:
        return None, None
    days = days_of(viewer.link, zone, now)
    begins, ends = periods.today(zone, first), periods.today(zone, last)
    if ends < days.since or begins > days.until:
        return None, None
    local = periods.zone_of(zone)
    first = first if begins >= days.since else start_of(days.since, local)
    last = last if ends <= days.until else start_of(days.until + timedelta(days=1), local) - 1
    return first, last


def _asked_for(question: Question | FileQuestion) -> set[Shown]:
    """Returns what a question can't be answered without."""
    found: set[Shown] = set()
    names = [*question.dimensions, *(name for name, _ in question.order)]
    if _has_property(question.filters) or any(name.startswith(PROPERTY) for name in names):
        found.add("properties")
    if isinstance(question, FileQuestion):
        query = query_of(question.file)
        sql = lean(query.sql, query.columns, is_cut=True)  # without what only filters and dimensions would read
        found |= {one for one, column in _COLUMNS.items() if column.search(sql)}
    elif any(_is_revenue(name) for name in names) or all(_is_revenue(name) for name in question.metrics):
        found.add("revenue")
    return found


def _without_properties(record: RegisteredSite) -> RegisteredSite:
    """Returns the record of a site without the goals and funnels that count events by a property."""
    goals = {one.name: one for one in record.goals}
    kept = tuple(one for one in record.goals if not one.props)
    funnels = tuple(
        one for one in record.funnels if not any((goals.get(text) or goal_of(text)).props for text in one.steps)
    )
    return replace(record, goals=kept, funnels=funnels)


def _has_property(filters: Filter | None) -> bool:
    return any(one.dimension.startswith(PROPERTY) for one in compares(filters))


def _names_goals_alone(filters: Filter | None, site: SiteView) -> bool:
    """Tells whether filters name goals of the site alone. The text of a goal may name a property, and so tell of it."""
    names = {goal.name for goal in site.record.goals}
    asked: list[Compare] = [one for one in compares(filters) if one.dimension == GOAL]
    return not names or all(set(one.values) <= names for one in asked)


def _is_revenue(name: str) -> bool:
    return name in MEASURES and MEASURES[name].kind == "revenue"
