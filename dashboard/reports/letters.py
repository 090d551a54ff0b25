"""Writes reports and alarms as messages: plain text, the same as HTML, and the numbers for programs.

The HTML is of one piece, has its style in it, and asks for no picture, font or script: it shows the same without a network,
and tells nobody that it was read. Its one link leads to the dashboard, where there is an address under which people reach that. It is as wide as the telephone it is read on.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from dashboard.reports import html, words
from dashboard.reports.alarms import Alarm
from dashboard.reports.summary import TABLES, Number, Row, Summary
from runtime.notify.message import Message
from schemas.reports import WEBHOOK, What

TEXT_COLUMN = 22
BEFORE = {"weekly": "the week before", "daily": "the day before"}


def report(summary: Summary, what: What, to: str, url: str = "") -> Message:
    """Returns the report of a period, for one address or the webhook. `url` is where the dashboard is reached, if it is."""
    when = words.days(summary.period)
    title = f"{'A week' if what == 'weekly' else 'A day'} of {summary.site}"
    under = f"{when}, compared with {BEFORE[what]}"
    sections = [(words.TITLES[name], _lines(name, rows)) for name, rows in summary.tables.items() if rows]
    if summary.revenue:
        sections.insert(
            0, (words.TITLES["revenue"], [(words.name("revenue", one.name), one) for one in summary.revenue])
        )
    visitors = summary.totals[0]
    grew = words.change(visitors)
    last = "last week" if what == "weekly" else f"on {when}"
    link = _link(url, summary.site, f"{summary.period.since},{summary.period.until}")
    return Message(
        kind="report",
        site=summary.site,
        subject=f"{summary.site}: {_people(visitors.now)} {last}{f' ({grew})' if grew else ''}",
        text="\n".join(
            [title, under, "", *_text(summary, sections), *_linked(link), "", leave(summary.site, what, to), ""]
        ),
        html=html.page(
            title,
            html.head(title, under),
            html.totals(summary.totals),
            *(html.table(heading, rows) for heading, rows in sections),
            html.foot(leave(summary.site, what, to), link),
        ),
        facts=facts(summary, what),
        id=_id(what, summary.site, str(summary.period.since)),
    )


def facts(summary: Summary, what: What) -> dict[str, Any]:
    """Returns the numbers of a report as the webhook has them."""
    return {
        "report": what,
        "since": str(summary.period.since),
        "until": str(summary.period.until),
        "zone": summary.period.zone,
        "totals": {number.name: {"now": number.now, "before": number.before} for number in summary.totals},
        "revenue": {number.name: {"now": number.now, "before": number.before} for number in summary.revenue},
        **{
            name: [{TABLES[name][0]: row.name} | {number.name: number.now for number in row.numbers} for row in rows]
            for name, rows in summary.tables.items()
        },
    }


def alarm(found: Alarm, to: str, url: str = "") -> Message:
    """Returns the message of a spike or a drop, for one address or the webhook. `url` is as above."""
    is_spike = found.what == "spike"
    people, usual = _people(found.visitors), words.count(found.usual)
    title = f"{found.site}: {'many' if is_spike else 'few'} people now"
    said = (
        f"{people} came {words.hours(found.period)} ({found.period.zone}). At this hour of this weekday {usual} are usual"
        f" (the last {len(found.weeks)} weeks had {', '.join(map(words.count, found.weeks))})."
    )
    if not is_spike:
        said += " Either fewer people come, or their events do not arrive: look at the page of health on the dashboard."
    tables = [(words.TITLES[name], _counted(name, getattr(found, name))) for name in ("pages", "sources")]
    tables = [(heading, rows) for heading, rows in tables if rows]
    lines = [line for heading, rows in tables for line in ("", heading, *_rows(rows))]
    link = _link(url, found.site, "day")
    assert found.period.starts is not None
    return Message(
        kind="spike" if is_spike else "drop",
        site=found.site,
        subject=f"{found.site}: {people} in the last hour, {usual} are usual",
        text="\n".join([title, "", said, *lines, *_linked(link), "", leave(found.site, found.what, to), ""]),
        html=html.page(
            title,
            html.head(title, said),
            *(html.table(heading, rows) for heading, rows in tables),
            html.foot(leave(found.site, found.what, to), link),
        ),
        facts={
            "visitors": found.visitors,
            "usual": found.usual,
            "weeks": list(found.weeks),
            "since": _moment(found.period.starts),
            "until": _moment(found.period.ends or 0),
        },
        id=_id(found.what, found.site, str(found.period.starts)),
    )


def leave(site: str, what: What, to: str) -> str:
    """Returns how to be told this no more. There is no link for it: a page that whoever has the mail may open is none that may change anything."""
    whom = "This goes to the webhook" if to == WEBHOOK else f"This goes to {to}"
    return (
        f"{whom} because somebody who runs Forebay for {site} asked for it. They end it with:"
        f" forebay report remove --site {site} --to {to} --what {what}"
    )


def _link(url: str, site: str, period: str) -> str:
    """Returns the address of a period on the dashboard, or nothing if people don't reach it."""
    return f"{url.rstrip('/')}/#/{quote(site)}?period={period}" if url else ""


def _linked(link: str) -> list[str]:
    return ["", f"More on the dashboard: {link}"] if link else []


def _people(visitors: int) -> str:
    return "1 visitor" if visitors == 1 else f"{visitors:,} visitors"


def _id(what: What, site: str, since: str) -> str:
    """Returns the same id for the same message, whichever dashboard sends it and how often."""
    return hashlib.sha256(f"{what} {site} {since}".encode()).hexdigest()[:32]


def _lines(table: str, rows: list[Row]) -> list[tuple[str, Number]]:
    return [(words.name(table, row.name), row.numbers[0]) for row in rows]


def _counted(table: str, rows: list[tuple[str, int]]) -> list[tuple[str, Number]]:
    return [
        (words.name(table, name), Number(name="visitors", now=count, before=None, change=None)) for name, count in rows
    ]


def _text(summary: Summary, sections: list[tuple[str, list[tuple[str, Number]]]]) -> list[str]:
    lines = [
        f"{words.TITLES[number.name]:<{TEXT_COLUMN}}{words.value(number):>12}  {words.change(number)}".rstrip()
        for number in summary.totals
    ]
    for heading, rows in sections:
        lines += ["", heading, *_rows(rows)]
    return lines


def _rows(rows: list[tuple[str, Number]]) -> list[str]:
    return [f"{words.value(number):>14}  {words.change(number):>8}  {name}".rstrip() for name, number in rows]


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
