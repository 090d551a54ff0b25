"""Translates the words of the Stats APIs for metrics and dimensions into the names of the catalogue.

A word that Forebay has no numbers for is refused, and the error says what is missing, so that nobody takes other numbers for these.
"""

from __future__ import annotations

import difflib

from dashboard.catalogue.contract import Refused
from dashboard.catalogue.dimensions import INTERVALS
from dashboard.catalogue.filter_json import shown
from dashboard.catalogue.measures import MEASURES

METRICS = tuple(MEASURES)
MONEY = tuple(name for name, measure in MEASURES.items() if measure.unit == "money")
COUNTRY_NAME = "visit:country_name"
TIMES = ("time", *(f"time:{interval}" for interval in INTERVALS))
PROPERTY = "event:props:"
# What the catalogue calls it. `event:name`, `visit:language` and `visit:screen` are Forebay's own.
DIMENSIONS = {
    "event:goal": "goal",
    "event:page": "page",
    "event:hostname": "hostname",
    "event:name": "event",
    **{
        f"visit:{name}": name
        for name in (
            "entry_page",
            "exit_page",
            "source",
            "referrer",
            "channel",
            "utm_medium",
            "utm_source",
            "utm_campaign",
            "utm_content",
            "utm_term",
            "device",
            "screen",
            "browser",
            "browser_version",
            "os",
            "os_version",
            "language",
            "country",
            "region",
            "city",
        )
    },
    "visit:entry_page_hostname": "entry_hostname",
    "visit:exit_page_hostname": "exit_hostname",
    COUNTRY_NAME: "country",
    "visit:city_name": "city",
}
MISSING = {
    "visit:region_name": "names of regions: ask for visit:region, which has codes of ISO 3166-2",
    "time:minute": "minutes: ask for time:hour",
}


def dimension(word: str) -> str:
    """Returns the catalogue's name of a dimension by its word in the APIs. Raises Refused."""
    if word in DIMENSIONS:
        return DIMENSIONS[word]
    if word.startswith(PROPERTY) and len(word) > len(PROPERTY):
        return f"props.{word.removeprefix(PROPERTY)}"
    if word in TIMES:
        return word
    if word in MISSING:
        raise Refused(f"Forebay does not have {MISSING[word]}.")
    known = (*DIMENSIONS, f"{PROPERTY}NAME", *TIMES)
    raise Refused(f"The dimension {shown(word)} is not known.{_near(word, known)}")


def metric(given: object) -> str:
    """Returns a metric, whose name in the APIs is that of the catalogue. Raises Refused."""
    if isinstance(given, str) and given in METRICS:
        return given
    raise Refused(f"The metric {shown(given)} is not known. Known: {', '.join(METRICS)}.")


def _near(word: str, known: tuple[str, ...]) -> str:
    """Returns what may have been meant, by the last part of a word, or all that is known."""
    lasts = {name.rpartition(":")[2]: name for name in reversed(known)}
    last = word.rpartition(":")[2]
    near = lasts.get(last) or lasts.get(f"utm_{last}")
    if near is None and (found := difflib.get_close_matches(last, lasts, 1)):
        near = lasts[found[0]]
    return f" Did you mean {near}?" if near else f" Known: {', '.join(known)}."
