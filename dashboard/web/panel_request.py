"""Reads the page's request for a panel, and makes a question of it. dashboard/page/src/types.ts has the same shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Literal

import msgspec

from dashboard.catalogue import periods
from dashboard.catalogue.compiler import LIMIT_MAX
from dashboard.catalogue.contract import FileQuestion, Period, Question, Refused
from dashboard.catalogue.dimensions import INTERVALS, PROPERTY, TIME
from dashboard.catalogue.filter_json import from_json
from dashboard.catalogue.goals import goals_of
from dashboard.sites.records import SiteView
from dashboard.web.panels import PANELS, Panel

COMPARISONS: dict[str, periods.Comparison] = {"previous": "previous", "year": "year", "weekdays": "weekday_year"}
REALTIME_SECONDS = 1_800
MINUTE_SECONDS = 60
LIVE_STEP_SECONDS = 5  # `now` is rounded up to it, so that several pages ask the same and share an answer
HOUR_MS = 3_600_000
_DAYS = re.compile(r"(\d{1,4})(d|mo)")
_DATES = re.compile(r"(\d{4}-\d\d-\d\d),(\d{4}-\d\d-\d\d)")


class PanelRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Holds a request of the page. An empty `interval` leaves the choice to us; an empty `compare` compares with nothing.

    `with_total` counts all rows, which costs as much as reading them.
    """

    site: str
    panel: str
    period: str = "28d"
    compare: str = ""
    interval: str = ""
    filters: list[Any] = []
    bots: bool = False
    order: list[tuple[str, Literal["asc", "desc"]]] = []
    limit: int = 100
    offset: int = 0
    with_total: bool = True
    parameters: dict[str, str | int] = {}


def decoded(text: str | bytes) -> PanelRequest:
    """Returns the request that is written in JSON. Raises Refused."""
    try:
        return msgspec.json.decode(text, type=PanelRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"The question can't be read: {error}.") from error


def panel_of(request: PanelRequest) -> Panel:
    """Returns the panel that a request names. Raises Refused."""
    panel = PANELS.get(request.panel)
    if panel is None:
        raise Refused(f"There is no panel '{request.panel[:100]}'. There are {', '.join(PANELS)}.")
    return panel


def period_of(text: str, zone: str, now: int, first_event: int | None = None) -> Period:
    """Returns the period that a text means, up to today where it has no end of its own. Raises Refused.

    `first_event` (unix s) is when `all` begins; without any event that is today.
    """
    today = periods.today(zone, now)
    if text == "realtime":
        minute = now // MINUTE_SECONDS * MINUTE_SECONDS + MINUTE_SECONDS
        return periods.moments(minute - REALTIME_SECONDS, minute, zone, now)
    if found := _DATES.fullmatch(text):
        return periods.days(_date(found[1]), _date(found[2]), zone, now)
    if found := _DAYS.fullmatch(text):
        count = int(found[1])
        if not count:
            raise Refused("A period has at least one day.")
        since = today - timedelta(days=count - 1) if found[2] == "d" else _months_back(today, count - 1)
        return periods.days(since, today, zone, now)
    begins = {
        "day": (today, today),
        "yesterday": (today - timedelta(days=1), today - timedelta(days=1)),
        "month": (today.replace(day=1), today),
        "last_month": (_months_back(today, 1), today.replace(day=1) - timedelta(days=1)),
        "year": (today.replace(month=1, day=1), today),
        "all": (periods.today(zone, now if first_event is None else first_event), today),
    }
    if text not in begins:
        known = ", ".join([*begins, "realtime", "7d", "6mo"])
        raise Refused(f"The period '{text[:40]}' is not known; known are {known}, and 2026-03-01,2026-03-31.")
    since, until = begins[text]
    return periods.days(min(since, until), until, zone, now)


def compared_with(text: str, period: Period, now: int) -> Period | None:
    """Returns the period that another one is compared with, or None for nothing. Raises Refused."""
    if not text:
        return None
    if found := _DATES.fullmatch(text):
        other = periods.days(_date(found[1]), _date(found[2]), period.zone, now)
        return periods.cut_off(other, period, now)
    if text not in COMPARISONS:
        known = ", ".join(COMPARISONS)
        raise Refused(f"The comparison '{text[:40]}' is not known; known are {known}, and 2025-03-01,2025-03-31.")
    return periods.compared(period, COMPARISONS[text], now)


