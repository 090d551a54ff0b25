"""Says which reports are due: of which period of a site's own days, and whether somebody had it already.

A report is of the last whole week (Monday to Sunday) or the last whole day of the site's zone. It is due from DUE_HOUR in the
morning behind its period, so that visits that began before midnight are over, and events that were late have come.

Whoever was told nothing for ten weeks, because everything stood still, is told of the last week alone.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from dashboard.catalogue import periods
from dashboard.catalogue.contract import Period
from schemas.days import start_of
from schemas.reports import What, Wish

DUE_HOUR = 6
DAYS = {"weekly": 7, "daily": 1}


def last_period(what: What, zone: str, now: int) -> Period:
    """Returns the last period whose report is due at a moment."""
    place, length = periods.zone_of(zone), DAYS[what]
    today = periods.today(zone, now)
    until = today - timedelta(days=1) if length == 1 else today - timedelta(days=today.weekday() + 1)
    if now < due_at(until, zone):
        until -= timedelta(days=length)
    period = periods.days(until - timedelta(days=length - 1), until, zone, now)
    assert start_of(until, place) < now
    return period


def due_at(until: date, zone: str) -> int:
    """Returns the moment from which the report of a period is due that ends with this day."""
    place = periods.zone_of(zone)
    # On the hands of a clock: on a day of 23 or 25 hours too.
    return int(datetime.combine(until + timedelta(days=1), time(DUE_HOUR), place).timestamp())


def is_due(wish: Wish, period: Period, told: str) -> bool:
    """Tells whether a report is to be sent: if its period ended after it was wished for, and is later than what was told last."""
    ended = start_of(period.until + timedelta(days=1), periods.zone_of(period.zone))
    return ended > wish.since and str(period.since) > told
