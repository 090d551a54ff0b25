"""Writes the numbers of reports as people read them. No number is computed here."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from dashboard.catalogue import periods
from dashboard.catalogue.contract import Period
from dashboard.catalogue.measures import MEASURES
from dashboard.reports.summary import Number
from dashboard.stats.country_names import NAMES as COUNTRIES
from runtime.notify.message import one_line

TITLES = {
    "visitors": "Visitors",
    "visits": "Visits",
    "pageviews": "Pageviews",
    "views_per_visit": "Views per visit",
    "bounce_rate": "Bounce rate",
    "visit_duration": "Visit duration",
    "pages": "Pages, by visitors",
    "sources": "Sources, by visitors",
    "countries": "Countries, by visitors",
    "goals": "Goals, by visitors who reached them",
    "revenue": "Revenue",
}
SECONDS = {"visit_duration"}
LESS_IS_BETTER = {"bounce_rate"}
NAME_CHARS_MAX = 60
NOTHING = "–"


def value(number: Number) -> str:
    """Returns the number of the period."""
    return _written(number.name, number.now)


def change(number: Number) -> str:
    """Returns how it changed: `+12 %`, `−3 pts`, `new`, `±0 %`; an empty text where there is nothing to compare."""
    if number.change is None:
        return ""
    if not Decimal(str(number.before)) and number.change:
        return "new"
    is_rate = number.name in MEASURES and MEASURES[number.name].unit == "rate"
    unit = " pts" if is_rate else " %"
    sign = "+" if number.change > 0 else "−" if number.change < 0 else "±"
    return f"{sign}{abs(number.change):,}{unit}"


def is_better(number: Number) -> bool | None:
    """Tells whether a change is one for the better; None where it is none."""
    return (number.change > 0) != (number.name in LESS_IS_BETTER) if number.change else None


def name(table: str, said: str) -> str:
    """Returns the name of a row in one line: of a country its name, of everything else what visitors sent, shortened."""
    said = COUNTRIES.get(said, said) if table == "countries" else said
    line = one_line(said)
    return line if len(line) <= NAME_CHARS_MAX else f"{line[: NAME_CHARS_MAX - 1]}…"


def count(number: float) -> str:
    """Returns a count, or a median of counts, which may end in a half."""
    return f"{number:,.1f}".removesuffix(".0")


def days(period: Period) -> str:
    """Returns the days of a period: `Monday 23 to Sunday 29 March 2026`, or one of them."""
    since, until = period.since, period.until
    if since == until:
        return _day(since)
    begin = f"{since:%A} {since.day}"
    if (since.year, since.month) != (until.year, until.month):
        begin += f" {since:%B}"
    if since.year != until.year:
        begin += f" {since.year}"
    return f"{begin} to {_day(until)}"


def hours(period: Period) -> str:
    """Returns the hour of an alarm by the clocks of the site: `between 13:15 and 14:15 on Sunday 29 March 2026`."""
    zone = periods.zone_of(period.zone)
    assert period.starts is not None
    assert period.ends is not None
    starts, ends = (datetime.fromtimestamp(moment, zone) for moment in (period.starts, period.ends))
    return f"between {starts:%H:%M} and {ends:%H:%M} on {_day(starts.date())}"


def _day(day: date) -> str:
    return f"{day:%A} {day.day} {day:%B %Y}"


def _written(metric: str, said: Any) -> str:
    if said is None:
        return NOTHING
    if metric not in MEASURES:  # an amount of a currency, whose code is the name of its row
        amount = Decimal(said)
        return f"{amount:,.{2 if amount == amount.quantize(Decimal('0.01')) else 4}f}"
    if metric in SECONDS:
        return _duration(int(said))
    return f"{said:,}{' %' if MEASURES[metric].unit == 'rate' else ''}"


def _duration(seconds: int) -> str:
    hours, minutes = seconds // 3_600, seconds % 3_600 // 60
    parts = [f"{hours:,}h"] if hours else []
    parts += [f"{minutes}m"] if minutes else []
    parts += [f"{seconds % 60}s"] if not hours and (seconds % 60 or not minutes) else []
    return " ".join(parts)