def question_of(request: PanelRequest, site: SiteView, period: Period, now: int) -> Question | FileQuestion:
    """Returns the question that a panel asks. Raises Refused."""
    panel = panel_of(request)
    if request.interval and request.interval not in INTERVALS:
        raise Refused(f"An interval is one of {', '.join(INTERVALS)}.")
    segments = {segment.id: segment.filters for segment in site.notes.segments}
    filters = from_json(request.filters, segments=segments)
    order = tuple((name, direction == "desc") for name, direction in request.order)
    given = _given(panel, request.parameters)
    dimensions = _dimensions(panel, given, request.interval or periods.default_interval(period))
    is_series = TIME in panel.dimensions
    if panel.metrics:
        return Question(
            site=site.name,
            period=period,
            metrics=panel.metrics,
            dimensions=dimensions,
            filters=filters,
            order=tuple((_timed(name, dimensions), is_descending) for name, is_descending in order),
            limit=LIMIT_MAX if is_series else request.limit,
            offset=request.offset,
            bots=request.bots,
            compare=compared_with(request.compare, period, now),
            goals=goals_of(site.record.goals),
            is_filled=True,
            with_total=request.with_total and bool(dimensions) and not is_series,
        )
    return FileQuestion(
        file=panel.file,
        site=site.name,
        period=period,
        filters=filters,
        dimensions=dimensions,
        order=order,
        limit=request.limit,
        offset=request.offset,
        bots=request.bots,
        goals=goals_of(site.record.goals),
        **_own(panel, given, site, now),
    )


def _given(panel: Panel, said: Mapping[str, str | int]) -> dict[str, str | int]:
    """Returns the panel's parameters: those that the page gave, and the defaults of the others. Raises Refused."""
    if unknown := [name for name in said if name not in panel.given]:
        known = ", ".join(panel.given) or "none"
        raise Refused(f"This panel has no parameter '{unknown[0][:100]}'. It has {known}.")
    given = {**panel.given, **said}
    for name, value in given.items():
        if value is None:
            raise Refused(f"This panel needs the parameter '{name}'.")
        if not isinstance(value, str):
            raise Refused(f"The parameter '{name}' is a text.")
        if name in panel.choices and value not in panel.choices[name]:
            raise Refused(f"The parameter '{name}' is one of {', '.join(panel.choices[name])}.")
    return given  # type: ignore[return-value]  # None was refused


def _dimensions(panel: Panel, given: Mapping[str, str | int], interval: str) -> tuple[str, ...]:
    found = panel.dimensions
    if "dimension" in panel.given and given["dimension"]:
        found = (str(given["dimension"]),)
    if "property" in panel.given:
        found = (f"{PROPERTY}{given['property']}",)
    return tuple(f"{TIME}:{interval}" if name == TIME else name for name in found)


def _timed(name: str, dimensions: tuple[str, ...]) -> str:
    """Returns the name of a column in the question, where `time` has a unit."""
    return next((one for one in dimensions if name == TIME and one.startswith(f"{TIME}:")), name)


def _own(panel: Panel, given: Mapping[str, str | int], site: SiteView, now: int) -> dict[str, Any]:
    """Returns the fields of a FileQuestion that depend on the panel: parameters, and the steps of a funnel. Raises Refused."""
    if panel.file == "funnel":
        funnel = next((one for one in site.record.funnels if one.name == given["name"]), None)
        if funnel is None:
            raise Refused(f"The site has no funnel '{str(given['name'])[:100]}'.")
        return {"steps": funnel.steps, "parameters": {"window_ms": funnel.window_hours * HOUR_MS}}
    own: dict[str, str | int] = {name: value for name, value in given.items() if name not in {"dimension", "property"}}
    if panel.file == "live":
        own["now"] = -(-now // LIVE_STEP_SECONDS) * LIVE_STEP_SECONDS
    return {"parameters": {**panel.parameters, **own}}


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Refused(f"'{text}' is no date.") from error


def _months_back(day: date, count: int) -> date:
    """Returns the first day of the month so many months before that of a day. Raises Refused."""
    months = day.year * 12 + day.month - 1 - count
    if months < 12:
        raise Refused("A period begins after the year 1.")
    return date(months // 12, months % 12 + 1, 1)
